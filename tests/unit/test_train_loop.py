"""The loop: it learns, it stops and goes on bit for bit, it obeys, it never saves what went wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.data.batches import BatchPlan
from engine.events.control import Command
from engine.events.types import Checkpoint, Step, Validation
from engine.job import Interrupted, StopRequest
from engine.train import loop
from engine.train.loop import TrainResult, train
from engine.train.meter import TrainingFailed
from engine.train.state import newest_state
from engine.train.validation import ValidationSet
from tests.unit.train_bench import CPU, FAMILY, FakeJob, adapter, batches, items, options, tensors, tiny_wan


class Attempt:
    """One process's worth of a run in ``path``; a second one resumes the first."""

    def __init__(self, path: Path, *, script: Any = None, count: int = 5, batch_size: int = 2, **changes: Any) -> None:
        self.job = FakeJob(path, options(**changes), script)
        self.model = tiny_wan()
        self.network = adapter(self.model, dropout=self.job.config.network.network_dropout)
        self.plan = BatchPlan(items(count, batch_size), seed=3)

    def go(self, *, sampler: Any = None, validation: ValidationSet | None = None, source: Any = None) -> TrainResult:
        state = newest_state(self.job.run.state)
        if state is None:
            torch.manual_seed(11)
            random.seed(11)
        start = state.position.batches if state else 0
        return train(
            self.job, FAMILY, self.model, self.network, source or batches(self.plan, start), self.plan,
            device=CPU, sampler=sampler, validation=validation, resume=state,
        )  # fmt: skip

    @property
    def losses(self) -> dict[int, float]:
        return {event.step: event.loss for event in self.job.of(Step)}


def stop_at(step: int, *, when: str = "now", reason: str = "preempted") -> Any:
    def script(job: FakeJob) -> None:
        if job.steps and job.steps[-1] >= step and job.stop_requested is None:
            job.stop_requested = StopRequest(reason=reason, when=when)

    return script


def test_loss_falls_and_the_files_are_there(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, max_train_steps=60, lr_scheduler="cosine", save_every_n_steps=20, save_last_n_steps=20)
    check = ValidationSet(attempt.plan.items, 8, seed=1, load=tensors)

    result = attempt.go(validation=check)

    assert result.step == 60
    assert result.first is not None
    assert result.last is not None
    assert result.last.loss < 0.95 * result.first.loss
    assert [event.step for event in attempt.job.of(Step)] == list(range(1, 61))
    assert [event.step for event in attempt.job.of(Validation)] == [0, 60]
    kept = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert kept == ["x-step00000040.safetensors", "x-step00000060.safetensors", "x.safetensors"]
    assert not attempt.job.warnings


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit"])
@pytest.mark.parametrize("seed", [0, 1])
def test_resumed_losses_are_bit_equal(tmp_path: Path, optimizer: str, accumulation: int, seed: int) -> None:
    changes: dict[str, Any] = {
        "max_train_steps": 12, "optimizer_type": optimizer, "gradient_accumulation_steps": accumulation,
        "network_dropout": 0.1, "lr_scheduler": "cosine", "lr_warmup_steps": 2,
    }  # fmt: skip
    if optimizer == "adamw8bit":
        changes["optimizer_args"] = ["min_8bit_size=16"]  # so that even this small adapter's state has 8 bits
    straight = Attempt(tmp_path / "straight", **changes)
    straight.go()

    points = sorted(random.Random(seed).sample(range(1, 12), 2))
    losses: dict[int, float] = {}
    for point in points:
        attempt = Attempt(tmp_path / "broken", script=stop_at(point), **changes)
        with pytest.raises(Interrupted):
            attempt.go()
        assert attempt.job.steps[-1] == point
        losses |= attempt.losses
        torch.rand(random.Random(point).randrange(50))  # another process would stand somewhere else
    last = Attempt(tmp_path / "broken", **changes)
    last.go()

    assert losses | last.losses == straight.losses
    learned = load_file(tmp_path / "straight" / "output" / "x.safetensors")
    resumed = load_file(tmp_path / "broken" / "output" / "x.safetensors")
    assert all(torch.equal(learned[name], resumed[name]) for name in learned)


