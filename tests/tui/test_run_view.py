"""Folding a run: recordings, live directories, long runs, attempts, alerts."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest

from engine.events.lines import Record
from engine.events.reader import read_events, story
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.types import (
    Block,
    Checkpoint,
    Control,
    Failed,
    Host,
    Memory,
    Plan,
    Progress,
    RunEnd,
    RunStart,
    Sample,
    Step,
    Swap,
    Unknown,
    Validation,
    Warned,
)
from musubi_tui.tui import run_source
from musubi_tui.tui.alerts import alerts
from musubi_tui.tui.glyphs import UNICODE
from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.run_view import Fold
from musubi_tui.tui.screens.run import health, memory, noise, panels
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.picture import Gallery

REPLAY = Path(__file__).parent.parent / "data" / "replay" / "interrupted.jsonl"
SWAP = REPLAY.with_name("swap.jsonl")


def fold(*events, name="x"):
    folded = Fold(name)
    for place, event in enumerate(events):
        folded.feed(Record(place, 1000.0 + place, event))
    return folded.view()


def make_live(home: Path, count: int) -> RunDirectory:
    run = RunDirectory.create(home, "long")
    run.run_toml.write_text('kind = "train"\n')
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(1, 0, {"max_train_steps": count}))
    for step in range(1, count + 1):
        sink.emit(Step(step=step, epoch=1, loss=1 / step, lr=(1e-4,), grad_norm=0.3, step_s=0.1, items=("a",)))
        sink.emit(Progress("train", step, count))
        if step % 50 == 0:
            sink.emit(Memory(1, 2, 3, 4, 5, 6, 7, step))
        if step % 100 == 0:
            sink.emit(Checkpoint(f"/out/{step}.safetensors", "lora", 5, 0.1, step))
            sink.emit(Sample(f"/out/{step}.png", "a heron", 1, step))
            sink.flush()
    sink.close()
    return run


def test_the_recording_tells_one_story_of_three_attempts():
    view = RunSource.replay(REPLAY).view()
    told = story(REPLAY)
    steps = [record.event for record in told if isinstance(record.event, Step)]
    assert view.steps.step.tolist() == [step.step for step in steps] == list(range(1, 201))
    assert view.steps.loss.tolist() == pytest.approx([step.loss for step in steps])
    assert (view.state, view.step, view.max_steps, view.attempt) == ("done", 200, 200, 3)
    assert [entry.step for entry in view.validations] == [0, 50, 100, 150, 200]
    assert [spike.step for spike in view.spikes] == [87, 87]
    assert view.plan.streamed == 20
    assert view.memory.peak
    # The half hour between two attempts is not paid for.
    assert 300 < view.worked_seconds < 600
    assert view.cost == pytest.approx(2.79 * view.worked_seconds / 3600)


def test_a_recording_plays_at_its_speed():
    source = RunSource.replay(REPLAY, speed=100.0)
    first = source.view()
    deadline = time.monotonic() + 5
    while source.view().step < 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(first.steps) == 0
    assert 20 <= source.view().step < 200


def test_the_same_view_again_while_nothing_happens():
    source = RunSource.replay(REPLAY)
    assert source.view() is source.view()


def test_a_long_run_opened_through_its_index_shows_what_reading_it_shows(tmp_path, monkeypatch):
    run = make_live(tmp_path, 1200)
    whole = RunSource.live(run.path).view()
    monkeypatch.setattr(run_source, "_LONG_RUN", 10)
    monkeypatch.setattr(run_source, "_RECENT_BYTES", 20_000)
    source = RunSource.live(run.path)
    quick = source.view()
    assert quick.steps.step.tolist() == whole.steps.step.tolist()
    assert quick.steps.loss.tolist() == whole.steps.loss.tolist()
    for name in ("saved", "pictures", "memory", "last", "step", "max_steps", "progress", "split"):
        assert getattr(quick, name) == getattr(whole, name), name
    # and goes on from there
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Step(step=1201, loss=0.5))
    sink.emit(Step(step=1202, loss=math.nan))
    sink.close()
    later = source.view()
    assert later.steps.step[-1] == 1202
    assert math.isnan(later.steps.loss[-1])
    assert len(quick.steps) == 1200


def test_a_resumed_long_run_keeps_the_merged_story(tmp_path, monkeypatch):
    run = make_live(tmp_path, 300)
    sink = EventSink(run.events, run.steps_idx, attempt=2)
    sink.emit(RunStart(2, 250, {"max_train_steps": 300}))
    for step in range(251, 261):
        sink.emit(Step(step=step, loss=9.0))
    sink.close()
    monkeypatch.setattr(run_source, "_LONG_RUN", 10)
    monkeypatch.setattr(run_source, "_RECENT_BYTES", 500)
    view = RunSource.live(run.path).view()
    assert view.steps.step.tolist() == list(range(1, 261))
    assert view.steps.loss[-1] == 9.0
    assert [saved.step for saved in view.saved] == [100, 200]
    assert (view.step, view.attempt) == (260, 2)


def test_engine_log_and_file_names_belong_to_the_view(tmp_path):
    run = make_live(tmp_path, 30)
    run.items.write_text(json.dumps({"id": "a", "path": "/pictures/cat \x1b[31m.png"}) + "\n")
    run.engine_log.write_text("loaded\nprogress 1\rprogress 2\n\x1b[2Jevil [bold]x[/bold]\nhalf a li")
    source = RunSource.live(run.path)
    lines = [line.text for line in source.view().log]
    assert {"loaded", "progress 2"} <= set(lines)
    assert not any("\x1b" in line or "half" in line for line in lines)
    with run.engine_log.open("a") as file:
        file.write("ne\n")
    assert source.view().log[-1].text == "half a line"
    assert source.view().item_names["a"].startswith("cat")


def test_a_missing_or_empty_run_is_a_view_too(tmp_path):
    run = RunDirectory(tmp_path / "nothing")
    view = RunSource.live(run.path).view()
    assert (view.state, len(view.steps), view.eta_seconds) == ("gone", 0, None)


def steady(count):
    return [Step(step=step, loss=0.1, grad_norm=0.3, items=("7",), timesteps=(500.0,)) for step in range(1, count + 1)]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([*steady(40), Step(step=41, loss=2.0, items=("0032", "0033"))], "loss spike 2 (20x) at 41: 0032, 0033"),
        ([*steady(40), Step(step=41, loss=0.1, grad_norm=9.0, items=("5",))], "gradient norm spike 9 (30x) at 41: 5"),
        ([*steady(40), Step(step=41, loss=None)], "the loss is not a number since step 41"),
        ([Host(disk_free=10**9)], "disk nearly full: 1.0 GB free"),
        ([Host(gpus=({"temperature": 91},))], "GPU at 91 °C: it will slow down"),
        ([Failed("oom", "Out of memory.", "Swap more blocks."), RunEnd("failed", "x")], "failed: Out of memory. Swap more blocks."),
        ([Warned("caption_cut", "A caption is cut.", "Shorten it.")], "A caption is cut. Shorten it."),
        ([Unknown("hologram")], "a newer engine also tells hologram, which this version cannot show"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)  # fmt: skip
def test_alerts_say_why_in_one_line(events, words):
    assert words in [alert.text for alert in alerts(fold(RunStart(), *events))]


def test_a_calm_run_has_no_alerts_and_a_note_is_none():
    assert alerts(fold(RunStart(), *steady(60), Warned("note", "All caches are current."))) == ()


def test_a_silent_engine_is_told():
    view = Fold("x").view(state="running", live=True, heartbeat=100.0, now=200.0)
    assert [alert.text for alert in alerts(view)] == ["no sign of life for 1:30"]


def test_loss_by_noise_level_and_pausing():
    low, high = Step(step=1, loss=1.0, timesteps=(10.0,)), Step(step=2, loss=0.1, timesteps=(990.0,))
    view = fold(RunStart(), low, high, Control("1", "pause", "accepted"))
    assert (view.bins[0].mean, view.bins[-1].mean, view.bins[2].mean) == (1.0, 0.1, None)
    assert view.state == "paused"
    assert fold(RunStart(), Control("1", "pause", "refused")).state == "starting"


def test_an_earlier_attempt_is_void_after_the_step_that_is_resumed_from():
    view = fold(
        RunStart(), *steady(10), Validation(8, 0.1), Sample("/a.png", "p", 1, 9), RunStart(2, 5), Step(step=6, loss=0.2)
    )
    assert view.steps.step.tolist() == [1, 2, 3, 4, 5, 6]
    assert (view.validations, view.pictures) == ((), ())


def test_every_event_of_the_recording_can_be_folded_in_any_cut():
    records = list(read_events(REPLAY))
    folded = Fold("x")
    for place, record in enumerate(records):
        folded.feed(record)
        if place % 97 == 0:
            alerts(folded.view())


def rewritten(tmp_path: Path, change) -> RunSource:
    path = tmp_path / "changed.jsonl"
    lines = [json.loads(line) for line in SWAP.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(entry) + "\n" for line in lines for entry in change(line)), "utf-8")
    return RunSource.replay(path)


def test_an_older_engine_that_knows_less_is_read(tmp_path):
    since = {
        "plan": ("weights", "adapter", "optimizer", "activations", "other", "peak", "budget", "pinned"), "swap": ("hidden",),
        "block": ("slot", "loaded", "copy_ms", "compute_ms", "stall_ms", "direction"), "run_start": ("config", "price"),
    }  # fmt: skip

    def older(line):
        if line["type"] == "noise_levels":
            return []
        for name in since.get(line["type"], ()):
            line.pop(name)
        for card in line.get("gpus", ()):
            for name in ("ours", "processes", "throttle", "pcie_in", "pcie_out"):
                card.pop(name)
        return [line]

    view = rewritten(tmp_path, older).view()
    whole = RunSource.replay(SWAP).view()
    assert view.steps.loss.tolist() == whole.steps.loss.tolist()
    assert (view.plan.streamed, view.plan.peak, view.cost, view.target) == (16, None, None, ())
    assert view.unknown == ()
    assert [alert.code for alert in alerts(view)] == [""] * len(alerts(view))


def test_a_newer_engine_that_says_more_is_read_and_what_cannot_be_shown_is_named(tmp_path):
    def newer(line):
        line = {**line, "v": 2, "mood": {"nested": [1, None]}}
        if line["type"] == "host":
            line["gpus"] = [{**card, "fans": [40, 41], "temperature": "warm"} for card in line["gpus"]]
        if line["type"] == "block":
            line["state"] = "teleporting"
        if line["type"] == "memory":
            line["weights"] = {"fp4": 3}  # a field that became something else
        more = (
            [{"v": 2, "seq": line["seq"], "t": line["t"], "type": "hologram", "depth": 3}] if line["seq"] == 50 else []
        )
        return [line, *more]

    view = rewritten(tmp_path, newer).view()
    whole = RunSource.replay(SWAP).view()
    assert view.steps.step.tolist() == whole.steps.step.tolist()
    assert (view.state, len(view.pictures), view.memory) == ("done", 10, None)
    assert set(view.unknown) == {"hologram", "memory"}
    assert "a newer engine also tells memory, hologram, which this version cannot show" in {
        a.text for a in alerts(view)
    } or (
        "a newer engine also tells hologram, memory, which this version cannot show" in {a.text for a in alerts(view)}
    )
    assert {block.state for block in view.blocks.values()} == {"teleporting"}


def test_files_of_a_run_are_found_where_it_was_brought_to(tmp_path):
    folder, sample = tmp_path / "run", tmp_path / "run" / "output" / "sample"
    sample.mkdir(parents=True)
    (sample / "a.png").touch()
    (folder / "b.png").touch()
    places = (folder, folder / "output", sample)
    assert run_source.find_file("/far/away/a.png", *places) == str(sample / "a.png")
    assert run_source.find_file("b.png", *places) == str(folder / "b.png")
    assert run_source.find_file(str(folder / "b.png")) == str(folder / "b.png")
    for nowhere in ("/far/away/c.png", "", "../../etc", "a\0b", "x" * 3000):
        assert run_source.find_file(nowhere, *places) == nowhere


def test_the_file_that_caused_a_spike_is_named_from_the_list_beside_the_recording():
    view = RunSource.replay(SWAP).view()
    assert view.item_names["0031"] == "title_card.mp4"
    assert {spike.step for spike in view.spikes} == {876}


def test_what_no_engine_says_breaks_nothing():
    nonsense = (
        RunStart(1, 0, {"max_train_steps": "many", "max_grad_norm": "x", "network_dim": [1]}),
        Plan(-5, 10**9, -1, "", "x"),
        *(Block(index, "computing", -index, 1e300, 1e300, 1e308, 1e308, "[red]up") for index in range(6)),
        Host(({"total": -5, "used": -3, "ours": 2**60, "processes": -4, "util": "x", "throttle": ["heat"], "pcie_in": "fast"},), -1, -1, -1),
        Step(step=10**19, epoch=2**65, loss=1e308, lr=(1e308,), grad_norm=-1.0, merged=2**70, timesteps=(-5.0, 1e308)),
        Memory(-1, -1, -1, -1, -1, -5, -1, -7),
        Swap(3, -3, 0, -1.0, 0.0, 1e300, -5, 0, 1e300),
        Checkpoint("x", "lora", -1, 1e308, -(10**18)),
    )  # fmt: skip
    view = fold(*nonsense)
    alerts(view)
    for size in ((52, 9), (78, 4), (160, 12)):
        for lines in (
            memory.memory(view, size[0], UNICODE), lanes.panel(view, size[0], "unicode"), lanes.table(view, size[1], 0, "unicode"),
            health.health(view, alerts(view), *size, UNICODE), noise.levels(view, *size, UNICODE, heat=True), panels.vitals(view, size[0], UNICODE),
        ):  # fmt: skip
            assert lines
    assert len(lanes.states(view)) <= 2000


def test_devices_and_pipes_are_not_read_as_pictures(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", "/dev/tty", str(tmp_path / "pipe"), str(tmp_path), "a\0b"):
        assert Gallery().draw(path, 10, 5).problem
