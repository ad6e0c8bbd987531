"""Making, starting and going on with runs: real engine processes, as far as they get without a model."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from engine.attempt import Attempt
from engine.config import Config, check_config, load_config, read_run_toml, write_run_toml
from engine.config.problems import ConfigError, UserError
from engine.events import Lease, RunDirectory, RunStart, Status, Step, true_state
from engine.events.lines import iso_time
from engine.events.sink import EventSink
from engine.events.types import Hook
from engine.job import Job
from musubi_tui.cli.root import run as musubi
from musubi_tui.runs import launching
from musubi_tui.runs.creating import create_job, create_run, dry_run_text
from musubi_tui.runs.home import find_home
from musubi_tui.runs.launching import engine_environment, gpu_visible, launch
from musubi_tui.runs.resuming import parse_value, prepare_resume, run_option
from musubi_tui.runs.snapshot import snapshot
from tests.waiting import wait_until

PRESET = """
family = "wan"
task = "t2v-1.3B"
output_name = "bird"
huggingface_token = "hf_abcdefghijklmnop"
device = "cpu"
dit = "dit.safetensors"
vae = "vae.pth"
t5 = "t5.pth"
max_train_steps = 40
dataset_config = "dataset.toml"
"""
DATASET = """
[general]
caption_extension = ".txt"
resolution = [64, 64]
[[datasets]]
image_directory = "pictures"
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(pictures / "a.png")
    (pictures / "a.txt").write_text("a bird")
    (tmp_path / "dataset.toml").write_text(DATASET)
    (tmp_path / "preset.toml").write_text(PRESET)
    return tmp_path / "preset.toml"


@pytest.fixture
def damaged(tmp_path: Path) -> RunDirectory:
    """A run whose engine starts and then finds a broken run.toml: quick, and without torch."""
    run = create_job(Config.of({"family": "wan", "device": "cpu"}), kind="train", stages=["train"], name="damaged")
    run.run_toml.write_text("schema_version = 99\n")
    return run


def test_a_new_run_stands_alone_and_knows_no_secret(preset: Path) -> None:
    run = create_run(load_config(preset))
    status = Status.read(run)
    assert status is not None
    assert (status.state, status.name, status.family, status.kind, status.max_steps) == ("queued", "bird", "wan", "train", 40)  # fmt: skip
    assert true_state(run) == "queued"
    document = read_run_toml(run.run_toml)
    assert (document.kind, document.stages) == ("train", ("cache_latents", "cache_text", "train"))
    (dataset,) = document.config.dataset.datasets
    assert dataset["image_directory"] == str(preset.parent / "pictures")
    assert document.config.dataset.dataset_config is None
    assert {path.name for path in run.source.iterdir()} == {"preset.toml", "dataset.toml"}
    for path in run.path.rglob("*"):
        if path.is_file():
            assert b"hf_abcdefghijklmnop" not in path.read_bytes()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run_option(run, "run", "device") == "cpu"
    assert run_option(run, "run", "nothing") is None


def test_a_run_that_cannot_be_made_leaves_nothing(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (preset.parent / "dataset.toml").write_text("[[datasets]]\nimage_directory = 3\n")
    loaded = load_config(preset)
    with pytest.raises(UserError):
        create_run(loaded)
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(preset))  # a file where a folder should be
    (preset.parent / "dataset.toml").write_text(DATASET)
    with pytest.raises(UserError) as caught:
        create_run(loaded)
    assert caught.value.exit_code == 3
    assert "MUSUBI_TUI_HOME" in caught.value.problems[0].fix


def test_a_dataset_that_the_check_refuses_makes_no_run(preset: Path) -> None:
    (preset.parent / "pictures" / "a.txt").unlink()
    refused = {problem.code for problem in check_config(preset, check_files=True) if problem.severity == "error"}
    loaded = load_config(preset)
    for make in (create_run, dry_run_text):
        with pytest.raises(ConfigError) as caught:
            make(loaded)
        assert {problem.code for problem in caught.value.problems} <= refused
        assert str(preset.parent / "pictures") in str(caught.value)
    assert not (find_home().path / "runs").exists()
    assert create_run(loaded, kind="cache").path.is_dir()  # pictures can be encoded before their captions are written


