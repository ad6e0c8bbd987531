"""Versions of a preset: folders and file names, what is copied, where paths lead, and how runs and versions know each other."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from PIL import Image

from engine.config import load_config
from engine.config.problems import ConfigError, UserError
from musubi_tui.cli.root import run as musubi_tui
from musubi_tui.presets.lineage import changes_since_parent
from musubi_tui.presets.versions import NextVersion, make, plan_next, version_of, versions_of
from musubi_tui.runs.creating import create_run
from musubi_tui.runs.origin import preset_of, read_origin, runs_of

PRESET = """# ink style
family = "wan"
task = "t2v-1.3B"   # small
dit = "../models/dit.safetensors"
dataset_config = "dataset.toml"
sample_prompts = 'prompts.txt'
output_dir = "out"
output_name = "ink"
learning_rate = 1e-4  # as in the paper
vae = "../models/vae.pth"
t5 = "../models/t5.pth"
"""
DATASET = (
    '[general]\ncaption_extension = ".txt"\n\n[[datasets]]\nimage_directory = "pictures" # mine\nnum_repeats = 1\n'
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "ink"
    for name in ("v1/pictures", "v1/out", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "models/dit.safetensors").touch()
    (folder / "v1/ink.toml").write_text(PRESET)
    (folder / "v1/dataset.toml").write_text(DATASET)
    (folder / "v1/prompts.txt").write_text("a heron\n")
    return folder


def test_a_folder_gets_the_next_folder_and_every_path_still_leads_where_it_led(project: Path) -> None:
    made = make(plan_next(project / "v1/ink.toml"), "  half the rate ")
    assert made.preset == project / "v2/ink.toml"
    assert (made.number, made.parent, made.note) == (2, project / "v1/ink.toml", "half the rate")
    assert sorted(path.name for path in (project / "v2").iterdir()) == [
        "dataset.toml",
        "ink.toml",
        "prompts.txt",
        "version.json",
    ]
    # only the name differs: comments, quotes and relative paths that still fit stay byte for byte
    assert made.preset.read_text() == PRESET.replace('"ink"', '"ink-v2"')
    assert (project / "v2/dataset.toml").read_text() == DATASET.replace('"pictures"', '"../v1/pictures"')
    assert load_config(made.preset).config.model.dit == project / "models/dit.safetensors"


def test_a_file_gets_a_name_and_companions_with_the_number(tmp_path: Path) -> None:
    for name, text in (("ink.toml", PRESET), ("dataset.toml", DATASET), ("prompts.txt", "a heron\n")):
        (tmp_path / name).write_text(text)
    made = make(plan_next(tmp_path / "ink.toml"))
    assert made.preset.name == "ink-v2.toml"
    text = made.preset.read_text()
    assert 'dataset_config = "dataset-v2.toml"\n' in text
    assert "prompts-v2.txt" in text
    assert (tmp_path / "prompts-v2.txt").read_text() == "a heron\n"
    third = make(plan_next(tmp_path / "ink.toml"))  # from the first again: numbers are never used twice
    assert (third.preset.name, third.parent) == ("ink-v3.toml", tmp_path / "ink.toml")
    assert [version.label for version in versions_of(third.preset)] == ["v1", "v2", "v3"]
    assert make(plan_next(made.preset)).preset.name == "ink-v4.toml"


def test_files_that_lie_elsewhere_are_shared(project: Path) -> None:
    preset = project / "v1/ink.toml"
    (project / "shared.toml").write_text(DATASET)
    preset.write_text(PRESET.replace('"dataset.toml"', '"../shared.toml"'))
    plan = plan_next(preset)
    assert [target.name for _, target in plan.copies] == ["ink.toml", "prompts.txt"]
    assert 'dataset_config = "../shared.toml"' in make(plan).preset.read_text()


def test_absolute_and_working_directory_paths(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Musubi Tuner's files count from the working directory."""
    monkeypatch.chdir(project.parent)
    preset = project / "v1/ink.toml"
    preset.write_text(
        f'dataset_config = "ink/v1/dataset.toml"\nsample_prompts = "{project}/v1/prompts.txt"\n'
        'network_module = "networks.lora_wan"\ndit = "ink/models/dit.safetensors"\n'
    )
    text = make(plan_next(preset)).preset.read_text()
    assert 'dataset_config = "ink/v2/dataset.toml"' in text
    assert f'"{project}/v2/prompts.txt"' in text
    assert 'dit = "ink/models/dit.safetensors"' in text


def test_a_version_builds_on_the_same_base(tmp_path: Path) -> None:
    folder = tmp_path / "ink/v1"
    folder.mkdir(parents=True)
    (folder / "common.toml").write_text('family = "wan"\ntask = "t2v-1.3B"\ndit = "dit.safetensors"\n')
    (folder / "ink.toml").write_text('base = "common.toml"  # shared\ndataset_config = "d.toml"\n')
    (folder / "d.toml").write_text(DATASET)
    made = make(plan_next(folder / "ink.toml"))
    assert made.preset.read_text() == 'base = "../v1/common.toml"  # shared\ndataset_config = "d.toml"\n'
    assert load_config(made.preset).config.dataset.dataset_config == tmp_path / "ink/v2/d.toml"


