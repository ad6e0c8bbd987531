"""What the panels of the run screen say about memory, block swap, noise levels and health, from made-up moments."""

from __future__ import annotations

import math
import random

import pytest

from engine.events.lines import Record
from engine.events.types import Block, Event, Host, Memory, NoiseLevels, Plan, RunStart, Step, Swap, Validation
from musubi_tui.tui.alerts import alerts
from musubi_tui.tui.glyphs import ASCII, UNICODE
from musubi_tui.tui.run_means import divergence
from musubi_tui.tui.run_view import Fold, RunView
from musubi_tui.tui.screens.run import health, memory, noise, panels
from musubi_tui.tui.widgets import lanes
from musubi_tui.tui.widgets.lines import Line, width_of

GIB = 1 << 30


def fold(*events: Event, config: dict[str, object] | None = None) -> RunView:
    folded = Fold("x")
    for place, event in enumerate((RunStart(1, 0, config or {}), *events)):
        folded.feed(Record(place, 1000.0 + place / 100, event))
    return folded.view()


def text(lines: list[Line] | Line) -> str:
    rows = [lines] if lines and isinstance(lines[0], tuple) else lines
    return "\n".join("".join(span[0] for span in row) for row in rows)  # type: ignore[union-attr]


def gibs(*sizes: float) -> tuple[int, ...]:
    return tuple(int(size * GIB) for size in sizes)


MEMORY = Memory(*gibs(9.1, 0.3, 0.6, 6.4, 0.8, 17.2, 18.9, 21.2))
CARD = {"util": 97, "temperature": 71, "watts": 412.0, "used": 20 * GIB, "total": 24 * GIB}


def test_memory_shows_now_planned_and_highest():
    plan = Plan(24, 16, 4, "gpu", "fits", *gibs(9.0, 0.3, 0.6, 6.0, 0.7, 20.6), 24 * GIB)
    view = fold(plan, Step(step=210, loss=0.1), MEMORY, Host((CARD,), ram=GIB, ram_used=2 * GIB, ram_total=4 * GIB))
    shown = text(memory.memory(view, 52, UNICODE))
    assert ["now", "9.1", "0.3", "0.6", "6.4", "0.8", "17.2"] in [line.split() for line in shown.splitlines()]
    assert ["planned", "9.0", "0.3", "0.6", "6.0", "0.7", "20.6"] in [line.split() for line in shown.splitlines()]
    assert "peak 21.2 G @ step 210  plan 20.6 G (+0.6, +3%)" in shown
    assert "reserved 18.9 G  free 5.1 of 24.0 G" in shown
    assert "plan 20.6" in text(memory.memory_line(view, 78, UNICODE))
    for line in memory.memory(view, 52, ASCII):
        assert width_of(line) <= 52
        assert text(line).isascii() or "°C" in text(line)


def test_without_a_plan_nothing_is_compared():
    shown = text(memory.memory(fold(MEMORY, Host((CARD,), ram_total=1)), 52, UNICODE))
    assert "plan" not in shown
    assert "peak 21.2 G" in shown


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({**CARD, "ours": 18 * GIB, "processes": 3}, "2 other processes 2.0 G"),
        ({**CARD, "processes": 1}, "others and the driver 1.1 G"),  # a container: our share by our allocator
        ({**CARD, "used": int(19.0 * GIB), "processes": 1}, None),  # the driver's own few megabytes
        ({**CARD, "used": None, "processes": 4}, None),
    ],
)
def test_neighbours_on_the_card(card, words):
    shown = text(memory.memory(fold(MEMORY, Host((card,), ram_total=1)), 52, UNICODE))
    assert words in shown if words else "other processes" not in shown and "driver" not in shown


def test_a_machine_without_a_card_shows_its_own_memory():
    view = fold(
        Memory(GIB, GIB, GIB), Host((), ram=8 * GIB, ram_used=16 * GIB, ram_total=32 * GIB, disk_free=5 * 10**9)
    )
    shown = text(memory.memory(view, 52, UNICODE))
    assert "RAM 16.0/32.0 G  engine 8.0 G" in shown
    assert "no GPU  disk 5 GB free" in shown


