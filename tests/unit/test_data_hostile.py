"""Whatever people and broken downloads leave in a folder, or write into a file: an answer in words, never a traceback."""

from __future__ import annotations

import json
import struct
import tomllib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.config.problems import UserError
from engine.data import Item, check_dataset_config, read_pixels, scan
from engine.data.inventory import content_problems
from engine.data.schema import KEYS
from engine.data.summary import bucket_summary
from engine.families import get_family
from musubi_tui.cli.root import run as musubi
from tests.unit.test_data_scan import codes, picture, run, video
from tests.unit.without_rights import open_folder as open_folder
from tests.unit.without_rights import permissions_hold

SPECS = [get_family("wan"), get_family("qwen_image"), None]


@pytest.fixture(scope="module")
def mess(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bit of everything."""
    folder = tmp_path_factory.mktemp("mess")
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "control").mkdir()
    for name in ("a", "b_1", "b", "-rf", "two\nlines", "with space", "ねこ", "sub/c", "sub/deeper/d"):
        picture(folder / f"{name}.png", 70, 50)
    for name in ("a", "a_0", "a_1", "b", "ねこ_3"):
        picture(folder / "control" / f"{name}.png", 40, 90, caption=None)
    picture(folder / "one.png", 1, 1)
    Image.new("L", (30_000, 2)).save(folder / "line.png")
    (folder / "line.txt").write_text("a line")
    (folder / "zero.png").write_bytes(b"")
    (folder / "zero.txt").write_text("x")
    (folder / "liar.jpg").write_bytes((folder / "a.png").read_bytes())
    (folder / "liar.txt").write_text("a png in truth")
    (folder / "movie.png").write_bytes(video(folder / "m.mp4", 9).read_bytes())
    (folder / "movie.txt").write_text("x")
    (folder / "cut.mp4").write_bytes((folder / "m.mp4").read_bytes()[:300])
    (folder / "cut.txt").write_text("x")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "loop.txt").write_text("x")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "gone.txt").symlink_to(folder / "a.txt")
    (folder / "folder.png").mkdir()
    (folder / "list.jsonl").write_text(
        "\n".join(
            [
                json.dumps(
                    {"image_path": "a.png", "video_path": "m.mp4", "caption": ["one", "two"], "control_path": "b.png"}
                ),
                json.dumps({"image_path": "x" * 5000, "video_path": "/", "caption": "x"}),
                json.dumps({"image_path": "a.png", "caption": {"a": 1}, "control_path_99999999999": "b"}),
                json.dumps({"image_path_0": "a.png", "image_path_1": "b.png", "caption": ""}),
                "[" * 3000,
                "9" * 5000,
                "null",
                "\x00",
            ]
        )
    )
    return folder


WORDS = st.sampled_from(
    ["", ".", "control", "list.jsonl", "sub", "none", ".txt", "cp932", "ohwx", "head", "uniform", "skip", "a\0b", "~x"]
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([64, 128, 2**40, 0.5, float("nan"), float("inf"), -1.0]),
    WORDS,
    st.lists(st.one_of(st.integers(-2, 90), WORDS, st.lists(st.integers(0, 130), max_size=3)), max_size=3),
    st.none(),
    st.dictionaries(WORDS, WORDS, max_size=1),
)
FITTING: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(0, 9),
    "bool": st.booleans(),
    "text": st.sampled_from(["ohwx", "cp932", "utf-8"]),
    "texts": st.sampled_from([".txt", "txt", [".txt", ".caption"]]),
    "path": st.sampled_from([".", "control", "list.jsonl", "sub", "none", "a.png", "cut.mp4"]),
    "number": st.sampled_from([1, 8.5, 30, 0.1]),
    "share": st.sampled_from([0, 0.5, 1]),
    "count or share": st.sampled_from([1, 100, 0.5]),
    "size": st.sampled_from([64, [64, 128], 17]),
    "sizes": st.sampled_from([64, [64, 96], [[64, 64], [96, 96]], [70, 50]]),
    "ints": st.lists(st.integers(0, 40), min_size=1, max_size=3),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(KEYS), max_size=6, unique_by=lambda key: key.name))
    table = {}
    for key in chosen:
        fitting = st.sampled_from(key.choices) if key.choices else FITTING[key.type]
        table[key.name] = draw(fitting if draw(st.integers(0, 4)) else VALUES)
    return table


SOURCES = st.sampled_from(
    [
        {"image_directory": "."},
        {"image_directory": ".", "caption_extension": ".txt"},
        {"video_directory": "."},
        {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"},
        {"video_jsonl_file": "list.jsonl", "cache_directory": "cache"},
        {},
    ]
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(general=tables(), own=tables(), source=SOURCES, which=st.integers(0, 2))
def test_random_datasets_are_answered_in_words(
    mess: Path, general: dict[str, Any], own: dict[str, Any], source: dict[str, Any], which: int
) -> None:
    spec = SPECS[which]
    tables = {"general": general, "datasets": [{**own, **source}]}
    config, problems = check_dataset_config(tables, base_dir=mess, spec=spec)
    told = list(problems)
    if config is not None:
        task = None if spec is None else spec.task(None)
        found = scan(config, spec, task, strict=False)
        json.dumps(bucket_summary(config, found))
        told += [*found.errors, *found.warnings]
        assert found.items or found.errors or found.held_out or found.skipped
        for item in found.items:
            assert min(item.bucket) >= 1
        if spec is not None:
            told += content_problems(config, spec, task, models=())
    for problem in told:
        str(problem).encode("utf-8", "surrogateescape")
        assert problem.message


EXAMPLE = (Path(__file__).resolve().parents[1] / "golden" / "data" / "configs" / "video_dataset.toml").read_bytes()


@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=5),
    ending=st.sampled_from(["toml", "json"]),
)
def test_any_file_is_read_or_explained_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, int, bytes]], ending: str
) -> None:
    data = EXAMPLE if ending == "toml" else json.dumps(tomllib.loads(EXAMPLE.decode()), indent=1).encode()
    for place, gone, new in edits:
        at = int(place * len(data))
        data = data[:at] + new + data[at + gone :]
    file = tmp_path_factory.getbasetemp() / f"edited.{ending}"
    file.write_bytes(data)
    config, problems = check_dataset_config(file, base_dir=file.parent, spec=SPECS[0])
    errors = [problem for problem in problems if problem.severity == "error"]
    assert (config is None) == bool(errors)
    for problem in errors:
        assert problem.file == str(file)
        assert problem.message


def test_the_mess_itself_is_explained(mess: Path) -> None:
    found = run(mess, {"image_directory": "."}, strict=False)
    assert {item.name for item in found.items} == {
        "a", "b", "b_1", "-rf", "two\nlines", "with space", "ねこ", "one", "line", "liar",
    }  # fmt: skip
    assert codes(found) == {
        "cut.mp4": "unsupported_type",
        "gone.png": "broken_link",
        "loop.png": "broken_link",
        "m.mp4": "unsupported_type",
        "movie.png": "unreadable_image",
        "zero.png": "unreadable_image",
    }
    for item in found.items:
        assert read_pixels(item).shape == (1, item.bucket.height, item.bucket.width, 3)


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(_png(60_000, 60_000, bytes(1000)))
    (tmp_path / "nothing.png").write_bytes(_png(0, 10, b""))
    for name in ("bomb", "nothing"):
        (tmp_path / f"{name}.txt").write_text("x")
    found = run(tmp_path, {"image_directory": "."}, strict=False)
    assert codes(found) == {"bomb.png": "unreadable_image", "nothing.png": "unreadable_image"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4),
    kind=st.integers(0, 4),
)
def test_damaged_pictures_are_named_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flips: list[tuple[float, int]], kind: int
) -> None:
    extension = ("png", "jpg", "webp", "bmp", "avif")[kind]
    folder = tmp_path_factory.getbasetemp() / f"damaged-{extension}"
    folder.mkdir(exist_ok=True)
    path = folder / f"a.{extension}"
    pixels = np.random.default_rng(kind).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[min(len(data) - 1, int(place * len(data)))] = value
    path.write_bytes(bytes(data[: int(cut * len(data))] if cut < 0.9 else data))
    path.with_suffix(".txt").write_text("x")
    found = run(folder, {"image_directory": "."}, strict=False)
    assert len(found.items) + len(found.skipped) == 1
    for item in found.items:
        assert _read_or_named(item, path)


@settings(max_examples=25, deadline=None)
@given(
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    kind=st.integers(0, 2),
)
def test_damaged_videos_are_named_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flips: list[tuple[float, int]], kind: int
) -> None:
    extension = ("mp4", "mkv", "avi")[kind]
    folder = tmp_path_factory.getbasetemp() / f"damaged-{extension}"
    folder.mkdir(exist_ok=True)
    master = folder.parent / f"master.{extension}"
    if not master.exists():
        video(master, 12, noise=True)
    data = bytearray(master.read_bytes())
    for place, value in flips:
        data[min(len(data) - 1, int(place * len(data)))] = value
    (folder / f"a.{extension}").write_bytes(bytes(data[: int(cut * len(data))] if cut < 0.9 else data))
    (folder / "a.txt").write_text("x")
    found = run(folder, {"video_directory": ".", "target_frames": [1, 5]}, strict=False)
    assert found.items or found.skipped
    for item in found.items[:2]:
        assert _read_or_named(item, folder / f"a.{extension}")


def _read_or_named(item: Item, path: Path) -> bool:
    """Whether the item gives pixels of its bucket, or an error that names its file."""
    try:
        shape = read_pixels(item).shape
    except UserError as error:
        return error.problems[0].file == str(path)
    return shape == (item.bucket.frames, item.bucket.height, item.bucket.width, 3)


def test_folders_and_captions_without_permission(
    open_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "shut").mkdir()
    picture(open_folder / "shut" / "b.png")
    picture(open_folder / "a.png")
    entry = {"image_directory": ".", "recursive": True}
    assert len(run(open_folder, entry).items) == 2
    (open_folder / "a.txt").chmod(0)
    (open_folder / "shut").chmod(0)
    with permissions_hold():
        found = run(open_folder, entry, strict=False)
    (open_folder / "shut").chmod(0o700)
    assert codes(found) == {"shut": "unreadable_folder", "a.png": "unreadable_caption"}
    file = open_folder / "d.toml"
    file.write_text('[general]\nresolution = 64\n[[datasets]]\nimage_directory = "shut"\ncache_directory = "cache"\n')
    for name in ("cache", "home"):
        (open_folder / name).mkdir()
    (open_folder / "home").chmod(0o777)
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(open_folder / "home"))
    (open_folder / "shut").chmod(0)
    (open_folder / "cache").chmod(0)
    for command in ("scan", "buckets", "doctor"):
        musubi(["data", command, str(file), "--family", "wan"])  # imports what it uses
        with permissions_hold():
            assert musubi(["data", command, str(file), "--family", "wan"]) == 2
        told = capsys.readouterr()
        assert "older cannot be read" in told.out, command
        assert "cache cannot be read" in told.err or command == "doctor"
        assert "Traceback" not in told.err
    (open_folder / "shut").chmod(0o700)
    (open_folder / "cache").chmod(0o700)


def test_lists_and_folders_of_companions_without_permission(open_folder: Path) -> None:
    (open_folder / "control").mkdir()
    for name in ("a", "control/a"):
        picture(open_folder / f"{name}.png")
    (open_folder / "list.jsonl").write_text('{"image_path": "a.png", "caption": "a"}')
    listed = {"image_jsonl_file": "list.jsonl", "cache_directory": "cache"}
    controlled = {"image_directory": ".", "control_directory": "control"}
    for entry in (listed, controlled):
        assert run(open_folder, entry).items
    (open_folder / "list.jsonl").chmod(0)
    (open_folder / "control").chmod(0)
    with permissions_hold():
        lists, controls = (run(open_folder, entry, strict=False) for entry in (listed, controlled))
    (open_folder / "control").chmod(0o700)
    assert codes(lists) == {"list.jsonl": "unreadable_list"}
    assert (controls.items, controls.errors[0].key) == ((), "control_directory")


def test_a_tree_deeper_than_pythons_stack_is_read(tmp_path: Path) -> None:
    folders = [tmp_path]
    for _ in range(1100):
        folders.append(folders[-1] / "d")
    try:
        for folder in folders[1:]:
            folder.mkdir()
        picture(folders[-1] / "a.png")
        picture(tmp_path / "z.png")
        found = run(tmp_path, {"image_directory": ".", "recursive": True}, strict=False)
        assert [item.path.name for item in found.items] == ["a.png", "z.png"]
    finally:  # pytest's own clearing up would fail on it
        for file in folders[-1].iterdir():
            file.unlink()
        for folder in reversed(folders[1:]):
            folder.rmdir()


@pytest.mark.parametrize("name", ["x" * 240, "ね" * 77], ids=["ascii", "kana"])
def test_a_name_too_long_for_its_cache_file_is_one_bad_item(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / f"{name}.png")
    found = run(tmp_path, {"image_directory": ".", "cache_directory": "cache", "on_bad_item": "skip"})
    assert [item.name for item in found.items] == ["a"]
    assert codes(found) == {f"{name}.png": "name_too_long"}
    with pytest.raises(UserError, match="255"):
        run(tmp_path, {"image_directory": ".", "cache_directory": "cache"})
    file = tmp_path / "dataset.toml"
    file.write_text(
        '[general]\nresolution = 64\ncaption_extension = ".txt"\non_bad_item = "skip"\n'
        '[[datasets]]\nimage_directory = "."\ncache_directory = "cache"\n'
    )
    assert musubi(["data", "doctor", str(file), "--family", "wan", "--json"]) == 0


def test_the_marks_of_a_cut_count_in_the_length_of_a_name(tmp_path: Path) -> None:
    picture(tmp_path / f"{'x' * 226}.png")
    entry = {"image_directory": ".", "cache_directory": "cache"}
    assert len(run(tmp_path, entry).items) == 1
    assert set(codes(run(tmp_path, {**entry, "flip": True}, strict=False)).values()) == {"name_too_long"}
