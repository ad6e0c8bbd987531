"""Adapters and their files are the reference trainer's: which layers, which shapes, which keys, which hashes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.data.dataset_config import DatasetSpec
from engine.families import get_family
from engine.families.family import FamilyModel
from engine.networks.files import hashes, save_tensors
from engine.networks.lora import LoraNetwork
from engine.train.metadata import RunMetadata
from tests.golden.collapsed import expand
from tests.unit.train_bench import items, options

ADAMW = "torch.optim.adamw.AdamW"

DATA = Path(__file__).parent / "data"
LAYOUTS = json.loads((DATA / "checkpoint_layouts.json").read_text())
TARGETS = json.loads((DATA / "lora_targets.json").read_text())
FILES = json.loads((DATA / "lora_files.json").read_text())
REAL = {"wan/t2v-1.3B": "wan", "wan/t2v-14B": "wan", "qwen_image": "qwen_image"}
TINY = {"wan_fp32": "wan", "wan_bf16": "wan", "qwen_bf16": "qwen_image"}


def shapes_of(layout: str) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(value[1] if isinstance(value[0], str) else value)
        for name, value in expand(LAYOUTS[layout]["tensors"])
    }


def tiny_shapes(family: str) -> dict[str, tuple[int, ...]]:
    file = {"wan": "wan_t2v_dit_fp32", "qwen_image": "qwen_image_dit_bf16"}[family]
    layouts = json.loads((DATA / "tiny_transformers.json").read_text())
    return {name: tuple(shape) for name, (_, shape) in expand(layouts[f"{file}.safetensors"]["tensors"])}


def adapted(family: str, shapes: dict[str, tuple[int, ...]], rank: int) -> LoraNetwork:
    model: FamilyModel = get_family(family).load_model()
    return LoraNetwork.create(model.build(model.detect(shapes)), model, rank=rank)


@pytest.mark.parametrize("layout", REAL)
def test_real_models_get_the_reference_targets(layout: str) -> None:
    network = adapted(REAL[layout], shapes_of(layout), rank=4)

    ours = [(f"{a.target.key}.", [list(a.down.shape), list(a.up.shape)]) for a in network]
    assert dict(ours) == dict(expand(TARGETS[layout]["keys"]))
    assert len(ours) == TARGETS[layout]["n_modules"]
    assert sum(p.numel() for p in network.parameters()) == TARGETS[layout]["params_rank4"]


@pytest.mark.parametrize("file", TINY)
def test_saved_files_have_the_reference_tensors(file: str) -> None:
    network = adapted(TINY[file], tiny_shapes(TINY[file]), rank=4)

    names = {"torch.float32": "F32"}
    # On meta the alphas are the only values there are; names, dtypes and shapes are what the file would carry.
    ours = {f"{a.target.key}.alpha": ["F32", []] for a in network}
    for a in network:
        ours[f"{a.target.key}.lora_down.weight"] = [names[str(a.down.dtype)], list(a.down.shape)]
        ours[f"{a.target.key}.lora_up.weight"] = [names[str(a.up.dtype)], list(a.up.shape)]
    assert ours == dict(expand(FILES[f"{file}.safetensors"]["tensors"]))


def test_hashes_of_the_reference_adapter() -> None:
    """The three-step run's weights, stored as it stored them, give the hash it wrote."""
    golden = load_file(DATA / "steps" / "wan_fp32.safetensors")
    prefix = "lora_after_step2."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in golden.items() if name.startswith(prefix)}
    for name in [name for name in tensors if name.endswith("lora_down.weight")]:
        tensors[name.replace("lora_down.weight", "alpha")] = torch.tensor(2.0)
    written = FILES["one_wan_fp32.safetensors"]["metadata"]

    assert hashes(tensors, written) == {key: written[key] for key in ("sshs_model_hash", "sshs_legacy_hash")}