def streaming(*blocks: Block) -> RunView:
    swap = Swap(2, 4, 3, copy_ms=31.0, compute_ms=38.0, stall_ms=80.0, bytes_h2d=10**9, not_ready=1, hidden=0.94)
    return fold(Plan(2, 4, 3, "gpu", "because"), Step(step=1, step_s=1.0), swap, *blocks)


BLOCKS = (
    Block(0, "resident"), Block(3, "resident"), Block(1, "computing", 0, None, 30.0, 38.0, 0.0, "backward"),
    Block(2, "ready", 1, None, 31.5, 38.0, 4.0), Block(4, "loading", 2, 0.62, 32.0, 37.0, 12.0), Block(5, "cpu", None, None, 31.0, 39.0, 0.5),
)  # fmt: skip


def test_lanes_show_each_block_its_slot_and_its_waiting():
    view = streaming(*BLOCKS)
    assert "".join(sign for sign, _ in lanes.lane(view, 40, "unicode")) == "■●▣■▶□"
    shown = text(lanes.panel(view, 52, "unicode"))
    assert "■●▣■▶□  bwd" in shown
    assert "[1 ●][2 ▣][4 ▶ 62%]" in shown
    assert "copy 31 ms, compute 38 ms, 94% hidden" in shown
    assert "stall 80 ms per step (8%), 1 not ready" in shown
    assert lanes.summary(view) == "2 res 1 ready 1 loading  ring 3"
    table = text(lanes.table(view, 10, 0, "ascii")).splitlines()
    assert table[2].split() == ["1", "@", "computing", "0", "30.0", "38.0", "0.0"]
    assert table[5].split() == ["4", ">", "loading", "2", "32.0", "37.0", "12.0"]
    assert len(lanes.table(view, 3, 99, "ascii")) == 3


def test_times_of_a_block_stay_when_only_its_state_is_told():
    view = streaming(*BLOCKS, Block(2, "cpu"), Block(-1, "ready"), Block(10**9, "ready"))
    assert (view.blocks[2].state, view.blocks[2].copy_ms) == ("cpu", 31.5)
    assert sorted(view.blocks) == [0, 1, 2, 3, 4, 5]


def test_old_news_of_blocks_only_says_which_stay():
    folded = Fold("x")
    for event in (Plan(2, 4, 3), *BLOCKS):
        folded.feed(Record(0, 1000.0, event))
    view = folded.view(now=1100.0)
    assert lanes.states(view) == ["resident", "cpu", "cpu", "resident", "cpu", "cpu"]
    assert "ring  3 slots" in text(lanes.panel(view, 52, "unicode"))


def test_more_blocks_than_cells_show_the_busiest_of_each_cell():
    view = fold(Plan(0, 80, 2), *(Block(index, "computing" if index == 41 else "cpu") for index in range(80)))
    signs = "".join(sign for sign, _ in lanes.lane(view, 20, "ascii"))
    assert (len(signs), signs.count("@"), signs.index("@")) == (20, 1, 10)


def test_single_blocks_of_which_nobody_told_are_asked_for():
    assert "while somebody looks" in text(lanes.table(fold(Plan(2, 4, 3)), 5, 0, "unicode"))
    assert "no swap" in text(lanes.table(fold(Plan(6, 0, 0)), 5, 0, "unicode"))


def drawn(count: int, level) -> list[Step]:
    noise_of = random.Random(3)
    return [Step(step=place + 1, loss=0.5, timesteps=(1000 * level(noise_of),)) for place in range(count)]


def test_levels_are_compared_with_how_they_should_be_drawn():
    uniform = NoiseLevels((0.05,) * 20)
    right = text(noise.levels(fold(uniform, *drawn(1000, lambda r: r.random())), 78, 9, UNICODE, heat=True))
    wrong = text(noise.levels(fold(uniform, *drawn(1000, lambda r: r.random() ** 4)), 78, 9, UNICODE, heat=True))
    assert "target" in right
    assert " ok" in right
    assert "off target" in wrong
    few = text(noise.levels(fold(uniform, *drawn(20, lambda r: 0.1)), 78, 9, UNICODE, heat=True))
    assert "KL" not in few
    assert "drawn (low t to high)" in text(noise.levels(fold(*drawn(5, lambda r: 0.1)), 78, 9, UNICODE, heat=False))


