"""Damaged pictures and masks: every reader says what is wrong with the file, and nothing is left for the middle of a training."""

from __future__ import annotations

import io
import random
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image, features

from engine.config.problems import UserError
from engine.data.looking import look_at_image
from engine.data.masks import _alpha, has_alpha
from engine.data.media import UnreadableMedia, image_size
from engine.data.pictures import read_image
from musubi_tui.cli.root import run as musubi
from musubi_tui.datasets.cells import draw_file
from tests.unit.test_data_scan import codes, picture, run

READERS = (image_size, has_alpha, read_image, _alpha)


def encoded(extension: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    image = Image.effect_noise((24, 16), 60).convert("RGBA" if extension in ("png", "webp", "avif") else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, {"jpg": "jpeg"}.get(extension, extension), exif=exif)
    return buffer.getvalue()


def damaged(whole: bytes, seed: int) -> bytes:
    """Some bytes changed (near the front mostly, where headers stand), or the end missing."""
    chance, data = random.Random(seed), bytearray(whole)
    for _ in range(chance.randint(1, 6)):
        data[min(int(chance.expovariate(4) * len(data)), len(data) - 1)] = chance.randrange(256)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.25 else data)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "avif"])
def test_damaged_bytes_are_an_unreadable_file_and_nothing_else(tmp_path: Path, extension: str) -> None:
    if extension == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    whole, path, unreadable = encoded(extension), tmp_path / f"a.{extension}", 0
    for seed in range(200):
        path.write_bytes(damaged(whole, seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for read in READERS:
                with suppress(UnreadableMedia):
                    read(path)
            unreadable += bool(look_at_image(path).problem)
            draw_file(path, 8, 4, crop=None, colour=True)
    assert 20 < unreadable < 200  # the damage is such that some survive it


@pytest.mark.parametrize(
    "error", [RuntimeError("Decoding failed"), TypeError("odd"), KeyError("getmode"), MemoryError()]
)
def test_what_a_decoder_raises_is_told_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    picture(tmp_path / "a.png")

    def fail(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(UnreadableMedia):
        read_image(tmp_path / "a.png")
    assert "cannot be decoded" in look_at_image(tmp_path / "a.png").problem
    assert draw_file(tmp_path / "a.png", 8, 4, crop=None, colour=True).problem


def test_a_header_of_no_mode_is_skipped_where_alpha_is_the_mask(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    head = b"Image type: getmode image\r\nImage size (x*y): 64*48\r\nFile size (no of images): 1\r\n"
    (tmp_path / "b.png").write_bytes(head.ljust(511, b"\0") + b"\x1a" + bytes(64 * 48))  # an IFUNC IM file
    found = run(tmp_path, {"image_directory": ".", "alpha_mask": True, "on_bad_item": "skip"}, strict=False)
    assert [item.name for item in found.items] == ["a"]
    assert codes(found)["b.png"] == "unreadable_image"


def masked(folder: Path) -> Path:
    (folder / "masks").mkdir()
    for name in ("a", "b"):
        picture(folder / f"{name}.png")
        Image.effect_noise((64, 48), 90).save(folder / "masks" / f"{name}.png")
    whole = (folder / "masks" / "b.png").read_bytes()
    (folder / "masks" / "b.png").write_bytes(whole[: len(whole) // 2])
    return folder / "masks" / "b.png"


def test_half_a_mask_is_found_before_training(tmp_path: Path) -> None:
    mask = masked(tmp_path)
    entry = {"image_directory": ".", "mask_directory": "masks"}
    found = run(tmp_path, {**entry, "on_bad_item": "skip"})
    assert [item.name for item in found.items] == ["a"]
    assert codes(found) == {"b.png": "unreadable_mask"}
    assert str(mask) in found.skipped[0].reason
    with pytest.raises(UserError, match="mask"):
        run(tmp_path, entry)


def test_doctor_decodes_masks_and_controls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masked(tmp_path)
    (tmp_path / "control").mkdir()
    for name in ("a", "b"):
        Image.effect_noise((64, 48), 90).save(tmp_path / "control" / f"{name}.png")
    whole = (tmp_path / "control" / "a.png").read_bytes()
    (tmp_path / "control" / "a.png").write_bytes(whole[: len(whole) // 2])
    file = tmp_path / "dataset.toml"
    file.write_text(
        '[[datasets]]\nimage_directory = "."\ncaption_extension = ".txt"\nmask_directory = "masks"\n'
        'control_directory = "control"\non_bad_item = "skip"\nresolution = 64\ncache_directory = "cache"\n',
        encoding="utf-8",
    )
    musubi(["data", "doctor", str(file)])
    told = capsys.readouterr().out
    assert "files that cannot be decoded: 2" in told
    assert "masks/b.png" in told
    assert "control/a.png" in told
