"""What a person gets wrong: one paragraph with what, where and what to do; the right exit code; nothing half written."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

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


def test_a_disk_that_fills_while_caching_leaves_no_half_file_and_the_run_goes_on_afterwards(tiny, monkeypatch):
    import errno

    import engine.encode.store as store

    folder = tiny("wan")
    shutil.rmtree(folder / "cache")
    run = new_run(folder / "preset.toml", SHORT)
    written, real = [], store.os.fsync

    def full_after_five(handle):
        written.append(handle)
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", full_after_five)
        child = start(run)
    assert child.wait() == 3
    (failure,) = of_type(run, Failed)
    assert "space" in f"{failure.message} {failure.fix}".lower()
    left = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert all(path.suffix == ".safetensors" for path in left)
    assert start(run).wait() == 0
