"""The scan's memory: spares opening files, and is believed only for the very same file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from engine.config import check_config
from engine.data import folder_memory, read_dataset_config, scan, sources
from engine.data import index as index_module
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


@pytest.fixture(autouse=True, params=[1, 1000], ids=["remembered whole", "file by file"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many pictures a folder must have to be remembered as a whole."""
    for module in (folder_memory, sources):
        monkeypatch.setattr(module, "MANY", request.param)
    return int(request.param)


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


def folder_of(folder: Path) -> Path:
    """Five pictures with captions, all as old as a year."""
    folder.mkdir()
    for number in range(5):
        picture(folder / f"p{number}.png", 64 + 16 * number, 64, caption=f"caption {number}")
    picture(folder / "marked.png", caption="")
    (folder / "marked.txt").write_text("with a mark", "utf-8-sig")
    for path in folder.iterdir():
        settle(path)
    return folder


def rewritten_in_place(folder: Path) -> None:
    """Other content of the same length, and the time set back: only the time of the change itself tells."""
    before = (folder / "p2.txt").stat()
    (folder / "p2.txt").write_text("caption X")
    os.utime(folder / "p2.txt", ns=(before.st_mtime_ns, before.st_mtime_ns))


def replaced(folder: Path) -> None:
    """Another file of that name, size and time."""
    other = (folder / "p2.txt").read_text().replace("2", "Y")
    settle(folder / "p2.txt")
    (folder / "new").write_text(other)
    settle(folder / "new")
    os.replace(folder / "new", folder / "p2.txt")


def swapped(folder: Path) -> None:
    """Two pictures change names."""
    os.replace(folder / "p1.png", folder / "x.png")
    os.replace(folder / "p2.png", folder / "p1.png")
    os.replace(folder / "x.png", folder / "p2.png")


