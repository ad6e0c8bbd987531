"""Pictures and clips read back as they were written."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.sample.writers import sample_name, write_sample

WHEN = datetime(2026, 1, 2, 3, 4, 5)


def gradient(frames: int, height: int, width: int) -> np.ndarray:
    """A smooth ramp that grows brighter with each frame: what H.264 keeps well."""
    ramp = np.linspace(0, 150, width, dtype=np.float32)[None, None, :, None]
    brightness = np.arange(frames, dtype=np.float32)[:, None, None, None] * 10
    return np.broadcast_to(ramp + brightness, (frames, height, width, 3)).astype(np.uint8)


def test_names_follow_the_reference() -> None:
    assert sample_name("cat", step=456, prompt=0, seed=7, when=WHEN) == "cat_000456_00_20260102030405_7"
    assert sample_name("cat", step=456, epoch=2, prompt=11, when=WHEN) == "cat_e000002_11_20260102030405"
    assert sample_name("", step=0, prompt=1, when=WHEN) == "000000_01_20260102030405"


def test_one_frame_is_a_png_with_its_prompt_inside(tmp_path: Path) -> None:
    picture = gradient(1, 48, 64)
    path = write_sample(picture, tmp_path / "sample", "a", metadata={"prompt": "猫 on a table"})
    assert path == tmp_path / "sample" / "a.png"
    with Image.open(path) as read:
        assert read.text["prompt"] == "猫 on a table"  # type: ignore[attr-defined]
        np.testing.assert_array_equal(np.asarray(read), picture[0])


def test_several_frames_are_a_clip_of_that_size_and_rate(tmp_path: Path) -> None:
    frames = gradient(9, 48, 64)
    path = write_sample(frames, tmp_path, "a", fps=16.0, metadata={"comment": "猫"})
    assert path.suffix == ".mp4"
    with av.open(io.BytesIO(path.read_bytes())) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 16.0
        assert container.metadata["comment"] == "猫"
        read = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 6


@pytest.mark.parametrize(("height", "width", "stored"), [(47, 64, (48, 64)), (48, 63, (48, 64)), (31, 33, (32, 34))])
def test_odd_sides_are_made_even(tmp_path: Path, height: int, width: int, stored: tuple[int, int]) -> None:
    path = write_sample(gradient(2, height, width), tmp_path, "a", fps=23.976)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == stored
        assert float(stream.average_rate) == pytest.approx(23.976, abs=1e-3)


def test_an_existing_file_is_never_overwritten_and_nothing_is_left_behind(tmp_path: Path) -> None:
    first = write_sample(gradient(1, 16, 16), tmp_path, "a")
    second = write_sample(gradient(1, 32, 16), tmp_path, "a")
    assert (first.name, second.name) == ("a.png", "a-2.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.png", "a.png"]
