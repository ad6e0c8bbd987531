"""What makes scanning quick changes nothing: sizes from first bytes are Pillow's, items made when looked at are those made at once."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from engine.data import dataset_scan, media, read_dataset_config, scan
from engine.data.buckets import BucketRule
from engine.data.headers import quick_size
from engine.data.items import Item, Scan
from engine.families import get_family
from tests.unit.test_data_scan import picture

WAN = get_family("wan")
RNG = random.Random(7)
ROUNDS = int(os.environ.get("QUICK_ROUNDS", "250"))


def encoded(form: str, mode: str = "RGB", size: tuple[int, int] = (21, 13), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(out, form, **options)
    return out.getvalue()


def turned(value: int, *, order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = value
    exif[0x010F] = "a maker of cameras"
    exif[0x011A] = 72.0
    exif[0x0128] = 2
    return exif.tobytes()


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data + jpeg[2:]


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    return png[:33] + struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) + png[33:]


def plain_pictures() -> Iterator[bytes]:
    """Those that must be answered without Pillow."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "a cat, masterpiece " * 400)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield encoded("PNG", mode)
    yield encoded("PNG", dpi=(300, 300))
    yield encoded("PNG", pnginfo=notes)
    yield with_chunk(encoded("PNG"), b"gAMA", struct.pack(">I", 45455))
    for mode in ("L", "RGB", "CMYK"):
        yield encoded("JPEG", mode)
    yield encoded("JPEG", progressive=True, optimize=True, comment="hello", dpi=(72, 72))
    for value in range(1, 9):
        yield encoded("JPEG", exif=turned(value))
        yield encoded("JPEG", exif=turned(value, order=">"))
    yield with_segment(encoded("JPEG"), 0xE2, b"ICC_PROFILE\0\1\1" + bytes(200))
    for lossless in (False, True):
        yield encoded("WEBP", lossless=lossless)
        yield encoded("WEBP", size=(300, 22), lossless=lossless)


