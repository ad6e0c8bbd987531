"""What happens after a run: hooks run only when allowed, when they should, and leave a trace; a webhook gets word."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config, write_run_toml
from engine.config.problems import ConfigError, UserError
from engine.events import Hook, Lease, RunDirectory, Status, Warned, read_events
from engine.events.control import send, wait_for_ack
from engine.events.process import ProcessIdentity
from engine.events.status import true_state
from engine.events.types import Failed
from engine.hooks import HookPlan
from engine.notify import message_for
from engine.watchman import killed_for_memory, watch
from musubi_tui.runs.hooking import hooks_environment, hooks_of_run
from tests.unit.test_job_process import _FRAME
from tests.waiting import wait_until

DONE = "def run_stages(job, names):\n    job.events.emit(Checkpoint(path='/o/ink.safetensors', kind='lora', step=3))\n    job.set_step(3, 3)\n"
FAILS = "def run_stages(job, names):\n    raise RuntimeError('out of luck')\n"
PREEMPTED = "from engine.job import StopRequest\ndef run_stages(job, names):\n    raise Interrupted(StopRequest('preempted', source='SIGTERM'))\n"
STOPPED = "from engine.job import StopRequest\ndef run_stages(job, names):\n    raise Interrupted(StopRequest('stopped', source='1'))\n"
SPENT = "from engine.job import StopRequest\ndef run_stages(job, names):\n    raise Interrupted(StopRequest('stopped', source='budget', explanation='spent'))\n"
TELL = [sys.executable, "-c", "import os; print({k: v for k, v in os.environ.items() if k.startswith('MUSUBI_TUI_')})"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path, "hooked")
    write_run_toml(Config.of({"family": "wan", "device": "cpu"}), run.run_toml, kind="train", stages=["train"])
    return run


def start(run: RunDirectory, stage: str, **plan: Any) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "MUSUBI_TUI_HOOKS": json.dumps({"grace_seconds": 0, **plan}), "LANG": "C",
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", _FRAME.format(stage=stage), str(run.path)], env=environment, cwd=run.path
    )


def hooks(run: RunDirectory) -> list[tuple[str, str]]:
    return [(r.event.name, r.event.state) for r in read_events(run.events) if isinstance(r.event, Hook)]


@pytest.mark.parametrize(
    ("stage", "name", "state", "code"),
    [
        (DONE, "on_finish", "done", 0),
        (FAILS, "on_error", "failed", 1),
        (PREEMPTED, "on_preempt", "preempted", 75),
        (SPENT, "on_finish", "stopped", 0),
    ],
)
def test_each_end_runs_its_hook_which_knows_the_run(
    run: RunDirectory, stage: str, name: str, state: str, code: int
) -> None:
    wrong = [sys.executable, "-c", "print('wrong hook')"]
    plan = {**dict.fromkeys(("on_finish", "on_error", "on_preempt"), wrong), name: TELL}
    assert start(run, stage, **plan).wait(60) == code
    assert hooks(run) == [(name, "started"), (name, "done")]
    log = run.engine_log.read_text()
    assert f"'MUSUBI_TUI_STATE': '{state}'" in log
    assert f"'MUSUBI_TUI_RUN': '{run.path}'" in log
    assert "wrong hook" not in log
    assert "MUSUBI_TUI_HOOKS" not in log
    if stage == DONE:
        assert "'MUSUBI_TUI_LORA': '/o/ink.safetensors'" in log
        assert "'MUSUBI_TUI_STEP': '3'" in log
    assert Lease.read(run) is None


def test_a_person_who_stops_a_run_needs_no_hook(run: RunDirectory) -> None:
    assert start(run, STOPPED, on_finish=TELL, on_error=TELL, on_preempt=TELL).wait(60) == 0
    assert hooks(run) == []


def test_the_end_is_on_disk_when_the_hook_runs_and_there_is_no_shell(run: RunDirectory) -> None:
    look = f"import json, sys; print('seen', json.load(open({str(run.status)!r}))['state'], sys.argv[1])"
    assert start(run, DONE, on_finish=[sys.executable, "-c", look, "$HOME; echo x"]).wait(60) == 0
    assert "seen done $HOME; echo x" in run.engine_log.read_text()


def test_a_hook_that_fails_or_does_not_exist_changes_nothing_about_the_run(run: RunDirectory) -> None:
    assert start(run, DONE, on_finish=[sys.executable, "-c", "raise SystemExit(4)"]).wait(60) == 0
    assert hooks(run) == [("on_finish", "started"), ("on_finish", "failed")]
    assert start(run, DONE, on_finish=["/no/such/program"]).wait(60) == 0
    assert hooks(run)[-1] == ("on_finish", "failed")
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.exit_code) == ("done", 0)


def test_the_grace_period_can_be_cancelled_and_holds_the_lease(run: RunDirectory) -> None:
    process = start(run, DONE, on_finish=[sys.executable, "-c", "print('too late')"], grace_seconds=30)
    wait_until(lambda: ("on_finish", "waiting") in hooks(run))
    assert Lease.read(run) is not None
    refused = wait_for_ack(run, send(run, "save"))
    assert refused is not None
    assert refused.result == "refused"
    answer = wait_for_ack(run, send(run, "cancel_hooks"))
    assert answer is not None
    assert answer.result == "done"
    assert process.wait(20) == 0
    assert hooks(run)[-1] == ("on_finish", "cancelled")
    assert "too late" not in run.engine_log.read_text()


def test_term_ends_the_grace_period_at_once_and_leaves_the_run_done(run: RunDirectory) -> None:
    process = start(run, DONE, on_finish=TELL, grace_seconds=60)
    wait_until(lambda: ("on_finish", "waiting") in hooks(run))
    process.terminate()
    assert process.wait(10) == 0
    status = Status.read(run)
    assert status is not None
    assert (status.state, hooks(run)[-1]) == ("done", ("on_finish", "cancelled"))


def test_a_hook_that_never_ends_is_ended_with_its_children(run: RunDirectory) -> None:
    shorten = "import engine.hooks\nengine.hooks.TIMEOUT_SECONDS['on_finish'] = 0.5\n"
    began = time.monotonic()
    sleeper = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    assert start(run, shorten + DONE, on_finish=sleeper).wait(30) == 0
    assert time.monotonic() - began < 20
    assert hooks(run)[-1] == ("on_finish", "timeout")


# -- an engine that is killed

KILLED = "def run_stages(job, names):\n    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n"
WAITS = "def run_stages(job, names):\n    import time\n    job.set_step(3, 9)\n    time.sleep(60)\n"


def ended(run: RunDirectory) -> bool:
    return true_state(run) == "failed" and Lease.read(run) is None


def test_after_an_engine_that_was_killed_the_run_has_failed_and_on_error_runs(run: RunDirectory) -> None:
    process = start(run, WAITS, on_error=TELL, on_finish=[sys.executable, "-c", "print('wrong hook')"])
    wait_until(lambda: (status := Status.read(run)) is not None and status.step == 3)
    process.kill()
    process.wait()
    wait_until(lambda: ended(run))
    status = Status.read(run)
    assert status is not None
    assert (status.attempt, status.step, status.exit_code) == (1, 3, 1)
    assert "killed" in status.reason
    assert hooks(run) == [("on_error", "started"), ("on_error", "done")]
    told = [record.event for record in read_events(run.events) if isinstance(record.event, Failed)]
    assert [event.code for event in told] == ["engine_vanished"]
    log = run.engine_log.read_text()
    assert "'MUSUBI_TUI_STATE': 'failed'" in log
    assert "'MUSUBI_TUI_STEP': '3'" in log
    assert "MUSUBI_TUI_HOOKS" not in log
    assert "wrong hook" not in log
    assert (
        start(run, DONE, on_error=TELL).wait(60) == 0
    )  # it is resumed as after any failure, and its watchman has nothing to do
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.attempt) == ("done", 2)
    assert len(hooks(run)) == 2


def test_the_hook_of_a_killed_engine_can_be_cancelled(run: RunDirectory) -> None:
    start(run, KILLED, on_error=[sys.executable, "-c", "print('too late')"], grace_seconds=30).wait(60)
    wait_until(lambda: ("on_error", "waiting") in hooks(run))
    answer = wait_for_ack(run, send(run, "cancel_hooks"))
    assert answer is not None
    assert answer.result == "done"
    wait_until(lambda: ended(run))
    assert hooks(run)[-1] == ("on_error", "cancelled")
    assert "too late" not in run.engine_log.read_text()


def test_a_killed_engine_with_nothing_to_run_is_an_orphan_as_before(run: RunDirectory) -> None:
    assert start(run, KILLED, on_finish=TELL).wait(60) == -9
    time.sleep(0.5)
    assert true_state(run) == "orphaned"
    assert hooks(run) == []


def test_a_watchman_leaves_a_run_that_somebody_goes_on_with(run: RunDirectory) -> None:
    assert start(run, KILLED).wait(60) == -9
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    plan = HookPlan({"on_error": tuple(TELL)}, grace_seconds=0)
    others = ProcessIdentity.of_this_process()
    replace(status, process=others).write(run)
    watch(run, status.process, plan)
    assert Status.read(run) == replace(status, process=others)
    assert hooks(run) == []
    replace(status, state="stopped").write(run)  # its last word was said
    watch(run, status.process, plan)
    assert hooks(run) == []
    shutil.rmtree(run.path)
    watch(run, status.process, plan)
    assert not run.exists()


def test_memory_of_the_host_that_is_used_up_is_told_as_the_reason(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(run, KILLED).wait(60) == -9
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    group = tmp_path / "memory" / "pod" / "one"
    group.mkdir(parents=True)
    (group / "memory.oom_control").write_text("under_oom 0\noom_kill 4\n")
    (tmp_path / "cgroup").write_text("5:cpu:/\n4:memory:/pod/one\n0::/\n")
    assert killed_for_memory(tmp_path, tmp_path / "cgroup") == 4
    (tmp_path / "memory.events").write_text("oom 1\noom_kill 7\n")  # of all groups together: ours alone counts
    assert killed_for_memory(tmp_path, tmp_path / "cgroup") == 4
    (group / "memory.oom_control").write_text("under_oom 0\noom_kill 0\n")
    assert killed_for_memory(tmp_path, tmp_path / "cgroup") == 0
    (tmp_path / "cgroup").write_text("0::/\n")
    assert killed_for_memory(tmp_path, tmp_path / "cgroup") == 7
    counts = iter((3, 4))
    monkeypatch.setattr("engine.watchman.killed_for_memory", lambda: next(counts))
    watch(run, status.process, HookPlan({"on_error": ("true",)}, grace_seconds=0))
    told = [record.event for record in read_events(run.events) if isinstance(record.event, Failed)]
    assert [event.code for event in told] == ["host_memory"]
    assert "swap fewer blocks" in told[0].fix


# -- what is allowed


def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "config" / "musubi-tui").mkdir(parents=True)
    (tmp_path / "config" / "musubi-tui" / "config.toml").write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_only_the_users_own_hooks_run_unless_the_presets_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(tmp_path, "mine")
    config = Config.of({"family": "wan", "on_finish": ["from", "preset"], "on_error": ["from", "preset"]})
    write_run_toml(config, run.run_toml, kind="train", stages=["train"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    assert hooks_environment(run) == {}
    own(tmp_path, monkeypatch, 'on_finish = ["mine"]\nhook_grace_seconds = 5\nprice_per_hour = 2.5\n')
    found = hooks_environment(run)
    assert json.loads(found["MUSUBI_TUI_HOOKS"]) == {"on_finish": ["mine"], "grace_seconds": 5}
    assert found["MUSUBI_TUI_PRICE_PER_HOUR"] == "2.5"
    both = json.loads(hooks_environment(run, hooks_of_run(run, allowed=True))["MUSUBI_TUI_HOOKS"])
    assert (both["on_finish"], both["on_error"]) == (["from", "preset"], ["from", "preset"])


def test_a_job_that_does_not_train_has_no_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(tmp_path, monkeypatch, 'on_finish = ["mine"]\n')
    run = RunDirectory.create(tmp_path, "cache")
    write_run_toml(Config.of({"family": "wan"}), run.run_toml, kind="cache", stages=["cache_text"])
    assert hooks_environment(run) == {}


@pytest.mark.parametrize(
    "text",
    ["on_finish = 'sh -c x'", "on_error = []", "notify_url = 'file:///etc/passwd'", "hook_grace_seconds = -1", "x ="],
)
def test_a_config_file_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: RunDirectory, text: str
) -> None:
    own(tmp_path, monkeypatch, text)
    with pytest.raises(ConfigError):
        hooks_environment(run)


def test_a_secret_in_a_presets_hook_is_not_kept_and_resuming_says_so(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "secret")
    config = Config.of({"family": "wan", "on_finish": ["curl", "--token", "abcdefgh12345"]})
    write_run_toml(config, run.run_toml, kind="train", stages=["train"])
    assert "abcdefgh12345" not in run.run_toml.read_text()
    with pytest.raises(UserError, match="secret"):
        hooks_of_run(run, allowed=True)


# -- the webhook


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    got: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", got
    http.shutdown()
    http.server_close()


def test_word_of_the_end_reaches_the_webhook_without_a_hook(run: RunDirectory, server: Any) -> None:
    address, got = server
    assert start(run, FAILS, notify_url=f"{address}/services/abcdefgh12345").wait(60) == 1
    ((path, body),) = got
    assert path == "/services/abcdefgh12345"
    assert "failed at step 0/0" in body["text"]
    assert "out of luck" in body["text"]
    everything = "".join(file.read_text("utf-8", "replace") for file in run.path.rglob("*") if file.is_file())
    assert "abcdefgh12345" not in everything


def test_a_webhook_that_refuses_is_a_warning_that_does_not_tell_the_address(run: RunDirectory, server: Any) -> None:
    address, _ = server
    assert start(run, DONE, notify_url=f"{address}/broken/abcdefgh12345").wait(60) == 0
    (warning,) = [r.event for r in read_events(run.events) if isinstance(r.event, Warned)]
    assert (warning.code, "HTTP 500" in warning.message) == ("notify_failed", True)
    assert "abcdefgh12345" not in run.events.read_text()


def test_each_service_gets_the_shape_it_understands() -> None:
    values = {
        "MUSUBI_TUI_NAME": "ink", "MUSUBI_TUI_STATE": "done", "MUSUBI_TUI_STEP": "20", "MUSUBI_TUI_MAX_STEPS": "20",
        "MUSUBI_TUI_HOURS": "1.5", "MUSUBI_TUI_COST": "4.81", "MUSUBI_TUI_REASON": "",
    }  # fmt: skip
    assert "ink: done" in message_for("https://hooks.slack.com/services/a/b", values)[1]["text"]
    discord = message_for("https://discord.com/api/webhooks/1/x", values)[1]
    assert "4.81" in discord["content"]
    target, ntfy = message_for("https://ntfy.sh/my-topic", values)
    assert (target, ntfy["topic"]) == ("https://ntfy.sh/", "my-topic")
