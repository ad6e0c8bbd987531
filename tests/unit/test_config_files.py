"""Files that are not what they should be: one clear problem each, with its place. And the configs people write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.config import check_config, load_config
from engine.config.problems import ConfigError, Problem
from tests.unit.without_rights import open_folder as open_folder
from tests.unit.without_rights import permissions_hold

CONFIGS = Path(__file__).parent.parent / "golden" / "data" / "configs"
OURS = 'family = "wan"\ndit = "d"\ndataset_config = "x.toml"\n'


def one(path: Path) -> Problem:
    found = check_config(path, check_files=False)
    assert len(found) == 1, found
    assert found[0].file == str(path)
    with pytest.raises(ConfigError):
        load_config(path)
    return found[0]


def written(folder: Path, data: bytes | str) -> Path:
    path = folder / "preset.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_missing(tmp_path: Path) -> None:
    written(tmp_path, OURS)
    found = one(tmp_path / "presets.toml")
    assert (found.code, found.fix) == ("missing_file", f"Did you mean {tmp_path}/preset.toml?")
    assert one(tmp_path / "no" / "such" / "a.toml").fix == f"There is no folder {tmp_path}/no."


def test_folder(tmp_path: Path) -> None:
    written(tmp_path, OURS)
    found = one(tmp_path)
    assert (found.code, found.fix) == ("not_a_file", "It holds preset.toml.")


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    for path in (tmp_path / "fifo.toml", Path("/dev/zero")):
        assert one(path).message == "this is a pipe or a device; a file is expected."


def test_no_permission(open_folder: Path) -> None:
    path = written(open_folder, OURS)
    path.chmod(0)
    with permissions_hold():
        assert one(path).code == "unreadable_file"


def test_not_utf8(tmp_path: Path) -> None:
    found = one(written(tmp_path, 'family = "wan"\n# 日本 \n# '.encode() + "絵".encode("shift_jis")))
    assert (found.code, found.line, found.column) == ("not_utf8", 3, 3)


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    with path.open("wb") as file:
        file.truncate(50 * 2**20)
    assert one(path).message == "is 50 MB, too large to be a preset."


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "words"),
    [
        ("dit = /models/x\n", "syntax", 1, 7, 'Text needs quotes: "/models/x".'),
        ('a = 1\ndit = "C:\\models\\x"\n', "syntax", 2, 12, "For backslashes use single quotes"),
        ("sdpa = True\n", "syntax", 1, 8, "TOML writes true."),
        ("seed = None\n", "syntax", 1, 8, "Leave the line out"),
        ('[run\nfamily = "wan"\n', "syntax", 1, 5, "not valid TOML"),
        ('dit = "open\n', "syntax", 1, 12, 'a quote is not closed. Write " at the end'),
        ("dit = 'open\nvae = 'x'\n", "syntax", 1, 12, "a quote is not closed. Write ' at the end"),
        ("seed = 1\nsdpa = true\nseed = 2\n", "duplicate_key", 3, 1, "seed is set twice (first on line 1)."),
        ("[run]\nseed = 1\n[run]\n", "duplicate_key", 3, 1, "run is set twice (first on line 1)."),
        (f"seed = 1\nmax_train_steps = {'9' * 5000}\n", "wrong_value", 2, 0, "a number has thousands of digits."),
        ("a = " + "[" * 5000, "syntax", 0, 0, "nested too deeply"),
        (f"{'a.' * 3000}b = 1\n", "syntax", 0, 0, "nested too deeply"),
        (f"[{'a.' * 3000}b]\n[{'a.' * 3000}b]\n", "duplicate_key", 2, 1, "is set twice"),
        ("a = [1,\n", "syntax", 1, 0, "not valid TOML"),
    ],
)
def test_not_toml(tmp_path: Path, text: str, code: str, line: int, column: int, words: str) -> None:
    found = one(written(tmp_path, text))
    assert words in str(found)
    assert (found.code, found.line, found.column) == (code, line, column)


def test_large_but_legal_integers_are_out_of_range(tmp_path: Path) -> None:
    found = one(written(tmp_path, f"{OURS}seed = {10**30}\n"))
    assert (found.code, found.line) == ("wrong_value", 4)


@pytest.mark.parametrize("text", ["\ufeff" + OURS, OURS.replace("\n", "\r\n"), "\ufeff" + OURS.replace("\n", "\r\n")])
def test_byte_order_marks_and_windows_lines_are_read(tmp_path: Path, text: str) -> None:
    assert load_config(written(tmp_path, text)).sources["dit"] == "preset.toml:2"


def test_an_empty_file(tmp_path: Path) -> None:
    assert one(written(tmp_path, "")).code == "unclear_family"


def test_a_dataset_file_is_told_apart() -> None:
    found = one(CONFIGS / "video_dataset.toml")
    assert (found.code, found.fix) == ("not_a_preset", "Name it in a preset: dataset_config = …")


def test_wan_22_pair() -> None:
    found = {(p.severity, p.key) for p in check_config(CONFIGS / "wan22_pair.toml", check_files=False)}
    assert {key for severity, key in found if severity == "error"} == {
        "task",
        "dit_high_noise",
        "timestep_boundary",
        "mixed_precision",
    }
    assert {key for severity, key in found if severity == "warning"} == {
        "offload_inactive_dit",
        "force_v2_1_time_embedding",
        "fp8_base",
        "fp8_scaled",
        "max_data_loader_n_workers",
    }


def test_qwen_edit() -> None:
    found = {(p.severity, p.key) for p in check_config(CONFIGS / "qwen_edit.toml", check_files=False)}
    assert {key for severity, key in found if severity == "error"} == {"edit_plus", "optimizer_type"}
    assert {key for severity, key in found if severity == "warning"} == {
        "fp8_base",
        "fp8_scaled",
        "fp8_vl",
        "blocks_to_swap",
    }


@pytest.mark.parametrize(
    ("name", "title"), [("framepack_one_frame", "FramePack"), ("hunyuan_sectioned", "HunyuanVideo")]
)
def test_families_that_are_not_built(name: str, title: str) -> None:
    found = one(CONFIGS / f"{name}.toml")
    assert found.code == "not_built_yet"
    assert found.message.startswith(f"this file trains {title} ")


@pytest.mark.parametrize(
    ("name", "changes", "family", "task"),
    [
        ("wan22_pair", {"task": "t2v-14B", "mixed_precision": "bf16"}, "wan", "t2v-14B"),
        ("qwen_edit", {"edit_plus": "false", "optimizer_type": "AdamW8bit"}, "qwen_image", "t2i"),
    ],
)
def test_musubi_configs_train_once_they_ask_for_what_is_built(
    name: str, changes: dict[str, str], family: str, task: str
) -> None:
    changes = {**changes, "dit_high_noise": "none", "timestep_boundary": "none"}
    loaded = load_config(CONFIGS / f"{name}.toml", changes)
    assert (loaded.dialect, loaded.config.run.family, loaded.config.run.task) == ("musubi", family, task)
    assert loaded.config.network.network_dim in (16, 32)
    assert all(problem.severity == "warning" for problem in loaded.warnings)