def test_what_changed_since_the_parent(project: Path) -> None:
    made = make(plan_next(project / "v1/ink.toml"))
    assert changes_since_parent(made) == []
    made.preset.write_text(made.preset.read_text().replace("1e-4", "5e-5"))
    dataset = project / "v2/dataset.toml"
    dataset.write_text(dataset.read_text().replace("num_repeats = 1", "num_repeats = 4"))
    (project / "v2/prompts.txt").write_text("a heron\na fox\n")
    found = changes_since_parent(made)
    assert found is not None
    assert [change.key for change in found] == ["learning_rate", "datasets[0].num_repeats", "sample_prompts"]
    assert found[1].text() == "datasets[0].num_repeats 1 -> 4"
    assert changes_since_parent(project / "v1/ink.toml") is None
    (project / "v1/ink.toml").unlink()
    assert changes_since_parent(made) is None


def test_nothing_is_overwritten_and_the_shipped_ones_are_left_alone(project: Path, repository: Path) -> None:
    plan = plan_next(project / "v1/ink.toml")
    make(plan)
    with pytest.raises(ConfigError, match="exists already"):
        make(plan)
    shipped = next((repository / "presets").rglob("*.toml"))
    with pytest.raises(ConfigError, match="ships with the program"):
        plan_next(shipped)
    (project / "v1/ink.toml").write_text("a = = 1\n")
    with pytest.raises(ConfigError, match=r"ink.toml:1"):
        plan_next(project / "v1/ink.toml")


def test_a_damaged_record_and_a_long_note(project: Path) -> None:
    made = make(plan_next(project / "v1/ink.toml"), "a\n\x1b[31mb" + "x" * 999)
    assert made.parent == project / "v1/ink.toml"
    assert made.note.startswith("a �[31mbxxx")
    assert len(version_of(made.preset).note) == 300
    for text in ("", "[]", '{"parent": 3}', '{"note": 1}', "\x00"):
        (project / "v2/version.json").write_text(text)
        assert version_of(made.preset).number == 2


def test_run_and_version_know_each_other(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = project / "v1/ink.toml"
    Image.new("RGB", (64, 64)).save(project / "v1/pictures/a.png")
    (project / "v1/pictures/a.txt").write_text("a heron")
    first = create_run(load_config(preset))
    assert musubi_tui(["presets", "duplicate", first.id, "--note", "slower"]) == 0
    second = project / "v2/ink.toml"
    assert capsys.readouterr().out == f"{second}\n"
    assert musubi_tui(["presets", "set", str(second), "learning_rate=5e-5"]) == 0
    run = create_run(load_config(second))
    origin = read_origin(run)
    assert origin is not None
    assert (origin.preset, origin.version, origin.note) == (second, 2, "slower")
    assert origin.changes.startswith("learning_rate")
    assert [found.id for found in runs_of(second)] == [run.id]
    capsys.readouterr()
    assert musubi_tui(["presets", "versions", str(second), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["runs"] for entry in told] == [[first.id], [run.id]]
    assert told[1]["changes"][0]["key"] == "learning_rate"
    assert musubi_tui(["runs", "show", run.id]) == 0
    shown = capsys.readouterr().out
    assert f"{second}  (v2, slower)" in shown
    assert "learning_rate 1e-4 -> 5e-5" in shown
    dataset = project / "v2/dataset.toml"
    dataset.write_text(dataset.read_text().replace("num_repeats = 1", "num_repeats = 4"))
    for word in (run.id, "last"):
        assert musubi_tui(["presets", "diff", str(second), "--run", word, "--json"]) == 0
        assert [(one["key"], one["left"], one["right"]) for one in json.loads(capsys.readouterr().out)] == [
            ("datasets[0].num_repeats", 4, 1)
        ]
    assert musubi_tui(["presets", "diff", str(second), str(preset)]) == 0
    assert {"learning_rate", "datasets[0].num_repeats"} <= set(capsys.readouterr().out.split())
    assert musubi_tui(["presets", "diff", str(second), "--base", "--run", run.id]) == 2
    assert "exclude each other" in capsys.readouterr().err
    second.unlink()
    with pytest.raises(UserError, match="is gone"):
        preset_of(run)
    assert musubi_tui(["presets", "duplicate", run.id]) == 2
    assert "own copies lie in" in capsys.readouterr().err
    assert musubi_tui(["presets", "duplicate", "no-such-thing"]) == 2


def test_of_several_at_once_one_makes_the_version(tmp_path: Path) -> None:
    preset = tmp_path / "ink.toml"
    preset.write_text('family = "wan"\noutput_name = "ink"\n')
    plans = [plan_next(preset) for _ in range(3)]
    start, told = threading.Barrier(3), list[str]()

    def attempt(plan: NextVersion) -> None:
        start.wait()
        try:
            told.append(make(plan).label)
        except ConfigError as error:
            told.append(error.problems[0].code)

    threads = [threading.Thread(target=attempt, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["file_exists", "file_exists", "v2"]
