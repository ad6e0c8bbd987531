"""Slow volumes are read several files at once, quick ones one after the other, and what comes of it is the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.data import index as index_module
from engine.data import read_ahead, read_dataset_config, scan
from engine.data.index import ScanIndex
from engine.data.items import Scan
from engine.data.read_ahead import read_each
from tests.unit.test_data_index import settle
from tests.unit.test_data_scan import picture

SLOW = 0.002  # seconds for which a file of a network volume is waited for


class Readers:
    """Counts those who read at once, and who they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = self.most = 0
        self.threads: set[str] = set()

    def reading(self, read: Callable[..., Any], wait: float) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                self.threads.add(threading.current_thread().name)
            try:
                time.sleep(wait)
                return read(*arguments)
            finally:
                with self._lock:
                    self._now -= 1

        return counted


def test_files_that_are_waited_for_are_read_several_at_once_and_come_in_order() -> None:
    together = threading.Barrier(8)  # nobody passes it unless eight are there at once
    started: list[int] = []

    def read(number: int) -> int:
        started.append(number)
        if number < 100:
            time.sleep(SLOW)
        elif number < 108:
            together.wait(30)
        return number * number

    assert list(read_each(read, range(300))) == [number * number for number in range(300)]
    assert sorted(started) == list(range(300))


def test_what_is_not_wanted_yet_is_read_ahead_only_so_far() -> None:
    read: list[int] = []

    def slowly(number: int) -> int:
        time.sleep(SLOW)
        read.append(number)
        return number

    some = read_each(slowly, range(1000))
    for _ in range(100):
        next(some)
    assert isinstance(some, Iterator)
    some.close()  # type: ignore[attr-defined]
    assert len(read) <= 100 + read_ahead._AHEAD
    time.sleep(5 * SLOW)
    assert len(read) <= 100 + read_ahead._AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_on_a_quick_disk_no_thread_is_started() -> None:
    readers = Readers()
    assert len(list(read_each(readers.reading(str, 0), range(500)))) == 500
    assert readers.threads == {threading.current_thread().name}


@pytest.mark.parametrize("wait", [0.0, SLOW])
def test_an_error_comes_in_its_place(wait: float) -> None:
    def read(number: int) -> int:
        time.sleep(wait)
        if number in (60, 61):
            raise ValueError(number)
        return number

    found: list[int] = []
    with pytest.raises(ValueError, match="60"):
        found.extend(read_each(read, range(100)))
    assert found == list(range(60))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eighty pictures and captions, some of them broken, peculiar or missing; the dataset file is beside it."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(80):
        settle(picture(pictures / f"{number:02d}.png", 64 + 16 * (number % 5), 96))
        caption = pictures / f"{number:02d}.txt"
        caption.write_text(f"thing {number}")
        if number in (10, 50):
            (pictures / f"{number:02d}.png").write_bytes(b"no picture")
        elif number in (11, 51):
            caption.write_bytes(b"\xff\xfe\x00")
        elif number in (12, 52):
            caption.unlink()
            continue
        elif number in (13, 53):
            caption.write_text("のねこ", encoding="cp932")
        elif number in (14, 54):
            caption.write_text("")
        settle(caption)
    file = tmp_path / "d.toml"
    file.write_text(f'[[datasets]]\nimage_directory = "{pictures}"\ncaption_extension = ".txt"\n')
    return tmp_path


def looked_at(folder: Path, memory: Path) -> Scan:
    with ScanIndex(memory) as index:
        return scan(
            read_dataset_config(folder / "d.toml", base_dir=folder, spec=None), None, None, strict=False, index=index
        )


def test_a_slow_volume_gives_the_same_scan_and_the_same_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_turn = looked_at(folder, folder / "a")
    assert {skipped.code for skipped in in_turn.skipped} == {"unreadable_image", "caption_not_utf8", "missing_caption"}
    readers = {"image_size": Readers(), "read_caption": Readers()}
    with monkeypatch.context() as patch:
        for name, counting in readers.items():
            patch.setattr(index_module, name, counting.reading(getattr(index_module, name), SLOW))
        at_once = looked_at(folder, folder / "b")
    assert min(counting.most for counting in readers.values()) > 1
    assert at_once == in_turn
    files = [sorted((path.name, path.read_bytes()) for path in (folder / name).iterdir()) for name in "ab"]
    assert files[0] == files[1]


def test_a_scan_from_memory_asks_a_slow_volume_for_many_files_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = looked_at(folder, folder / "a")
    readers = Readers()
    monkeypatch.setattr("engine.data.folder_memory.identity", readers.reading(index_module.identity, SLOW))
    assert looked_at(folder, folder / "a") == first
    assert readers.most > 1
