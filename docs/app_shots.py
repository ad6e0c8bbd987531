"""Pictures of the app's screens: every mode, empty and full, the dialogs, at 80x24, 160x48 and without colour.

    PYTHONPATH=. python docs/app_shots.py FOLDER [NAME…]

Nothing is shown that a person could not have: runs are written as the engine writes them, the run screen plays the recordings of
the test suite, the dataset is the demo's photographs, the preset a shipped one. ``MUSUBI_TUI_LANG=ja`` shoots them in Japanese.
"""

from __future__ import annotations

import asyncio
import html
import math
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDED = REPOSITORY / "tests" / "data" / "replay"
LOOKS = {"80x24": (80, 24), "160x48": (160, 48), "mono": (80, 24)}


@dataclass(frozen=True)
class Shot:
    """One screen. ``home``: what the app finds. ``keys`` are pressed in turn; behind the ``first`` of them ``ready`` must stand there."""

    name: str
    keys: tuple[str, ...] = ()
    home: str = "full"
    replay: str = ""
    edit: bool = False
    ready: str = ""
    first: int = 99


SHOTS = (
    Shot("jobs"),
    Shot("jobs-failed", ("j", "j", "j")),
    Shot("jobs-empty", home="empty", ready="demo"),
    Shot("jobs-new", ("n",)),
    Shot("jobs-stop", ("s",)),
    Shot("jobs-delete", ("j", "j", "d")),
    Shot("jobs-price", ("dollar_sign",)),
    Shot("jobs-explain", ("f1",)),
    Shot("jobs-help", ("question_mark",)),
    Shot("jobs-palette", ("colon",)),
    Shot("preset", edit=True),
    Shot("preset-choices", ("j", "j", "enter"), edit=True),
    Shot("preset-diff", ("minus", "d"), edit=True),
    Shot("preset-plan", ("P",), edit=True),
    Shot("preset-toml", ("T",), edit=True),
    Shot("preset-picker", ("2",), home="empty"),
    Shot("data", ("3",), home="pictures", ready="source · cache"),
    Shot("data-words", ("3", "s"), home="pictures", first=1, ready="source · cache"),
    Shot("data-fix", ("3", "F"), home="pictures", first=1, ready="source · cache"),
    Shot("data-open", ("3", "o"), home="pictures", first=1, ready="source · cache"),
    Shot("data-explain", ("3", "f1"), home="pictures", first=1, ready="source · cache"),
    Shot("data-empty", ("3",), home="empty"),
    Shot("run", replay="interrupted.jsonl"),
    Shot("run-swap", replay="swap.jsonl"),
    Shot("run-explain", ("f1",), replay="swap.jsonl"),
    Shot("run-none", ("4",), home="empty"),
    Shot("compare", ("G", "k", "k", "space", "space", "space", "C"), ready="aligned"),
    Shot("compare-all", ("G", "k", "k", "space", "space", "space", "C", "equals_sign"), ready="aligned"),
    Shot("compare-empty", ("5",)),
    Shot("tools", ("6",)),
    Shot("generate", ("7",)),
    Shot("wizard", ("n", "enter"), home="empty"),
)