CHANGES: dict[str, Callable[[Path], object]] = {
    "larger": lambda folder: picture(folder / "p2.png", 96, 48, caption="caption 2"),
    "written anew": lambda folder: settle(folder / "p2.png", YEAR_AGO + 1),
    "caption rewritten in place": rewritten_in_place,
    "caption replaced": replaced,
    "caption longer": lambda folder: settle(folder / "p2.txt").write_text("another caption"),
    "caption empty": lambda folder: (folder / "p2.txt").write_text(""),
    "caption removed": lambda folder: (folder / "p2.txt").unlink(),
    "picture removed": lambda folder: (folder / "p2.png").unlink(),
    "both removed": lambda folder: [(folder / f"p2.{end}").unlink() for end in ("png", "txt")],
    "renamed": lambda folder: [(folder / f"p2.{end}").rename(folder / f"q.{end}") for end in ("png", "txt")],
    "swapped": swapped,
    "added": lambda folder: picture(folder / "p9.png"),
    "added without a caption": lambda folder: picture(folder / "p9.png", caption=None),
    "added of another kind": lambda folder: (folder / "p9.gif").write_bytes(b"GIF89a"),
    "caption added": lambda folder: (folder / "p9.txt").write_text("of nothing"),
    "broken": lambda folder: (folder / "p2.png").write_bytes(b"no picture"),
    "a link to another": lambda folder: [(folder / "p2.png").unlink(), (folder / "p2.png").symlink_to("p3.png")],
    "a folder": lambda folder: [(folder / "p2.png").unlink(), (folder / "p2.png").mkdir()],
    "a subfolder": lambda folder: (folder / "sub").mkdir(),
    "unreadable caption": lambda folder: [(folder / "p2.txt").unlink(), (folder / "p2.txt").mkdir()],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_a_change_the_memory_tells_what_a_first_look_tells(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    folder, memory = folder_of(tmp_path / "pictures"), tmp_path / "memory"
    before = look_at(folder, memory)
    assert look_at(folder, memory) == before
    change(folder)
    after = look_at(folder, None)
    for _ in range(3):
        assert look_at(folder, memory) == after


def test_a_file_behind_a_link_is_watched(tmp_path: Path) -> None:
    folder, memory = folder_of(tmp_path / "pictures"), tmp_path / "memory"
    (folder / "p2.txt").rename(tmp_path / "elsewhere.txt")
    (folder / "p2.txt").symlink_to(tmp_path / "elsewhere.txt")
    assert [look_at(folder, memory).items[3].caption for _ in range(2)] == ["caption 2"] * 2
    (tmp_path / "elsewhere.txt").write_text("caption Z")
    assert [look_at(folder, memory).items[3].caption for _ in range(2)] == ["caption Z"] * 2


def test_a_large_folder_is_remembered_as_a_whole(tmp_path: Path, opened: list[str], many: int) -> None:
    folder, memory = folder_of(tmp_path / "pictures"), tmp_path / "memory"
    first = look_at(folder, memory)
    assert len(list(memory.iterdir())) == (3 if many == 1 else 2)
    opened.clear()
    CAPTIONS_READ.clear()
    for file in memory.iterdir():  # what each file holds is not needed, then
        if many == 1 and file.stat().st_size < max(one.stat().st_size for one in memory.iterdir()):
            file.unlink()
    assert look_at(folder, memory) == first
    assert not opened + CAPTIONS_READ


def test_a_caption_in_doubt_is_read_as_its_neighbours_are_from_memory_too(tmp_path: Path) -> None:
    folder, memory = tmp_path / "pictures", tmp_path / "memory"
    folder.mkdir()
    texts = ["白い猫が座っている", "日, 本", "夜空、星"]
    for number, text in enumerate(texts):
        file = picture(folder / f"p{number}.png", caption=None)
        file.with_suffix(".txt").write_bytes(text.encode("cp932"))
        settle(file)
        settle(file.with_suffix(".txt"))
    for _ in range(3):
        assert [item.caption for item in look_at(folder, memory).items] == texts


@pytest.mark.parametrize("keys", [{"recursive": True}, {"caption_extension": ".cap"}, {"caption_encoding": "cp1252"}, {"trigger_word": "ohwx"}, {"caption_extension": [".txt", ".cap"]}, {"flip": True}], ids=str)  # fmt: skip
def test_other_keys_are_answered_as_by_a_first_look(tmp_path: Path, keys: dict[str, object]) -> None:
    folder, memory = folder_of(tmp_path / "pictures"), tmp_path / "memory"
    (folder / "sub").mkdir()
    settle(picture(folder / "sub" / "deep.png"))
    look_at(folder, memory)
    for number in range(5):
        (folder / f"p{number}.cap").write_text("another kind of caption")
    for _ in range(2):
        look_at(folder, memory)
        assert look_at(folder, memory, keys) == look_at(folder, None, keys)


def look_at(folder: Path, memory: Path | None, keys: dict[str, object] | None = None) -> Scan:
    tables = {
        "general": {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt"},
        "datasets": [{"image_directory": str(folder), "cache_directory": str(folder.parent / "cache"), **(keys or {})}],
    }
    config = read_dataset_config(tables, base_dir=folder, spec=WAN)
    with ScanIndex(memory) as index:
        return scan(config, WAN, WAN.task(None), strict=False, index=index)


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


def test_a_check_of_a_preset_opens_what_changed_alone(tmp_path: Path, opened: list[str]) -> None:
    folder, preset = folder_of(tmp_path / "pictures"), tmp_path / "p.toml"
    preset.write_text(
        'family = "wan"\n[dataset]\ngeneral = { resolution = 64, caption_extension = ".txt" }\n'
        f"datasets = [{{ image_directory = '{folder}', cache_directory = '{tmp_path / 'cache'}' }}]\n"
    )
    first = check_config(preset, memory=tmp_path / "memory")
    assert len(opened) == 6
    opened.clear()
    assert check_config(preset, memory=tmp_path / "memory") == first
    assert opened == []
