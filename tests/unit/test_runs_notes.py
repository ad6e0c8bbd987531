"""Notes that people keep with a run, and the advice on what its card has left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import Config
from engine.config.problems import UserError
from engine.config.run_file import write_run_toml
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Host, Memory, RunStart, Step, Warned
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs.headroom import headroom, headroom_lines
from musubi_tui.runs.home import find_home
from musubi_tui.runs.notes import add_note, read_notes
from musubi_tui.runs.snapshot import snapshot

GIB = 1 << 30


def made(peak: int | None = 52, total: int = 80, used: int = 57) -> RunDirectory:
    """A run of one step on a card: sizes in GiB, of which it holds 56."""
    run = RunDirectory.create(find_home().path, "ink")
    dataset = {"image_directory": "/nowhere", "batch_size": 4, "resolution": [768, 768]}
    config = Config.of(
        {"family": "qwen_image", "network_dim": 32, "gradient_checkpointing": True, "datasets": [dataset]}
    )
    write_run_toml(config, run.run_toml, kind="train", stages=["train"])
    items = [
        {"id": f"i{n}", "path": f"/x/{n}.png", "dataset": 0, "bucket": [768, 768, 1], "repeats": 1} for n in range(40)
    ]
    run.items.write_text("".join(json.dumps(item) + "\n" for item in items))
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(gpu="NVIDIA H100 80GB HBM3"))
    sink.emit(Step(step=1, loss=0.1, step_s=1.2))
    if peak is not None:
        sink.emit(Memory(peak=peak * GIB, reserved=55 * GIB))
        sink.emit(Host(gpus=({"used": used * GIB, "total": total * GIB, "ours": 56 * GIB},)))
    sink.emit(Warned("grad_spike", "a spike", ""))
    sink.close()
    Status("done", name="ink", family="qwen_image", step=1, max_steps=2).write(run)
    return run


def test_a_note_stays_with_the_run_without_secrets_and_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    run = made()
    assert musubi(["runs", "note", "last", "colours are right \x1b[2J hf_abcdEFGH12345678"]) == 0
    assert musubi(["runs", "note", "last", "--json"]) == 0
    told = capsys.readouterr().out
    assert "colours are right" in told
    assert "\x1b" not in told
    assert "hf_abcd" not in told + run.notes.read_text()
    assert run.notes.stat().st_mode & 0o777 == 0o600
    (note,) = snapshot(run).notes
    assert note["step"] == 1
    assert musubi(["runs", "show", "last"]) == 0
    assert "colours are right" in capsys.readouterr().out


def test_notes_that_are_none_and_damaged_lines() -> None:
    run = made()
    for text in ("", " \n", "x" * 501):
        with pytest.raises(UserError):
            add_note(run, text, 1)
    add_note(run, "猫 [red]x[/red]", 5)
    with run.notes.open("ab") as file:
        file.write(b'{"t": 3}\n[]\n\xff\n{"t": "2026-01-01T00:00:00Z", "step": "x", "text": 1}\n')
    add_note(run, "after", 6)
    assert [(note.step, note.text) for note in read_notes(run)] == [(5, "猫 [red]x[/red]"), (6, "after")]


def test_what_fits_is_offered_and_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    found = headroom(made())
    assert (found.peak, found.total) == (52 * GIB, 80 * GIB)
    assert found.room == int(79 * GIB * 0.97)  # one is another program's
    assert {"batch_size", "resolution", "network_dim"} <= {one.key for one in found.more}
    assert all(found.peak < one.peak <= found.room for one in found.more)
    assert all(one.peak < found.peak for one in found.less)
    assert musubi(["runs", "headroom", "last", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lower"]


def test_a_full_card_offers_only_less() -> None:
    found = headroom(made(peak=52, total=57))
    assert [one for one in found.more if one.peak > found.room] == []
    assert found.less
    over = headroom(made(peak=57, total=57))
    assert over.more == ()
    assert "over" in headroom_lines(over)[1][1]


def test_without_a_card_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    made(peak=None)
    assert musubi(["runs", "headroom", "last"]) == 2
    assert "no reading" in capsys.readouterr().err


def test_a_run_whose_files_are_gone_still_has_its_peak(tmp_path: Path) -> None:
    run = made()
    run.items.unlink()
    assert "files of the run are gone" in headroom_lines(headroom(run))[-1][1]
    run.run_toml.unlink()
    assert headroom(run).peak == 52 * GIB
