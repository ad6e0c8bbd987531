"""The tiny set-up: released layouts, real pictures, ordinary files, the same bytes from the same seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from engine.config import check_config
from engine.config.problems import MissingRequirement
from engine.data import read_dataset_config, read_pixels, scan
from engine.families import family_names, get_family
from engine.testing import TinySet, make_tiny, photographs


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TinySet]:
    return {family: make_tiny(family, tmp_path_factory.mktemp(family)) for family in family_names()}


def test_wan_files_are_in_the_layouts_users_have(sets: dict[str, TinySet]) -> None:
    models = sets["wan"].models
    dit = load_file(models / "wan2.1_t2v_tiny_bf16.safetensors")
    assert "model.diffusion_model.blocks.0.self_attn.q.weight" in dit
    assert all(name.startswith("model.diffusion_model.") for name in dit)
    vae = torch.load(models / "Wan2.1_VAE.pth", weights_only=True)
    assert len(vae) == 194
    assert "decoder.upsamples.3.time_conv.weight" in vae
    t5 = torch.load(models / "models_t5_umt5-xxl-enc-bf16.pth", weights_only=True)
    assert "blocks.0.ffn.gate.0.weight" in t5
    assert (models / "google" / "umt5-xxl" / "tokenizer.json").exists()


def test_qwen_image_files_are_in_the_layouts_users_have(sets: dict[str, TinySet]) -> None:
    models = sets["qwen_image"].models
    dit = load_file(models / "qwen_image_tiny_bf16.safetensors")
    assert "model.diffusion_model.transformer_blocks.0.attn.add_q_proj.weight" in dit
    encoder = load_file(models / "qwen_2.5_vl_tiny.safetensors")
    assert {"model.layers.0.self_attn.q_proj.bias", "visual.patch_embed.proj.weight", "lm_head.weight"} <= set(encoder)
    assert {"vocab.json", "merges.txt"} <= {file.name for file in (models / "tokenizer").iterdir()}


@pytest.mark.parametrize("family", family_names())
def test_preset_and_dataset_are_ordinary_files(family: str, sets: dict[str, TinySet]) -> None:
    tiny, spec = sets[family], get_family(family)
    assert [str(problem) for problem in check_config(tiny.preset) if problem.severity == "error"] == []
    dataset = read_dataset_config(tiny.dataset, base_dir=tiny.dataset.parent, spec=spec)
    found = scan(dataset, spec, spec.task(None))
    assert not found.skipped
    pictures = [item for item in found.items if item.kind == "image"]
    clips = [item for item in found.items if item.kind == "clip"]
    assert len(pictures) >= 12
    assert len({item.bucket for item in pictures}) >= 3
    assert len(clips) == (2 if "clips" in spec.capabilities else 0)
    assert all(len(item.caption) > 20 for item in found.items)


def test_every_line_of_the_preset_is_explained(sets: dict[str, TinySet]) -> None:
    """A key has its comment beside it, or the heading of its paragraph above it."""
    for tiny in sets.values():
        for paragraph in tiny.preset.read_text().split("\n\n"):
            lines = paragraph.strip().splitlines()
            assert lines[0].startswith("#") or all("#" in line for line in lines), lines


def test_photographs_are_different_ones(sets: dict[str, TinySet]) -> None:
    thumbnails = {
        np.asarray(Image.open(file).convert("L").resize((8, 8))).tobytes(): file.name
        for file in (sets["wan"].data / "pictures").glob("*.png")
    }
    assert len(thumbnails) == len(photographs.PHOTOGRAPHS)
    assert len({(photograph.package, photograph.file) for photograph in photographs.PHOTOGRAPHS}) >= 12
    credits = (sets["wan"].data / "CREDITS.txt").read_text()
    assert all(photograph.name in credits for photograph in photographs.PHOTOGRAPHS)
    assert "panned" in credits


def test_the_pans_move(sets: dict[str, TinySet]) -> None:
    spec = get_family("wan")
    dataset = read_dataset_config(sets["wan"].dataset, base_dir=sets["wan"].dataset.parent, spec=spec)
    clip = next(item for item in scan(dataset, spec, spec.task(None)).items if item.kind == "clip")
    pixels = read_pixels(clip).astype(float)
    assert pixels.shape == (9, 64, 96, 3)
    assert np.abs(pixels[0] - pixels[-1]).mean() > 5


@pytest.mark.parametrize("family", family_names())
def test_the_same_seed_gives_the_same_weights(family: str, sets: dict[str, TinySet], tmp_path: Path) -> None:
    def hashes(models: Path) -> dict[str, str]:
        files = (file for file in models.rglob("*") if file.suffix in {".safetensors", ".json", ".txt"})
        return {str(file.relative_to(models)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    again, other = make_tiny(family, tmp_path / "again"), make_tiny(family, tmp_path / "other", seed=1)
    assert hashes(again.models) == hashes(sets[family].models)
    assert hashes(other.models) != hashes(sets[family].models)


@pytest.mark.parametrize("family", family_names())
def test_the_vae_paints_back_the_average_colour_of_each_8x8_pixels(family: str, sets: dict[str, TinySet]) -> None:
    tiny, model = sets[family], get_family(family).load_model()
    name = "Wan2.1_VAE.pth" if family == "wan" else "qwen_image_vae.safetensors"
    vae = model.load_vae(tiny.models / name, device=torch.device("cpu"), dtype=torch.float32)
    picture = Image.open(tiny.data / "pictures" / "flower.png").convert("RGB").resize((96, 64))
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
    with torch.no_grad():
        latents = model.encode_latents(vae, pixels)
        painted = model.decode_latents(vae, latents)
    assert latents.shape == (1, 16, 1, 8, 12)
    assert 0.2 < latents.square().mean() < 4
    average = torch.nn.functional.avg_pool2d(pixels[:, :, 0], 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert (painted[:, :, 0] - average).abs().max() < 0.05


@pytest.mark.parametrize("family", family_names())
def test_text_and_noise_level_show_in_the_prediction(family: str, sets: dict[str, TinySet]) -> None:
    """A transformer that ignored them could not be trained to follow captions."""
    from engine.checkpoints.load import load_transformer

    tiny, spec, cpu = sets[family], get_family(family), torch.device("cpu")
    model = spec.load_model()
    dit = next(file for file in tiny.models.glob("*tiny_bf16.safetensors"))
    transformer = load_transformer(model, dit, device=cpu, dtype=torch.float32)
    slot = spec.slot("text_encoder").option
    file = next(file for file in tiny.models.iterdir() if "t5" in file.name or "vl" in file.name)
    encoder = model.load_text_encoder({slot: file}, tokenizer=None, device=cpu, dtype=torch.float32)
    noisy = torch.randn(1, 16, 1, 12, 12, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def predicted(caption: str, timestep: float) -> torch.Tensor:
        conditions = {key: [value] for key, value in encoder.encode([caption])[0].items()}
        inputs = model.model_inputs(noisy, torch.tensor([timestep]), conditions, guidance_scale=1.0)
        return model.velocity(transformer(**inputs, return_dict=False), noisy.shape)

    plain = predicted("a red flower with green leaves", 500)
    assert 0.2 < plain.square().mean().sqrt() < 2
    for other in (predicted("rows of ancient greek coins", 500), predicted("a red flower with green leaves", 900)):
        assert (other - plain).norm() / plain.norm() > 0.01


def test_without_the_photograph_packages_the_fix_is_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    with pytest.raises(MissingRequirement, match="pip install scikit-image scikit-learn"):
        photographs.write_photographs(tmp_path / "pictures")


def test_what_diffusers_keeps_in_fp32_stays_there(sets: dict[str, TinySet]) -> None:
    from engine.checkpoints.load import load_transformer

    for family, made in sets.items():
        (dit,) = made.models.glob("*tiny_bf16.safetensors")
        transformer = load_transformer(
            get_family(family).load_model(), dit, device=torch.device("cpu"), dtype=torch.bfloat16
        )
        kept = tuple(transformer._keep_in_fp32_modules or ())
        wrong = [
            name
            for name, parameter in transformer.named_parameters()
            if set(name.split(".")) & set(kept) and parameter.dtype != torch.float32
        ]
        assert wrong == []