def compared_run(home: Path, number: int) -> None:
    """One of three finished runs that differ in rank and rate, with losses, validation and samples."""
    from engine.events.rundir import RunDirectory
    from engine.events.sink import EventSink
    from engine.events.status import Status
    from engine.events.types import RunStart, Sample, Step, Validation

    name, rank, rate, level = (("ink-r32", 32, 1e-4, 1.0), ("ink-r16", 16, 1e-4, 1.15), ("ink-prodigy", 32, 1.0, 0.95))[
        number
    ]
    run = RunDirectory(home / "runs" / f"{name}-2026110{number + 1}-080000")
    run.path.mkdir(parents=True)
    run.run_toml.write_text(
        f'kind = "train"\n[network]\nnetwork_dim = {rank}\n[training]\nlearning_rate = {rate}\nmixed_precision = "bf16"\n'
        'sample_prompts = "prompts.txt"\noutput_dir = "/data/out"\n'
    )
    Status(state="done", name=name, family="wan", step=2000, max_steps=2000, started="2026-11-02T08:00:00Z",
           ended="2026-11-02T09:00:00Z", seconds=2460.0, price=2.0, cost=1.37).write(run)  # fmt: skip
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {"max_train_steps": 2000}))
    for step in range(1, 2001):
        loss = level * (0.08 + 0.16 * math.exp(-step / 300)) * (1 + 0.2 * math.sin(step * 1.7 + number))
        sink.emit(Step(step=step, epoch=step // 200, loss=loss, lr=(1e-4,), step_s=1.23))
        if step % 500 == 0:
            sink.emit(Validation(step=step, loss=level * (0.08 + 0.16 * math.exp(-step / 300)), base=1.0))
            for place in range(2):
                picture = run.output / "sample" / f"{step:06}_{place:02}.jpg"
                picture.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(RECORDED / "swap-samples" / picture.name, picture)
                sink.emit(Sample(path=str(picture), prompt=("a heron in ink", "a red fox")[place], seed=42, step=step))
    sink.close()


def make_home(kind: str, folder: Path) -> Any:
    """What the app finds: nothing, runs, or a dataset that was open last."""
    from musubi_tui.runs.home import Home
    from tests.tui.made_runs import STORY, home_with

    if kind == "empty":
        return Home(folder, "shots", True)
    for number in range(3):
        compared_run(folder, number)
    home = home_with(folder, *STORY)
    if kind == "pictures":
        from engine.testing.photographs import write_photographs
        from musubi_tui.tui.screens.data.last import Wanted, remember

        dataset = folder.parent / "photographs" / "dataset.toml"
        write_photographs(dataset.parent / "pictures")
        dataset.write_text(
            '[general]\nresolution = [256, 256]\nenable_bucket = true\nbatch_size = 4\ncaption_extension = ".txt"\n'
            '[[datasets]]\nimage_directory = "pictures"\ncache_directory = "cache"\n'
        )
        (dataset.parent / "pictures" / "moon.txt").unlink()
        remember(folder, Wanted(str(dataset), "qwen_image", ""))
    return home


@asynccontextmanager
async def opened(shot: Shot, look: str, folder: Path) -> AsyncIterator[Any]:
    """The app on the screen of ``shot``."""
    from musubi_tui.tui.app import MusubiApp
    from musubi_tui.tui.settings import Settings

    home = make_home(shot.home, folder / "home")
    app = MusubiApp(home, replay=RECORDED / shot.replay if shot.replay else None, settings=Settings(theme="mono" if look == "mono" else ""))  # fmt: skip
    if shot.edit:
        preset = folder / "ink-style.toml"
        shutil.copy(next((REPOSITORY / "presets").rglob("wan*/*24*.toml"), next((REPOSITORY / "presets").rglob("*.toml"))), preset)  # fmt: skip
        app.edit_first = str(preset)
    async with app.run_test(size=LOOKS[look]) as pilot:
        await until(pilot, lambda: app.has_read)
        if shot.edit:
            await until(pilot, lambda: app.current_mode == "preset" and getattr(app.screen, "draft", None) is not None)
        if shot.replay:
            await until(pilot, lambda: app.current_mode == "run")
        await settle(pilot)
        for key in shot.keys[: shot.first]:
            await pilot.press(key)
            await settle(pilot)
        if shot.ready:
            await until(pilot, lambda: shot.ready in text_of(app))
        for key in shot.keys[shot.first :]:
            await pilot.press(key)
            await settle(pilot)
        await settle(pilot)
        yield app


async def until(pilot: Any, reached: Callable[[], bool]) -> None:
    """Wait for something, 20 seconds at most."""
    for _ in range(400):
        if reached():
            return
        await pilot.pause(0.05)
    raise SystemExit(f"nothing to see yet:\n{text_of(pilot.app)}")


async def settle(pilot: Any) -> None:
    """Until nothing has been drawn for a while: threads have answered, pictures are decoded."""
    before = ""
    for _ in range(40):
        await pilot.pause(0.25)
        now = text_of(pilot.app)
        if now == before:
            return
        before = now


def text_of(app: Any) -> str:
    """What the terminal shows, one line per row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"


async def shoot(shot: Shot, look: str, folder: Path) -> None:
    """Write FOLDER/NAME-LOOK.svg and .txt."""
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        places = {
            name: str(temporary / name.lower())
            for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        }
        values = {**places, "TZ": "UTC", **({"NO_COLOR": "1"} if look == "mono" else {})}
        stack.enter_context(patch.dict(os.environ, values))
        for name in ("SSH_CONNECTION", "TMUX", "MUSUBI_TUI_HOME", *(() if look == "mono" else ("NO_COLOR",))):
            os.environ.pop(name, None)
        from tests.tui.made_runs import LOAD

        stack.enter_context(patch("musubi_tui.tui.runs_reader.read_load", lambda home, *, busy: LOAD))
        async with opened(shot, look, temporary) as app:
            file = folder / f"{shot.name}-{look}.svg"
            file.write_text(app.export_screenshot(title=f"{shot.name} {look}"), encoding="utf-8")
            file.with_suffix(".txt").write_text(text_of(app), encoding="utf-8")
            print(file, flush=True)


def write_index(folder: Path) -> None:
    """One page with all pictures that lie there, the wide ones below the small ones of the same screen."""
    names = sorted({file.stem.rpartition("-")[0] for file in folder.glob("*.svg")})
    parts = [
        "<!doctype html><meta charset=utf-8><title>musubi-tui</title><style>img{max-width:49%} img.wide{max-width:100%}</style>"
    ]
    for name in names:
        parts.append(f"<h2>{html.escape(name)}</h2>")
        for look in ("80x24", "mono", "160x48"):
            if (folder / f"{name}-{look}.svg").exists():
                parts.append(f'<img class="{"wide" if look == "160x48" else ""}" src="{html.escape(name)}-{look}.svg">')
    (folder / "index.html").write_text("\n".join(parts), encoding="utf-8")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "shots/app")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set(sys.argv[2:])
    unknown = wanted - {shot.name for shot in SHOTS}
    if unknown:
        raise SystemExit(f"no such screen: {', '.join(sorted(unknown))}")
    for shot in SHOTS:
        for look in LOOKS if not wanted or shot.name in wanted else ():
            asyncio.run(shoot(shot, look, folder.resolve()))
    write_index(folder)
    print(folder / "index.html")


if __name__ == "__main__":
    main()
