"""Solvers against flows whose solution is known."""

from __future__ import annotations

import pytest
import torch

from engine.sample.solvers import SOLVERS, make_solver, shifted, stretched


def solve(name: str, steps: int, x: torch.Tensor, shift: float = 1.0) -> torch.Tensor:
    """The flow of one Gaussian N(2, 0.5²): its velocity is linear in x and known."""
    solver = make_solver(name, steps, shift)
    for i, sigma in enumerate(solver.schedule.sigmas[:-1]):
        # x = (1 - s) d + s e with d ~ N(2, 0.25): E[e - d | x]
        variance = (1 - sigma) ** 2 * 0.25 + sigma**2
        velocity = (sigma - (1 - sigma) * 0.25) / variance * (x - (1 - sigma) * 2) - 2
        x = solver.step(i, x, velocity)
    return x


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_noise_is_carried_to_the_distribution(name: str, shift: float) -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(solve(name, 400, x, shift), 2 + 0.5 * x, rtol=0, atol=0.03)


def test_multistep_solvers_need_far_fewer_steps_than_euler() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    error = {name: float((solve(name, 16, x) - (2 + 0.5 * x)).abs().max()) for name in SOLVERS}
    assert error["unipc"] < error["euler"] / 4
    assert error["dpm++"] < error["euler"] / 2


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_give_finite_pictures(name: str, steps: int) -> None:
    assert torch.isfinite(solve(name, steps, torch.linspace(-2, 2, 5))).all()


def test_schedules_fall_from_noise_to_zero() -> None:
    for name in SOLVERS:
        for terminal in (None, 0.02):
            schedule = make_solver(name, 12, 3.0, terminal).schedule
            assert list(schedule.sigmas) == sorted(schedule.sigmas, reverse=True)
            assert schedule.sigmas[-1] == 0.0
            assert schedule.steps == 12
            if terminal:
                assert schedule.sigmas[-2] == pytest.approx(terminal)
    assert shifted(0.5, 1.0) == 0.5
    assert shifted(1.0, 7.0) == 1.0
    assert stretched([1.0], 0.02) == [1.0]
