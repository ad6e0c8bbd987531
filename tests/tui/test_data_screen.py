"""The Data screen: what it shows of a dataset, what its keys change on disk, and that nothing waits for a scan."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from textual.geometry import Region
from textual.pilot import Pilot

from engine.config.problems import UserError
from musubi_tui.cli.root import run
from musubi_tui.datasets import scanning
from musubi_tui.datasets.board import PRESENT, Board, Rows, Texts
from musubi_tui.datasets.scanner import Teller, make_board
from musubi_tui.datasets.scanning import Progress, Refused
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.glyphs import UNICODE
from musubi_tui.tui.keymap import known_bindings
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.data import screen as data_screen
from musubi_tui.tui.screens.data import text
from musubi_tui.tui.screens.data.choosing import Choice, chosen, groups
from musubi_tui.tui.screens.data.editor import CaptionEditor
from musubi_tui.tui.screens.data.fixing import FixScreen
from musubi_tui.tui.screens.data.last import Wanted, remember, remembered
from musubi_tui.tui.screens.data.opening import OpenScreen
from musubi_tui.tui.screens.data.screen import DataScreen
from musubi_tui.tui.screens.data.words import _parts
from musubi_tui.tui.screens.explain import ExplainScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.rows import RowList
from tests.tui.made_runs import STORY, home_with, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.unit.test_data_scan import video

HOSTILE = "x[red]y\x1b[2Jz\nw.png"


def gradient(path: Path, width: int, height: int, caption: str | None) -> None:
    across = np.linspace(0, 255, width).astype(np.uint8)
    down = np.linspace(0, 255, height).astype(np.uint8)
    pixels = np.stack([np.tile(across, (height, 1)), np.tile(down[:, None], (1, width)), np.full((height, width), 90, np.uint8)], 2)  # fmt: skip
    Image.fromarray(pixels).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pics, clips = tmp_path / "pics", tmp_path / "clips"
    pics.mkdir()
    clips.mkdir()
    for number in range(5):
        gradient(
            pics / f"a{number}.png", 160, 240, f"ohwx heron {number}, dawn mist, negative space and ink on paper\n"
        )
    gradient(pics / "wide.png", 300, 120, "a wide one")
    gradient(pics / "small.png", 50, 40, "")
    gradient(pics / "浮世絵の猫と犬の長い名前.png", 160, 160, "雪の上を歩く猫の浮世絵、余白のある構図")
    gradient(pics / HOSTILE, 160, 160, "[bold]not markup[/bold]\x1b]0;title\x07")
    gradient(pics / "mute.png", 160, 160, None)
    video(clips / "street.mp4", 40, fps=16)
    (tmp_path / "dataset.toml").write_text(
        '[general]\nresolution = [128, 128]\nenable_bucket = true\ncaption_extension = ".txt"\nbatch_size = 4\n'
        '[[datasets]]\nimage_directory = "pics"\ncache_directory = "cache"\n'
        '[[datasets]]\nvideo_directory = "clips"\ncache_directory = "cache2"\ntarget_frames = [9, 17]\nframe_extraction = "chunk"\n',
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Silent(Teller):
    """Nobody listens."""

    def __init__(self) -> None:
        pass

    def progress(self, what: str, done: int, total: int) -> None:
        """Nothing."""


class Here:
    """A scan in this process, for tests that are not about the other one."""

    def __init__(self, request: dict[str, Any], hear: Callable[[Any], None]) -> None:
        def work() -> None:
            try:
                board: Any = make_board(request, Silent())
                board.seconds = 0.4
            except UserError as error:
                board = Refused(str(error))
            hear(board)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """It ends by itself."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setattr(data_screen, "Scanning", Here)
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)
    return home_with(tmp_path / "home")


WANTED = Wanted("dataset.toml", "wan", "ohwx")


