"""One step: accumulation, recomputation, clipping, and not a single question to the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from engine.config.problems import ConfigError
from engine.train.meter import StepReader, StepRecord, TrainingFailed
from engine.train.objective import Objective
from engine.train.optimizers import make_optimizer
from engine.train.schedules import Schedule
from engine.train.step import TrainStep, checkpoint_blocks
from engine.train.timesteps import Timesteps, TimestepSettings
from tests.unit.train_bench import CPU, FAMILY, adapter, items, tensors, tiny_wan


class Scripted(Objective):
    """An objective whose noise and noise levels belong to the items, however they are batched."""

    def noise(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.sin(latent * 37) for latent in latents])

    def draw(self, latents: torch.Tensor, quantiles: torch.Tensor | None = None) -> Timesteps:
        t = torch.sigmoid(latents.flatten(1).sum(dim=1))
        return Timesteps(t, t * 1000, None)


def step(*, objective: type[Objective] = Scripted, numerics: str = "exact", **options: Any) -> TrainStep:
    model = tiny_wan()
    network = adapter(model, **options)
    with torch.no_grad():
        for a in network:
            a.up.normal_(generator=torch.Generator().manual_seed(2), std=0.1)
    optimizer = make_optimizer("adamw", None, network.parameter_groups(1e-2), 1e-2).optimizer
    settings = TimestepSettings("shift", 3.0, numerics=numerics)  # type: ignore[arg-type]
    return TrainStep(objective(FAMILY, settings), model, network, optimizer, Schedule("constant", 10), CPU)


def gradients(training: TrainStep) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in training.parameters if p.grad is not None])


def test_accumulated_micro_batches_equal_the_big_batch() -> None:
    four = items(4)
    whole, parts = step(), step()
    whole.accumulate(tensors(four), 1.0)
    for item in four:
        parts.accumulate(tensors([item]), 0.25)
    torch.testing.assert_close(gradients(parts), gradients(whole), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dropout", [None, 0.3])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_checkpointing_changes_no_gradient(dropout: float | None, precision: str) -> None:
    found = []
    for recompute in (False, True):
        training = step(dropout=dropout)
        training.objective = Scripted(FAMILY, training.objective.timesteps, precision)
        if recompute:
            checkpoint_blocks(training.transformer, training.network)
        torch.manual_seed(1)
        loss, _ = training.accumulate(tensors(items(2)), 1.0)
        found.append((loss, gradients(training)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=0, atol=0)


def test_checkpointing_recomputes_the_blocks() -> None:
    training = step()
    checkpoint_blocks(training.transformer, training.network)
    runs = []
    training.transformer.blocks[0].register_forward_pre_hook(lambda module, arguments: runs.append(module))
    training.accumulate(tensors(items(1)), 1.0)
    assert len(runs) == 2


def test_only_the_adapter_learns() -> None:
    training = step()
    before = {name: tensor.clone() for name, tensor in training.transformer.state_dict().items()}
    adapters = [p.detach().clone() for p in training.parameters]
    training.accumulate(tensors(items(2)), 1.0)
    training.update(0)
    assert all(torch.equal(before[name], tensor) for name, tensor in training.transformer.state_dict().items())
    assert not any(torch.equal(a, b) for a, b in zip(adapters, training.parameters, strict=True))
    assert all(p.grad is None for p in training.parameters)


def test_clipping_and_its_norm() -> None:
    clipped, free = step(), step()
    clipped.max_grad_norm, free.max_grad_norm = 1e-4, 0
    norms = []
    for training in (clipped, free):
        training.accumulate(tensors(items(2)), 1.0)
        seen = gradients(training).norm()
        norms.append(training._clip())
        torch.testing.assert_close(norms[-1], seen)
    assert float(gradients(clipped).norm()) == pytest.approx(1e-4, rel=1e-2)
    torch.testing.assert_close(gradients(free).norm(), norms[1])


def test_rates_follow_schedule_and_factor() -> None:
    training = step()
    training.schedule = Schedule("linear", 10, 2)
    rates = []
    for number in range(4):
        training.accumulate(tensors(items(1)), 1.0)
        training.update(number, factor=0.5)
        rates += training.learning_rates()
    assert rates == pytest.approx([0.0, 0.25e-2, 0.5e-2, 0.5e-2 * 7 / 8])


@contextmanager
def no_questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever makes the host wait for a device's number raises."""

    def ask(self: torch.Tensor, *arguments: Any) -> Any:
        raise AssertionError("the step waited for the device")

    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "cpu", "nonzero"):
            patch.setattr(torch.Tensor, name, ask)
        yield


