"""The recorded run, folded: one value for `runs show`, lines for logs, bars for terminals."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.text import Text

from engine.events import RunDirectory, Status, Step, read_events, story
from engine.events.process import ProcessIdentity
from engine.events.sink import repair_index
from engine.events.types import Failed, Phase, Progress, RunEnd, RunStart, Sample, Warned
from musubi_tui.cli.live import LiveDisplay, PlainDisplay, bar
from musubi_tui.runs.snapshot import brief, moving_average, snapshot
from musubi_tui.runs.telling import PhaseView, PlainTeller, Story, clean, clock, rate_text, step_line
from tests.data.replay.record import record

RECORDING = Path(__file__).parents[1] / "data" / "replay" / "interrupted.jsonl"
SHOWN = {"id", "name", "family", "state", "phase", "step", "max_steps", "loss", "run_dir", "outputs", "started", "ended", "reason"}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """The recorded run as a directory, done."""
    run = RunDirectory.create(tmp_path, "ink-wash")
    shutil.copy(RECORDING, run.events)
    repair_index(run.events, run.steps_idx)
    Status("done", ProcessIdentity.of_this_process(), phase="train", attempt=3, step=200, max_steps=200, exit_code=0,
           started="2026-05-28T20:26:40.000Z", ended="2026-05-28T21:10:00.000Z", name="ink-wash", family="qwen_image").write(run)  # fmt: skip
    return run


def test_the_recording_is_what_the_sink_writes_today(tmp_path: Path) -> None:
    assert record(tmp_path) == RECORDING.read_bytes()


def test_the_recording_tells_one_run(run: RunDirectory) -> None:
    told = story(run.events)
    assert [event.event.step for event in told if isinstance(event.event, Step)] == list(range(1, 201))
    assert sum(isinstance(event.event, Step) for event in read_events(run.events)) == 230
    kinds = {event.event.type for event in told}
    assert kinds >= {"plan", "swap", "memory", "host", "sample", "checkpoint", "validation", "control", "warning", "run_end"}  # fmt: skip


def test_a_snapshot_has_all_that_programs_rely_on(run: RunDirectory) -> None:
    values = snapshot(run).as_json()
    assert set(values) >= SHOWN
    json.dumps(values, allow_nan=False)
    assert (values["id"], values["name"], values["family"], values["state"]) == (run.id, "ink-wash", "qwen_image", "done")  # fmt: skip
    assert (values["step"], values["max_steps"], values["epoch"], values["attempt"]) == (200, 200, 6, 3)
    assert 0.05 < values["loss"] < 0.12
    assert values["gpu"] == "NVIDIA H200"
    assert values["eta_seconds"] is None
    for name in ("started", "ended"):
        assert datetime.fromisoformat(values[name]).tzinfo is not None
    assert all(set(output) == {"kind", "path", "step"} for output in values["outputs"])
    loras = [output["step"] for output in values["outputs"] if output["kind"] == "lora"]
    assert loras == [50, 100, 150, 160, 200, 200]  # its last files: step 200 and the final one
    samples = [output["path"] for output in values["outputs"] if output["kind"] == "sample"]
    assert len(samples) == len(set(samples)) == 10
    assert [entry["step"] for entry in values["validation"]] == [0, 50, 100, 150, 200]


def test_states_that_were_pruned_are_not_outputs(run: RunDirectory) -> None:
    assert "state" not in {output["kind"] for output in snapshot(run).outputs}


def test_a_brief_snapshot_agrees_and_reads_no_events(run: RunDirectory) -> None:
    whole = snapshot(run)
    run.events.unlink()
    short = brief(run)
    assert (short.state, short.step, short.loss, short.lr) == (whole.state, whole.step, whole.loss, whole.lr)
    assert short.outputs == ()


def test_a_running_run_has_an_eta_and_a_lost_one_says_how_to_go_on(run: RunDirectory) -> None:
    status = Status.read(run)
    assert status is not None
    replace(status, state="running", max_steps=300).write(run)
    now = snapshot(run)
    assert now.eta_seconds == pytest.approx(100 * 1.2, rel=0.1)
    replace(status, state="stopping", max_steps=300).write(run)
    assert snapshot(run).eta_seconds is None  # it does not go there any more
    lost = ProcessIdentity("another", "x", 1, "1")
    replace(status, state="running", process=lost, heartbeat="2026-05-28T21:00:00.000Z").write(run)
    now = snapshot(run)
    assert (now.state, now.ended, now.eta_seconds) == ("orphaned", "2026-05-28T21:00:00.000Z", None)
    assert now.reason.endswith("goes on from the start: no state was saved")
    (run.state / "00000002-1").mkdir(parents=True)
    assert snapshot(run).reason.endswith("goes on from the newest state")
    assert "runs resume" in now.reason


def test_an_empty_or_damaged_directory_is_still_a_snapshot(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "empty")
    run.events.write_bytes(b"\xff\xfe garbage\n{}\n")
    run.steps_idx.write_bytes(b"x" * 50)
    now = snapshot(run)
    assert (now.state, now.loss, now.outputs) == ("failed", None, ())


def test_the_moving_average_has_no_bias_at_its_start() -> None:
    assert moving_average([]) is None
    assert moving_average([float("nan")]) is None
    assert moving_average([0.5]) == 0.5
    assert moving_average([0.5, float("nan"), 0.5]) == pytest.approx(0.5)


def test_a_log_tells_what_happens_once_and_sometimes_how_far_it_is() -> None:
    teller = PlainTeller()
    lines = [line for event in read_events(RECORDING) for line in teller.lines(event)]
    text = "\n".join(lines)
    assert 100 < len(lines) < 200
    for word in ("attempt 3 resumes at step 160", "loss of step 87", "preempted", "ETA", "latents 37/37", "learning_rate_factor"):  # fmt: skip
        assert word in text
    assert "step 200/200" in lines[-2]
    assert lines[-1].endswith("done")


def test_terminal_displays_take_the_whole_story(monkeypatch: pytest.MonkeyPatch) -> None:
    events = list(read_events(RECORDING))
    plain = io.StringIO()
    display = PlainDisplay(plain)
    display.feed(events)
    display.close()
    assert "\x1b" not in plain.getvalue()
    screen = io.StringIO()
    live = LiveDisplay(screen)
    for start in range(0, len(events), 50):
        live.feed(events[start : start + 50])
    live.close()
    assert "step 200/200" in screen.getvalue()
    assert "█" in screen.getvalue()


def test_a_frame_has_one_eta_and_none_when_nobody_trains() -> None:
    live = LiveDisplay(io.StringIO())
    told = 0
    for one in read_events(RECORDING):
        live._story.feed(one)
        frame = [line.plain for line in live._lines().renderables if isinstance(line, Text)]
        etas = sum("ETA" in line for line in frame)
        assert etas <= 1, frame
        told += etas
        if isinstance(one.event, (RunStart, RunEnd)):
            assert etas == 0, frame
    live.close()
    assert told > 100


def test_words_from_outside_cannot_steer_the_terminal() -> None:
    teller = PlainTeller()
    evil = "\x1b[2J\x1b]0;owned\x07[bold]x[/bold]\n\u202e\x9b31m"
    record = next(iter(read_events(RECORDING)))
    for event in (Sample(evil, evil), Warned("x", evil, evil), Failed("x", evil), RunEnd(evil, evil), Phase(evil, "failed"), Progress(evil, 1, 0)):  # fmt: skip
        for line in teller.lines(replace(record, event=event, t=record.t + 100)):
            assert line.isprintable()
    screen = io.StringIO()
    live = LiveDisplay(screen)
    live.feed([replace(record, event=Warned("x", "[bold]brackets[/bold]"))])
    live.close()
    assert "[bold]brackets[/bold]" in screen.getvalue()
    assert clean("a\tb\nc") == "a b c"


def test_rates_and_times_are_told_for_people() -> None:
    assert [clock(0), clock(65), clock(7384)] == ["0:00", "1:05", "2:03:04"]
    assert [rate_text(5.21), rate_text(0.32)] == ["5.2/s", "3.1 s/it"]
    view = PhaseView("latents", began=10.0, done=20, total=40, latest=14.0)
    assert view.rate == 5.0
    assert view.eta == 4.0
    assert "20/40  5.0/s  ETA 0:04" in bar(view)
    assert step_line(Story()) == ""
