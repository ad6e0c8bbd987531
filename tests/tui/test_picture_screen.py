"""A sample on the whole screen: A and B flick at one place, whatever draws them."""

from __future__ import annotations

import sys

from textual.app import App

from musubi_tui.tui.images import Images
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.screens.run import RunSource
from musubi_tui.tui.theme import MUSUBI
from musubi_tui.tui.widgets.lines import Lines
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_run_screen import SMALL, SWAP, Shown, settled


def app_with(images: Images) -> Shown:
    app = Shown(RunSource.replay(SWAP))
    app.images = images  # type: ignore[attr-defined]
    return app


async def opened(app: App[None], pilot) -> PictureScreen:
    await settled(app, pilot)  # type: ignore[arg-type]
    await pilot.press("d")
    await pilot.pause(0.3)
    assert isinstance(app.screen, PictureScreen)
    return app.screen


async def test_a_and_b_flick_and_the_timeline_is_walked():
    app = app_with(Images())
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(app, pilot)
        assert (screen.shown.step, screen.pictures[screen.a].step) == (2000, 1500)
        b = screen.query_one("#cells", Lines)._lines
        await pilot.press("d")
        await pilot.pause(0.2)
        assert screen.shown.step == 1500
        assert screen.query_one("#cells", Lines)._lines != b
        await pilot.press("d")
        await pilot.pause(0.2)
        assert screen.query_one("#cells", Lines)._lines == b
        assert_snapshot(app, "picture_80x24")
        await pilot.press("left", "left", "left")
        assert screen.shown.step == 500
        await pilot.press("a", "right", "right", "right", "right", "d")
        assert screen.shown.step == 500
        assert "A 500  B 2000" in screen_text(app)
        await pilot.press("escape")
        assert app.screen is app.run_screen


async def test_the_cursor_says_which_one_is_shown():
    app = app_with(Images())
    async with app.run_test(size=SMALL) as pilot:
        await settled(app, pilot)
        await pilot.press(*["shift+left"] * 5, "d")
        await pilot.pause(0.2)
        assert isinstance(app.screen, PictureScreen)
        assert app.screen.shown.step == 500


async def test_in_characters_where_there_is_no_colour(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = app_with(Images("sixel"))
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(app, pilot)
        text = screen.query_one("#cells", Lines).plain()
        assert "▀" not in text
        assert sum(char in ".:-=+*#%@" for char in text) > 200


async def test_switched_off_the_strip_names_them_and_one_can_still_be_seen():
    app = app_with(Images("off", True))
    async with app.run_test(size=(160, 48)) as pilot:
        await app.shown(pilot)
        await pilot.pause(0.3)
        strip = app.run_screen.query_one("#samples", Lines).plain()
        assert "▀" not in strip
        assert "off; d shows" in strip
        await pilot.press("d")
        await pilot.pause(0.3)
        assert "▀" in screen_text(app)


async def test_a_terminal_with_graphics_gets_real_pictures_and_is_asked_nothing(capfd):
    app = app_with(Images("sixel", True, (9, 18)))
    stdout = sys.__stdout__
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(app, pilot)
        (widget,) = screen.query(".graphic")
        assert type(widget).__module__.startswith("textual_image")
        await pilot.press("d")
        await pilot.pause(0.3)
        (other,) = screen.query(".graphic")
        assert other is not widget
    assert sys.__stdout__ is stdout
    assert "\x1b[c" not in capfd.readouterr().out


async def test_a_file_that_is_gone_or_no_picture_says_so(tmp_path):
    from engine.events.lines import encode_line
    from engine.events.types import RunStart, Sample, Step

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    events = [RunStart(), Step(step=1, loss=0.1), Sample(str(broken), "p", 1, 1), Sample("/nowhere/x.png", "p", 1, 2)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(encode_line(place, 1e9, event) for place, event in enumerate(events)))
    for kind in ("half", "sixel"):
        app = Shown(RunSource.replay(path))
        app.images = Images(kind, True)  # type: ignore[attr-defined]
        app.register_theme(MUSUBI)
        async with app.run_test(size=SMALL) as pilot:
            await app.shown(pilot)
            await pilot.press("d")
            await pilot.pause(0.3)
            assert "not on this machine" in screen_text(app)
            await pilot.press("d")
            await pilot.pause(0.3)
            assert "not a picture" in screen_text(app)


async def test_without_samples_the_key_says_so(tmp_path):
    from engine.events.lines import encode_line
    from engine.events.types import RunStart, Step

    path = tmp_path / "events.jsonl"
    path.write_bytes(encode_line(0, 1e9, RunStart()) + encode_line(1, 1e9, Step(step=1, loss=0.1)))
    app = Shown(RunSource.replay(path))
    async with app.run_test(size=SMALL) as pilot:
        await app.shown(pilot)
        await pilot.press("d")
        await pilot.pause()
        assert "no samples yet" in screen_text(app)
