"""`train`, `cache` and `runs` at the keyboard: what they print, how they exit, and what signals do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.attempt import Attempt
from engine.config import Config, write_run_toml
from engine.events import RunDirectory, Status, Step, read_events, true_state
from engine.events.control import Command
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity, host_name
from engine.events.sink import repair_index
from engine.job import Job
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs.creating import create_job
from musubi_tui.runs.finding import find_run, works_or_trains
from musubi_tui.runs.home import find_home
from tests.unit.test_job_process import _FRAME, HANGS, TRAINS
from tests.waiting import wait_until

RECORDING = Path(__file__).parents[1] / "data" / "replay" / "interrupted.jsonl"
CONFIG = Config.of({"family": "wan", "task": "t2v-1.3B", "device": "cpu"})


@pytest.fixture
def finished() -> RunDirectory:
    """The recorded run in the home of this test."""
    run = RunDirectory.create(find_home().path, "ink-wash")
    shutil.copy(RECORDING, run.events)
    repair_index(run.events, run.steps_idx)
    run.engine_log.write_text("".join(f"line {n}\n" for n in range(100)) + "\x1b[31mred\n")
    Status("done", ProcessIdentity.of_this_process(), step=200, max_steps=200, exit_code=0, name="ink-wash", family="qwen_image", started="2026-05-28T20:26:40.000Z").write(run)  # fmt: skip
    return run


@pytest.fixture
def job() -> Iterator[Job]:
    """A living job of this very process."""
    run = RunDirectory.create(find_home().path, "alive")
    write_run_toml(CONFIG, run.run_toml, kind="train", stages=["train"])
    Status("queued", name="alive", family="wan").write(run)
    job = Job(Attempt(run), CONFIG)
    yield job
    job.finish("stopped")


def test_without_runs_the_list_is_empty_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert musubi(["runs", "list"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "musubi-tui train" in captured.err


def test_list_and_show(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "list"]) == 0
    out = capsys.readouterr().out
    assert finished.id in out
    assert "200/200" in out
    assert musubi(["runs", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert musubi(["runs", "show", "last", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown.pop("fetch") == ""  # the recorded run's files are not on this machine
    assert listed == [shown]
    assert musubi(["runs", "show", "ink-wash"]) == 0
    card = capsys.readouterr().out
    for word in (finished.id, "done", "200/200", "NVIDIA H200", "/workspace/out/ink-wash.safetensors", "0.3300"):
        assert word in card


def test_lists_load_neither_the_schema_nor_anything_heavy(finished: RunDirectory) -> None:
    script = (
        "import sys, json\nfrom musubi_tui.cli.root import run\n"
        "assert run(sys.argv[1:]) == 0\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    for arguments in (["list"], ["list", "--json"], ["show", "last"], ["watch", "last", "--plain"], ["logs", "last"]):
        done = subprocess.run([sys.executable, "-c", script, "runs", *arguments], capture_output=True, text=True, check=True)  # fmt: skip
        modules = set(json.loads(done.stderr.splitlines()[-1]))
        heavy = {"torch", "numpy", "textual", "psutil", "engine.config.schema", "engine.job"}
        assert modules & heavy == set(), arguments


def test_the_reading_rooms_need_no_pydantic() -> None:
    script = (
        "import sys\nimport musubi_tui.runs.finding, musubi_tui.runs.snapshot, musubi_tui.runs.telling, engine.events.control\n"
        "assert not {'pydantic', 'pydantic_core', 'psutil', 'typer', 'rich'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_watching_a_run_that_ended_tells_it_whole(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "watch", "last", "--plain"]) == 0
    out = capsys.readouterr().out
    assert "attempt 2 resumes at step 100" in out
    assert out.rstrip().endswith("done")
    assert musubi(["runs", "watch", "last", "--json"]) == 0
    assert capsys.readouterr().out.encode() == RECORDING.read_bytes()


@pytest.mark.parametrize(
    ("state", "own", "expected"),
    [
        ("done", 0, 0),
        ("stopped", 0, 0),
        ("preempted", 75, 75),
        ("failed", 3, 3),
        ("failed", 1, 1),
        ("running", None, 1),
    ],
)
def test_watching_exits_as_the_run_ended(finished: RunDirectory, state: str, own: int | None, expected: int) -> None:
    gone = ProcessIdentity(host_name(), "another boot", 1, "1")  # what it says runs is orphaned
    Status(state, gone, step=200, max_steps=200, exit_code=own, name="ink-wash").write(finished)
    assert musubi(["runs", "watch", "last", "--plain"]) == expected
    assert musubi(["runs", "watch", "last", "--json"]) == expected


def test_replaying_a_recording(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert musubi(["runs", "watch", "--replay", str(RECORDING)]) == 0
    assert "step 200/200" in capsys.readouterr().out
    short = tmp_path / "short.jsonl"
    short.write_bytes(b"".join(RECORDING.read_bytes().splitlines(keepends=True)[:120]))
    began = time.monotonic()
    assert musubi(["runs", "watch", "--replay", str(short), "--speed", "60"]) == 0
    assert time.monotonic() - began > 0.1
    assert musubi(["runs", "watch", "--replay", str(tmp_path / "nothing")]) == 2
    short.write_text("nothing of the kind\n")
    assert musubi(["runs", "watch", "--replay", str(short)]) == 2
    assert musubi(["runs", "watch"]) == 2


def test_logs_show_the_end_without_escapes(finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "logs", "last", "-n", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == ["line 98", "line 99", "�[31mred"]
    assert musubi(["runs", "logs", "last", "-n", "0", "-f"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 101


@pytest.mark.parametrize("arguments", [["stop"], ["pause"], ["save"], ["sample"], ["stop", "--when", "never"]])
def test_a_run_that_is_over_is_not_steered(
    finished: RunDirectory, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments
    assert musubi(["runs", command, "last", *options]) == 2
    assert "error:" in capsys.readouterr().err
    assert list(finished.control.iterdir()) == []


def test_last_is_the_newest_training_where_trainings_are_meant(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = RunDirectory.create(find_home().path, "tiny-wan")
    cached.run_toml.write_text('kind = "cache"\n')
    Status("done", name="tiny-wan", kind="cache").write(cached)
    cases = [
        ["train", "--resume", "last"],
        ["runs", "resume", "last"],
        ["runs", "stop", "last"],
        ["runs", "save", "last"],
    ]
    for words in cases:
        assert musubi(words) == 2
        assert finished.id in capsys.readouterr().err
    for words in (
        ["train", "--resume", cached.id, "--set", "max_train_steps=9"],
        ["runs", "stop", cached.id],
        ["runs", "headroom", cached.id],
    ):
        assert musubi(words) == 2
        assert "is a cache run" in capsys.readouterr().err
    assert musubi(["runs", "show", "last"]) == 0
    assert cached.id in capsys.readouterr().out
    shutil.rmtree(finished.path)
    assert musubi(["train", "--resume", "last"]) == 2
    assert "is a cache run" in capsys.readouterr().err
    Status(
        "running", ProcessIdentity.of_this_process(), heartbeat=iso_time(time.time()), name="tiny-wan", kind="cache"
    ).write(cached)
    assert find_run("last", works_or_trains).id == cached.id


@pytest.mark.parametrize("width", [80, 160])
def test_a_row_is_a_line_in_any_terminal(
    finished: RunDirectory, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    named = finished.path.with_name("a-longer-name-of-a-style-20261126-040400")
    finished.path.rename(named)
    assert musubi(["runs", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    assert lines[1].startswith(named.name)
    assert "done" in lines[1]
    assert "200/200" in lines[1]
    assert ("2026-05-2" in lines[1]) == (width == 160)


def test_states_are_words_of_the_language(
    finished: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engine.config.language.language", lambda: "ja")
    assert musubi(["runs", "show", "last"]) == 0
    assert "完了" in capsys.readouterr().out
    assert musubi(["runs", "list", "--state", "完了"]) == 0
    assert finished.id in capsys.readouterr().out


def test_commands_are_answered(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "pause", "alive"]) == 0
    assert job.paused
    assert musubi(["runs", "pause", "alive"]) == 2  # refused
    assert musubi(["runs", "resume", "alive", "--json"]) == 0
    assert not job.paused
    captured = capsys.readouterr()
    assert json.loads(captured.out)["result"] == "done"
    assert "already" in captured.err
    with job.phase("train"):
        job.commands()
        assert musubi(["runs", "set", "alive", "learning_rate_factor=0.5", "--timeout", "0"]) == 1  # no answer yet
        assert musubi(["runs", "sample", "alive", "-p", "a heron", "-p", "a fox", "--timeout", "0"]) == 1
        got: list[Command] = []
        wait_until(lambda: got.extend(job.commands()) or len(got) == 2)
    assert got[0].arguments == {"key": "learning_rate_factor", "value": 0.5}
    assert got[1].arguments == {"prompts": ["a heron", "a fox"]}
    assert musubi(["runs", "set", "alive", "nonsense"]) == 2
    assert musubi(["runs", "stop", "alive", "--when", "epoch"]) == 0
    assert job.stop_requested is not None
    assert job.stop_requested.when == "epoch"


def test_a_living_run_is_not_trained_twice(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["train", "--resume", "alive"]) == 2
    assert f"pid {os.getpid()}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["train", "x.toml", "--resume", "y"], ["train", "nowhere.toml"], ["train", "--resume", "nobody"], ["cache", "nowhere.toml"], ["cache", "x.toml", "--only", "pixels"], ["train", "x.toml", "--set", "novalue"], ["runs", "show", "nobody"], ["runs", "show", ""], ["runs", "rm", " ", "--yes"]],
)  # fmt: skip
def test_wrong_words_are_a_paragraph(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error:" in captured.err
    assert "Traceback" not in captured.err


def test_detaching_returns_the_id_and_a_failed_start_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    run = create_job(CONFIG, kind="train", stages=[], name="quick")
    Status("stopped", name="quick", family="wan").write(run)
    assert musubi(["train", "--resume", str(run.path), "--detach"]) == 0
    assert capsys.readouterr().out == f"{run.id}\n"
    wait_until(lambda: true_state(run) == "done", 60)
    run.run_toml.write_text("schema_version = 99\n")
    Status("stopped", name="quick").write(run)
    assert musubi(["train", "--resume", str(run.path), "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["state"] == "failed"
    assert "schema version" in captured.err


_FOREGROUND = """
import subprocess, sys
from pathlib import Path
from engine.events import RunDirectory
from musubi_tui.cli.following import listening, stay_with
from musubi_tui.cli.live import make_display
run = RunDirectory(Path(sys.argv[1]))
with listening() as wishes:
    engine = subprocess.Popen([sys.executable, "-c", sys.argv[2], run.path], start_new_session=True)
    sys.exit(stay_with(run, engine, make_display(sys.stderr), wishes))
