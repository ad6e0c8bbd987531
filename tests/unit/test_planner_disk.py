"""Disk figures are true for the files that get written, and a full or read-only disk is said before training."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from engine.config.problems import ConfigError, MissingRequirement
from engine.data.tokens import estimate
from engine.families import get_family
from engine.planner import disk
from engine.train.saver import step_to_remove

Usage = namedtuple("Usage", "total used free")


def test_latent_bytes_equal_the_recorded_cache_file():
    # china_0640x0427_wan.safetensors of the reference: 16 x 1 x 26 x 38 bf16 and a header of under 4 kB
    size = disk.latent_cache_bytes(get_family("wan"), 304, 208)
    assert size - 4096 == 16 * 26 * 38 * 2
    assert disk.latent_cache_bytes(get_family("wan"), 256, 96, 17) - 4096 == 16 * 5 * 12 * 32 * 2


def test_text_bytes_are_those_of_the_captions_and_the_family():
    wan, qwen = get_family("wan"), get_family("qwen_image")
    for caption in (
        "A woman in a long red coat is walking along a beach in the rain at dusk. " * 4,
        "浜辺を歩く赤いコートの女性、夕暮れ、雨、波の音がする海辺の風景。" * 5,
    ):
        for spec, token in ((wan, 4096 * 2), (qwen, 3584 * 2)):
            assert estimate(caption) < disk.text_cache_bytes(spec, caption) / token < 2 * estimate(caption) + 16
    assert 4096 < disk.text_cache_bytes(wan, "") < 50_000
    for spec, longest in ((wan, 512 * 4096 * 2), (qwen, 1024 * 3584 * 2)):
        written = disk.text_cache_bytes(spec, "word " * 4000)
        assert longest < written < longest + 30_000


def test_folders_of_one_disk_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 10**9))
    disk.check_space([(tmp_path / "a" / "b", 3 * 10**8), (tmp_path / "c", 3 * 10**8)])
    with pytest.raises(
        MissingRequirement, match=r"1\.0 GB free\. This run will write about 1\.2 GB, and 268 MB more"
    ) as caught:
        disk.check_space([(tmp_path / "a" / "b", 6 * 10**8), (tmp_path / "c", 6 * 10**8)])
    assert caught.value.exit_code == 3
    assert "output_dir" in caught.value.problems[0].fix


def test_a_disk_too_small_for_the_caches_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 40_000))
    with pytest.raises(MissingRequirement) as caught:
        disk.check_space([(tmp_path, 48_000)], caches=True)
    (problem,) = caught.value.problems
    assert problem.message == (
        f"The disk of {tmp_path} is full. The cache files take about 48 kB, and 268 MB more must stay free."
    )
    assert "cache_directory in the dataset file" in problem.fix
    assert not {"keep_states", "output_dir", "save"} & set(problem.fix.replace(",", "").split())


def test_a_folder_that_cannot_be_written_is_named_with_its_option(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"output_dir = .*file/out cannot be written") as caught:
        disk.check_writable("output_dir", [tmp_path / "file" / "out"])
    assert caught.value.exit_code == 2


def test_probe_leaves_nothing_behind(tmp_path: Path):
    disk.check_writable("output_dir", [tmp_path / "out"])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(("steps", "every", "last"), [(100, None, None), (100, 10, None), (100, 10, 25), (1000, 7, 40)])
def test_files_that_make_room_are_not_counted(steps: int, every: int | None, last: int | None):
    there: set[int] = set()
    most = 0
    for step in range(every or steps + 1, steps + 1, every or 1):
        there.add(step)
        most = max(most, len(there))
        there.discard(step_to_remove(step, every or 1, last))
    assert most <= disk.files_kept(steps, every, last) <= most + 1


@pytest.mark.parametrize(
    ("steps", "every", "epoch", "kept"),
    [(60, 25, None, 3), (2000, 250, None, 9), (100, None, None, 1), (100, None, 1, 10), (95, None, 1, 10)],
)
def test_loras_are_counted_as_the_loop_saves_them(steps: int, every: int | None, epoch: int | None, kept: int):
    """At the last of 2000 steps, every 250, there is a step's file and the final one; ten epochs of ten steps leave nine and it."""
    values = {"save_every_n_steps": every, "save_every_n_epochs": epoch, "save_last_n_steps": None, "save_last_n_epochs": None}  # fmt: skip
    assert disk.loras_kept(values, steps, 10) == kept