def test_saved_file_carries_its_hashes_and_is_read_back(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {"lora_unet_a.lora_down.weight": torch.randn(2, 300_000, generator=generator)}
    tensors["lora_unet_a.lora_up.weight"] = torch.randn(5, 2, generator=generator)
    tensors["lora_unet_a.alpha"] = torch.tensor(1.0)
    saved = save_tensors(tensors, tmp_path / "x.safetensors", {"ss_seed": "1", "modelspec.title": "x"})

    with safe_open(saved.path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["ss_seed"] == "1"
    assert metadata["modelspec.title"] == "x"
    assert {"sshs_model_hash", "sshs_legacy_hash"} <= set(metadata)
    assert metadata["sshs_legacy_hash"] != "e3b0c442"  # longer than a MiB: there was something to hash
    change = 0.5 * tensors["lora_unet_a.lora_up.weight"] @ tensors["lora_unet_a.lora_down.weight"]
    assert saved.delta_norm == pytest.approx(float(change.norm()), rel=1e-4)
    assert saved.modules == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("file", TINY)
def test_metadata_of_the_reference(file: str) -> None:
    """Every key; equal values wherever they do not tell time, host or chance."""
    written = FILES[f"{file}.safetensors"]["metadata"]
    ours = metadata_of(file).at(12, int(written["ss_epoch"]))
    chance = {"ss_session_id", "ss_training_started_at", "ss_training_finished_at", "modelspec.date"}
    hashed = {"sshs_model_hash", "sshs_legacy_hash"}  # added when the file is written

    assert set(ours) == set(written) - hashed
    assert {k: v for k, v in ours.items() if k not in chance} == {
        k: v for k, v in written.items() if k not in chance | hashed
    }
    for key in chance - {"modelspec.date"}:
        float(ours[key])
    assert len(ours["modelspec.date"]) == len(written["modelspec.date"])


def test_optional_metadata() -> None:
    facts = metadata_of("wan_fp32")
    facts.config.save.no_metadata = True
    facts.config.network.network_args = ["exclude_patterns=['.*ffn.*']", "verbose=True"]
    facts.config.metadata.metadata_author = "A"
    facts.config.timesteps.max_timestep = 900
    ours = facts.at(1, 1)
    assert {key for key in ours if key.startswith("ss_")} == {
        "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args",
    }  # fmt: skip
    assert json.loads(ours["ss_network_args"]) == {"exclude_patterns": "['.*ffn.*']", "verbose": "True"}
    assert ours["modelspec.author"] == "A"
    assert ours["modelspec.timestep_range"] == "0,900"
    assert "modelspec.license" not in ours


def metadata_of(file: str) -> RunMetadata:
    """The facts of the recorded run."""
    spec = get_family(TINY[file])
    dit = {"wan_fp32": "wan_t2v_dit_fp32", "wan_bf16": "wan_t2v_dit_bf16", "qwen_bf16": "qwen_image_dit_bf16"}[file]
    precision = "no" if file == "wan_fp32" else "bf16"
    config = options(
        output_name=file, seed=42, dit=Path(f"/m/{dit}.safetensors"), mixed_precision=precision, max_train_steps=12,
        learning_rate=1e-3, lr_scheduler="constant_with_warmup", lr_warmup_steps=3,
        network_module=spec.network_module,
    )  # fmt: skip
    pictures = DatasetSpec(
        index=0, kind="image", cache_directory=Path("/c"), resolution=(256, 256), batch_size=2, caption_extension=".txt", enable_bucket=True,
        bucket_no_upscale=TINY[file] == "qwen_image", image_directory=Path("/d/img"),
    )  # fmt: skip
    clips = DatasetSpec(
        index=1, kind="clip", cache_directory=Path("/c"), resolution=(192, 128), caption_extension=".txt", enable_bucket=True,
        video_directory=Path("/d/vid"), frame_extraction="uniform", frame_sample=2, target_frames=(1, 9, 17),
        source_fps=25.0,
    )  # fmt: skip
    if TINY[file] == "qwen_image":
        config.timesteps.timestep_sampling, config.timesteps.discrete_flow_shift = "qwen_shift", 1.0
        config.model.vae = Path("/m/qwen_image_vae_fp32.safetensors")
        plan = SimpleNamespace(items=items(7), batches_per_epoch=5)
        return RunMetadata(config, spec, spec.task("t2i"), plan, 12, ADAMW, [pictures], file)  # type: ignore[arg-type]
    plan = SimpleNamespace(items=items(25), batches_per_epoch=23)
    return RunMetadata(config, spec, spec.task("t2v-1.3B"), plan, 12, ADAMW, [pictures, clips], file)  # type: ignore[arg-type]
