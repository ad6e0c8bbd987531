"""What a person gets wrong: one paragraph with what, where and what to do; the right exit code; nothing half written."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.config.problems import UserError
from engine.events.status import Status
from engine.events.types import Failed
from tests.e2e.engine_child import new_run, of_type, start, train

SHORT = {"max_train_steps": "2", "sample_prompts": "", "validation_items": "0"}


def no_pictures(folder: Path) -> None:
    for path in (folder / "data" / "pictures").iterdir():
        path.unlink()
    dataset = folder / "dataset.toml"
    dataset.write_text(dataset.read_text().split("[[datasets]]\nvideo")[0])
    shutil.rmtree(folder / "cache")


def all_captions_gone(folder: Path) -> None:
    no_clips = (folder / "dataset.toml").read_text().split("[[datasets]]\nvideo")[0]
    (folder / "dataset.toml").write_text(no_clips)
    for path in (folder / "data" / "pictures").glob("*.txt"):
        path.unlink()
    shutil.rmtree(folder / "cache")


def preset_line(folder: Path, key: str, line: str) -> None:
    preset = folder / "preset.toml"
    lines = [line if old.startswith(key) else old for old in preset.read_text().splitlines()]
    preset.write_text("\n".join(lines) + "\n")


CASES = {
    "text instead of a picture": (
        lambda folder: (folder / "data/pictures/brick.png").write_text("no picture"),
        2, ["brick.png", "not a picture", "on_bad_item"],
    ),
    "caption that is no text": (
        lambda folder: (folder / "data/pictures/brick.txt").write_bytes(b"a\x00b\xff\xfe\x00"),
        2, ["brick.txt", "not text in utf-8"],
    ),
    "empty folder": (no_pictures, 2, ["data/pictures"]),
    "no captions at all": (all_captions_gone, 2, ["caption"]),
    "a VAE as transformer": (
        lambda folder: preset_line(folder, "dit", 'dit = "models/Wan2.1_VAE.pth"'),
        2, ["Wan2.1_VAE.pth", "VAE, not a Wan transformer"],
    ),
    "a truncated transformer": (
        lambda folder: (folder / "models/wan2.1_t2v_tiny_bf16.safetensors").write_bytes(
            (folder / "models/wan2.1_t2v_tiny_bf16.safetensors").read_bytes()[:-7]
        ),
        2, ["wan2.1_t2v_tiny_bf16.safetensors", "damaged", "Download it again"],
    ),
    "output folder behind a file": (
        lambda folder: preset_line(folder, "output_name", 'output_dir = "dataset.toml/out"'),
        2, ["output_dir", "cannot be written"],
    ),
    "a GPU that is not there": (
        lambda folder: preset_line(folder, "output_name", 'device = "cuda"'),
        3, ["cuda", "not available"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_paragraph_and_the_right_exit_code(case, tiny):
    damage, expected, words = CASES[case]
    folder = tiny("wan")
    time.sleep(0.02)
    damage(folder)
    try:
        run = new_run(folder / "preset.toml", SHORT)
    except UserError as error:  # what the dataset's own scan shows is told before there is a run
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.exit_code == expected
        assert all(word in str(refused) for word in words), str(refused)
        return
    assert start(run).wait() == expected
    assert Status.read(run).state == "failed"
    (failure,) = of_type(run, Failed)
    message = f"{failure.message} {failure.fix}"
    log = run.engine_log.read_text()
    assert "Traceback" not in log
    assert message.split(". ")[0] in log
    assert not list(run.output.rglob("*.safetensors"))
    assert "\n" not in message.strip()
    for word in words:
        assert word in message
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name]


def test_a_full_disk_is_said_before_training(tiny, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("engine.planner.disk.shutil.disk_usage", lambda _: usage(10**12, 10**12, 10**6))
    run, code = train(tiny("wan") / "preset.toml", SHORT)
    assert code == 3
    (failure,) = of_type(run, Failed)
    assert "1 MB free" in failure.message
    assert "larger disk" in failure.fix


@pytest.mark.parametrize("stage", ["cache_latents", "cache_text"])
def test_a_disk_that_fills_while_caching_leaves_no_half_file_and_the_run_goes_on_afterwards(tiny, monkeypatch, stage):
    folder = tiny("wan")
    shutil.rmtree(folder / "cache")
    run = new_run(folder / "preset.toml", kind="cache", stages=(stage,))
    room, write = [{"cache_latents": 20_000, "cache_text": 5000}[stage]], os.write

    def filling(handle, data):
        file = os.readlink(f"/proc/self/fd/{handle}")
        if "/cache/" not in file or not file.endswith(".tmp"):
            return write(handle, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(handle, data[: room[0]])  # a disk takes what fits
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        child = start(run)
    assert child.wait() == 3
    (failure,) = of_type(run, Failed)
    assert failure.code == "no_space"
    assert ("_te." in failure.message) == (stage == "cache_text")
    assert "what is already encoded is kept" in failure.fix
    left = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert len(left) > 0
    for path in left:
        load_file(path)
    made = {path: path.stat().st_ino for path in left}
    assert start(run).wait() == 0
    assert {path: path.stat().st_ino for path in left} == made
    assert len([*(folder / "cache").rglob("*.safetensors")]) > len(left)


@pytest.mark.parametrize("stage", ["cache_latents", "cache_text"])
def test_a_cache_folder_that_cannot_be_made_is_named(tiny, stage):
    folder = tiny("wan")
    shutil.rmtree(folder / "cache")
    (folder / "cache").write_text("in the way")
    run = new_run(folder / "preset.toml", kind="cache", stages=(stage,))
    assert start(run).wait() == 2
    (failure,) = of_type(run, Failed)
    assert failure.code == "cannot_write"
    assert f"cache_directory = {folder / 'cache'}" in failure.message