def test_divergence_is_a_number_whatever_was_drawn():
    assert divergence([1, 1], [0.5, 0.5]) == pytest.approx(0)
    assert divergence([9, 0], [0.0, 1.0]) == pytest.approx(math.log(1e6))
    assert divergence([], []) is divergence([0], [1.0]) is divergence([1], [0.0]) is divergence([1, 2], [1.0]) is None


def test_the_course_of_a_range_keeps_its_length_however_long_the_run():
    view = fold(*drawn(5000, lambda r: r.random()))
    assert all(64 <= len(entry.course) <= 128 for entry in view.bins)
    lines = noise.levels(view, 52, 8, ASCII, heat=True)
    assert all(width_of(line) <= 52 for line in lines)


def test_the_adjusted_loss_sees_through_what_was_drawn():
    """The loss of each level falls, while ever more of the levels with a high loss are drawn: the plain average rises."""
    random_of = random.Random(1)
    steps = []
    for place in range(1, 2001):
        low = random_of.random() < place / 2000
        loss = (1.0 if low else 0.1) * (1 - place / 4000)
        steps.append(Step(step=place, loss=loss, timesteps=(100.0 if low else 900.0,)))
    view = fold(*steps)
    assert view.steps.loss[-200:].mean() > 2 * view.steps.loss[:200].mean()
    assert view.adjusted < 0
    worse = fold(*[Step(step=place, loss=place / 1000, timesteps=(500.0,)) for place in range(1, 500)])
    assert worse.adjusted > 0
    assert fold(Step(step=1, loss=1.0)).adjusted is None


def long_run(loss=lambda step: 0.1, seconds=lambda step: 1.0, norm=lambda step: 0.5) -> list[Step]:
    return [Step(step=step, loss=loss(step), step_s=seconds(step), grad_norm=norm(step)) for step in range(1, 2101)]


def shown_health(view: RunView, **changes) -> str:
    return text(health.health(view, alerts(view), 52, 12, UNICODE))


def test_health_tells_pace_clipping_plateau_and_overfitting():
    validations = [Validation(step, value, {}, 1.0) for step, value in ((500, 0.2), (1000, 0.1), (1500, 0.13), (2000, 0.15))]  # fmt: skip
    steps = long_run(seconds=lambda step: 1.0 if step < 1500 else 1.5, norm=lambda step: 2.0 if step % 4 == 0 else 0.5)
    shown = shown_health(fold(*steps, *validations, config={"max_grad_norm": 1.0}))
    assert "clip rate 25%" in shown
    assert "slower: +50% s/step vs the first 500 steps" in shown
    assert "plateau: loss +0.0% over 1000 steps" in shown
    assert "validation rises since 1000: overfitting?" in shown
    assert "val 0.150 @ 2000, best 0.100 @ 1000 (predicting zero 1.000)" in shown


def test_health_of_a_run_that_goes_well_only_says_what_holds():
    shown = shown_health(fold(*long_run(loss=lambda step: 1 / step)))
    assert "✓ loss finite" in shown
    assert "pace +0% s/step" in shown
    assert "?" not in shown
    assert "clip" not in shown  # no limit is told


def test_gradients_show_the_limit_and_rates_all_groups():
    steps = [Step(step=step, lr=(1e-4, 1.6e-3), grad_norm=0.2 * step) for step in range(1, 11)]
    view = fold(*steps, config={"max_grad_norm": 1.0})
    assert panels.gradients_title(view) == "grad norm  clip 1"
    assert any("-" * 10 in text(line) for line in panels.gradients(view, 40, 4, ASCII))
    assert panels.rates_title(view) == "learning rate 0.0001 0.0016"
    assert len(panels.rates(view, 40, 4, UNICODE)) == 4
    assert "clip" not in panels.gradients_title(fold(*steps))


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"temperature": 88, "throttle": "heat"}, "the GPU is too hot (88 °C) and runs slower: check its cooling"),
        ({"temperature": 60, "throttle": "brake"}, "the power supply makes the GPU run slower"),
        ({"temperature": 60, "throttle": "power"}, None),  # every busy card is at its power limit
        ({"temperature": 60, "throttle": None}, None),
    ],
)
def test_throttling_is_an_alert_with_its_reason(card, words):
    assert [alert.text for alert in alerts(fold(Host((card,))))] == ([words] if words else [])
