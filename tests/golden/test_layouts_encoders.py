"""Every tensor of the released VAE and text-encoder layouts has a place, and the sizes come from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.config.problems import CheckpointError
from engine.families.qwen_image import encoders as qwen
from engine.families.wan import encoders as wan
from engine.families.wan.vae_names import VAE_NAMES, vae_arguments
from tests.golden.tiny_encoders import DATA, build, layout

CPU = torch.device("cpu")
UMT5_TOKENIZER, QWEN_TOKENIZER = DATA / "umt5", DATA / "qwen2"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {name: build(name, folder) for name in ("wan_vae_fp32", "qwen_image_vae_fp32", "wan_umt5_bf16")}


def test_all_194_vae_tensors_have_a_place_in_both_classes() -> None:
    """The recorded Wan file has the original names, the recorded Qwen-Image file diffusers' names: one table joins them."""
    from diffusers import AutoencoderKLQwenImage, AutoencoderKLWan

    shapes = {name: tuple(shape) for name, (_, shape) in layout("wan_vae_fp32").items()}
    placed = {name: stored for stored in shapes for name in VAE_NAMES.to_diffusers(stored) or ()}
    assert len(placed) == len(shapes) == 194
    assert set(placed) == set(layout("qwen_image_vae_fp32"))
    for name, stored in placed.items():
        place = VAE_NAMES.to_original(name)
        assert place is not None
        assert place.name == stored
    for build_vae in (AutoencoderKLWan, AutoencoderKLQwenImage):
        with torch.device("meta"):
            vae = build_vae(**vae_arguments(shapes))
        assert set(placed) == set(vae.state_dict())


def test_the_released_vae_sizes_are_read_from_shapes() -> None:
    """The official file is this layout at width 96; scaling every channel count leaves the multiples alone."""
    shapes = {name: tuple(shape) for name, (_, shape) in layout("wan_vae_fp32").items()}
    released = {
        name: (shape[0] * 6 if name.startswith("encoder") else shape[0], *shape[1:]) for name, shape in shapes.items()
    }
    arguments = vae_arguments(released)
    assert (arguments["base_dim"], arguments["dim_mult"], arguments["z_dim"]) == (96, [1, 2, 4, 4], 16)
    assert arguments["temperal_downsample"] == [False, True, True]


def test_vae_reads_pth_comfyui_and_diffusers_layouts_alike(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = load_file(files["wan_vae_fp32"])
    torch.save(tensors, tmp_path / "Wan2.1_VAE.pth")
    renamed = {(VAE_NAMES.to_diffusers(name) or ("",))[0]: tensor for name, tensor in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, tmp_path / "diffusers.safetensors")
    vaes = [
        wan.load_vae(path, device=CPU, dtype=torch.float32).state_dict()
        for path in (files["wan_vae_fp32"], tmp_path / "Wan2.1_VAE.pth", tmp_path / "diffusers.safetensors")
    ]
    for other in vaes[1:]:
        assert all(torch.equal(vaes[0][name].flatten(), other[name].flatten()) for name in vaes[0])


def test_umt5_reads_wan_and_hugging_face_names_alike(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = load_file(files["wan_umt5_bf16"])
    named = {f"encoder.{(wan.UMT5_NAMES.to_diffusers(name) or ('',))[0]}": tensor for name, tensor in tensors.items()}
    named["shared.weight"] = named["encoder.embed_tokens.weight"].clone()
    named["spiece_model"] = torch.zeros(7, dtype=torch.uint8)  # ComfyUI's file carries its tokenizer
    save_file(named, tmp_path / "umt5_xxl_fp16.safetensors")
    torch.save(tensors, tmp_path / "models_t5_umt5-xxl-enc-bf16.pth")
    texts = []
    for path in (tmp_path / "models_t5_umt5-xxl-enc-bf16.pth", tmp_path / "umt5_xxl_fp16.safetensors"):
        encoder = wan.load_text_encoder({"t5": path}, tokenizer=UMT5_TOKENIZER, device=CPU, dtype=torch.bfloat16)
        texts.append(encoder.encode(["a cat on a wooden table"])[0]["t5"])
    assert torch.equal(texts[0], texts[1])


def test_released_template_is_34_tokens() -> None:
    words = qwen.load_tokenizer(qwen.TOKENIZER, option=QWEN_TOKENIZER, weights=Path("qwen_2.5_vl_7b.safetensors"))
    assert len(words.ids(qwen.BEFORE_CAPTION)) == 34


@pytest.mark.parametrize(
    ("load", "file", "looks_like", "key"),
    [
        (lambda p: wan.load_vae(p, device=CPU, dtype=torch.float32), "wan_umt5_bf16", "UMT5", "vae"),
        (lambda p: qwen.load_vae(p, device=CPU, dtype=torch.float32), "wan_umt5_bf16", "UMT5", "vae"),
        (lambda p: wan.load_text_encoder({"t5": p}, tokenizer=UMT5_TOKENIZER, device=CPU, dtype=torch.float32), "wan_vae_fp32", "VAE", "t5"),
        (lambda p: qwen.load_text_encoder({"text_encoder": p}, tokenizer=QWEN_TOKENIZER, device=CPU, dtype=torch.float32), "wan_vae_fp32", "VAE", "text_encoder"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_what_it_looks_like(load, file, looks_like, key, files) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CheckpointError) as raised:
        load(files[file])
    problem = raised.value.problems[0]
    assert problem.file == str(files[file])
    assert looks_like in problem.message
    assert problem.key == key
    assert problem.fix