def unusual_pictures() -> Iterator[bytes]:
    """Those that Pillow must be asked about, or at least may be."""
    jpeg = encoded("JPEG")
    yield encoded("PNG", exif=turned(6))
    yield with_chunk(encoded("PNG"), b"tEXt", b"exif\0" + turned(6)[6:])
    yield with_chunk(encoded("PNG"), b"tEXt", b"Raw profile type exif\0\nexif\n10\n" + turned(6).hex().encode())
    yield with_chunk(encoded("PNG"), b"iCCP", b"x\0\1")
    yield with_chunk(encoded("PNG"), b"gAMA", b"\0")
    yield with_segment(jpeg, 0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')
    yield with_segment(with_segment(jpeg, 0xE1, turned(1)), 0xE1, turned(6))
    yield with_segment(jpeg, 0xE1, turned(6)[:20])
    yield with_segment(jpeg, 0xE1, b"Exif\0\0" + turned(6))
    for damage in (b"", b"\0", b"JFIF", b"Photoshop 3.0\0" + b"8BIM\4\4", b"Adobe\0", b"MPF\0" + bytes(40)):
        yield from (with_segment(jpeg, marker, damage) for marker in (0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xDB))
    yield jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c")
    yield encoded("WEBP", "RGBA")
    yield encoded("WEBP", exif=turned(6))
    yield encoded("BMP")
    yield b""
    yield b"a picture in words"


def by_pillow(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int] | None:
    with monkeypatch.context() as without:
        without.setattr(media, "quick_size", lambda file: None)
        try:
            return media.image_size(path)
        except media.UnreadableMedia:
            return None


def test_plain_pictures_are_measured_by_their_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    for data in plain_pictures():
        path.write_bytes(data)
        assert quick_size(str(path)) == by_pillow(path, monkeypatch) is not None


def test_where_first_bytes_tell_a_size_pillow_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    whole = [*plain_pictures(), *unusual_pictures()]
    damaged = []
    for _ in range(ROUNDS):
        data = bytearray(RNG.choice(whole))
        for _ in range(RNG.choice((1, 1, 2))):
            if data and RNG.random() < 0.8:
                data[RNG.randrange(min(len(data), RNG.choice((40, 400))))] = RNG.choice((0, 1, 255, RNG.randrange(256)))
            elif data:
                del data[RNG.randrange(len(data)) :]
        damaged.append(bytes(data))
    answered = 0
    for data in [*whole, *damaged]:
        path.write_bytes(data)
        quick = quick_size(str(path))
        answered += quick is not None
        assert quick is None or quick == by_pillow(path, monkeypatch), data[:600].hex()
    assert answered > len(whole) / 4


def test_what_cannot_be_opened_is_left_to_pillow(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", "a\0b"):
        assert quick_size(str(path)) is None


# -- buckets of many


@pytest.mark.parametrize("no_upscale", [False, True])
def test_buckets_of_many_are_those_of_each(no_upscale: bool) -> None:
    for resolution, step, shortest, longest in (
        ((1024, 1024), 16, 0, None), ((960, 544), 32, 0, None), ((64, 64), 16, 32, 96), ((48, 48), 16, 0, 64),
    ):  # fmt: skip
        rule = BucketRule(resolution, step, True, no_upscale, shortest, longest)
        sizes = [(RNG.randint(1, 3000), RNG.randint(1, 3000)) for _ in range(300)]
        sizes += [size for one in (64, 96, 512, 1024) for size in ((one, one), (one, 2 * one), (3 * one, one))]
        chosen = rule.choose_many(np.array(sizes))
        assert [tuple(size) for size in chosen.tolist()] == [rule.choose(*size) for size in sizes]
    rule = BucketRule((640, 480), 16, False, no_upscale)
    assert rule.choose_many(np.array([(1, 1), (9000, 3)])).tolist() == [[640, 480]] * 2


# -- items made when they are looked at


def messy(folder: Path) -> None:
    for number in range(12):
        picture(folder / f"p{number}.png", 30 + 17 * number, 200 - 9 * number, caption=f"caption {number}")
    picture(folder / ("long" * 15 + ".png"))
    picture(folder / ("l" * 240 + ".png"))
    picture(folder / "tiny.png", 8, 8)
    picture(folder / "p1.jpg")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("x")
    (folder / "sub").mkdir()
    picture(folder / "sub" / "p3.png")
    (folder / "cache").mkdir()
    for name in ("p0_0030x0200_wan", "gone_0030x0200_wan", "broken_0016x0016_wan"):
        (folder / "cache" / f"{name}.safetensors").write_bytes(b"")


KEYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "recursive, weighted, repeated": {"recursive": True, "loss_weight": 0.5, "num_repeats": 3, "batch_size": 2},
    "not enlarged": {"bucket_no_upscale": True},
    "without buckets": {"enable_bucket": False},
    "split": {"validation_split": 3},
    "regularisation with a trigger": {"is_reg": True, "trigger_word": "ohwx"},
    "tags that nobody has": {"tag_shuffle": 2},
}


def look(folder: Path, keys: dict[str, Any]) -> Scan:
    entry = {"image_directory": str(folder), "cache_directory": str(folder / "cache"), **keys}
    tables = {"general": {"resolution": 64, "caption_extension": ".txt", "enable_bucket": True}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=folder, spec=WAN)
    return scan(config, WAN, WAN.task(None), strict=False)


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_many_pictures_become_the_items_that_each_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    messy(tmp_path)
    quick = look(tmp_path, keys)
    assert any(not hasattr_yet(item, "path") for item in quick.cached)
    with monkeypatch.context() as each:
        each.setattr(dataset_scan, "holds_plain_pictures", lambda *_: False)
        slow = look(tmp_path, keys)
    assert len(slow.cached) > 8
    for one, other in zip(quick.cached, slow.cached, strict=True):
        assert {name: getattr(one, name) for name in NAMES} == {name: getattr(other, name) for name in NAMES}
        assert [type(getattr(one, name)) for name in NAMES] == [type(getattr(other, name)) for name in NAMES]
    assert quick == slow


NAMES = [field.name for field in fields(Item)]


def hasattr_yet(item: Item, name: str) -> bool:
    """Whether the field was made already, without making it."""
    try:
        getattr(Item, name).__get__(item)
    except AttributeError:
        return False
    return True


def test_an_item_is_an_item_whether_it_was_looked_at_or_not(tmp_path: Path) -> None:
    messy(tmp_path)
    first, second = (look(tmp_path, {}).items[-1] for _ in range(2))
    assert not hasattr_yet(first, "latent_cache")
    assert hash(first) == hash(second)
    assert repr(first) == repr(second)
    assert replace(first, caption="other").path == first.path == tmp_path / "tiny.png"
    assert pickle.loads(pickle.dumps(look(tmp_path, {}).items[-1])) == first
    with pytest.raises(AttributeError):
        first.colour  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        first.caption = "other"  # type: ignore[misc]
