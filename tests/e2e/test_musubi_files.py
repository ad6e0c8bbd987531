"""What Musubi Tuner's users have on disk trains here unchanged: their presets, their datasets, their caches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.config import load_config
from engine.events.types import Checkpoint, Step, Warned
from tests.e2e.engine_child import of_type, train
from tests.golden import tiny_weights

GOLDEN = Path(__file__).parent.parent / "golden" / "data"

FLAT = """\
task = "t2v-1.3B"
dit = "models/wan2.1_t2v_tiny_bf16.safetensors"
vae = "models/Wan2.1_VAE.pth"
t5 = "models/models_t5_umt5-xxl-enc-bf16.pth"
dataset_config = "musubi_dataset.toml"
sdpa = true
mixed_precision = "bf16"
fp8_base = true
fp8_scaled = true
blocks_to_swap = 2
optimizer_type = "adamw8bit"
learning_rate = 2e-4
gradient_checkpointing = true
max_data_loader_n_workers = 2
persistent_data_loader_workers = true
network_module = "networks.lora_wan"
network_dim = 8
timestep_sampling = "shift"
discrete_flow_shift = 3.0
max_train_epochs = 1
save_every_n_epochs = 1
seed = 42
output_dir = "out"
output_name = "flat"
"""

SECTIONED = """\
# 学習設定
[model]
dit = "models/qwen_image_tiny_bf16.safetensors"
vae = "models/qwen_image_vae.safetensors"
text_encoder = "models/qwen_2.5_vl_tiny.safetensors"

[data]
dataset_config = "musubi_dataset.toml"

[how]
network_module = "networks.lora_qwen_image"
network_dim = 4
sdpa = true
mixed_precision = "bf16"
timestep_sampling = "qwen_shift"
weighting_scheme = "none"
optimizer_type = "adamw"
learning_rate = 5e-5
max_train_steps = 3
output_dir = "out"
output_name = "sectioned"
"""

DATASET = """\
[general]
resolution = [96, 96]
caption_extension = ".txt"
batch_size = 2
enable_bucket = true

[[datasets]]
image_directory = "data/pictures"
cache_directory = "musubi_cache"
num_repeats = 1
"""

CLIPS = """
[[datasets]]
video_directory = "data/clips"
cache_directory = "musubi_cache_clips"
resolution = [96, 64]
target_frames = [1, 5]
frame_extraction = "head"
source_fps = 30.0
"""


def test_a_flat_preset_with_pictures_and_clips_trains_without_edits(tiny, monkeypatch):
    folder = tiny("wan")
    clips = [clip for clip in (folder / "data/clips").iterdir() if clip.stem != "temple_pan"]
    for path in (*sorted((folder / "data/pictures").glob("*.png"))[8:], *clips):  # bf16 is slow on a CPU
        path.unlink()
    (folder / "musubi.toml").write_text(FLAT)
    (folder / "musubi_dataset.toml").write_text(DATASET + CLIPS)
    monkeypatch.chdir(folder)
    loaded = load_config(Path("musubi.toml"))
    assert (loaded.dialect, loaded.config.run.family, loaded.config.network.network_alpha) == ("musubi", "wan", 1.0)
    warned = {warning.key for warning in loaded.warnings if warning.code == "not_built_yet"}
    assert {"fp8_base", "blocks_to_swap"} <= warned
    run, code = train(Path("musubi.toml"))
    assert code == 0, run.engine_log.read_text()
    assert (folder / "out" / "flat.safetensors").is_file()
    names = {path.name for path in (folder / "musubi_cache_clips").iterdir()}
    assert {"temple_pan_00000-001_0096x0064_wan.safetensors", "temple_pan_00000-005_0096x0064_wan.safetensors"} <= names
    assert "temple_pan_wan_te.safetensors" in names
    assert len(of_type(run, Step)) >= 5


def test_a_sectioned_preset_trains_without_edits(tiny, monkeypatch):
    folder = tiny("qwen_image")
    (folder / "musubi.toml").write_text(SECTIONED)
    (folder / "musubi_dataset.toml").write_text(DATASET)
    monkeypatch.chdir(folder)
    run, code = train(Path("musubi.toml"))
    assert code == 0, run.engine_log.read_text()
    (lora,) = [event for event in of_type(run, Checkpoint) if event.kind == "lora"]
    assert Path(lora.path) == folder / "out" / "sectioned.safetensors"
    assert len(of_type(run, Step)) == 3


PAIRS = {
    "wan": ("wan_img__china_0640x0427_wan.safetensors", "wan_img__china_wan_te.safetensors", "wan_t2v_dit_fp32"),
    "qwen_image": ("qwen__china_0640x0427_qi.safetensors", "qwen__china_qi_te.safetensors", "qwen_image_dit_bf16"),
}


@pytest.mark.parametrize("family", PAIRS)
def test_the_references_own_cache_files_train_unchanged(family, tmp_path):
    """No pictures, no VAE, no text encoder: the caches alone, as Musubi Tuner wrote them."""
    *caches, dit = PAIRS[family]
    (tmp_path / "cache").mkdir()
    (tmp_path / "pictures").mkdir()
    for name in caches:
        shutil.copy(GOLDEN / "cache" / name, tmp_path / "cache" / name.split("__")[1])
    before = {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    weights = tiny_weights.write(dit, tmp_path)
    (tmp_path / "dataset.toml").write_text(
        'datasets = [{ image_directory = "pictures", cache_directory = "cache", resolution = [304, 208], '
        'caption_extension = ".txt", enable_bucket = true }]\n'
    )
    (tmp_path / "preset.toml").write_text(
        f'family = "{family}"\ndit = "{weights.name}"\ndataset_config = "dataset.toml"\nnetwork_dim = 4\n'
        'max_train_steps = 2\nmixed_precision = "no"\noptimizer_type = "adamw"\ngradient_checkpointing = false\n'
    )
    run, code = train(tmp_path / "preset.toml")
    assert code == 0, run.engine_log.read_text()
    assert [step.items for step in of_type(run, Step)] == [("0:china",)] * 2
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == before
    assert [warning.code for warning in of_type(run, Warned)] == ["from_caches", "foreign_cache", "foreign_cache"]
    lora = load_file(run.output / f"{run.id.rsplit('-', 2)[0]}.safetensors")
    assert max(float(value.abs().max()) for name, value in lora.items() if "lora_up" in name) > 0
