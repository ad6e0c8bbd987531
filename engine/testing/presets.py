"""The text files of a tiny set-up: preset, dataset and prompts, each line explained."""

from __future__ import annotations

_DATASET = """\
# The dataset, in Musubi Tuner's words: every picture with a text file of the same name beside it.

[general]
caption_extension = ".txt"   # cat.png is described by cat.txt
enable_bucket = true         # keep each picture's shape: portraits stay portraits
bucket_no_upscale = false    # small pictures may be enlarged to the bucket

[[datasets]]
image_directory = "data/pictures"   # where the photographs are (see data/CREDITS.txt)
cache_directory = "cache/pictures"  # encoded once, kept here
resolution = [96, 96]               # target area in pixels; real training uses 512 to 1328
batch_size = 4                      # pictures per step
"""
_CLIPS = """
[[datasets]]
video_directory = "data/clips"      # two crops that pan over a photograph
cache_directory = "cache/clips"
resolution = [96, 64]
batch_size = 2                      # clips per step
target_frames = [9]                 # frames per clip: 4n + 1
frame_extraction = "head"           # take them from the start
"""

_PRESET = """\
# A complete training run on a tiny model and real photographs. Change anything and run it again:
#   musubi-tui train preset.toml

family = "{family}"                  # which model family
output_name = "tiny-{label}"    # name of the LoRA file and of the run
seed = 42                          # same seed, same run

# -- model files: tiny ones in the layouts of the released ones
{models}
mixed_precision = "no"             # "bf16" on a GPU; a CPU is faster in full precision
vae_dtype = "float32"              # as above: pictures become latents, and latents pictures, in this precision

# -- what to learn from
dataset_config = "dataset.toml"

# -- the LoRA
network_dim = 16                   # rank: how much it can learn
network_alpha = 16                 # strength; alpha = rank is neutral

# -- how to learn
optimizer_type = "adamw"
learning_rate = 3e-3               # high, as a tiny model allows; 1e-4 is usual
lr_scheduler = "constant"
max_train_steps = 200
max_grad_norm = 1.0                # limit of the gradient's length
timestep_sampling = "uniform"      # practise all noise levels alike
gradient_checkpointing = false     # saves memory at the price of time; not needed here

# -- how to know that it learns
validation_items = 24              # loss on a fixed set of (picture, noise, noise level)
validate_every_n_steps = 100
sample_prompts = "prompts.txt"     # previews
sample_at_first = true             # one before the first step, to compare
sample_every_n_steps = 200
"""
_MODELS = {
    "wan": ("wan", '''\
dit = "models/wan2.1_t2v_tiny_bf16.safetensors"
vae = "models/Wan2.1_VAE.pth"
t5 = "models/models_t5_umt5-xxl-enc-bf16.pth"
tokenizer = "models/google/umt5-xxl"'''),
    "qwen_image": ("qwen", '''\
dit = "models/qwen_image_tiny_bf16.safetensors"
vae = "models/qwen_image_vae.safetensors"
text_encoder = "models/qwen_2.5_vl_tiny.safetensors"
tokenizer = "models/tokenizer"'''),
}  # fmt: skip


def dataset(*, clips: bool) -> str:
    """dataset.toml: the photographs, and for families that train clips the two pans."""
    return _DATASET + (_CLIPS if clips else "")


def preset(family: str) -> str:
    """preset.toml with paths relative to itself."""
    label, models = _MODELS[family]
    return _PRESET.format(family=family, label=label, models=models)


def prompts(*, clips: bool) -> str:
    """prompts.txt: one picture and, where the family makes them, one clip."""
    lines = [
        "# one prompt per line; --w width, --h height, --f frames, --s steps, --d seed, --l guidance",
        "a red flower with green leaves in the background --w 96 --h 96 --f 1 --s 12 --d 1 --l 1.0",
    ]
    if clips:
        lines.append(
            "the camera pans right over a chinese temple roof --w 96 --h 64 --f 9 --s 12 --d 2 --l 1.0",
        )
    return "\n".join(lines) + "\n"