@pytest.mark.parametrize("recompute", [False, True])
def test_the_step_never_waits_for_the_device(monkeypatch: pytest.MonkeyPatch, recompute: bool) -> None:
    training = step(objective=Objective, dropout=0.1, rank_dropout=0.1)
    if recompute:
        checkpoint_blocks(training.transformer, training.network)
    batch = tensors(items(2))
    reader = StepReader(lambda record: None)
    training.optimizer.step()  # the optimizer's own set-up
    with no_questions(monkeypatch):
        loss, _ = training.accumulate(batch, 1.0)
        norm = training.update(0)
        reader.push(record(1), loss, norm, training.clock.take())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_cuda_itself_sees_no_waiting(precision: str) -> None:
    device = torch.device("cuda")
    model = tiny_wan().to(device)
    network = adapter(model)
    optimizer = make_optimizer("adamw", None, network.parameter_groups(1e-2), 1e-2).optimizer
    objective = Objective(FAMILY, TimestepSettings("shift", 3.0), precision)
    training = TrainStep(objective, model, network, optimizer, Schedule("constant", 10), device)
    reader = StepReader(lambda record: None)
    for number in range(4):
        torch.cuda.set_sync_debug_mode("error" if number else "default")  # the first step sets things up
        try:
            loss, _ = training.accumulate(tensors(items(2)), 1.0)
            norm = training.update(number)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        reader.push(record(number), loss, norm, training.clock.take())
    reader.flush()
    assert reader.loss is not None


def record(number: int) -> StepRecord:
    return StepRecord(number, 1, (1e-3,), (500.0,), ("0:a",))


def test_numbers_are_read_one_step_late() -> None:
    told: list[tuple[int, float]] = []
    reader = StepReader(lambda r: told.append((r.step, r.loss)))
    for number in (1, 2, 3):
        reader.push(record(number), torch.tensor(float(number)), torch.tensor(0.5), dict)
        assert [entry[0] for entry in told] == list(range(1, number))
    reader.flush()
    assert told == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert reader.loss == 2.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named(bad: float) -> None:
    told: list[int] = []
    reader = StepReader(lambda r: told.append(r.step))
    reader.push(record(7), torch.tensor(bad), torch.tensor(1.0), dict)
    with pytest.raises(TrainingFailed, match=r"step 7 .*0:a.*500"):
        reader.flush()
    assert told == [7]
    assert not reader.losses


def test_a_gradient_that_is_no_number_is_named() -> None:
    reader = StepReader(lambda r: None)
    reader.push(record(7), torch.tensor(1.0), torch.tensor(float("nan")), dict)
    with pytest.raises(TrainingFailed, match=r"gradient of step 7 is nan.*0:a"):
        reader.flush()
    scaled = StepReader(lambda r: None, gradients_may_overflow=True)
    scaled.push(record(8), torch.tensor(1.0), torch.tensor(float("inf")), dict)
    scaled.flush()
    assert list(scaled.losses) == [1.0]


def test_optimizer_arguments() -> None:
    built = make_optimizer("AdamW", ["weight_decay=0.1", "betas=(0.9, 0.95)"], [{"params": [torch.zeros(2)]}], 1e-3)
    assert built.name == "torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.95))"
    assert built.optimizer.param_groups[0]["betas"] == (0.9, 0.95)
    assert make_optimizer("adamw", None, [{"params": [torch.zeros(2)]}], 1e-3).name == "torch.optim.adamw.AdamW"


@pytest.mark.parametrize(
    ("kind", "words", "says"),
    [
        ("adamw", ["weight_decay"], "key=value"),
        ("adamw", ["decay=0.1"], "no argument 'decay'"),
        ("adamw", ["weight_decay=-1"], "refuses"),
        ("sophia", [], "not built yet"),
    ],
)
def test_wrong_optimizers(kind: str, words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_optimizer(kind, words, [{"params": [torch.zeros(2)]}], 1e-3)


def test_a_dataset_weight_multiplies_its_gradient() -> None:
    plain, weighted = step(), step()
    batch = tensors(items(2))
    plain.accumulate(batch, 1.0)
    loss, _ = weighted.accumulate({**batch, "loss_weight": torch.tensor([0.25, 0.25])}, 1.0)
    torch.testing.assert_close(gradients(weighted), 0.25 * gradients(plain), rtol=1e-4, atol=1e-8)
    assert float(loss) > 0


def test_a_mask_hides_what_is_not_learned() -> None:
    """An item half of which is hidden learns what it would learn from the other half alone."""
    mask = torch.zeros(2, 1, 1, 8, 8)
    mask[..., :4] = 1
    objective = Scripted(FAMILY, TimestepSettings("shift", 3.0))
    generator = torch.Generator().manual_seed(5)
    prediction, target = (torch.randn(2, 16, 1, 8, 8, generator=generator) for _ in range(2))
    seen = objective.loss(prediction, target, mask=mask)
    torch.testing.assert_close(seen, objective.loss(prediction[..., :4], target[..., :4]))
    target[..., 4:] += 100
    torch.testing.assert_close(objective.loss(prediction, target, mask=mask), seen)
    torch.testing.assert_close(
        objective.loss(prediction, target, mask=torch.ones_like(mask)), objective.loss(prediction, target)
    )
    assert float(objective.loss(prediction, target, mask=torch.zeros_like(mask))) == 0.0

    whole, masked = step(), step()
    whole.accumulate(tensors(items(2)), 1.0)
    masked.accumulate({**tensors(items(2)), "loss_mask": mask}, 1.0)
    assert not torch.allclose(gradients(whole), gradients(masked))
