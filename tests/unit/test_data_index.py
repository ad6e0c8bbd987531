"""The scan's memory: spares opening files, and is believed only for the very same file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from engine.data import index as index_module
from engine.data import read_dataset_config, scan
from engine.data.index import ScanIndex
from engine.data.items import Scan
from engine.data.media import UnreadableMedia
from engine.families import get_family
from tests.unit.test_data_scan import picture, video

WAN = get_family("wan")
CAPTIONS_READ: list[str] = []  # names of the caption files that the fixture saw being opened
YEAR_AGO = time.time_ns() - 365 * 86400 * 10**9


def settle(path: Path, nanoseconds: int = YEAR_AGO) -> Path:
    os.utime(path, ns=(nanoseconds, nanoseconds))
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the media files that were opened."""
    names: list[str] = []
    captions = CAPTIONS_READ
    captions.clear()
    for function in ("image_size", "clip_info", "read_caption"):
        original = getattr(index_module, function)

        def spied(path: Path | str, *rest: object, original: object = original) -> object:
            if Path(path).suffix != ".txt":
                names.append(Path(path).name)
            else:
                captions.append(Path(path).name)
            return original(path, *rest)  # type: ignore[operator]

        monkeypatch.setattr(index_module, function, spied)
    return names


def look(folder: Path, memory: Path) -> Scan:
    tables = {
        "general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt"},
        "datasets": [
            {"image_directory": str(folder), "cache_directory": str(folder / "cache")},
            {"video_directory": str(folder), "cache_directory": str(folder / "clips"), "target_frames": [5]},
        ],
    }
    with ScanIndex(memory) as index:
        return scan(read_dataset_config(tables, base_dir=folder, spec=WAN), WAN, WAN.task(None), index=index)


def test_unchanged_files_are_not_opened_and_give_the_same(tmp_path: Path, opened: list[str]) -> None:
    settle(picture(tmp_path / "a.png"))
    settle(picture(tmp_path / "b.png", 100, 40))
    settle(video(tmp_path / "c.mp4", 9))
    first = look(tmp_path, tmp_path / "memory")
    assert sorted(opened) == ["a.png", "b.png", "c.mp4"]
    opened.clear()
    assert look(tmp_path, tmp_path / "memory") == first
    assert opened == []


@pytest.mark.parametrize("change", ["size", "time", "other file of that name"])
def test_what_changed_is_opened_again(tmp_path: Path, opened: list[str], change: str) -> None:
    settle(picture(tmp_path / "a.png"))
    settle(picture(tmp_path / "b.png"))
    look(tmp_path, tmp_path / "memory")
    before = (tmp_path / "a.png").stat()
    if change == "other file of that name":  # same size, same time, other content
        other = bytearray((tmp_path / "a.png").read_bytes())
        (tmp_path / "new").write_bytes(other)
        os.replace(tmp_path / "new", tmp_path / "a.png")
        settle(tmp_path / "a.png", before.st_mtime_ns)
    else:
        picture(tmp_path / "a.png", 96, 48)
        settle(tmp_path / "a.png", before.st_mtime_ns if change == "size" else before.st_mtime_ns + 1)
    opened.clear()
    found = {item.name: item.width for item in look(tmp_path, tmp_path / "memory").items}
    assert opened == ["a.png"]
    assert found["a"] == (64 if change.startswith("other") else 96)


def test_captions_are_read_again_when_they_or_their_encoding_change(tmp_path: Path, opened: list[str]) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png", caption=name)
        settle(tmp_path / f"{name}.txt")
    look(tmp_path, tmp_path / "memory")
    CAPTIONS_READ.clear()
    assert [item.caption for item in look(tmp_path, tmp_path / "memory").items] == ["a", "b"]
    assert CAPTIONS_READ == []
    (tmp_path / "b.txt").write_text("other")
    assert [item.caption for item in look(tmp_path, tmp_path / "memory").items] == ["a", "other"]
    assert set(CAPTIONS_READ) == {"b.txt"}
    with ScanIndex(tmp_path / "memory") as index:
        CAPTIONS_READ.clear()
        assert index.caption(str(tmp_path / "a.txt"), "utf-16-le") != ("a", "")
        assert CAPTIONS_READ == ["a.txt"]
        with pytest.raises(FileNotFoundError):
            index.caption(str(tmp_path / "none.txt"), None)


def test_a_file_written_a_moment_ago_is_not_remembered(tmp_path: Path, opened: list[str]) -> None:
    picture(tmp_path / "a.png")
    look(tmp_path, tmp_path / "memory")
    look(tmp_path, tmp_path / "memory")
    assert opened == ["a.png", "a.png"]


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}\n", b'{"version": 1}\n', None, "cut", "flip"])
def test_a_damaged_memory_is_made_again(tmp_path: Path, opened: list[str], damage: bytes | str | None) -> None:
    settle(picture(tmp_path / "a.png"))
    expected = look(tmp_path, tmp_path / "memory")
    files = list((tmp_path / "memory").iterdir())
    assert files
    for file in files:
        data = file.read_bytes()
        if damage is None:
            file.unlink()
            file.mkdir()
        elif damage == "cut":
            file.write_bytes(data[:-3])
        elif damage == "flip":
            file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        elif isinstance(damage, bytes):
            file.write_bytes(damage)
    opened.clear()
    assert look(tmp_path, tmp_path / "memory") == expected
    assert opened == ["a.png"]


def test_broken_files_are_judged_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"not a picture")
    settle(path)
    for _ in range(2):
        with ScanIndex(tmp_path / "memory") as index, pytest.raises(UnreadableMedia):
            index.image_size(path)
    assert not (tmp_path / "memory").exists()


def test_several_scans_at_once_and_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    for number in range(30):
        settle(picture(tmp_path / f"{number}.png"))
    expected = look(tmp_path, tmp_path / "memory")
    found: list[Scan] = []

    def one() -> None:
        for _ in range(5):
            found.append(look(tmp_path, tmp_path / "memory"))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(scan == expected for scan in found)
    (tmp_path / "file").write_text("no folder")
    assert look(tmp_path, tmp_path / "file") == expected


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    for number in range(10):
        settle(picture(tmp_path / f"{number}.png"))
    look(tmp_path, tmp_path / "memory")
    size = sum(file.stat().st_size for file in (tmp_path / "memory").iterdir())
    for number in range(1, 10):
        (tmp_path / f"{number}.png").unlink()
    settle(picture(tmp_path / "new.png"))
    look(tmp_path, tmp_path / "memory")
    assert sum(file.stat().st_size for file in (tmp_path / "memory").iterdir()) < size


def test_names_that_are_no_unicode_or_hold_line_breaks(tmp_path: Path, opened: list[str]) -> None:
    for name in (b"caf\xe9.png", b"two\nlines.png", b"-dash.png"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        Image.new("RGB", (32, 48)).save(tmp_path / "x.png")
        os.replace(tmp_path / "x.png", path)
        settle(path)
        for _ in range(2):
            with ScanIndex(tmp_path / "memory") as index:
                assert index.image_size(path) == (32, 48)
    assert len(opened) == 3