def looking(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> MusubiApp:
    """The app without colour for the look ``mono``."""
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    return MusubiApp(home, settings=Settings(theme="mono" if look == "mono" else ""))


async def opened(pilot: Pilot[Any], wanted: Wanted | None = WANTED) -> DataScreen:
    """The Data screen with a painted item."""
    app = pilot.app
    assert isinstance(app, MusubiApp)
    if wanted is not None:
        remember(app.home.path, wanted)
    await pilot.press("3")
    found = app.screen
    assert isinstance(found, DataScreen)
    await until(pilot, lambda: found.refused != "" or (found.painted is not None and settled(found)))
    return found


def settled(found: DataScreen) -> bool:
    painted = found.painted
    picture = found.query_one("#picture")
    return painted is not None and painted.wish.board is found.board and painted.wish.row == found.row_under_cursor() and painted.wish.width == picture.size.width  # fmt: skip


async def until(pilot: Pilot[Any], met: Callable[[], bool]) -> None:
    for _ in range(400):
        if met():
            break
        await pilot.pause(0.02)
    assert met()
    await pilot.pause()


def cursor_on(found: DataScreen, name: str) -> None:
    assert found.board is not None
    names = [found.board.rows.names[int(row)] for row in found.rows]
    found.query_one("#items", RowList).choose(
        next(place for place, other in enumerate(names) if other.startswith(name))
    )


# -- what it shows


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_both_sizes(home: Home, folder: Path, size: tuple[int, int]) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        assert_snapshot(app, f"data-{size[0]}x{size[1]}")


@pytest.mark.parametrize("settings", [Settings(glyphs="ascii"), Settings(theme="mono")], ids=["ascii", "mono"])
async def test_ascii_and_mono(home: Home, folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    if settings.theme:
        monkeypatch.setenv("NO_COLOR", "1")
    app = MusubiApp(home, settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        cursor_on(found, "wide")
        await until(pilot, lambda: settled(found))
        assert_snapshot(app, "data-ascii" if settings.glyphs else "data-mono")
        if settings.glyphs:
            assert screen_text(app).replace("浮世絵の", "").isascii()
        await pilot.press("a")
        assert found.query("#caption-editor")
        await pilot.press("escape", "F", "1", "escape")


async def test_nothing_is_open(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        assert_snapshot(app, "data-empty")
        await pilot.press("a", "i", "u", "F", "D", "f", "s", "b", "v", "c", "slash", "escape", "r", "enter", "O")
        assert isinstance(app.screen, DataScreen)
        assert app.cli_twin() == "musubi-tui data scan DATASET.toml"


async def test_a_broken_dataset_says_what_is_wrong(home: Home, folder: Path) -> None:
    (folder / "dataset.toml").write_text("[[datasets]]\nimage_directry = 'pics'\nresolution = 'big'\n")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert_snapshot(app, "data-broken")
        (folder / "dataset.toml").write_text("[[datasets]]\nimage_directory = 'pics'\nresolution = 128\n")
        await pilot.press("r")
        await until(pilot, lambda: getattr(app.screen, "board", None) is not None)


async def test_scanning_shows_how_far_it_is(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def __init__(self, request: dict[str, Any], hear: Callable[[Any], None]) -> None:
            threading.Thread(target=lambda: hear(Progress("scan", 41200, 100000)), daemon=True).start()

        def stop(self) -> None:
            pass

    monkeypatch.setattr(data_screen, "Scanning", Slow)
    remember(home.path, WANTED)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: "41200" in screen_text(app))
        assert_snapshot(app, "data-scanning")
        await pilot.press("1", "3", "o")  # the screen goes on working
        assert isinstance(app.screen, OpenScreen)


async def test_the_numbers_are_those_of_the_command(
    home: Home, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        assert found.board is not None
        summary = found.board.summary
    assert run(["data", "buckets", "dataset.toml", "--family", "wan", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    told["total"].pop("steps_per_epoch")
    assert json.loads(json.dumps(summary)) == told


async def test_hostile_names_are_text_and_wide_ones_keep_the_frame(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(160, 48)) as pilot:
        found = await opened(pilot)
        cursor_on(found, "x[red]")
        await until(pilot, lambda: settled(found))
        shown = screen_text(app)
        assert "x[red]y�[2Jz w" in shown
        assert "[bold]not markup[/bold]�]0;title�" in shown
        assert "\x1b" not in shown
        strips = app.screen._compositor.render_strips()
        assert {sum(cell_len(segment.text) for segment in strip) for strip in strips} == {160}


# -- looking around


@pytest.mark.parametrize("look", ["80x24", "160x48", "mono"])
async def test_f1_explains_every_panel(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    app = looking(home, monkeypatch, look)
    async with app.run_test(size=(160, 48) if look == "160x48" else (80, 24)) as pilot:
        found = await opened(pilot)
        explained = {}
        for panel in found.focus_chain:
            panel.focus()
            await pilot.press("f1")
            assert isinstance(app.screen, ExplainScreen), panel
            explained[panel.id] = {title.visual.plain for title in app.screen.query(".title")}  # type: ignore[attr-defined]
            if panel.id == "buckets":
                assert_snapshot(app, f"data-explain-{look}")
            await pilot.press("escape")
        assert {"buckets", "17x4 +3: batches and short batches", "items, files and repeats"} <= explained["buckets"]
        assert {"crop", "captions and tokens", "clips and frames"} <= explained["items"]
        assert {"warnings", "a closer look (D)", "mending (F)"} <= explained["warnings"]


async def test_f1_explains_what_a_dataset_is_while_none_is_open(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await pilot.pause(0.1)
        await pilot.press("f1")
        assert "dataset and first line" in screen_text(app)


async def test_groups_filter_and_clear(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        everything = len(found.rows)
        await pilot.press("slash", *"heron", "space", *"!4", "enter")
        assert len(found.rows) == 4
        await pilot.press("escape")
        assert len(found.rows) == everything
        await pilot.press("shift+tab")
        assert found.focused is not None
        assert found.focused.id == "buckets"
        await pilot.press("enter")
        assert len(found.rows) == 5
        assert {tuple(found.board.rows.bucket[row]) for row in found.rows} == {(96, 160, 1)}  # type: ignore[union-attr]
        await pilot.press("escape", "b")
        assert "pics" in screen_text(app)
        await pilot.press("b")
        assert "17 frames" in screen_text(app)


async def test_a_warning_leads_to_its_files(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        assert "tab here: j/k scroll, z zoom" in screen_text(app)
        found.query_one("#warnings").focus()
        await pilot.pause()
        assert "empty captions: 1" in screen_text(app)
        assert "captions without" not in screen_text(app)
        await pilot.press("down", "down", "down", "up")
        assert "captions without 'ohwx': " in screen_text(app)
        assert "j/k 3/5  enter its files  z zoom" in screen_text(app)
        await pilot.press("z")
        await until(pilot, lambda: "empty captions: 1" in screen_text(app) and "short batches" in screen_text(app))
        await pilot.press("z")
        await pilot.press("enter")
        assert found.board is not None
        names = {found.board.rows.names[int(row)] for row in found.rows}
        assert "wide.png" in names
        assert "a0.png" not in names
        await pilot.press("escape")
        assert len(found.rows) == len(found.board.rows)


async def test_twins(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        assert app.cli_twin() == "musubi-tui data show dataset.toml a0.png --family wan"
        found.query_one("#buckets").focus()
        await pilot.pause()
        assert app.cli_twin() == "musubi-tui data buckets dataset.toml --family wan"
        found.query_one("#warnings").focus()
        await pilot.pause()
        assert app.cli_twin() == "musubi-tui data doctor dataset.toml --family wan"
        await pilot.press("F", "1")
        assert app.cli_twin().startswith("musubi-tui data doctor dataset.toml --family wan --trigger ohwx --fix ")
        await pilot.press("escape", "s")
        assert app.cli_twin() == "musubi-tui data scan dataset.toml --family wan"
        assert "NOT trained" in screen_text(app)


def test_the_survey_in_words_is_cut_nowhere() -> None:
    line = "  8 of 12 pictures are smaller than the training size and stay small"
    assert _parts(line, 80) == [line]
    parts = _parts(line, 40)
    assert all(len(part) <= 40 for part in parts)
    assert [len(part) - len(part.lstrip()) for part in parts] == [2, 4]
    assert " ".join(part.strip() for part in parts) == line.strip()


async def test_the_frames_of_a_clip(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        cursor_on(found, "street@17+17")
        await until(pilot, lambda: settled(found))
        assert "17-33/40" in screen_text(app)
        await pilot.press("f")
        await until(pilot, lambda: "@17    17" in screen_text(app))
        shown = screen_text(app)
        assert "36 frames are used by 6 clips" in shown
        assert app.cli_twin() == "musubi-tui data frames dataset.toml street.mp4 --family wan"


# -- changing


async def test_a_caption_is_written_and_taken_back(home: Home, folder: Path) -> None:
    file = folder / "pics" / "a0.txt"
    before = file.read_bytes()
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        await pilot.press("a", "exclamation_mark", *"q2", "ctrl+s")
        await until(pilot, lambda: file.read_bytes() == before.strip() + b"!q2\n")
        await until(pilot, lambda: not found.query("#caption-editor"))
        assert found.board is not None
        assert found.board.rows.captions[0].endswith("paper!q2")
        await pilot.press("a", *"lost")
        editor = found.query_one(CaptionEditor)
        await pilot.press("escape")
        await until(pilot, lambda: not editor.is_attached)
        assert len(editor.render_lines(Region(0, 0, 9, 2))) == 2  # Textual may still ask for what is gone
        assert file.read_bytes() == before.strip() + b"!q2\n"
        await pilot.press("u")
        await until(pilot, lambda: file.read_bytes() == before)


async def test_a_caption_that_somebody_else_changed_is_asked_about(home: Home, folder: Path) -> None:
    file = folder / "pics" / "a0.txt"
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)

        async def edit_while(theirs: str) -> None:
            await pilot.press("a", *"zz")
            file.write_text(theirs, "utf-8")
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            assert file.read_text("utf-8") == theirs
            assert "Somebody else changed the caption of a0.png" in screen_text(app)
            assert theirs.strip() in screen_text(app)

        await edit_while("ohwx of theirs\n")
        await pilot.press("escape")
        assert found.query_one(CaptionEditor).text.endswith("zz"), "nothing is decided: what was typed is there"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("k")
        await until(pilot, lambda: not found.query("#caption-editor"))
        assert file.read_text("utf-8") == "ohwx of theirs\n"
        assert found.board is not None
        assert found.board.rows.captions[0] == "ohwx of theirs"
        await edit_while("ohwx once more\n")
        await pilot.press("o")
        await until(pilot, lambda: not found.query("#caption-editor"))
        assert file.read_text("utf-8") == "ohwx of theirszz\n"
        await pilot.press("u")
        await until(pilot, lambda: file.read_text("utf-8") == "ohwx once more\n")


async def test_a_caption_that_is_missing_is_written_and_trained(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        board = found.board
        cursor_on(found, "mute")
        await until(pilot, lambda: settled(found))
        assert "not trained: it has no caption" in screen_text(app)
        await pilot.press("a", *"now", "ctrl+s")
        await until(pilot, lambda: found.board is not board)
        assert (folder / "pics" / "mute.txt").read_text() == "now\n"
        await until(pilot, lambda: settled(found))
        assert "caption: now" in screen_text(app)  # the cursor stayed on the file


async def test_what_cannot_be_written_is_told_and_kept_on_the_screen(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("musubi_tui.datasets.captions.write_bytes_atomically", refuse)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        await pilot.press("a", *"x", "ctrl+s")
        await until(pilot, lambda: bool(app._notifications))
        assert any("cannot be written" in note.message for note in app._notifications)
        assert found.query("#caption-editor")  # what was typed is not lost


async def test_set_aside_and_back(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        await pilot.press("i")
        await until(pilot, lambda: not (folder / "pics" / "a0.png").exists())
        assert (folder / "pics.set-aside" / "a0.txt").exists()
        await until(pilot, lambda: found.board is not None and found.board.rows.names[0] == "a1.png")
        await pilot.press("u")
        await until(pilot, lambda: (folder / "pics" / "a0.png").exists())


async def test_fixes_are_previewed_and_applied(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        await pilot.press("F")
        dialog = app.screen
        assert isinstance(dialog, FixScreen)
        number = [finding.fix for finding in dialog.fixes].index("trigger_word") + 1
        await pilot.press("enter", str(number))
        await until(pilot, lambda: "'ohwx, a wide one'" in screen_text(app))
        assert (folder / "pics" / "wide.txt").read_text() == "a wide one"
        await pilot.press("enter")
        await until(pilot, lambda: (folder / "pics" / "wide.txt").read_text() == "ohwx, a wide one\n")
        await until(pilot, lambda: app.screen is found)


async def test_a_closer_look_finds_what_the_scan_did_not(home: Home, folder: Path) -> None:
    data = (folder / "pics" / "a1.png").read_bytes()
    (folder / "pics" / "a1.png").write_bytes(data[:-60])
    app = MusubiApp(home)
    async with app.run_test(size=(160, 48)) as pilot:
        found = await opened(pilot)
        assert "near-duplicates" not in screen_text(app)
        await pilot.press("D")
        await until(pilot, lambda: found.board is not None and found.board.decoded)
        shown = screen_text(app)
        assert "files that cannot be decoded: 1" in shown
        assert "near-duplicates: " in shown
        assert "✗ broken" in shown


# -- opening


async def test_the_dialog_completes_paths_and_remembers(home: Home, folder: Path) -> None:
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3", "o", *"nothing.toml", "enter")
        assert "There is no such file." in screen_text(app)
        await pilot.press(*["backspace"] * 12, *"dat")
        await pilot.pause(0.1)
        await pilot.press("tab")
        assert app.screen.query_one("#path").value == "dataset.toml"  # type: ignore[attr-defined]
        assert app.cli_twin() == "musubi-tui data scan dataset.toml"
        await pilot.press("tab", *"wan", "enter")
        await until(pilot, lambda: getattr(app.screen, "board", None) is not None)
    last = remembered(home.path)
    assert last is not None
    assert (Path(last.file), last.family) == (folder / "dataset.toml", "wan")
    (home.path / "tui" / "dataset.json").write_text("[]")
    assert remembered(home.path) is None


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
async def test_without_a_family_the_first_line_says_what_the_signs_mean(
    home: Home, folder: Path, size: tuple[int, int]
) -> None:
    hint = "no family: caches not judged (o: preset, or --family)"
    app = MusubiApp(home)
    async with app.run_test(size=size) as pilot:
        found = await opened(pilot, Wanted("dataset.toml"))
        assert "–L–T" in screen_text(app)
        assert hint in screen_text(app)
        assert "dataset.toml" in screen_text(app)
        found.open(WANTED)
        await until(pilot, lambda: found.board is not None and found.board.opened.spec is not None)
        assert hint not in screen_text(app)
        assert "–L–T" not in screen_text(app)


async def test_the_dataset_of_the_active_run_and_caching_it(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "preset.toml").write_text(
        'family = "wan"\ntask = "t2v-1.3B"\ndit = "a"\nvae = "b"\nt5 = "c"\ndataset_config = "dataset.toml"\n'
        'output_dir = "out"\noutput_name = "x"\n'
    )
    made = make_run(home.path, STORY[0])
    (made.path / "origin.json").write_text(json.dumps({"preset": str(folder / "preset.toml"), "version": 1}))
    asked: list[str] = []
    monkeypatch.setattr("musubi_tui.tui.steering.cache", lambda file, home: asked.append(file) or "cache-1: starting")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.view.active is not None)
        await pilot.press("3", "O")
        found = app.screen
        assert isinstance(found, DataScreen)
        await until(pilot, lambda: found.board is not None)
        assert found.board is not None
        assert found.board.opened.is_preset
        assert app.cli_twin().startswith("musubi-tui data ")
        await pilot.press("c")
        await until(pilot, lambda: asked == [str(folder / "preset.toml")])


@pytest.mark.parametrize("source", ["empty", "gone"])
async def test_a_dataset_of_nothing_can_be_looked_at(home: Home, folder: Path, source: str) -> None:
    (folder / "empty").mkdir()
    (folder / "dataset.toml").write_text(f'[[datasets]]\nimage_directory = "{source}"\nresolution = 128\n')
    remember(home.path, Wanted("dataset.toml"))
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, lambda: getattr(app.screen, "board", None) is not None)
        assert "training would stop" in screen_text(app)
        await pilot.press(
            "end", "j", "f", "v", "b", "a", "i", "D", "F", "1", "enter", "escape", "shift+tab", "enter", "slash", "x"
        )
        assert isinstance(app.screen, DataScreen)


async def test_the_keys_can_be_moved_and_are_known() -> None:
    known = known_bindings()
    assert {"data.caption", "data.fix", "data.up"} <= set(known)


# -- the other process


def test_the_scanner_answers_from_its_own_process(folder: Path) -> None:
    heard: list[Any] = []
    ended = threading.Event()

    def hear(what: Any) -> None:
        heard.append(what)
        if not isinstance(what, Progress):
            ended.set()

    scanning.Scanning(scanning.request(Path("dataset.toml"), "wan"), hear)
    assert ended.wait(60)
    assert isinstance(heard[-1], Board)
    assert len(heard[-1].rows) == 16
    assert heard[0] == Progress("scan", 1, 10)
    ended.clear()
    scanning.Scanning(scanning.request(Path("gone.toml")), hear)
    assert ended.wait(60)
    assert isinstance(heard[-1], Refused)
    assert "there is no such file" in heard[-1].text


# -- a hundred thousand items


def many(board: Board, count: int) -> Board:
    """The board with that many rows."""
    numbers = np.arange(count)
    texts = [
        Texts(f"{kind}{number:06}" for number in numbers)
        for kind in ("p", "/d/p", "caption ", "", "0:p", "/c/l", "/c/t")
    ]
    texts[3] = Texts("" for _ in numbers)
    fill: Callable[..., Any] = np.full
    arrays: list[Any] = [
        fill(count, 0, np.uint8), fill(count, 0, np.int32), fill((count, 2), 640, np.int32), fill((count, 3), (512, 512, 1), np.int32),
        fill(count, 0, np.int32), fill((count, 2), 0.5, np.float32), fill((count, 2), 0, np.float32), fill(count, 9, np.int32),
        fill(count, 0.8, np.float32), fill(count, PRESENT, np.uint8), fill(count, PRESENT, np.uint8),
    ]  # fmt: skip
    values: list[Any] = [*texts, *arrays, {}]
    return Board(board.opened, Rows(*values), board.summary, board.survey)


async def test_a_hundred_thousand_items_cost_what_is_visible(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = 0
    draw = text.item_line

    def counting(*arguments: Any) -> Any:
        nonlocal drawn
        drawn += 1
        return draw(*arguments)

    monkeypatch.setattr(text, "item_line", counting)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        found = await opened(pilot)
        assert found.board is not None
        found.take(many(found.board, 100_000))
        await pilot.pause()
        drawn = 0
        await pilot.press("end", "pageup", "k", "j", "pagedown", "home")
        await pilot.pause()
        assert 0 < drawn < 200
        await pilot.press("end")
        assert "p099999" in screen_text(app)
        assert len(chosen(found.board, Choice("p0999"))) == 100


def test_groups_of_sources_and_frames(folder: Path) -> None:
    board = make_board({"file": "dataset.toml", "family": "wan"}, Silent())
    by_source = groups(board.summary, "source")
    assert [(group.title, group.items, group.batches) for group in by_source] == [("pics", 9, 5), ("clips", 6, 2)]
    assert [group.frames for group in groups(board.summary, "frames")] == [1, 9, 17]
    line = text.bucket_line(groups(board.summary, "bucket")[0], 5, 60, 9, UNICODE)
    assert "".join(part for part, _ in line).split()[-3:] == ["5", "1x4", "+1"]


@pytest.mark.parametrize(
    ("given", "width"), [("", 5), ("a" * 50, 4), ("猫" * 20, 3), ("猫" * 20, 1), ("a  b " * 9, 6), ("x", 0)]
)
def test_wrapped_text_fits(given: str, width: int) -> None:
    lines = text.wrapped(given, width, 6)
    assert 1 <= len(lines) <= 6
    assert all(cell_len(line) <= max(2, width) for line in lines)
