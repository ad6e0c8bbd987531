"""Signals, kill -9 and resuming: nothing that was saved is lost, and what follows is bit-equal to an undisturbed run."""

from __future__ import annotations

import json
import random
import shutil
import signal

import pytest
from safetensors.torch import load_file

from engine.events.reader import story
from engine.events.rundir import RunDirectory
from engine.events.status import Status
from engine.events.types import Checkpoint, Step, Warned
from musubi_tui.runs.home import Home
from tests.e2e.engine_child import Child, new_run, of_type, start, train

SHORT = {"max_train_steps": "24", "sample_prompts": "", "validation_items": "0", "lr_scheduler": "cosine"}


def losses(run: RunDirectory) -> dict[int, float]:
    return {step.step: step.loss for step in of_type(run, Step)}


def steps_so_far(count: int):
    return lambda records: sum(isinstance(record.event, Step) for record in records) >= count


def assert_same_result(run: RunDirectory, other: RunDirectory) -> None:
    assert losses(run) == losses(other)
    mine, theirs = (load_file(r.output / "tiny-wan.safetensors") for r in (run, other))
    assert mine.keys() == theirs.keys()
    assert all(mine[name].equal(theirs[name]) for name in mine)


@pytest.fixture(scope="module")
def undisturbed(tiny_masters, tmp_path_factory):
    """Runs that nothing interrupts, each made once: the changes to the preset -> the run."""
    made: dict[str, RunDirectory] = {}

    def run(changes: dict[str, str]) -> RunDirectory:
        name = json.dumps(changes)
        if name not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            home = Home(folder, "test", survives=True)
            shutil.copytree(tiny_masters("wan"), folder / "set")
            made[name], code = train(folder / "set/preset.toml", changes, home=home)
            assert code == 0
        return made[name]

    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_saves_and_the_resumed_run_is_bit_equal(tiny, undisturbed, number):
    preset = tiny("wan") / "preset.toml"
    child = start(new_run(preset, SHORT))
    child.until(steps_so_far(5))
    child.kill(number)
    assert child.wait() == 75
    status = Status.read(child.run)
    assert (status.state, status.exit_code) == ("preempted", 75)
    (state,) = [event for event in of_type(child.run, Checkpoint) if event.kind == "state"]
    assert state.step >= 5
    assert [path.name for path in child.run.state.iterdir()] == [f"{state.step:08d}-1"]
    assert start(child.run).wait() == 0
    assert Status.read(child.run).state == "done"
    assert_same_result(child.run, undisturbed(SHORT))


@pytest.mark.parametrize("attempt", range(3))
def test_kill_9_at_a_random_moment_loses_only_what_came_after_the_last_state(tiny, undisturbed, attempt):
    preset = tiny("wan") / "preset.toml"
    often = {**SHORT, "save_every_n_steps": "4", "save_state": "true", "gradient_accumulation_steps": "2"}
    run = new_run(preset, often)
    chance = random.Random(attempt)
    for _ in range(2):
        child = start(run)
        done = len(of_type(run, Step))
        child.until(steps_so_far(min(23, done + chance.randint(2, 12))))
        child.kill(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert start(run).wait() == 0
    assert_same_result(run, undisturbed(often))
    assert not list(run.state.glob(".building-*"))  # what a kill left there is gone with the next save
    assert all(load_file(path) for path in run.output.rglob("*.safetensors"))
    sequence = [record.seq for record in story(run.events)]
    assert sequence == sorted(sequence)


@pytest.mark.parametrize("phase", ["latents", "text", "load"])
def test_ctrl_c_before_the_first_step_leaves_whole_files_and_can_go_on(tiny, phase):
    folder = tiny("wan")
    for cache in folder.glob("cache/**/*.safetensors"):
        cache.unlink()
    child = start(new_run(folder / "preset.toml", {**SHORT, "max_train_steps": "3"}))
    child.until(lambda records: any(getattr(record.event, "name", "") == phase for record in records))
    child.kill(signal.SIGINT)
    code = child.wait()
    assert code == 75
    leftovers = [
        path.name for path in folder.glob("cache/**/*") if path.is_file() and not path.name.endswith(".safetensors")
    ]
    assert leftovers == []
    assert start(child.run).wait() == 0
    assert max(losses(child.run)) == 3


def test_nobody_resumes_a_run_that_is_alive(tiny):
    child = start(new_run(tiny("wan") / "preset.toml", {**SHORT, "max_train_steps": "400"}))
    child.until(steps_so_far(2))
    assert start(child.run).wait() == 2
    child.kill(signal.SIGTERM)
    assert child.wait() == 75


def test_commands_are_carried_out_and_answered(tiny):
    child = start(new_run(tiny("wan") / "preset.toml", {**SHORT, "max_train_steps": "100000"}))
    child.until(steps_so_far(2))
    assert command(child, "a", "set", key="learning_rate_factor", value=0.5)["result"] == "done"
    assert command(child, "b", "save")["result"] == "done"
    assert command(child, "c", "sample")["result"] == "refused"
    assert command(child, "d", "set", key="network_dim", value=8)["result"] == "refused"
    assert command(child, "e", "pause")["result"] == "accepted"
    child.until(lambda _: Status.read(child.run).state == "paused", 10)
    assert command(child, "f", "resume")["result"] == "done"
    assert command(child, "g", "stop", when="now")["result"] == "accepted"
    assert child.wait() == 0
    assert Status.read(child.run).state == "stopped"
    rates = [step.lr[0] for step in of_type(child.run, Step)]
    assert rates[-1] == pytest.approx(rates[1] / 2, rel=0.01)


def command(child: Child, name: str, what: str, **arguments: object) -> dict:
    path = child.run.control / f"{name}.json"
    temporary = child.run.control / f".{name}.writing"
    temporary.write_text(json.dumps({"id": name, "command": what, **arguments}))
    temporary.rename(path)
    answer = child.run.control / f"{name}.ack.json"
    child.until(lambda _: answer.exists(), 20)
    return json.loads(answer.read_text())


def test_a_resumed_run_says_when_its_pictures_or_its_newest_state_are_not_what_they_were(tiny):
    preset = tiny("wan") / "preset.toml"
    run = new_run(preset, {**SHORT, "save_every_n_steps": "4", "save_state": "true", "max_train_steps": "2000"})
    child = start(run)
    child.until(lambda records: sum(isinstance(r.event, Checkpoint) and r.event.kind == "state" for r in records) >= 2)
    child.kill(signal.SIGTERM)
    assert child.wait() == 75
    newest = max(run.state.iterdir(), key=lambda folder: folder.name)
    (newest / "adapter.safetensors").write_bytes(b"half")
    next((preset.parent / "data" / "pictures").glob("*.txt")).write_text("another caption", encoding="utf-8")
    again = start(run)
    again.until(lambda records: any(isinstance(r.event, Warned) and r.event.code == "damaged_state" for r in records))
    again.kill(signal.SIGTERM)
    assert again.wait() == 75
    assert {"dataset_changed", "damaged_state"} <= {warning.code for warning in of_type(run, Warned)}
