"""The training loop: batches in, an adapter, resume states and events out.

Between two steps lies the only place where anything else happens: commands, previews, saving, stopping. A stop that comes
in the middle of an accumulated step drops that step and saves the state before it, so that a resumed run repeats it
from the same random numbers.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import nn

from engine.config.language import say
from engine.config.problems import CheckpointError
from engine.data.batches import BatchPlan
from engine.data.dataset_config import DatasetSpec
from engine.events.redaction import redact
from engine.events.types import Checkpoint, NoiseLevels, Step, Validation
from engine.families.family import FamilyModel
from engine.job import Interrupted, StopRequest
from engine.networks.lora import LoraNetwork
from engine.sample.schedule import samples_due
from engine.train.deadline import Deadline, StepOutlasts
from engine.train.live import LiveValues
from engine.train.memory import measure_memory
from engine.train.metadata import RunMetadata
from engine.train.meter import StepReader, StepRecord
from engine.train.objective import Objective
from engine.train.optimizers import make_optimizer
from engine.train.saver import Saver, epoch_stem, epoch_to_remove, step_stem, step_to_remove
from engine.train.schedules import Schedule
from engine.train.state import Position, State, capture_generators, restore_generators, save_state
from engine.train.step import TrainStep, checkpoint_blocks
from engine.train.timesteps import Timesteps, TimestepSettings, level_shares
from engine.train.validation import ValidationResult, ValidationSet

if TYPE_CHECKING:
    from engine.data.loader import Batch
    from engine.job import Job

_MEMORY_EVERY_S = 10.0
_PAUSE_LOOKS_EVERY_S = 0.2

Sampler = Callable[[int, "int | None", "Sequence[str] | None"], Any]


@dataclass(frozen=True)
class TrainResult:
    """``loss``: mean of the last steps. ``first`` and ``last``: validation before and after, when there is any."""

    step: int
    epoch: int
    loss: float | None
    outputs: tuple[Path, ...]
    first: ValidationResult | None
    last: ValidationResult | None


def train(
    job: Job,
    family_model: FamilyModel,
    transformer: nn.Module,
    network: LoraNetwork,
    loader: Iterable[Batch],
    plan: BatchPlan,
    *,
    device: torch.device,
    sampler: Sampler | None = None,
    validation: ValidationSet | None = None,
    resume: State | None = None,
    datasets: Sequence[DatasetSpec] = (),
) -> TrainResult:
    """Train ``network`` on ``loader`` until the configured step.

    ``loader`` starts at ``resume.position.batches`` (0 without). ``sampler(step, epoch, prompts)`` writes previews,
    named by the epoch that ended, if one is given; prompts None means the preset's.
    Raises ``Interrupted`` after a stop was asked for and everything is saved, ``TrainingFailed`` when the loss is no
    longer a number, ``UserError`` for options that cannot be met.
    """
    training = _Training(job, family_model, transformer, network, loader, plan, device, sampler, validation, datasets)
    try:
        if resume is not None:
            training.resume(resume)
        return training.run()
    finally:
        training.deadline.close()


def steps_of(config: Any, plan: BatchPlan) -> int:
    """Optimizer steps of the whole run: ``max_train_steps``, or what ``max_train_epochs`` comes to."""
    if config.training.max_train_epochs:
        per_epoch = math.ceil(plan.batches_per_epoch / config.training.gradient_accumulation_steps)
        return int(config.training.max_train_epochs * per_epoch)
    return int(config.training.max_train_steps)


class _Discarded(Exception):
    """A stop was asked for inside a step; the step was dropped."""


class _Training:
    """One attempt: the parts, and where it stands."""

    def __init__(
        self,
        job: Job,
        family_model: FamilyModel,
        transformer: nn.Module,
        network: LoraNetwork,
        loader: Iterable[Batch],
        plan: BatchPlan,
        device: torch.device,
        sampler: Sampler | None,
        validation: ValidationSet | None,
        datasets: Sequence[DatasetSpec],
    ) -> None:
        config = job.config
        self.job, self.config, self.plan = job, config, plan
        self.batches = iter(loader)
        self.sampler, self.validation = sampler, validation
        self.live = LiveValues(config, steps_of(config, plan))
        rate = config.optimizer.learning_rate
        built = make_optimizer(
            config.optimizer.optimizer_type, config.optimizer.optimizer_args, network.parameter_groups(rate), rate
        )
        schedule = Schedule.create(
            config.optimizer.lr_scheduler, self.live.max_train_steps, config.optimizer.lr_warmup_steps
        )
        training = config.training
        objective = Objective(
            family_model, TimestepSettings.from_config(config), training.mixed_precision, training.guidance_scale
        )
        self.step_of = TrainStep(
            objective, transformer, network, built.optimizer, schedule, device, training.max_grad_norm
        )
        if training.gradient_checkpointing:
            checkpoint_blocks(transformer, network)
        network.train()
        self.reader = StepReader(self._tell_step, gradients_may_overflow=self.step_of.scaler.is_enabled())
        self.deadline = Deadline(job)
        self.position = Position()
        self.generators: Mapping[str, Any] | None = None
        self.saver = self._make_saver(built.name, datasets)
        self.first: ValidationResult | None = None
        self.last: ValidationResult | None = None
        self._state_due = time.monotonic() + config.save.save_state_every_minutes * 60
        self._state_at: int | None = None  # the step of the state this attempt wrote last
        self._memory_due = 0.0
        self._levels_told = False
        self._sampled_at: int | None = None

    def _make_saver(self, optimizer_name: str, datasets: Sequence[DatasetSpec]) -> Saver:
        config, job = self.config, self.job
        name = config.run.output_name or "last"
        metadata = RunMetadata(
            config, job.spec, job.task, self.plan, self.live.max_train_steps, optimizer_name, datasets, name
        )
        folder = Path(config.run.output_dir or job.run.output)
        return Saver(
            self.step_of.network,
            folder,
            name,
            metadata.at,
            emit=job.events.emit,
            warn=job.warn,
            precision=config.save.save_precision,
            dialects=config.network.lora_dialects,
            # The lease lets one process work in a run directory, so a file that carries its path was left by a dead one.
            owner=hashlib.sha256(str(job.run.state).encode()).hexdigest()[:16],
        )

    def resume(self, state: State) -> None:
        """Stand where ``state`` was saved."""
        self.live.replay(state.position.live)
        self.job.goes_on_from(state.position.attempt)
        state.restore(self.step_of.network, self.step_of.optimizer, self.step_of.scaler)
        self.position = state.position
        self.reader.losses.extend(state.position.losses)

    # -- the loop

    def run(self) -> TrainResult:
        """All steps, then the last file."""
        with self.job.phase("train") as progress:
            self.job.resumed_at(self.position.step)
            self._before_the_first_step()
            self._obey()  # what a resume changes, before the first look at how far to go
            while self.position.step < self.live.max_train_steps:
                self._listen()
                if not self.position.step < self.live.max_train_steps:
                    break
                try:
                    epoch_ended = self._step()
                except _Discarded:
                    continue
                self.job.set_step(self.position.step, self.live.max_train_steps)
                progress.update(self.position.step, self.live.max_train_steps)
                self._after_step(epoch_ended)
            self._finish()
        return TrainResult(
            self.position.step, self._epoch(), self.reader.loss, tuple(self.saver.outputs), self.first, self.last
        )

    def _step(self) -> bool:
        """One optimizer step over one window of micro-batches: whether it ended its epoch."""
        begin, waited = time.perf_counter(), 0.0
        per_epoch, accumulation = self.plan.batches_per_epoch, self.config.training.gradient_accumulation_steps
        start = self.position.batches % per_epoch
        window = min(accumulation, per_epoch - start)
        # Musubi Tuner divides by the setting even when the epoch ends sooner.
        share = 1 / (accumulation if self.config.run.numerics == "musubi" else window)
        self.generators = capture_generators()
        losses: list[torch.Tensor] = []
        levels: list[Timesteps] = []
        items: list[str] = []
        for micro in range(window):
            asked = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - asked
            self._tell_levels(batch.tensors["latents"].shape)
            try:
                with self.deadline.micro_step():
                    loss, drawn = self.step_of.accumulate(batch.tensors, share)
            except StepOutlasts:
                self._drop_step()
            losses.append(loss)
            levels.append(drawn)
            items += [redact(item.id) for item in batch.items]  # ids hold file names
            if micro + 1 < window and self._must_leave_now():
                self._drop_step()
        norm = self.step_of.update(self.position.step, self.live.learning_rate_factor)
        self.position = Position(self.position.step + 1, self.position.batches + window)
        self.generators = None
        record = StepRecord(
            self.position.step,
            batch.epoch,
            self.step_of.learning_rates(),
            tuple(level for drawn in levels for level in drawn.model.tolist()),
            tuple(items),
            data_s=waited,
        )
        mean = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        record.step_s = time.perf_counter() - begin
        self.reader.push(record, mean, norm, self.step_of.clock.take())
        return start + window == per_epoch

    def _tell_step(self, record: StepRecord) -> None:
        parts = record.parts
        self.job.events.emit(
            Step(
                step=record.step,
                epoch=record.epoch,
                loss=record.loss,
                lr=record.lr,
                grad_norm=record.grad_norm,
                timesteps=record.timesteps,
                items=record.items,
                step_s=record.step_s,
                data_s=record.data_s,
                forward_s=parts.get("forward"),
                backward_s=parts.get("backward"),
                optimizer_s=parts.get("optimizer"),
            )
        )

    # -- between steps

    def _before_the_first_step(self) -> None:
        if self.position.step:
            return
        self._validate()
        self.first = self.last
        if samples_due(0, at_first=self.config.sampling.sample_at_first):
            self._sample()

    def _after_step(self, epoch_ended: bool) -> None:
        step, live, save = self.position.step, self.live, self.config.save
        if time.monotonic() >= self._memory_due:
            self._tell_memory()
        epoch = self._epoch()
        saved = _due(step, live.save_every_n_steps)
        if saved:
            self._save(step_stem(self.saver.name, step))
            self._make_room(step_stem, step_to_remove(step, live.save_every_n_steps or 1, save.save_last_n_steps))
        if epoch_ended and _due(epoch, live.save_every_n_epochs) and step < live.max_train_steps:
            saved = True
            self._save(epoch_stem(self.saver.name, epoch))
            gone = epoch_to_remove(epoch, live.save_every_n_epochs or 1, save.save_last_n_epochs)
            self._make_room(epoch_stem, gone)
        if (saved and save.save_state) or self._state_is_due():
            saved = True
            self.save_state()
        checks = self.config.validation
        every = checks.validate_every_n_steps if checks.validation_items else None  # else held-out items, at both ends
        if _due(step, every) and step < live.max_train_steps:
            self._validate()
        if samples_due(
            step,
            epoch=epoch if epoch_ended else None,
            every_n_steps=live.sample_every_n_steps,
            every_n_epochs=live.sample_every_n_epochs,
            early=self.config.sampling.sample_after_steps,
            last=self._sampled_at,
        ):
            self._sample(epoch if epoch_ended and not _due(step, live.sample_every_n_steps) else None)
        stop = self.job.stop_requested
        if stop is None or step >= live.max_train_steps:
            return  # after the last step the run is done, not stopped
        if (stop.when == "epoch" and epoch_ended) or (stop.when == "save" and saved):
            self._leave(stop)

    def _listen(self) -> None:
        """Commands, pauses and stops. Raises ``Interrupted`` after saving."""
        self._obey()
        while self.job.paused and self.job.stop_requested is None:
            self.reader.flush()
            time.sleep(_PAUSE_LOOKS_EVERY_S)
            self._obey()
        stop = self.job.stop_requested
        if stop is not None and (stop.when == "now" or stop.reason == "preempted"):
            self._leave(stop)

    def _obey(self) -> None:
        for command in self.job.commands():
            try:
                message = self._do(command.command, command.arguments)
            except ValueError as refusal:
                self.job.ack(command, "refused", str(refusal))
            else:
                self.job.ack(command, "done", message)

    def _do(self, command: str, arguments: Mapping[str, Any]) -> str:
        """Carry out one command. Raises ``ValueError`` with the reason of a refusal."""
        match command:
            case "save":
                return self._save_by_hand()
            case "sample":
                if self.sampler is None:
                    raise ValueError(say("This run has no sampler.", "この run ではサンプルを生成できません。"))
                self._sample(prompts=arguments.get("prompts"))
                return ""
            case "set":
                key, value = str(arguments.get("key", "")), arguments.get("value")
                self.live.set(key, value, step=self.position.step)
                if self.position.step:
                    self.save_state()  # what was answered with "done" outlives a kill
                return f"{key} = {getattr(self.live, key)}"
        raise ValueError(say(f"Unknown command {command!r}.", f"不明なコマンド {command!r} です。"))

    def _save_by_hand(self) -> str:
        """The state, then the LoRA; where the state lies. A disk that refuses is no reason to end the run: ``ValueError``."""
        try:
            path = self.save_state()
        except OSError as error:
            raise ValueError(
                say(f"The state could not be written: {error}", f"状態を書き込めませんでした: {error}")
            ) from error
        try:
            if self.position.step:
                self._save(step_stem(self.saver.name, self.position.step))
        except (OSError, CheckpointError) as error:
            raise ValueError(
                say(f"The LoRA could not be written: {error} The state is saved: {path}",
                    f"LoRA を書き込めませんでした: {error} 状態は保存済みです: {path}")
            ) from error  # fmt: skip
        return str(path)

    def _must_leave_now(self) -> bool:
        """Whether the machine may be gone before the step is done. A person's stop waits for its end."""
        stop = self.job.stop_requested
        return stop is not None and stop.reason == "preempted"

    def _drop_step(self) -> NoReturn:
        """Undo the part of the step that is done. Raises ``_Discarded``."""
        self.step_of.discard()
        self.step_of.clock.take()
        if self.generators is not None:
            restore_generators(self.generators)
        raise _Discarded

    def _leave(self, stop: StopRequest) -> None:
        """Save the state; for a person also the adapter, if it has learned. Raises ``Interrupted``."""
        self.save_state()
        if stop.reason != "preempted" and self.position.step:
            self._save(step_stem(self.saver.name, self.position.step))
        raise Interrupted(stop)

    def _finish(self) -> None:
        """The last state, the last file, the last validation."""
        save = self.config.save
        if save.save_state or save.save_state_on_train_end or save.save_state_every_minutes:
            self.save_state()  # so that the run can be trained further
        self._save(self.saver.name)
        if self._sampled_at != self.position.step:
            self._sample()  # whatever the cadence: the last LoRA is the one people look at
        self._validate()

    # -- files and measurements

    def _save(self, stem: str) -> None:
        """Write the adapter. When that fails, a state keeps what was learned: the run can go on from here."""
        self.reader.flush()  # nothing is saved from a step whose loss was not a number
        try:
            self.saver.save(stem, self.position.step, self._epoch())
        except (OSError, CheckpointError):
            if self._state_at != self.position.step:
                self.save_state()
            raise

    def _make_room(self, stem: Callable[[str, int], str], number: int | None) -> None:
        if number is not None:
            self.saver.remove(stem(self.saver.name, number))

    def _state_is_due(self) -> bool:
        every = self.config.save.save_state_every_minutes
        return bool(every) and time.monotonic() >= self._state_due

    def save_state(self) -> Path:
        """Write a resume state of the last finished step."""
        self.reader.flush()
        begin = time.monotonic()
        here = replace(
            self.position,
            losses=tuple(self.reader.losses),
            live=dict(self.live.changes),
            attempt=self.job.attempt,
        )
        network, optimizer = self.step_of.network, self.step_of.optimizer
        path = save_state(
            self.job.run.state,
            here,
            network,
            optimizer,
            scaler=self.step_of.scaler if self.step_of.scaler.is_enabled() else None,
            keep=self.config.save.keep_states,
        )
        self._state_at = here.step
        size = sum(file.stat().st_size for file in path.iterdir())
        seconds = self.deadline.saving_s = time.monotonic() - begin
        self._state_due = time.monotonic() + self.config.save.save_state_every_minutes * 60
        self.job.events.emit(Checkpoint(path=str(path), kind="state", bytes=size, seconds=seconds, step=here.step))
        return path

    def _sample(self, epoch: int | None = None, prompts: Sequence[str] | None = None) -> None:
        """Previews, with the adapter at rest and the random generators as they were."""
        if self.sampler is None:
            return
        self._sampled_at = self.position.step if prompts is None else self._sampled_at
        self.reader.flush()
        generators = capture_generators()
        network = self.step_of.network
        network.eval()
        try:
            with torch.no_grad():
                self.sampler(self.position.step, epoch, prompts or self.live.sample_prompts)
        finally:
            network.train()
            restore_generators(generators)

    def _validate(self) -> None:
        if self.validation is None or not len(self.validation):
            return
        self.reader.flush()
        step = self.step_of
        result = self.validation.evaluate(step.objective, step.transformer, step.network, step.device)
        self.last = result
        self.job.events.emit(
            Validation(step=self.position.step, loss=result.loss, by_t=dict(result.by_t), base=result.base)
        )

    def _epoch(self) -> int:
        """The epoch of the last batch that was taken (1 before the first)."""
        return max(0, self.position.batches - 1) // self.plan.batches_per_epoch + 1

    def _tell_levels(self, shape: Sequence[int]) -> None:
        """Once per attempt: how noise levels are drawn for latents of this shape."""
        if not self._levels_told:
            self._levels_told = True
            shares = level_shares(self.step_of.objective.timesteps, shape)
            self.job.events.emit(NoiseLevels(tuple(round(share, 5) for share in shares)))

    def _tell_memory(self) -> None:
        self._memory_due = time.monotonic() + _MEMORY_EVERY_S
        self.job.events.emit(measure_memory(self.step_of))


def _due(count: int, every: int | None) -> bool:
    return bool(every) and count % every == 0  # type: ignore[operator]