def test_nobody_to_tell_leaves_no_run_behind(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("dit.safetensors", "vae.pth", "t5.pth"):
        (preset.parent / name).write_bytes(b"x")
    preset.write_text(
        "\n".join(line for line in PRESET.splitlines() if "token" not in line)
    )  # so that nothing is told before
    monkeypatch.setattr(sys, "stderr", Full())
    assert musubi(["train", str(preset), "--plain", "--detach"]) == 3
    assert list((find_home().path / "runs").iterdir()) == []


def test_the_engine_gets_a_session_of_its_own_and_its_own_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_job(Config.of({"family": "wan", "device": "cpu"}), kind="train", stages=["train"], name="own")
    (run.path / "engine").mkdir()  # -P: a folder of that name in the working directory is not imported
    (run.path / "engine" / "__init__.py").write_text("raise SystemExit('the wrong engine')")
    monkeypatch.setenv("PYTHONPATH", str(run.path))  # nor one that somebody's environment brings in
    process = launch(run, device="cpu")
    try:
        assert true_state(run) == "running"
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        assert psutil.Process(process.pid).cwd() == str(run.path)
        lease = Lease.read(run)
        assert lease is not None
        assert lease.process.pid == process.pid
        with pytest.raises(UserError) as caught:
            launch(run)
        assert str(process.pid) in caught.value.problems[0].message
    finally:
        process.kill()
        process.wait()
    assert true_state(run) == "orphaned"


def test_what_the_engine_complains_about_is_in_the_snapshot(damaged: RunDirectory) -> None:
    process = launch(damaged)
    assert process.wait(20) == 2
    now = snapshot(damaged)
    assert (now.state, now.exit_code) == ("failed", 2)
    assert [error["code"] for error in now.errors] == ["schema_version"]
    assert "99" in damaged.engine_log.read_text()


def test_an_engine_that_cannot_even_start_is_written_down(
    damaged: RunDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such interpreter; exit 4\n")
    broken.chmod(0o700)
    monkeypatch.setattr(launching.sys, "executable", str(broken))
    assert launch(damaged).wait(20) == 4
    now = snapshot(damaged)
    assert (now.state, now.exit_code) == ("failed", 1)
    assert str(damaged.engine_log) in now.reason
    assert "no such interpreter" in damaged.engine_log.read_text()


def test_one_torch_thread_on_a_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launching, "gpu_visible", lambda: True)
    assert engine_environment("cpu")["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in engine_environment("auto")
    assert "OMP_NUM_THREADS" not in engine_environment("cuda")
    monkeypatch.setattr(launching, "gpu_visible", lambda: False)
    assert engine_environment("auto")["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert engine_environment("cpu")["OMP_NUM_THREADS"] == "6"


def test_hidden_gpus_are_not_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.sys, "platform", "linux")
    monkeypatch.setattr(launching, "_GPU_DEVICES", ("/dev/null",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpu_visible()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not gpu_visible()


def test_the_package_is_added_only_where_python_would_not_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = str(Path(launching.engine.__file__).resolve().parents[1])
    monkeypatch.setattr(launching.site, "getsitepackages", lambda: [root])
    assert "PYTHONPATH" not in engine_environment("cpu")
    monkeypatch.setattr(launching.site, "getsitepackages", list)
    monkeypatch.setattr(launching.site, "getusersitepackages", lambda: "/nowhere")
    assert engine_environment("cpu")["PYTHONPATH"] == root


def test_an_editable_install_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    root = str(Path(launching.engine.__file__).resolve().parents[1])
    (tmp_path / "_musubi_tui.pth").write_text(f"{root}\n")
    monkeypatch.setattr(launching.site, "getsitepackages", lambda: [str(tmp_path)])
    assert "PYTHONPATH" not in engine_environment("cpu")


def ended(state: str, steps: int, exit_code: int = 0) -> RunDirectory:
    """A run that ended after some steps."""
    config = Config.of({"family": "wan", "device": "cpu", "max_train_steps": 40})
    run = create_job(config, kind="train", stages=["train"], name="ended")
    job = Job(Attempt(run), config)
    for step in range(1, steps + 1):
        job.events.emit(Step(step=step, loss=1.0))
    job.set_step(steps, 40)
    job.finish(state, "", exit_code)
    return run


@pytest.mark.parametrize("state", ["stopped", "preempted", "failed"])
def test_a_run_that_ended_early_may_go_on(state: str) -> None:
    run = ended(state, 12)
    prepare_resume(run, {"learning_rate_factor": 0.5, "sample_prompts": 'say "hi"\n'})
    note = tomllib.loads((run.attempts / "2.toml").read_text())
    assert note["attempt"] == 2
    assert note["set"] == {"learning_rate_factor": 0.5, "sample_prompts": 'say "hi"\n'}
    assert stat.S_IMODE((run.attempts / "2.toml").stat().st_mode) == 0o600


def test_a_run_whose_hook_waits_says_how_to_cancel_it() -> None:
    """Its watchman holds the lease: "watch it or stop it" helps nobody whose run has failed."""
    run = ended("failed", 12)
    lease = Lease.acquire(run)
    for state, advice in (("waiting", f"runs cancel-hooks {run.id}"), ("started", "when it is over")):
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(Hook("on_error", state, 40.0))
        sink.close()
        with pytest.raises(UserError, match=advice):
            prepare_resume(run, {})
    lease.release(run)
    prepare_resume(run, {})


def test_what_a_restart_cut_short_goes_on_after_one_watch_that_is_said() -> None:
    run = ended("preempted", 12)
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    before = replace(status.process, boot_id="before the restart")
    replace(status, state="running", process=before, heartbeat=iso_time(1e9)).write(run)
    Lease(before, iso_time(1e9))._create(run)
    assert true_state(run) == "orphaned"
    told: list[str] = []
    naps: list[float] = []
    with pytest.raises(UserError, match="network_dim"):  # a mistake is told before anybody has to wait
        prepare_resume(run, {"network_dim": 64}, sleep=naps.append)
    assert naps == []
    prepare_resume(run, {}, tell=told.append, sleep=naps.append)
    assert 10 < sum(naps) < 15
    assert len(told) == 1
    assert f"{sum(naps):.0f} s" in told[0]
    Lease.acquire(run, sleep=lambda seconds: pytest.fail("the engine waits a second time"))


def test_a_run_that_is_done_goes_on_only_to_more_steps() -> None:
    run = ended("done", 40)
    for changes in ({}, {"max_train_steps": 40}, {"max_train_steps": "all"}):
        with pytest.raises(UserError) as caught:
            prepare_resume(run, changes)
        assert caught.value.problems[0].code == "run_done"
    prepare_resume(run, {"max_train_steps": 60})


def test_only_safe_values_change_within_a_run() -> None:
    with pytest.raises(UserError) as caught:
        prepare_resume(ended("stopped", 3), {"network_dim": 64})
    assert caught.value.problems[0].key == "network_dim"
    assert "max_train_steps" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_train_steps": "abc"}, "max_train_steps must be a whole number"),
        ({"max_train_steps": 12}, "has done 12 steps already"),
        ({"sample_every_n_steps": -1}, "sample_every_n_steps must be"),
        ({"learning_rate_factor": "x"}, "learning_rate_factor must be a number"),
    ],
)
def test_wrong_values_are_refused_before_the_engine_starts(changes: dict[str, Any], words: str) -> None:
    run = ended("stopped", 12)
    write_run_toml(Config.of({"family": "wan", "max_train_steps": 40}), run.run_toml, kind="train", stages=[])
    with pytest.raises(UserError, match=words):
        prepare_resume(run, changes)
    assert not (run.attempts / "2.toml").exists()


def test_a_living_run_is_not_resumed() -> None:
    run = ended("stopped", 3)
    attempt = Attempt(run)
    with pytest.raises(UserError) as caught:
        prepare_resume(run, {})
    assert caught.value.problems[0].code == "lease_alive"
    assert str(os.getpid()) in caught.value.problems[0].message
    attempt.finish("stopped", "", 0)


def test_a_resumed_engine_takes_the_changes_up() -> None:
    run = ended("stopped", 12)
    state = run.state / "00000010-1"
    state.mkdir()
    (state / "manifest.json").write_text("{}")
    config = Config.of({"family": "wan", "device": "cpu", "max_train_steps": 40})
    write_run_toml(config, run.run_toml, kind="train", stages=[])
    prepare_resume(run, {"max_train_steps": 77})
    process = launch(run, device="cpu")
    assert process.wait(60) == 0
    from engine.events import read_events

    starts = [record.event for record in read_events(run.events) if isinstance(record.event, RunStart)]
    assert [(start.attempt, start.from_step, start.config["max_train_steps"]) for start in starts] == [(1, 0, 40), (2, 10, 77)]  # fmt: skip


def test_words_become_numbers_where_they_are() -> None:
    assert [parse_value(text) for text in ("5", "1e-4", "off", "-3")] == [5, 1e-4, "off", -3]


def test_a_killed_launcher_leaves_the_engine_alone(tmp_path: Path) -> None:
    run = create_job(Config.of({"family": "wan", "device": "cpu"}), kind="train", stages=["train"], name="alone")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom engine.events import RunDirectory\n"
        "from musubi_tui.runs.launching import launch\nlaunch(RunDirectory(Path(sys.argv[1])), device='cpu')\n"
        "print('launched', flush=True)\ntime.sleep(60)\n"
    )
    launcher = subprocess.Popen([launching.sys.executable, "-c", script, run.path], stdout=subprocess.PIPE, start_new_session=True)  # fmt: skip
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == b"launched\n"
    os.killpg(launcher.pid, signal.SIGHUP)  # the terminal closes
    launcher.wait()
    assert true_state(run) == "running"
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    os.kill(status.process.pid, signal.SIGKILL)
    wait_until(lambda: true_state(run) == "orphaned")