"""


def foreground(stage: str) -> tuple[RunDirectory, subprocess.Popen[str]]:
    run = create_job(CONFIG, kind="train", stages=["train"], name="foreground")
    command = [sys.executable, "-c", _FOREGROUND, str(run.path), _FRAME.format(stage=stage)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: true_state(run) == "running")
    return run, process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_interrupt_saves_and_waits(name: str) -> None:
    run, process = foreground(TRAINS)
    wait_until(lambda: (Status.read(run) or Status("queued")).step > 3)
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=20)
    assert process.returncode == 75
    assert true_state(run) == "preempted"
    assert "step " in told
    assert ("Ctrl-C again" in told) == (name == "SIGINT")


def test_the_second_interrupt_leaves_at_once() -> None:
    run, process = foreground(HANGS)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: true_state(run) == "stopping")
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    wait_until(lambda: true_state(run) == "failed")


def test_a_closed_terminal_only_detaches() -> None:
    run, process = foreground(TRAINS)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 0
    assert true_state(run) == "running"
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    os.kill(status.process.pid, signal.SIGTERM)
    wait_until(lambda: true_state(run) == "preempted")
    steps = [record.event.step for record in read_events(run.events) if isinstance(record.event, Step)]
    assert steps == list(range(1, len(steps) + 1))


def test_an_engine_that_is_killed_fails_the_command() -> None:
    run, process = foreground(TRAINS)
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    os.kill(status.process.pid, signal.SIGKILL)
    assert process.wait(10) == 1
    assert true_state(run) == "orphaned"


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_word_means_no_run(word: str, finished: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["runs", "rm", word, "--yes"]) == 2
    assert "The name of the run is empty." in capsys.readouterr().err
    assert finished.exists()


def test_a_closed_output_is_no_crash(finished: RunDirectory) -> None:
    command = f"{sys.executable} -m musubi_tui runs list >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
