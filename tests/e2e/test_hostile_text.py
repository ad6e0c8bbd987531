"""Texts from outside (names, captions, prompts, log lines) steer no terminal and are no markup: in every command, and on the screens."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.terminal import Terminal, plain_environment
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Checkpoint, Failed, Phase, RunEnd, RunStart, Sample, Step, Validation, Warned
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.runs.queueing import add

APP = [sys.executable, "-m", "musubi_tui"]
# Set a title, copy to the clipboard, ask the terminal for its attributes, an 8-bit CSI, erase, ring, and Rich's markup.
EVIL = "a\x1b]0;OWNED\x07\x1b]52;c;T1dORUQ=\x07\x1b[>c\x9b31mred\x1b[3Jgone\x08\r\x00 [bold red]loud[/bold red] [@click=app.quit]x[/]"
TRACES = (b"\x1b]0;OWNED", b"T1dORUQ=\x07", b"\x1b[>c", b"\x9b31m", "\x9b31m".encode(), b"\x1b[3J", b"\x00", b"\x07")


def steering(terminal: Terminal) -> list[bytes]:
    """What came through that steers a terminal."""
    ours = rb"\x1b\]22;[a-z]*\x07|\x1b\]52;c;(?!T1dORUQ=)[A-Za-z0-9+/=]*\x07"  # the shape of the pointer, what Y copies
    written = re.sub(ours, b"", terminal.raw)
    return [trace for trace in TRACES if trace in written]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A run in which every text is hostile, waiting in the queue as well."""
    run = RunDirectory.create(tmp_path / "home", EVIL)
    run.run_toml.write_text('kind = "train"\n[run]\noutput_name = "x"\nfamily = "wan"\n', "utf-8")
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    for event in (
        RunStart(1, 0, {"max_train_steps": 9, "output_name": EVIL, "optimizer_type": EVIL}, gpu=EVIL),
        Phase(EVIL, "start"),
        *(Step(step=step, epoch=1, loss=0.5 / step, lr=(1e-4,), grad_norm=0.1, items=(f"0:{EVIL}",), step_s=0.1) for step in range(1, 9)),
        Step(step=9, epoch=1, loss=50.0, lr=(1e-4,), grad_norm=0.1, items=(f"0:{EVIL}",), step_s=0.1),
        Validation(step=9, loss=0.2, by_t={EVIL: 0.1}),
        Sample(path=f"/x/{EVIL}.png", prompt=EVIL, step=9),
        Checkpoint(path=f"/x/{EVIL}.safetensors", kind="lora", bytes=5, step=9),
        Warned(EVIL, EVIL, EVIL),
        Failed(EVIL, EVIL, EVIL),
        RunEnd("failed", EVIL),
    ):  # fmt: skip
        sink.emit(event)
    assert sink.close()
    run.engine_log.write_text(f"{EVIL}\n" * 3, "utf-8")
    run.items.write_text(f'{{"id": "0:x", "path": "/p/{"x"}.png"}}\n', "utf-8")
    Status("failed", reason=EVIL, name=EVIL, family=EVIL, step=9, max_steps=9, phase=EVIL).write(run)
    add(QueueFile(tmp_path / "home"), Entry(0, "", str(run.path)))
    return tmp_path