def test_a_stop_inside_an_accumulated_step_repeats_that_step(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"max_train_steps": 4, "gradient_accumulation_steps": 3, "network_dropout": 0.1}
    straight = Attempt(tmp_path / "straight", **changes)
    straight.go()

    attempt = Attempt(tmp_path / "broken", **changes)

    def interrupted_source() -> Any:
        for number, batch in enumerate(batches(attempt.plan)):
            if number == 4:  # the middle of the second step
                attempt.job.stop_requested = StopRequest(reason="preempted", when="now")
            yield batch

    with pytest.raises(Interrupted):
        attempt.go(source=interrupted_source())
    again = Attempt(tmp_path / "broken", **changes)
    again.go()

    assert list(attempt.losses) == [1]
    assert attempt.losses | again.losses == straight.losses


def test_a_preempted_run_leaves_a_state_and_no_file_under_a_final_name(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, script=stop_at(3))
    with pytest.raises(Interrupted):
        attempt.go()
    assert [event.kind for event in attempt.job.of(Checkpoint)] == ["state"]
    assert not (tmp_path / "output").exists()
    state = newest_state(tmp_path / "state")
    assert state is not None
    assert state.position.step == 3
    assert len(state.position.losses) == 3


def test_stop_at_the_end_of_the_epoch(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, script=stop_at(1, when="epoch", reason="stopped"))
    with pytest.raises(Interrupted):
        attempt.go()
    assert attempt.job.steps[-1] == 3  # five items in batches of two
    assert (tmp_path / "output" / "x-step00000003.safetensors").is_file()


def test_a_stop_that_comes_with_the_last_step_changes_nothing(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, script=stop_at(1, when="epoch", reason="stopped"), max_train_epochs=1)
    assert attempt.go().step == 3
    assert (tmp_path / "output" / "x.safetensors").is_file()


def test_stop_after_the_next_save(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, script=stop_at(3, when="save", reason="stopped"), save_every_n_steps=5)
    with pytest.raises(Interrupted):
        attempt.go()
    assert attempt.job.steps[-1] == 5
    again = Attempt(tmp_path)
    again.go()
    assert again.job.resumed_from == 5
    assert again.job.steps == [6, 7, 8]


def test_a_persons_stop_waits_for_the_end_of_an_accumulated_step(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, gradient_accumulation_steps=3)

    def source() -> Any:
        for number, batch in enumerate(batches(attempt.plan)):
            if number == 1:
                attempt.job.stop_requested = StopRequest(reason="stopped", when="now")
            yield batch

    with pytest.raises(Interrupted):
        attempt.go(source=source())
    assert attempt.job.steps == [1]
    assert (tmp_path / "output" / "x-step00000001.safetensors").is_file()


def test_a_paused_run_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Attempt(tmp_path, max_train_steps=4)
    waits: list[int] = []

    def wait(seconds: float) -> None:
        waits.append(len(attempt.job.of(Step)))
        attempt.job.paused = len(waits) < 3

    monkeypatch.setattr(loop.time, "sleep", wait)
    attempt.job.script = lambda job: setattr(job, "paused", job.steps == [1, 2] and len(waits) < 3)
    attempt.go()
    assert waits == [2, 2, 2]  # both losses are told before it waits
    assert attempt.job.steps == [1, 2, 3, 4]


