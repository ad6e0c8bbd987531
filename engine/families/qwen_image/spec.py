"""Qwen-Image's torch-free facts."""

from __future__ import annotations

from engine.families.family import FamilySpec, ModelSlot, SampleDefaults, TaskSpec
from engine.families.qwen_image.released import released_shapes
from engine.families.transformer_facts import SavedBytes, TransformerFacts


def _task(
    name: str,
    title: str,
    cache_id: str,
    architecture: str,
    modelspec: str,
    resolution: str,
    *,
    built: bool,
    capabilities: frozenset[str] = frozenset(),
) -> TaskSpec:
    return TaskSpec(
        name=name,
        title=title,
        cache_id=cache_id,
        architecture=architecture,
        modelspec_architecture=modelspec,
        modelspec_resolution=resolution,
        sample=SampleDefaults(steps=25, guidance_scale=4.0, flow_shift=None, width=1328, height=1328, negative=" "),
        cache_architecture="qwen_image",  # of every task: Musubi Tuner writes it so
        built=built,
        capabilities=capabilities,
    )


# The prompt of the released text-to-image pipeline, https://github.com/QwenLM/Qwen-Image (Apache-2.0). Not to be edited.
_CAPTION_TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, "
    "spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
_CONTROL = frozenset({"control_images", "many_controls"})
_TASKS = (
    _task("t2i", "Qwen-Image, text to image", "qi", "qwen_image", "Qwen-Image/lora", "1328x1328", built=True),
    _task(
        "edit",
        "Qwen-Image-Edit",
        "qie",
        "qwen_image_edit",
        "Qwen-Image-Edit/lora",
        "1024x1024",
        built=False,
        capabilities=_CONTROL,
    ),
    _task(
        "edit-2509",
        "Qwen-Image-Edit-2509",
        "qie",
        "qwen_image_edit",
        "Qwen-Image-Edit-Plus/lora",
        "1024x1024",
        built=False,
        capabilities=_CONTROL,
    ),
    _task(
        "edit-2511",
        "Qwen-Image-Edit-2511",
        "qie",
        "qwen_image_edit",
        "Qwen-Image-Edit-2511/lora",
        "1024x1024",
        built=False,
        capabilities=_CONTROL,
    ),
    _task(
        "layered",
        "Qwen-Image-Layered",
        "qil",
        "qwen_image_layered",
        "Qwen-Image-Layered/lora",
        "1024x1024",
        built=False,
        capabilities=frozenset({"layers"}),
    ),
)

TRANSFORMER = TransformerFacts(
    blocks="transformer_blocks.",
    width="img_in.weight",
    feed_forward="transformer_blocks.0.img_mlp.net.0.proj.weight",
    text_joins=True,
    text_padded=False,
    half=SavedBytes(width=37.6, feed_forward=4, rank=12, boundary=2),
    full=SavedBytes(width=59.2, feed_forward=8, rank=24, boundary=4),
    released=released_shapes,
    # Musubi Tuner means to leave the modulation layers out, but its pattern never matches a dotted name, so they are
    # trained there and here: 840 modules in the real model.
    lora_exclude=(r".*(_mod_).*",),
    text_weights=r".*\.(add_[qkv]_proj|to_add_out|txt_mlp\..*)\.weight",
    item_weights=r".*\.(img|txt)_mod\.1\.weight",
    idle_at_end=r"attn\.to_add_out|txt_mlp\..*",  # nobody reads what the last block makes of the text
)

SPEC = FamilySpec(
    name="qwen_image",
    title="Qwen-Image",
    tasks={task.name: task for task in _TASKS},
    default_task="t2i",
    slots=(
        ModelSlot(
            option="dit",
            role="transformer",
            title="Qwen-Image diffusion model",
            repository="Comfy-Org/Qwen-Image_ComfyUI",
            files=("qwen_image_bf16.safetensors",),
            size_gb=40.9,
            needed_for=frozenset({"train", "sample"}),
            signs=(("transformer_blocks.0.attn.add_q_proj", "txt_norm.weight"),),
        ),
        ModelSlot(
            option="vae",
            role="vae",
            title="Qwen-Image VAE",
            repository="Comfy-Org/Qwen-Image_ComfyUI",
            files=("qwen_image_vae.safetensors",),
            size_gb=0.25,
            needed_for=frozenset({"latents", "sample"}),
            signs=(
                ("decoder.middle.0.residual", "encoder.downsamples."),
                ("decoder.mid_block.", "encoder.down_blocks."),
            ),
        ),
        ModelSlot(
            option="text_encoder",
            role="text_encoder",
            title="Qwen2.5-VL 7B",
            repository="Comfy-Org/Qwen-Image_ComfyUI",
            files=("qwen_2.5_vl_7b.safetensors",),
            size_gb=16.6,
            needed_for=frozenset({"text", "sample"}),
            signs=(("layers.0.self_attn.q_proj", "layers.0.mlp.gate_proj"),),
        ),
        ModelSlot(
            option="tokenizer",
            role="tokenizer",
            title="Qwen2.5-VL tokenizer",
            repository="Qwen/Qwen-Image",
            files=("tokenizer",),
            size_gb=0.01,
            needed_for=frozenset({"text", "sample"}),
        ),
    ),
    capabilities=frozenset({"images", "cfg", "cfg_norm", "qwen_vl"}),
    network_module="networks.lora_qwen_image",
    modelspec_implementation="https://github.com/QwenLM/Qwen-Image",
    model="engine.families.qwen_image.model:QwenImageModel",
    fps=0.0,
    pixel_step=16,
    frame_stride=4,
    spatial_stride=8,
    temporal_stride=4,
    latent_channels=16,
    patch=(1, 2, 2),
    token_limit=1024,
    text_tensors={"vl_embed": 3584},
    latents_dtype="float32",
    cache_window=None,
    defaults={
        "timestep_sampling": "qwen_shift",
        "learning_rate": 5e-5,
        "optimizer_type": "adamw8bit",
        "network_dim": 16,
        "network_alpha": 16.0,
        "mixed_precision": "bf16",
        "gradient_checkpointing": True,
        "vae_dtype": "float32",
    },
    musubi_keys=frozenset(
        {
            "model_version",
            "edit",
            "edit_plus",
            "num_layers",
            "fp8_vl",
            "remove_first_image_from_target",
            "text_encoder",
        }
    ),
    caption_template=_CAPTION_TEMPLATE,
    shift_terminal=0.02,
    transformer=TRANSFORMER,
)