COMMANDS = [
    "runs list", "runs show last", "runs logs last", "runs watch last --plain", "runs watch last", "runs plot last", "runs compare last last",
    "runs list --json", "runs watch last --json", "queue list", "data scan dataset.toml --family wan", "data buckets dataset.toml --family wan",
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_lets_a_text_steer_the_terminal(home: Path, words: str) -> None:
    pictures = home / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(pictures / f"{EVIL.replace(chr(0), '').replace('/', '-')}.png")
    (pictures / f"{EVIL.replace(chr(0), '').replace('/', '-')}.txt").write_text(EVIL, "utf-8")
    (pictures / "torn\x1b]0;OWNED\x07.png").write_bytes(b"no picture")
    (home / "dataset.toml").write_text(
        f"[general]\nresolution = [64, 64]\ncaption_extension = '.txt'\n[[datasets]]\nimage_directory = '{pictures}'\n",
        "utf-8",
    )
    command = [*APP, *(str(home / word) if word == "dataset.toml" else word for word in words.split())]
    with Terminal(command, (160, 48), plain_environment(str(home))) as terminal:
        code = terminal.wait(40)
    assert code in (0, 1), terminal.plain()[-2000:]
    assert len(terminal.plain()) > 40
    assert [trace for trace in TRACES if trace in terminal.raw] == [], terminal.raw[-3000:]
    assert b"Traceback" not in terminal.raw


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_no_screen_does_either(home: Path, size: tuple[int, int]) -> None:
    with Terminal(APP, size, plain_environment(str(home))) as terminal:
        terminal.until("failed")
        terminal.pump(1.5)
        terminal.keys("\r")
        terminal.until("[4 Run]")
        for _ in range(5):
            terminal.pump(0.6)
            terminal.keys("\t")
        terminal.keys("!")
        terminal.pump(1.0)
        shown = terminal.plain()
    assert b"[bold red]loud" in shown  # as it was written, not as markup
    assert steering(terminal) == []
    assert b"Traceback" not in shown


def named(folder: Path, end: str) -> Path:
    """A hostile file name."""
    return folder / (EVIL.replace("\0", "").replace("/", "-") + end)


def test_no_question_no_notice_and_no_comparison_does(home: Path) -> None:
    """On Jobs: a preset whose check names hostile files, stopping, duplicating, deleting, archiving; then Compare."""
    run = next((home / "home" / "runs").iterdir())
    shutil.copytree(run, run.with_name(f"{run.name}-2"))
    preset = home / "p.toml"
    preset.write_text(
        'family = "wan"\ndit = "/no/\\u001b]0;OWNED\\u0007[bold red]loud"\n"\\u001b[3Jkey" = 1\n', "utf-8"
    )
    with Terminal(APP, (160, 48), plain_environment(str(home))) as terminal:
        terminal.until("failed")
        terminal.keys("n")
        terminal.until("Start a run of which preset?")
        terminal.keys(f"{preset}\r")
        terminal.until("[bold red]loud", "Jkey")
        terminal.keys("\x1b")
        for keys in ("X", "D", "d", "\x1b", " ", "j", " ", "C"):
            terminal.pump(0.7)
            terminal.keys(keys)
        terminal.until("[5 Compare]")
        terminal.pump(1.0)
        for keys in ("=", "Y", "1", "z", "z", "x", "A"):
            terminal.keys(keys)
            terminal.pump(0.7)
    assert b"OWNED" in terminal.plain()
    assert steering(terminal) == []
    assert b"Traceback" not in terminal.raw


WRITTEN = "\\u001b]0;OWNED\\u0007\\u001b[>c\\u009b31m\\u001b[3J [bold red]loud[/bold red] [/]"  # as TOML spells it
PRESETS = {
    "toml": f'family = "wan"\noutput_name = "{WRITTEN}"\nnotes = "{WRITTEN}"\n"{WRITTEN}" = 1\n',
    "broken": f"# {EVIL}\nfamily = {EVIL}\n",
}


@pytest.mark.parametrize("kind", PRESETS)
def test_no_preset_does(home: Path, kind: str) -> None:
    """Named as badly as can be, holding what is as bad: in the form, its text, its differences, its dialogs."""
    preset = named(home, ".toml")
    preset.write_text(PRESETS[kind], "utf-8")
    with Terminal([*APP, "presets", "edit", str(preset)], (160, 48), plain_environment(str(home))) as terminal:
        terminal.until("toml", "family")
        keys = (
            "!",
            ".",
            "\x1b",
            "P",
            "\x1b",
            " ",
            "d",
            "f",
            "\x1b",
            "S",
            "\x1b",
            "L",
            "\x1b",
            "H",
            "\x1b",
            "Y",
            "y",
            "T",
            "\r",
            "\x1b",
            "o",
        )
        for one in keys if kind == "toml" else ("\x1b", *keys):
            terminal.pump(0.5)
            terminal.keys(one)
        terminal.pump(0.7)
    assert b"OWNED" in terminal.plain()
    assert steering(terminal) == []
    assert b"Traceback" not in terminal.raw


def test_no_dataset_does(home: Path) -> None:
    """Names, captions and pictures on Data: its lists, warnings, words, fixes."""
    pictures = named(home, "")
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(named(pictures, ".png"))
    named(pictures, ".txt").write_text(EVIL, "utf-8")
    (pictures / "torn\x1b]0;OWNED\x07.png").write_bytes(b"no picture")
    dataset = home / "d.toml"
    folder = json.dumps(str(pictures))
    dataset.write_text(
        f"[general]\nresolution = [64, 64]\ncaption_extension = '.txt'\n[[datasets]]\nimage_directory = {folder}\n",
        "utf-8",
    )
    with Terminal(APP, (160, 48), plain_environment(str(home))) as terminal:
        terminal.until("failed")
        terminal.keys("3")
        terminal.until("[3 Data]")
        terminal.pump(0.5)
        terminal.keys("o")
        terminal.until("Look at which dataset?")
        terminal.keys(f"{dataset}\t")
        terminal.pump(0.5)
        terminal.keys("wan\r")
        terminal.until("OWNED")
        for keys in ("\t", "\t", "s", "\x1b", "a", "\x1b", "D", "F", "1", "\x1b", "Y"):
            terminal.keys(keys)
            terminal.pump(0.7)
    assert steering(terminal) == []
    assert b"Traceback" not in terminal.raw
