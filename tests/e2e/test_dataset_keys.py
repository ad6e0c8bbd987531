"""The keys beyond Musubi Tuner's, through the real path: encoded once each, drawn, weighed, masked, held out, resumed exactly."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
from PIL import Image

from engine.config import load_config
from engine.data import BatchPlan, scan
from engine.data.preset_dataset import read_preset_dataset
from engine.events.types import Step, Validation
from engine.families import get_family
from tests.e2e.engine_child import new_run, of_type, start, train

DATASET = """\
[general]
resolution = [[64, 64], [96, 64]]
caption_extension = ".txt"
enable_bucket = true
batch_size = 2
trigger_word = "ohwx"
multiple_captions = true
tag_shuffle = 2
caption_dropout = 0.3

[[datasets]]
image_directory = "data/keys"
cache_directory = "cache/keys"
flip = true
random_crop = 2
recursive = true
alpha_mask = true
validation_split = 1

[[datasets]]
image_directory = "data/reg"
cache_directory = "cache/reg"
is_reg = true
loss_weight = 0.5
"""


def make_data(folder: Path) -> None:
    source = sorted(folder.glob("data/pictures/*.jpg")) or sorted(folder.glob("data/pictures/*.png"))
    for name in ("keys", "keys/more", "reg"):
        (folder / "data" / name).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("keys/a", "keys/b", "keys/more/c", "reg/r")):
        pixels = np.asarray(Image.open(source[number]).convert("RGBA").resize((160, 96))).copy()
        pixels[:, :80, 3] = 0
        Image.fromarray(pixels).save(folder / "data" / f"{name}.png")
        (folder / "data" / f"{name}.txt").write_text("one, two, three\na sentence\n")
    (folder / "dataset.toml").write_text(DATASET)


SHORT = {
    "max_train_steps": "12", "validation_items": "0", "sample_prompts": "", "probe_heaviest": "true", "lr_scheduler": "cosine",
}  # fmt: skip


def test_every_key_beyond_musubi_trains_and_resumes_exactly(tiny) -> None:
    folder = tiny("wan")
    make_data(folder)
    run, code = train(folder / "preset.toml", SHORT)
    assert code == 0, run.engine_log.read_text()

    cached = [path.relative_to(folder / "cache/keys") for path in (folder / "cache/keys").rglob("*.safetensors")]
    texts = [path for path in cached if "_te" in path.name]
    assert {path.parts[0] for path in cached if path not in texts} == {"64x64", "96x64"}
    assert {path.parts[-2] for path in cached if path.name.startswith("c_0160")} == {"more"}
    assert [path for path in cached if ".flip" in path.name]
    assert len([path for path in texts if path.name.startswith("no-caption")]) == 1
    assert len(list((folder / "cache/reg").glob("*_te*"))) == 2 + 2  # no trigger word, no dropout; orders of the tags

    entries = {entry["id"]: entry for entry in map(json.loads, run.items.read_text().splitlines())}
    held = {entry["path"] for entry in entries.values() if entry.get("held_out")}
    steps = of_type(run, Step)
    trained = [entries[item] for step in steps for item in step.items]
    assert len(held) == 1
    (shown,) = {Path(entry["path"]).stem for entry in entries.values() if entry["dataset"] == 0} - {
        *(Path(path).stem for path in held),
        "c",
    }
    assert (
        len([path for path in texts if path.name.startswith(f"{shown}_wan_te")]) == 4
    )  # tags, two other orders, a sentence
    assert not [entry for entry in trained if entry["path"] in held]
    assert {entry["dataset"] for entry in trained} == {0, 1}
    assert len(of_type(run, Validation)) == 2  # of what is held out, before and after
    areas = [sum(entries[item]["bucket"][0] * entries[item]["bucket"][1] for item in step.items) for step in steps]
    assert areas[0] == max(areas)

    child = start(new_run(folder / "preset.toml", SHORT))
    child.until(lambda records: sum(isinstance(record.event, Step) for record in records) >= 4)
    child.kill(signal.SIGTERM)
    assert child.wait() == 75
    assert start(child.run).wait() == 0
    assert [(step.loss, step.items) for step in of_type(child.run, Step)] == [(step.loss, step.items) for step in steps]


def test_a_task_without_controls_stops_before_anything_is_encoded(tiny) -> None:
    folder = tiny("qwen_image")
    pictures = sorted((folder / "data/pictures").iterdir())
    control = folder / "data/control"
    control.mkdir()
    for picture in pictures:
        if picture.suffix != ".txt":
            (control / picture.name).write_bytes(picture.read_bytes())
    file = folder / "dataset.toml"
    file.write_text(
        file.read_text().replace(
            'image_directory = "data/pictures"', 'image_directory = "data/pictures"\ncontrol_directory = "data/control"'
        )
    )
    assert "control_directory" in file.read_text()
    run, code = train(folder / "preset.toml", kind="cache")
    assert code == 2
    assert "control_images" in run.events.read_text()


def test_numerics_musubi_reach_the_order_of_training(tiny) -> None:
    preset = tiny("wan") / "preset.toml"
    run, code = train(preset, {**SHORT, "probe_heaviest": "false", "numerics": "musubi"})
    assert code == 0, run.engine_log.read_text()
    spec = get_family("wan")
    dataset = read_preset_dataset(load_config(preset), spec)
    plan = BatchPlan(scan(dataset, spec, spec.task(None)).items, seed=42, numerics="musubi")
    expected = [tuple(plan.items[index].id for index in plan.at(step)[2]) for step in range(12)]
    assert [step.items for step in of_type(run, Step)] == expected
    assert plan.epoch(1) != BatchPlan(plan.items, seed=42).epoch(1)
