"""Clips that are larger than what is read ahead: decoded while they are encoded, to the same latents, in memory that does not grow with them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.config.problems import ConfigError, UserError
from engine.data import Item, read_dataset_config, scan
from engine.data.clip_reading import clip_frames, read_clips
from engine.data.dataset_spec import DatasetConfig
from engine.data.variants import with_variants
from engine.encode import encode_latents, frames, latents
from engine.encode.frames import LongClip, ScaledFrames
from engine.families import get_family
from engine.families.family import Frames
from engine.job import Interrupted
from engine.testing import TinySet, make_tiny
from tests.unit.recording_job import RecordingJob
from tests.unit.test_data_scan import video

SPEC = get_family("wan")
CPU = torch.device("cpu")
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny: TinySet = make_tiny("wan", tmp_path_factory.mktemp("tiny"))
    return tiny.models / "Wan2.1_VAE.pth"


def full(folder: Path, **keys: Any) -> DatasetConfig:
    entry = {
        "video_directory": "clips",
        "cache_directory": "cache",
        "frame_extraction": "full",
        "max_frames": 2001,
        **keys,
    }
    tables = {"general": {"caption_extension": ".txt", "resolution": [96, 64]}, "datasets": [entry]}
    return read_dataset_config(tables, base_dir=folder, spec=SPEC)


def items_of(dataset: DatasetConfig) -> list[Item]:
    return list(with_variants(scan(dataset, SPEC, SPEC.task(None)).items))


def film(folder: Path, count: int, **how: Any) -> Path:
    (folder / "clips").mkdir(exist_ok=True)
    return video(folder / "clips/film.mp4", count, **how)


class PieceByPiece:
    """A family whose VAE takes frames as Wan's does and costs nothing; tells of each piece."""

    def __init__(self) -> None:
        self.pieces: list[int] = []
        self.heard = lambda: None

    def load_vae(self, *_: Any, **__: Any) -> torch.nn.Module:
        return torch.nn.Identity()

    def encode_latents(self, vae: torch.nn.Module, pixels: Frames) -> torch.Tensor:
        assert isinstance(pixels, ScaledFrames)
        count, height, width = pixels.shape[2:]
        for first in range(0, count, 4):
            piece = pixels[:, :, max(0, first - 3) : first + 1, :, :]
            self.pieces.append(piece.shape[2])
            self.heard()
        return torch.zeros(1, *SPEC.latent_shape(width, height, count))


def encode(dataset: DatasetConfig, model: Any, vae: Path, job: RecordingJob | None = None) -> tuple[Item, ...]:
    job = job or RecordingJob(SPEC, {"vae": vae, "vae_dtype": "float32"})
    return encode_latents(job, model, items_of(dataset), device=CPU, datasets=dataset.datasets)  # type: ignore[arg-type]