def test_nan_stops_the_run_and_saves_nothing(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, save_every_n_steps=5, max_train_steps=20)

    def poisoned() -> Any:
        for number, batch in enumerate(batches(attempt.plan)):
            if number == 4:
                batch.tensors["latents"][0, 0, 0, 0, 0] = float("nan")
                bad.extend(item.id for item in batch.items)
            yield batch

    bad: list[str] = []
    with pytest.raises(TrainingFailed) as failure:
        attempt.go(source=poisoned())

    message = str(failure.value)
    assert "step 5" in message
    assert all(name in message for name in bad)
    assert failure.value.exit_code == 1
    assert not list((tmp_path).rglob("*.safetensors"))


def test_a_change_that_was_answered_outlives_a_kill(tmp_path: Path) -> None:
    def kill_after_setting(job: FakeJob) -> None:
        if job.steps[-1:] == [3]:
            job.queue.append(Command("a", "set", {"key": "max_train_steps", "value": 5}))
        if job.steps[-1:] == [4]:
            raise KeyboardInterrupt

    killed = Attempt(tmp_path, script=kill_after_setting)
    with pytest.raises(KeyboardInterrupt):
        killed.go()
    assert killed.job.acks == [("set", "done", "max_train_steps = 5")]
    resumed = Attempt(tmp_path)
    assert resumed.go().step == 5
    assert resumed.job.resumed_from == 3


def test_a_gradient_that_is_no_number_reaches_no_state(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, save_every_n_steps=5, save_state=True, max_train_steps=20)

    def poisoned() -> Any:
        for number, batch in enumerate(batches(attempt.plan)):
            if number == 4:  # the step at whose end a state is due: its loss is fine
                next(iter(attempt.network)).down.register_hook(lambda gradient: gradient * float("nan"))
            yield batch

    with pytest.raises(TrainingFailed, match="gradient of step 5"):
        attempt.go(source=poisoned())
    assert newest_state(tmp_path / "state") is None
    assert not list(tmp_path.rglob("*.safetensors"))


def test_commands(tmp_path: Path) -> None:
    sent = {
        2: [("set", {"key": "max_train_steps", "value": "6"}), ("set", {"key": "seed", "value": 1})],
        3: [("save", {}), ("set", {"key": "learning_rate_factor", "value": 0.5})],
        4: [("sample", {"prompts": ["a cat"]}), ("dance", {}), ("set", {"key": "max_train_steps", "value": 1})],
    }
    samples: list[tuple[int, Any]] = []

    def script(job: FakeJob) -> None:
        for command, arguments in sent.pop(job.steps[-1] if job.steps else 0, []):
            job.queue.append(Command("id", command, arguments))

    attempt = Attempt(tmp_path, script=script, max_train_steps=50)
    attempt.go(sampler=lambda step, epoch, prompts: samples.append((step, prompts)))

    results = [(command, result) for command, result, _ in attempt.job.acks]
    assert results == [
        ("set", "done"), ("set", "refused"), ("save", "done"), ("set", "done"),
        ("sample", "done"), ("dance", "refused"), ("set", "refused"),
    ]  # fmt: skip
    assert attempt.job.steps[-1] == 6
    assert samples == [(4, ["a cat"]), (6, None)]  # the last one with the preset's prompts
    assert (tmp_path / "output" / "x-step00000003.safetensors").is_file()
    rates = [event.lr[0] for event in attempt.job.of(Step)]
    assert rates == pytest.approx([1e-2] * 3 + [5e-3] * 3)


@pytest.mark.parametrize("kept", [False, True])
def test_a_last_lora_that_cannot_be_written_costs_no_training(tmp_path: Path, kept: bool) -> None:
    (tmp_path / "output").write_text("a file where a folder should be")
    blocked = Attempt(tmp_path, max_train_steps=4, save_state_on_train_end=kept)
    with pytest.raises(FileExistsError):
        blocked.go()
    assert [event.kind for event in blocked.job.of(Checkpoint)] == ["state"]
    (tmp_path / "output").unlink()
    again = Attempt(tmp_path, max_train_steps=4)
    assert again.go().step == 4
    assert again.job.steps == []  # nothing is trained twice
    assert (tmp_path / "output" / "x.safetensors").is_file()


