"""Wan's torch-free facts. Sizes are always read from the checkpoint, so a task names an intent, not a width."""

from __future__ import annotations

from engine.families.family import FamilySpec, ModelSlot, SampleDefaults, TaskSpec
from engine.families.transformer_facts import SavedBytes, TransformerFacts
from engine.families.wan.released import released_shapes

# The negative prompt of the model's authors, with which it was tuned to be guided: over-saturated, over-exposed, static,
# blurred, subtitles, painting, grey, worst quality, JPEG artefacts, ugly, deformed hands and faces, crowded background …
_NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，"
    "静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)


def _task(
    name: str,
    title: str,
    *,
    built: bool,
    shift: float = 5.0,
    guidance: float = 5.0,
    steps: int = 50,
    frames: int = 81,
    capabilities: frozenset[str] = frozenset(),
) -> TaskSpec:
    return TaskSpec(
        name=name,
        title=title,
        cache_id="wan",
        architecture="wan",
        modelspec_architecture="wan2.1/lora",  # also for 2.2: Musubi Tuner writes the same, and loaders go by it
        modelspec_resolution="1280x720",
        sample=SampleDefaults(
            steps=steps,
            guidance_scale=guidance,
            flow_shift=shift,
            width=832,
            height=480,
            frames=frames,
            negative=_NEGATIVE,
        ),
        built=built,
        capabilities=capabilities,
    )


_TASKS = (
    _task("t2v-1.3B", "Wan 2.1 text to video, 1.3B", built=True),
    _task("t2v-14B", "Wan 2.1 text to video, 14B", built=True),
    _task("t2i-14B", "Wan 2.1 text to image, 14B", built=True, frames=1),
    _task("i2v-14B", "Wan 2.1 image to video, 14B", built=False, steps=40, capabilities=frozenset({"i2v"})),
    _task(
        "flf2v-14B",
        "Wan 2.1 first and last frame to video, 14B",
        built=False,
        steps=40,
        capabilities=frozenset({"i2v"}),
    ),
    _task("t2v-1.3B-FC", "Wan 2.1 Fun-Control, 1.3B", built=False, capabilities=frozenset({"control_video"})),
    _task("t2v-14B-FC", "Wan 2.1 Fun-Control, 14B", built=False, capabilities=frozenset({"control_video"})),
    _task(
        "i2v-14B-FC",
        "Wan 2.1 Fun-Control image to video",
        built=False,
        capabilities=frozenset({"control_video", "i2v"}),
    ),
    _task(
        "t2v-A14B",
        "Wan 2.2 text to video, two experts",
        built=False,
        shift=12.0,
        guidance=3.0,
        steps=40,
        capabilities=frozenset({"two_experts"}),
    ),
    _task(
        "i2v-A14B",
        "Wan 2.2 image to video, two experts",
        built=False,
        guidance=3.5,
        steps=40,
        capabilities=frozenset({"two_experts", "i2v"}),
    ),
)

TRANSFORMER = TransformerFacts(
    blocks="blocks.",
    width="patch_embedding.weight",
    feed_forward="blocks.0.ffn.0.weight",
    text_joins=False,
    text_padded=True,
    half=SavedBytes(width=42.1, feed_forward=4, rank=16, text_width=8, boundary=2),
    full=SavedBytes(width=60.1, feed_forward=8, rank=32, text_width=16, boundary=4),
    released=released_shapes,
    keep_fp32=(r"time_embedding\..*", r"time_projection\..*", r".*modulation", r".*\.norm3\..*"),
    lora_exclude=(r".*(patch_embedding|text_embedding|time_embedding|time_projection|norm|head).*",),
    text_weights=r".*\.cross_attn\.[kv]\.weight",
)

SPEC = FamilySpec(
    name="wan",
    title="Wan 2.1",
    tasks={task.name: task for task in _TASKS},
    default_task="t2v-14B",
    slots=(
        ModelSlot(
            option="dit",
            role="transformer",
            title="Wan diffusion model",
            repository="Comfy-Org/Wan_2.1_ComfyUI_repackaged",
            files=("wan2.1_t2v_14B_bf16.safetensors", "wan2.1_t2v_1.3B_bf16.safetensors"),
            size_gb=28.6,
            needed_for=frozenset({"train", "sample"}),
            signs=(("blocks.0.self_attn.q.weight", "patch_embedding."),),
        ),
        ModelSlot(
            option="vae",
            role="vae",
            title="Wan 2.1 VAE",
            repository="Wan-AI/Wan2.1-T2V-14B",
            files=("Wan2.1_VAE.pth", "wan_2.1_vae.safetensors"),
            size_gb=0.5,
            needed_for=frozenset({"latents", "sample"}),
            signs=(("decoder.middle.0.residual", "encoder.downsamples."),),
        ),
        ModelSlot(
            option="t5",
            role="text_encoder",
            title="UMT5-XXL text encoder",
            repository="Wan-AI/Wan2.1-T2V-14B",
            files=("models_t5_umt5-xxl-enc-bf16.pth", "umt5_xxl_fp16.safetensors"),
            size_gb=11.4,
            needed_for=frozenset({"text", "sample"}),
            signs=(
                ("blocks.0.ffn.gate.0.weight", "token_embedding.weight"),
                ("encoder.block.0.layer.0.SelfAttention.q.weight",),
            ),
        ),
        ModelSlot(
            option="tokenizer",
            role="tokenizer",
            title="UMT5 tokenizer",
            repository="Wan-AI/Wan2.1-T2V-14B",
            files=("google/umt5-xxl",),
            size_gb=0.02,
            needed_for=frozenset({"text", "sample"}),
        ),
    ),
    capabilities=frozenset({"images", "clips", "cfg", "t5"}),
    network_module="networks.lora_wan",
    modelspec_implementation="https://github.com/Wan-Video/Wan2.1",
    model="engine.families.wan.model:WanModel",
    fps=16.0,
    pixel_step=16,
    frame_stride=4,
    spatial_stride=8,
    temporal_stride=4,
    latent_channels=16,
    patch=(1, 2, 2),
    token_limit=512,
    end_tokens=1,
    clean_caption="engine.families.wan.cleaning:clean",
    text_tensors={"t5": 4096},
    latents_dtype="bfloat16",
    cache_window=9,
    defaults={
        "timestep_sampling": "shift",
        "discrete_flow_shift": 3.0,
        "learning_rate": 2e-4,
        "optimizer_type": "adamw8bit",
        "network_dim": 32,
        "network_alpha": 32.0,
        "mixed_precision": "bf16",
        "gradient_checkpointing": True,
        "vae_dtype": "bfloat16",
    },
    musubi_keys=frozenset(
        {
            "t5",
            "fp8_t5",
            "clip",
            "dit_high_noise",
            "force_v2_1_time_embedding",
            "offload_inactive_dit",
            "timestep_boundary",
            "vae_cache_cpu",
        }
    ),
    solver="unipc",
    transformer=TRANSFORMER,
)
