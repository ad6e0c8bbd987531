"""The frame that stands before Textual is imported: it shows what the app then shows, cell for cell."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from musubi_tui.terminal_width import cells
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.first_frame import KEYS, frame_lines, jobs_lines
from musubi_tui.tui.glyphs import SETS
from musubi_tui.tui.keymap import shown_key
from musubi_tui.tui.remembered import Remembered, keep
from musubi_tui.tui.settings import Settings
from tests.tui.made_runs import STORY, Made, home_with, still_machine
from tests.tui.screen_text import screen_text
from tests.tui.test_jobs import read

SMALL, LARGE = (80, 24), (160, 48)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    still_machine(monkeypatch)
    monkeypatch.setattr("musubi_tui.tui.first_frame._PATIENCE_S", 20.0)  # the machine may be busy
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("LANG", "C.UTF-8")
    for variable in ("SSH_CONNECTION", "TMUX"):
        monkeypatch.delenv(variable, raising=False)


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[\d+m", "", text) for text in lines]


def left_of(text: str, width: int) -> str:
    """The part of a line in its first ``width`` cells."""
    kept = ""
    for char in text:
        if cells(kept + char) > width:
            break
        kept += char
    return kept.rstrip()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
@pytest.mark.parametrize(
    ("kept", "runs", "glyphs", "keys"),
    [
        pytest.param(Remembered(), STORY, "unicode", {}, id="runs"),
        pytest.param(Remembered(), STORY, "ascii", {}, id="ascii"),
        pytest.param(Remembered(sort="loss", reverse=True), STORY, "unicode", {"jobs.sort": "f7"}, id="sorted-moved"),
        pytest.param(Remembered(words="nothing is called this"), STORY, "unicode", {}, id="filtered"),
        pytest.param(Remembered(), (), "unicode", {}, id="none"),
    ],
)
async def test_the_frame_is_the_screen_that_follows(
    tmp_path: Path,
    size: tuple[int, int],
    kept: Remembered,
    runs: tuple[Made, ...],
    glyphs: str,
    keys: dict[str, str],
) -> None:
    home = home_with(tmp_path / "home", *runs)
    keep(kept)
    lines, view = frame_lines(home.path, kept, "local", SETS[glyphs], size, keys)
    app = MusubiApp(home, settings=Settings(glyphs=glyphs, keys=keys), view=view)
    frame, width = plain(lines), 80 if size == SMALL else 90
    rows = (
        2 if kept.words else 13 if size == SMALL else 46
    )  # the app opens the filter's line in the list, a moment later

    def list_of(screen: list[str]) -> list[str]:
        return [screen[0].rstrip(), *(left_of(text, width) for text in screen[1:rows])]

    async with app.run_test(size=size) as pilot:
        await read(pilot)
        for _ in range(100):
            if list_of(screen_text(app).splitlines()) == list_of(frame):
                break
            await pilot.pause(0.05)
        assert list_of(screen_text(app).splitlines()) == list_of(frame)
    assert len(frame) == size[1]


async def test_keys_are_written_as_the_app_writes_them(tmp_path: Path) -> None:
    async with MusubiApp(home_with(tmp_path / "home")).run_test() as pilot:
        assert {name: shown_key(pilot.app, name) for name in KEYS} == KEYS


def test_every_line_is_as_wide_as_the_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "まだ run がありません。n で開始します（プリセットから、またはウィザードの質問で）。"
    monkeypatch.setattr("musubi_tui.tui.first_frame.why_nothing", lambda runs, words: sentence)
    nothing, _ = frame_lines(home_with(tmp_path / "none").path, Remembered(), "local", SETS["unicode"], SMALL)
    assert {cells(text) for text in plain(nothing)} == {80}
    home = home_with(tmp_path / "home", *STORY)
    for mode in ("jobs", "preset", "run"):
        for size in (SMALL, LARGE, (200, 30)):
            lines, _ = frame_lines(home.path, Remembered(), "ssh+tmux", SETS["unicode"], size, mode=mode)
            assert [cells(text) for text in plain(lines)] == [size[0]] * size[1]
            assert "[" in plain(lines)[0]


def test_a_home_that_does_not_answer_costs_a_moment_and_not_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    monkeypatch.setattr("musubi_tui.tui.first_frame._PATIENCE_S", 0.05)
    monkeypatch.setattr("musubi_tui.tui.runs_reader.RunsReader.listed", lambda self: hangs.wait(20))
    try:
        lines, view = frame_lines(tmp_path, Remembered(), "local", SETS["unicode"], SMALL)
    finally:
        hangs.set()
    assert view is None
    assert "Reading the runs." in "\n".join(plain(lines))


def test_the_frame_waits_for_no_textual(tmp_path: Path) -> None:
    script = "import sys; from musubi_tui.cli import opening; from musubi_tui.tui.first_frame import read_runs; from pathlib import Path; "
    script += f"read_runs(Path({str(tmp_path)!r})); sys.exit(any(name.split('.')[0] in ('textual', 'rich', 'numpy') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_a_hostile_name_steers_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    from musubi_tui.tui.first_frame import read_runs

    view = read_runs(home_with(tmp_path / "home", STORY[0]).path)
    assert view is not None
    evil = replace(view, runs=(replace(view.runs[0], name="\x1b]0;x\x07\x1b[2J", reason="\x1b[2J", state="failed"),))
    text = "\n".join(plain(jobs_lines(evil, Remembered(), "local", SETS["unicode"], SMALL, {})))
    assert "\x1b" not in text
    assert "\x07" not in text
