"""Pruning: only what this tool can prove it made, and nothing that an item of the dataset still needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from engine.config.problems import ConfigError
from engine.data import Item, read_dataset_config, scan
from engine.data.pruning import parse_cache_name, plan_pruning, remove
from engine.data.variants import with_variants
from engine.families import get_family
from musubi_tui.cli.root import run as musubi
from tests.unit.test_data_caches import copy_golden, write_caches
from tests.unit.test_data_scan import picture, video

WAN = get_family("wan")


def dataset(folder: Path, **changes: Any) -> Any:
    tables = {
        "general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt"},
        "datasets": [{"image_directory": "pictures", "cache_directory": "cache", **changes}],
    }
    return read_dataset_config(tables, base_dir=folder, spec=WAN)


def fill(folder: Path, **changes: Any) -> tuple[Item, ...]:
    items = tuple(with_variants(scan(dataset(folder, **changes), WAN, WAN.task(None)).items))
    for item in items:
        write_caches(item)
    return items


def plan(folder: Path, only: str = "", **changes: Any) -> tuple[dict[str, str], dict[str, str]]:
    found = plan_pruning(dataset(folder, **changes), WAN, WAN.task(None), only=only)
    return {file.path.name: file.code for file in found.leftovers}, {file.path.name: file.code for file in found.kept}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b_c", "d"):
        picture(tmp_path / "pictures" / f"{name}.png", 64, 48, name)
    return tmp_path


def test_nothing_is_left_over_of_a_whole_dataset(folder: Path) -> None:
    fill(folder)
    assert plan(folder) == ({}, {})


def test_what_belongs_to_no_item_goes_and_the_rest_stays(folder: Path) -> None:
    fill(folder)
    (folder / "pictures/a.png").unlink()
    picture(folder / "pictures/d.png", 96, 48, "d")
    leftovers, kept = plan(folder)
    assert leftovers == {
        "a_0064x0048_wan.safetensors": "source_gone",
        "a_wan_te.safetensors": "source_gone",
        "d_0064x0048_wan.safetensors": "settings_changed",
    }
    assert kept == {}
    assert set(plan(folder, only="text")[0]) == {"a_wan_te.safetensors"}
    before = {path.name for path in (folder / "cache").iterdir()}
    removed = remove(plan_pruning(dataset(folder), WAN, WAN.task(None)))
    assert {file.path.name for file in removed} == set(leftovers)
    assert {path.name for path in (folder / "cache").iterdir()} == before - set(leftovers)
    assert plan(folder) == ({}, {})


def test_files_that_are_not_provably_ours_stay(folder: Path) -> None:
    fill(folder)
    cache = folder / "cache"
    golden = folder / "golden"
    copy_golden(golden)
    for path in golden.iterdir():
        shutil.copyfile(path, cache / path.name)  # Musubi Tuner's, of a picture that is not here
    ours = (cache / "a_0064x0048_wan.safetensors").read_bytes()
    (cache / "x_0064x0048_wan.safetensors").write_bytes(ours[:-1])  # damaged
    (cache / "x_0064x0048_qi.safetensors").write_bytes(ours)  # named for another model
    (cache / "x_0064x0048_wan.safetensors.old").write_bytes(ours)  # set aside
    (cache / "notes.txt").write_text("mine")
    (cache / "my_lora.safetensors").write_bytes(ours)
    other = {"mtui_version": "1", "architecture": "qwen_image"}
    save_file({"latents_1x6x8_bfloat16": torch.zeros(16, 1, 6, 8)}, cache / "y_0064x0048_wan.safetensors", other)
    later = {"mtui_version": "2", "architecture": "wan"}
    save_file({"latents_1x6x8_bfloat16": torch.zeros(16, 1, 6, 8)}, cache / "z_0064x0048_wan.safetensors", later)
    (cache / "link_0064x0048_wan.safetensors").symlink_to(cache / "a_0064x0048_wan.safetensors")
    leftovers, kept = plan(folder)
    assert leftovers == {}
    assert kept == {
        **{path.name: "foreign" for path in golden.iterdir()},
        "x_0064x0048_wan.safetensors": "damaged",
        "x_0064x0048_qi.safetensors": "other_model",
        "y_0064x0048_wan.safetensors": "other_model",
        "my_lora.safetensors": "other_model",
        "z_0064x0048_wan.safetensors": "other_version",
    }


def test_a_source_that_cannot_be_read_just_now_keeps_its_caches(folder: Path) -> None:
    fill(folder)
    data = (folder / "pictures/a.png").read_bytes()
    (folder / "pictures/a.png").write_bytes(b"")
    (folder / "pictures/d.txt").unlink()
    leftovers, kept = plan(folder)
    assert leftovers == {}
    assert set(kept.values()) == {"source_unusable"}
    assert len(kept) == 4
    (folder / "pictures/a.png").write_bytes(data)


def test_a_folder_that_is_gone_or_empty_proves_nothing(folder: Path) -> None:
    fill(folder)
    (folder / "pictures").rename(folder / "elsewhere")
    (folder / "pictures").write_text("not a folder")
    (folder / "cache").rename(folder / "aside")
    with pytest.raises(ConfigError):
        plan(folder)
    (folder / "aside").rename(folder / "cache")
    (folder / "pictures").unlink()
    assert plan(folder) == ({}, {})  # trained from its caches
    (folder / "pictures").mkdir()  # a volume that is not mounted
    assert plan(folder) == ({}, {})


@pytest.mark.parametrize(
    "changes",
    [
        {"flip": True},
        {"random_crop": 3},
        {"tag_shuffle": 3},
        {"caption_dropout": 0.5},
        {"recursive": True},
        {"resolution": [[64, 64], [96, 96]]},
        {"recursive": True, "resolution": [[64, 64], [96, 96]], "flip": True, "tag_shuffle": 2},
    ],
)
@pytest.mark.parametrize("gone", ["empty", "missing"])
def test_a_disk_that_is_not_mounted_loses_nothing(folder: Path, changes: dict[str, Any], gone: str) -> None:
    (folder / "pictures/sub").mkdir()
    picture(folder / "pictures/sub/e.png", 96, 48, "one, two, three, four")
    items = fill(folder, **changes)
    (folder / "pictures").rename(folder / "away")
    if gone == "empty":
        (folder / "pictures").mkdir()
    try:
        pruning = plan_pruning(dataset(folder, **changes), WAN, WAN.task(None))
    except ConfigError as error:  # nothing is pruned at all
        assert [problem.code for problem in error.problems] == ["missing_file"]  # noqa: PT017
    else:
        assert pruning.leftovers == ()
        assert remove(pruning) == []
    assert all(path.exists() for item in items for path in (item.latent_cache, item.text_cache))
    if gone == "missing":
        return
    (folder / "pictures/notes.txt").write_text("no picture")
    assert plan(folder, **changes)[0] == {}
    (folder / "pictures/notes.txt").unlink()
    (folder / "pictures").rmdir()
    (folder / "away").rename(folder / "pictures")
    assert plan(folder, **changes) == ({}, {})


@pytest.mark.parametrize("gone", ["empty", "missing"])
def test_a_subfolder_that_is_not_mounted_keeps_its_caches(folder: Path, gone: str) -> None:
    (folder / "pictures/sub").mkdir()
    for name in "ef":
        picture(folder / f"pictures/sub/{name}.png", 96, 48, "one")
    items = fill(folder, recursive=True)
    (folder / "pictures/sub/f.png").rename(folder / "f.png")
    assert {Path(path).name.split("_")[0] for path in plan(folder, recursive=True)[0]} == {"f"}  # its folder is there
    (folder / "pictures/sub").rename(folder / "away")
    if gone == "empty":
        (folder / "pictures/sub").mkdir()
    leftovers, kept = plan(folder, recursive=True)
    assert leftovers == {}
    assert set(kept.values()) == {"empty_folder"}
    assert len(kept) == 4
    assert remove(plan_pruning(dataset(folder, recursive=True), WAN, WAN.task(None))) == []
    assert all(path.exists() for item in items for path in (item.latent_cache, item.text_cache))


def test_a_dataset_put_above_moves_no_random_crop(folder: Path) -> None:
    (folder / "first").mkdir()
    picture(folder / "first/f.png", 64, 48, "f")
    picture(folder / "pictures/wide.png", 150, 48, "wide")
    (own,) = dataset(folder, random_crop=3, enable_bucket=False).tables
    tables = {
        "general": {"resolution": 64, "caption_extension": ".txt"},
        "datasets": [{"image_directory": "first", "cache_directory": "first_cache"}, own],
    }
    config = read_dataset_config(tables, base_dir=folder, spec=WAN)
    after = {item.latent_cache for item in with_variants(scan(config, WAN, WAN.task(None)).items) if item.dataset == 1}
    before = {item.latent_cache for item in fill(folder, random_crop=3, enable_bucket=False)}
    assert after == before
    assert len([path for path in before if path.name.startswith("wide")]) == 3


def test_sizes_that_are_no_longer_asked_for_are_found(folder: Path) -> None:
    fill(folder, resolution=[[64, 64], [96, 96]])
    fill(folder)
    (folder / "cache/notes").mkdir()
    shutil.copy(folder / "cache/a_0064x0048_wan.safetensors", folder / "cache/notes")
    pruning = plan_pruning(dataset(folder), WAN, WAN.task(None))
    assert {str(file.path.relative_to(folder / "cache")): file.code for file in pruning.leftovers} == {
        f"{size}/{name}_0064x0048_wan.safetensors": "settings_changed"
        for size in ("64x64", "96x96")
        for name in ("a", "b_c", "d")
    }


def test_caches_of_another_dataset_within_the_folder_stay(folder: Path) -> None:
    (folder / "other").mkdir()
    picture(folder / "other/x.png", 64, 48, "x")
    (folder / "pictures/sub").mkdir()
    picture(folder / "pictures/sub/e.png", 64, 48, "e")
    fill(folder, recursive=True)
    fill(folder, image_directory="other", cache_directory="cache/sub", flip=True)
    fill(folder, image_directory="pictures/sub", cache_directory="cache/64x64")
    (folder / "pictures/sub/e.png").unlink()
    leftovers, kept = plan(folder, recursive=True)
    assert leftovers == {"e_0064x0048_wan.safetensors": "source_gone", "e_wan_te.safetensors": "source_gone"}
    assert "other_dataset" in kept.values()
    pruning = plan_pruning(dataset(folder, recursive=True), WAN, WAN.task(None))
    assert {str(file.path.parent.relative_to(folder)) for file in pruning.leftovers} == {"cache/sub"}


def test_a_folder_of_frames_with_a_dot_in_its_name_keeps_its_caches(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    video(tmp_path / "clips/film.mp4", 9)
    frames = tmp_path / "clips/shot.v2"
    frames.mkdir()
    for number in range(5):
        picture(frames / f"{number}.png", 64, 64)
    (tmp_path / "clips/shot.v2.txt").write_text("a shot")
    entry = {"video_directory": "clips", "cache_directory": "cache", "target_frames": [5], "on_bad_item": "skip"}
    tables = {"general": {"resolution": 64, "caption_extension": ".txt"}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=tmp_path, spec=WAN)
    items = scan(config, WAN, WAN.task(None)).items
    assert {item.name for item in items} == {"film", "shot.v2"}
    for item in items:
        write_caches(item)
    (frames / "0.png").write_bytes(b"")
    found = plan_pruning(config, WAN, WAN.task(None))
    assert found.leftovers == ()
    assert {file.code for file in found.kept} == {"source_unusable"}


def test_variants_are_needed_only_while_they_are_asked_for(folder: Path) -> None:
    fill(folder, flip=True, random_crop=2)
    leftovers, _ = plan(folder, flip=True, random_crop=2)
    assert leftovers == {}
    leftovers, _ = plan(folder)
    assert leftovers
    assert set(leftovers.values()) == {"settings_changed"}
    assert all(".flip" in name or ".x" in name for name in leftovers)


def test_clips_of_lengths_that_are_no_longer_asked_for(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    video(tmp_path / "clips/film.mp4", 12)

    def tables(frames: list[int]) -> Any:
        entry = {"video_directory": "clips", "cache_directory": "cache", "target_frames": frames}
        general = {"resolution": 64, "caption_extension": ".txt"}
        return read_dataset_config({"general": general, "datasets": [entry]}, base_dir=tmp_path, spec=WAN)

    for item in scan(tables([1, 5, 9]), WAN, WAN.task(None)).items:
        write_caches(item)
    found = plan_pruning(tables([5]), WAN, WAN.task(None))
    assert [file.path.name for file in found.leftovers] == [
        "film_00000-001_0064x0064_wan.safetensors",
        "film_00000-009_0064x0064_wan.safetensors",
    ]


def test_a_file_that_changed_since_it_was_judged_stays(folder: Path) -> None:
    fill(folder)
    (folder / "pictures/a.png").unlink()
    pruning = plan_pruning(dataset(folder), WAN, WAN.task(None))
    path = folder / "cache/a_0064x0048_wan.safetensors"
    path.write_bytes(path.read_bytes() + b"more")
    (folder / "cache/a_wan_te.safetensors").unlink()
    assert remove(pruning) == []
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "stem", "contents"),
    [
        ("cat_0640x0427_wan.safetensors", "cat", "latents"),
        ("a_b_c_0640x0427_wan.x0312y0500.flip.safetensors", "a_b_c", "latents"),
        ("film_00010-025_0960x0544_wan.flip.safetensors", "film", "latents"),
        ("cat_wan_te.5f1d3c0a.safetensors", "cat", "text"),
        ("two\nlines_wan_te.safetensors", "two\nlines", "text"),
        ("cat_0640x0427_qi.safetensors", None, None),
        ("cat_wan.safetensors", None, None),
        ("wan_te.safetensors", None, None),
    ],
)
def test_names_are_taken_apart(name: str, stem: str | None, contents: str | None) -> None:
    parsed = parse_cache_name(name, "wan")
    assert (parsed.stem, parsed.contents) == (stem, contents) if parsed else stem is None


@pytest.fixture
def preset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(folder / "home"))
    path = folder / "preset.toml"
    (folder / "dit.safetensors").touch()
    path.write_text(
        'family = "wan"\ndit = "dit.safetensors"\n[general]\nresolution = 64\nenable_bucket = true\ncaption_extension = ".txt"\n'
        '[[datasets]]\nimage_directory = "pictures"\ncache_directory = "cache"\n'
    )
    return path


def test_the_command_shows_first_and_removes_with_yes(
    folder: Path, preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(folder)
    (folder / "pictures/a.png").unlink()
    assert musubi(["cache", str(preset), "--prune"]) == 0
    shown = capsys.readouterr()
    assert "a_0064x0048_wan.safetensors" in shown.out
    assert "--yes" in shown.err
    assert (folder / "cache/a_0064x0048_wan.safetensors").exists()
    assert musubi(["cache", str(preset), "--prune", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["removed"], len(told["files"])) == (False, 2)
    assert musubi(["cache", str(preset), "--prune", "--yes", "--json"]) == 0
    assert {Path(file["path"]).name for file in json.loads(capsys.readouterr().out)["files"]} == {
        "a_0064x0048_wan.safetensors",
        "a_wan_te.safetensors",
    }
    assert not (folder / "cache/a_wan_te.safetensors").exists()
    assert not list(folder.glob("home/runs/*"))
    assert musubi(["cache", str(preset), "--yes"]) == 2


def test_a_list_that_cannot_be_read_as_a_whole_proves_nothing(folder: Path) -> None:
    jsonl = folder / "list.jsonl"
    lines = [json.dumps({"image_path": f"pictures/{name}.png", "caption": name}) for name in ("a", "d")]
    jsonl.write_text("\n".join(lines))
    entry = {"image_jsonl_file": "list.jsonl", "on_bad_item": "skip", "cache_directory": "cache"}
    tables = {"general": {"resolution": 64}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=folder, spec=WAN)
    for item in scan(config, WAN, WAN.task(None)).items:
        write_caches(item)
    jsonl.write_text(lines[0] + "\n{torn")
    with pytest.raises(ConfigError):
        plan_pruning(config, WAN, WAN.task(None))


def test_processes_stand_in_the_run(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["cache", str(preset), "--dry-run"]) == 0
    assert "cache_processes = 1" in capsys.readouterr().out
    assert musubi(["cache", str(preset), "--processes", "3", "--dry-run"]) == 0
    assert "cache_processes = 3" in capsys.readouterr().out
    assert musubi(["cache", str(preset), "--processes", "0", "--dry-run"]) == 2