def test_a_save_by_hand_that_fails_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    blocker = tmp_path / "output"

    def script(job: FakeJob) -> None:
        if job.steps == [1, 2] and not job.acks:
            blocker.write_text("a file where a folder should be")
            job.queue.append(Command("a", "save", {}))
        elif job.acks and blocker.is_file():
            blocker.unlink()

    attempt = Attempt(tmp_path, script=script, max_train_steps=4)
    assert attempt.go().step == 4
    ((command, result, message),) = attempt.job.acks
    assert (command, result) == ("save", "refused")
    assert "could not be written" in message
    assert str(tmp_path / "state" / "00000002-1") in message
    assert (tmp_path / "state" / "00000002-1" / "manifest.json").is_file()


def test_a_stop_before_the_first_step_saves_a_state_and_no_lora(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.job.stop_requested = StopRequest(reason="stopped", when="now")
    attempt.job.queue.append(Command("a", "save", {}))
    with pytest.raises(Interrupted):
        attempt.go()
    assert newest_state(tmp_path / "state") is not None
    assert not list((tmp_path / "output").glob("*.safetensors"))
    assert not attempt.job.warnings


def test_live_changes_survive_a_resume(tmp_path: Path) -> None:
    def script(job: FakeJob) -> None:
        if job.steps and job.steps[-1] == 2 and job.stop_requested is None:
            job.queue.append(Command("a", "set", {"key": "learning_rate_factor", "value": 0.25}))
            job.queue.append(Command("b", "set", {"key": "max_train_steps", "value": 5}))
        if job.steps and job.steps[-1] == 3:
            job.stop_requested = StopRequest(reason="preempted", when="now")

    with pytest.raises(Interrupted):
        Attempt(tmp_path, script=script).go()
    again = Attempt(tmp_path)
    again.go()
    assert [event.lr[0] for event in again.job.of(Step)] == pytest.approx([2.5e-3, 2.5e-3])


def test_previews_and_validation_do_not_move_the_noise(tmp_path: Path) -> None:
    quiet = Attempt(tmp_path / "quiet", network_dropout=0.1)
    quiet.go()
    busy = Attempt(tmp_path / "busy", network_dropout=0.1, sample_every_n_steps=2, sample_at_first=True,
                   validate_every_n_steps=3)  # fmt: skip
    seen: list[tuple[int, bool]] = []

    def sampler(step: int, epoch: int | None, prompts: Any) -> None:
        torch.rand(7)
        random.random()
        seen.append((step, busy.network.training))

    busy.go(sampler=sampler, validation=ValidationSet(busy.plan.items, 4, seed=2, load=tensors))

    assert busy.losses == quiet.losses
    assert seen == [(0, False), (2, False), (4, False), (6, False), (8, False)]
    assert [event.step for event in busy.job.of(Validation)] == [0, 3, 6, 8]


def test_previews_by_epoch_carry_its_number_and_the_last_step_has_one(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, max_train_epochs=4, sample_every_n_epochs=3)
    seen: list[tuple[int, int | None]] = []
    attempt.go(sampler=lambda step, epoch, prompts: seen.append((step, epoch)))
    assert seen == [(9, 3), (12, None)]


def test_one_early_preview_beside_the_others(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, max_train_steps=6, sample_after_steps=2, sample_every_n_steps=4)
    seen: list[tuple[int, int | None]] = []
    attempt.go(sampler=lambda step, epoch, prompts: seen.append((step, epoch)))
    assert [step for step, _ in seen] == [2, 4, 6]


def test_epoch_files(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, max_train_epochs=4, save_every_n_epochs=1, save_last_n_epochs=2)
    result = attempt.go()
    assert (result.step, result.epoch) == (12, 4)
    kept = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert kept == ["x-000002.safetensors", "x-000003.safetensors", "x.safetensors"]
