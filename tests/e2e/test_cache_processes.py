"""Several processes fill one cache folder, some of them are killed at random: every file whole, right, and made once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.data import Item, read_dataset_config, scan
from engine.encode import encode_latents, encode_text
from engine.families import get_family
from engine.ranks import ALONE, Share
from engine.testing import TinySet, make_tiny
from tests.unit.recording_job import RecordingJob

SPEC = get_family("wan")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    """Twelve pictures, and a video cut into clips, as small as they come."""
    tiny = make_tiny("wan", tmp_path_factory.mktemp("tiny"))
    pictures = sorted((tiny.data / "pictures").glob("*.png"))[:4]
    folder = tiny.data / "few"
    folder.mkdir()
    for number in range(12):
        shutil.copyfile(pictures[number % len(pictures)], folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"picture {number // 2}")
    return tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path


def items_of(made: TinySet, cache: Path) -> tuple[Item, ...]:
    tables = {
        "general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt"},
        "datasets": [
            {"image_directory": str(made.data / "few"), "cache_directory": str(cache)},
            {
                "video_directory": str(made.data / "clips"), "cache_directory": str(cache / "clips"),
                "target_frames": [1, 5], "frame_extraction": "chunk",
            },
        ],
    }  # fmt: skip
    return scan(read_dataset_config(tables, base_dir=made.data, spec=SPEC), SPEC, SPEC.task(None)).items


class Counted:
    """The family's model; each encoding adds a line to a file that all processes share."""

    def __init__(self, log: Path, seconds: float) -> None:
        self.model: Any = SPEC.load_model()
        self.log, self.seconds = log, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def _note(self, what: str) -> None:
        handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{what}\n".encode())
        os.close(handle)

    def encode_latents(self, vae: Any, pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        self._note("latents")
        latents: torch.Tensor = self.model.encode_latents(vae, pixels)
        return latents

    def load_text_encoder(self, paths: Any, **how: Any) -> Any:
        encoder, note = self.model.load_text_encoder(paths, **how), self._note

        class Noting:
            ragged, token_count = encoder.ragged, staticmethod(encoder.token_count)

            @staticmethod
            def encode(texts: Any) -> Any:
                note("text")
                return encoder.encode(texts)

        return Noting()


def fill(made: TinySet, cache: Path, log: Path, share: Share = ALONE, seconds: float = 0.0) -> None:
    models = made.models
    options = {"vae": models / "Wan2.1_VAE.pth", "t5": models / "models_t5_umt5-xxl-enc-bf16.pth", "vae_dtype": "fp32"}
    job, model = RecordingJob(SPEC, options), Counted(log, seconds)
    encode_latents(job, model, items_of(made, cache), device=CPU, share=share)  # type: ignore[arg-type]
    encode_text(job, model, items_of(made, cache), device=CPU, share=share)  # type: ignore[arg-type]


CHILDREN: list[int] = []


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    yield
    for pid in CHILDREN:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    CHILDREN.clear()


def fork(work: Callable[[], None]) -> int:
    """A child of this process, which has imported everything already."""
    pid = os.fork()
    if pid:
        CHILDREN.append(pid)
        return pid
    code = 1
    try:
        sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
        work()
        code = 0
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    CHILDREN.remove(pid)
    return os.waitstatus_to_exitcode(status)


@pytest.fixture(scope="module")
def reference(made: TinySet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one undisturbed process makes."""
    cache = tmp_path_factory.mktemp("reference")
    fill(made, cache, cache / "log")
    return contents(cache)


def contents(cache: Path) -> dict[str, Any]:
    """All cache files, loaded; raises when one is not whole."""
    return {str(path.relative_to(cache)): load_file(path) for path in sorted(cache.rglob("*.safetensors"))}


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].keys() == b[name].keys() and all(torch.equal(a[name][key], b[name][key]) for key in a[name])
        for name in a
    )


def test_three_processes_share_the_work(made: TinySet, folder: Path, reference: dict[str, Any]) -> None:
    cache, log = folder / "cache", folder / "log"
    children = [fork(lambda rank=rank: fill(made, cache, log, Share(rank, 3), 0.02)) for rank in range(3)]  # type: ignore[misc]
    assert [wait(pid) for pid in children] == [0, 0, 0]
    assert equal(contents(cache), reference)
    lines = log.read_text().splitlines()
    latents = [name for name in reference if not name.endswith("_te.safetensors")]
    assert lines.count("latents") == len(latents)
    assert lines.count("text") == len({item.caption for item in items_of(made, cache)})
    assert not list(cache.rglob(".mtui-*"))


def test_two_strangers_on_one_folder_do_not_work_twice(made: TinySet, folder: Path, reference: dict[str, Any]) -> None:
    cache, log = folder / "cache", folder / "log"
    children = [fork(lambda: fill(made, cache, log, seconds=0.01)) for _ in range(2)]
    assert [wait(pid) for pid in children] == [0, 0]
    assert equal(contents(cache), reference)
    assert log.read_text().count("latents") == sum(not name.endswith("_te.safetensors") for name in reference)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments_no_file_is_half_wrong_or_lost(
    made: TinySet, folder: Path, reference: dict[str, Any], seed: int
) -> None:
    dice, cache, log = random.Random(seed), folder / "cache", folder / "log"
    for _ in range(6):
        children = [fork(lambda: fill(made, cache, log, seconds=0.01)) for _ in range(2)]
        time.sleep(dice.uniform(0.02, 0.6))
        os.kill(children[0], signal.SIGKILL)
        wait(children[0])
        whole = contents(cache)  # nothing that bears a cache's name is half
        assert whole.keys() <= reference.keys()
        assert equal(whole, {name: reference[name] for name in whole})
        time.sleep(dice.uniform(0.0, 0.3))
        os.kill(children[1], signal.SIGKILL)
        wait(children[1])
        assert contents(cache).keys() >= whole.keys()
    assert wait(fork(lambda: fill(made, cache, log))) == 0
    assert equal(contents(cache), reference)
    assert not list(cache.rglob(".mtui-*"))
