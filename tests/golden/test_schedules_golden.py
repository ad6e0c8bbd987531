"""Learning rates of every step are the reference's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config.problems import ConfigError
from engine.train.schedules import Schedule

CASES = json.loads((Path(__file__).parent / "data" / "lr_schedules.json").read_text())


@pytest.mark.parametrize("case", [name for name in CASES if "lr" in CASES[name]])
def test_learning_rates(case: str) -> None:
    options = CASES[case]["args"]
    schedule = Schedule.create(options["lr_scheduler"], options["max_train_steps"], options.get("lr_warmup_steps", 0))

    rates = [options["learning_rate"] * schedule.factor(step) for step in range(len(CASES[case]["lr"]))]

    assert rates == pytest.approx(CASES[case]["lr"], abs=1e-15)


def test_constant_refuses_a_warmup() -> None:
    with pytest.raises(ConfigError, match="constant"):
        Schedule.create("constant", 100, 10)
    assert Schedule.create("constant", 100, 0.0).factor(0) == 1.0


def test_a_run_that_outlives_its_schedule_stays_at_the_end() -> None:
    for name, last in (("linear", 0.0), ("cosine", 0.0), ("constant", 1.0)):
        assert Schedule.create(name, 10).factor(25) == last