@pytest.fixture
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every clip counts as too large to be held."""
    monkeypatch.setattr(latents, "MOST_HELD_BYTES", 0)


def test_frame_by_frame_is_the_same_clip(tmp_path: Path) -> None:
    film(tmp_path, 60, noise=True, fps=32, width=128)
    for dataset in (
        full(tmp_path, random_crop=2, flip=True, source_fps=32.0),
        full(tmp_path, frame_extraction="chunk", target_frames=[5]),
    ):
        for item in items_of(dataset):
            ((_, whole),) = read_clips([item])
            assert np.array_equal(np.stack(list(clip_frames(item))), whole)


def test_the_latents_are_the_same_to_the_bit(tmp_path: Path, vae: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path, 20, noise=True)
    dataset, model = full(tmp_path), SPEC.load_model()
    encode(dataset, model, vae)
    whole = {path.name: load_file(path) for path in (tmp_path / "cache").glob("*.safetensors")}
    shutil.rmtree(tmp_path / "cache")
    opened: list[LongClip] = []
    real = frames.LongClip

    def counted(*arguments: Any) -> LongClip:
        opened.append(real(*arguments))
        return opened[-1]

    monkeypatch.setattr(latents, "MOST_HELD_BYTES", 0)
    monkeypatch.setattr(latents, "LongClip", counted)
    encode(dataset, model, vae)
    assert len(opened) == len(whole) == 1
    for name, tensors in whole.items():
        again = load_file(tmp_path / "cache" / name)
        assert all(torch.equal(again[key], tensor) for key, tensor in tensors.items())


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path: Path, vae: Path) -> None:
    """601 frames of 640x480 are 554 MB of bytes and 2.2 GB of floats."""
    film(tmp_path, 601, width=640, height=480)
    dataset, model, process = full(tmp_path, resolution=[640, 480]), PieceByPiece(), psutil.Process()
    (item,) = items_of(dataset)
    assert item.bucket == (640, 480, 601)
    before, peak = process.memory_info().rss, [0]

    def look() -> None:
        peak[0] = max(peak[0], process.memory_info().rss)

    model.heard = look
    encode(dataset, model, vae)
    assert model.pieces == [1, *[4] * 150]
    assert item.latent_cache.exists()
    assert peak[0] - before < 300 * MEGABYTE  # a decoder of its own threads, and the latents


def test_a_long_clip_that_breaks_off_stops_nobody_else(tmp_path: Path, vae: Path, nothing_held: None) -> None:
    path = film(tmp_path, 40, noise=True, options={"movflags": "faststart"})
    shutil.copy(path, tmp_path / "clips/whole.mp4")
    (tmp_path / "clips/whole.txt").write_text("whole")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))  # the header promises what is zeros
    model = PieceByPiece()
    with pytest.raises(UserError) as raised:
        encode(full(tmp_path), model, vae)
    (problem,) = raised.value.problems
    assert (problem.code, problem.file) == ("unreadable_clip", str(path))
    assert [one.name.split("_")[0] for one in (tmp_path / "cache").glob("*.safetensors")] == ["whole"]
    (left_out,) = encode(full(tmp_path, on_bad_item="skip"), model, vae)
    assert left_out.name == "film"


def test_a_stop_is_heard_within_a_long_clip(tmp_path: Path, vae: Path, nothing_held: None) -> None:
    film(tmp_path, 81)
    model, job = PieceByPiece(), RecordingJob(SPEC, {"vae": vae})
    job.stop_when = lambda: len(model.pieces) >= 5
    with pytest.raises(Interrupted):
        encode(full(tmp_path), model, vae, job)
    assert len(model.pieces) == 5
    assert not [*(tmp_path / "cache").iterdir()]
    encode(full(tmp_path), model, vae)
    assert len([*(tmp_path / "cache").iterdir()]) == 1


def test_a_clip_whose_latents_do_not_fit_is_named_before_anything_is_read(
    tmp_path: Path, vae: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path, 81)
    monkeypatch.setattr(frames, "memory_bytes", lambda: (MEGABYTE, MEGABYTE // 2, False))
    model = PieceByPiece()
    with pytest.raises(ConfigError) as raised:
        encode(full(tmp_path), model, vae)
    (problem,) = raised.value.problems
    assert (problem.code, problem.file) == ("clip_too_long", str(path))
    assert "81 frames of 96x64" in problem.message
    assert "max_frames" in problem.fix
    assert "chunk" in problem.fix
    assert model.pieces == []
    encode(full(tmp_path, frame_extraction="chunk", target_frames=[5]), model, vae)


def test_frames_are_taken_once_and_in_order(tmp_path: Path) -> None:
    film(tmp_path, 9)
    (item,) = items_of(full(tmp_path))
    clip = LongClip(item, lambda: True)
    assert clip[0:1].shape == (1, 64, 96, 3)
    with pytest.raises(ValueError, match="frame 0 was asked for, and 1 comes next"):
        clip[0:4]
    clip.close()
