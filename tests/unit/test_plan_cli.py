"""``musubi-tui plan`` as a person types it: figures, exit codes, wrong words, and the plan in ``train --dry-run``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from musubi_tui.cli.root import run
from tests.unit.test_planner import small_wan, write_header

PRESET = """\
family = "wan"
task = "t2v-1.3B"
output_name = "bird"
dit = "dit.safetensors"
vae = "vae.pth"
t5 = "t5.pth"
max_train_steps = 40
dataset_config = "dataset.toml"
"""
DATASET = """\
[general]
caption_extension = ".txt"
resolution = [256, 256]
batch_size = 3
[[datasets]]
image_directory = "pictures"
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("RGB", (256, 256)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text("a bird")
    write_header(tmp_path / "dit.safetensors", {f"model.diffusion_model.{k}": v for k, v in small_wan().items()})
    for name in ("vae.pth", "t5.pth"):
        (tmp_path / name).write_bytes(b"x" * 1000)
    (tmp_path / "dataset.toml").write_text(DATASET)
    (tmp_path / "preset.toml").write_text(PRESET)
    return tmp_path / "preset.toml"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict:  # type: ignore[type-arg]
    assert run(["plan", *words, "--json"]) in (0, 3)
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_the_users_own_file_and_pictures_are_counted(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = told(capsys, str(preset), "--vram", "8", "--price", "2")
    assert plan["fits"] is True
    train = next(phase for phase in plan["phases"] if phase["id"] == "train")
    lines = {line["id"]: line for line in train["lines"]}
    sizes = [16 * 4 * 256, *[512 * 256, 256 * 256] * 2]
    assert lines["weights"]["amount"] == 2 * sum(sizes)
    assert lines["weights"]["sure"] == "exact"
    assert "dit.safetensors" in lines["weights"]["how"]
    assert lines["adapter"]["amount"] == 4 * 32 * 2 * (256 + 512 + 256 + 256)  # rank 32 by the family's default
    assert "batch 3 of 256x256" in lines["activations"]["how"]
    assert {line["id"]: line["amount"] for line in plan["disk"]}["latents"] == 4 * (16 * 32 * 32 * 2 + 4096)
    assert plan["steps"] == 40
    assert plan["time"][0]["sure"] == "unknown"  # a size alone says nothing of speed
    assert plan["money"] == []


def test_exit_codes_say_whether_it_fits(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(preset), "--vram", "8"]) == 0
    assert "It fits" in capsys.readouterr().err
    assert run(["plan", str(preset), "--vram", "0.5"]) == 3
    assert "does not fit" in capsys.readouterr().err
    assert run(["plan", str(preset)]) == 0
    assert "--vram GB or --card NAME" in capsys.readouterr().err


def test_shipped_presets_can_be_planned_without_their_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "wan-2.1-14b-t2i-48gb", "--card", "4090", "--price", "0.69"]) == 3
    out, err = capsys.readouterr()
    assert "14,288,491,584 parameters" in out
    assert "RTX 4090" in out
    assert "the model alone takes 27.0 GB in training" in err
    assert "Choose a smaller model (t2v-1.3B) or a larger card." in err
    assert "no files yet" in err
    assert run(["plan", "wan-2.1-14b-t2i-48gb", "--card", "L40S"]) == 0


def test_encoding_that_does_not_fit_is_named_with_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "wan-2.1-1.3b-t2v-16gb", "--vram", "8"]) == 3
    err = capsys.readouterr().err
    assert "(encoding captions) of 8.0 GB" in err
    assert "Training itself takes" in err
    assert "musubi-tui cache PRESET --only text --set device=cpu" in err
    assert "smaller model" not in err
    assert run(["plan", "wan-2.1-1.3b-t2v-16gb", "--vram", "2"]) == 3
    err = capsys.readouterr().err
    assert "takes 2.7 GB in training" in err
    assert "smaller model" not in err, "there is none"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing.toml"], 2, "no preset called nothing.toml"),
        (["PRESET", "--card", "voodoo2"], 2, "no card called 'voodoo2'"),
        (["PRESET", "--card", ""], 0, ""),
        (["PRESET", "--vram", "-3"], 2, "--vram takes gigabytes, not -3"),
        (["PRESET", "--vram", "nan"], 2, "--vram takes gigabytes"),
        (["PRESET", "--vram", "lots"], 2, "--vram"),
        (["PRESET", "--price", "-1"], 2, "money per hour"),
        (["PRESET", "--set", "network_dim=wide"], 2, "network_dim must be a whole number"),
        (["PRESET", "--set", "network_args=[\"exclude_patterns=['(']\"]"], 2, "not a regular expression"),
        (["PRESET", "--set", "dit=/nowhere/x.safetensors"], 0, "The model file is not at hand"),
        (["PRESET", "--set", "blocks_to_swap=1", "--strict"], 2, "blocks_to_swap"),
        (["PRESET", "--set", "max_train_steps=99999999999"], 0, ""),
    ],
)
def test_wrong_words(preset: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *(str(preset) if word == "PRESET" else word for word in words)]) == code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_dry_run_tells_the_plan(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(preset), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "schema_version" in out
    assert "Plan: memory" in err
    assert run(["train", str(preset), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["steps"] == 40


def test_files_that_change_are_counted_anew(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, str(preset), "--vram", "8")
    write_header(preset.parent / "dit.safetensors", small_wan(blocks=5))
    after = told(capsys, str(preset), "--vram", "8")
    trained = [next(phase["peak"] for phase in plan["phases"] if phase["id"] == "train") for plan in (before, after)]
    assert trained[0] < trained[1]


def test_previews_are_planned_at_the_size_their_prompts_ask_for(
    preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = preset.parent / "prompts.txt"
    prompts.write_text("# two\na bird --w 128 --h 96 --f 1 --d 2\na bird --w 256 --h 256 --f 1\n")
    words = (str(preset), "--card", "4090", "--set", f"sample_prompts={prompts}", "--set", "sample_every_n_steps=10")
    plan = told(capsys, *words)
    (sample,) = [phase for phase in plan["phases"] if phase["id"] == "sample"]
    assert any("256x256" in line["how"] for line in sample["lines"])
    previews = next(line for line in plan["time"] if line["id"] == "previews")
    assert previews["how"] == "4 rounds of 2 prompts"
    prompts.write_text("a bird\n")  # without flags: what the task makes
    (sample,) = [phase for phase in told(capsys, *words)["phases"] if phase["id"] == "sample"]
    assert any("832x480x81" in line["how"] for line in sample["lines"])
