"""The plan of a draft: what it needs is gathered once, beside the keys; an edit asks the pure planner again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.config.language import say
from engine.config.load import load_source
from engine.config.problems import UserError
from engine.planner.lines import GIB, Line, Plan, gib
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from musubi_tui.presets.effects import question
from musubi_tui.presets.facts import Facts
from musubi_tui.runs.money import money_range
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import duration, per_step
from musubi_tui.tui.widgets.grid import wrap
from musubi_tui.tui.widgets.lines import Line as Cells


def gather_request(facts: Facts) -> tuple[PlanRequest | None, str]:
    """The question about a text, or why there is none. Reads headers, scans the dataset, asks the driver: for a thread."""
    from musubi_tui.presets.planning import gather
    from musubi_tui.runs.history import past_runs

    if facts.source is None:
        return None, ""
    try:
        loaded = load_source(facts.source)
        return gather(loaded, past=past_runs(str(loaded.config.run.family))), ""
    except UserError as error:
        return None, error.problems[0].message
    except OSError as error:
        return None, str(error)


def plan_now(request: PlanRequest, facts: Facts) -> Plan | None:
    """The plan with the values of now; None where they make no valid preset of the same kind."""
    if facts.spec is not request.spec or facts.task is not request.task:
        return None
    asked = question(request, facts)
    return make_plan(asked, advise=False) if asked else None


def short(plan: Plan) -> str:
    """Memory, pace, time and money in one line; sure or not."""
    return "  ".join(part for part in (_memory(plan), _pace(plan), _whole(plan), _cost(plan)) if part)


def panel(plan: Plan | None, why: str, width: int, glyphs: Glyphs) -> list[Cells]:
    """The panel of the large layout: a bar of the card, the phases, time, money, disk, and remarks."""
    if plan is None:
        return [[(text, "muted")] for text in wrap(why, width, 6)] if why else []
    lines: list[Cells] = []
    if plan.available:
        room = max(8, width - 24)
        role = "bad" if plan.fits is False else "good"
        lines.append(
            [("vram ", "muted"), (glyphs.bar(plan.peak / plan.available, room), role), (f" {_memory(plan)}", "")]
        )
    else:
        lines.append(
            [
                ("vram ", "muted"),
                (say(f"{gib(plan.peak)} at most; no GPU here", f"最大 {gib(plan.peak)}（GPU なし）"), ""),
            ]
        )
    for phase in plan.phases:
        most = say("  most", "  最大") if phase is plan.widest and len(plan.phases) > 1 else ""
        lines.append([("  ", ""), (f"{phase.title} {gib(phase.peak)}{most}", "muted")])
    for name, text in ((say("time", "時間"), f"{_pace(plan)}  {_whole(plan)}".strip()), (say("cost", "費用"), _cost(plan)), (say("disk", "ディスク"), _disk(plan))):  # fmt: skip
        if text:
            lines.append([(f"{name} ", "muted"), (text, "")])
    if plan.fits is False:
        lines += [
            [(text, "bad")]
            for text in wrap(
                say("! it does not fit: {preset.plan} says what would", "! 収まりません: {preset.plan} で対策を表示"),
                width,
                2,
            )
        ]
    for note in plan.notes:
        lines += [[(text, "muted")] for text in wrap(note, width, 2)]
    return lines


def whole(request: PlanRequest, facts: Facts) -> Iterator[tuple[str, str]]:
    """(kind, text) of everything the planner has to say, with the changes that would make it fit."""
    from engine.planner.lines import SURE_WORDS

    asked = question(request, facts)
    if asked is None:
        return
    plan = make_plan(asked)
    for phase in plan.phases:
        yield "title", f"{phase.title}: {gib(phase.peak)}"
        for line in phase.lines:
            yield "key", f"{line.title}: {gib(line.amount or 0)} ({SURE_WORDS[line.sure]}) {line.how}"
    yield "title", say("time, money, disk", "時間・費用・ディスク")
    for line in (*plan.time, *plan.money, *plan.disk):
        yield "key", f"{line.title}: {_figure(line)} ({SURE_WORDS[line.sure]}) {line.how}"
    if plan.suggestions or plan.together:
        yield "title", say("what would make it fit", "収めるための変更")
    for one in plan.together or plan.suggestions:
        yield "key", f"{one.title}: {gib(one.peak)}  {one.cost}"
    for note in plan.notes:
        yield "text", note


def _memory(plan: Plan) -> str:
    if plan.available is None:
        return gib(plan.peak)
    return f"{plan.peak / GIB:.1f}/{plan.available / GIB:.1f}G"


def _pace(plan: Plan) -> str:
    line = plan.line("step")
    return f"{_range(line, per_step)} s/it" if line is not None and line.amount is not None else ""


def _whole(plan: Plan) -> str:
    line = plan.line("whole")
    return _range(line, duration) if line is not None and line.amount is not None else ""


def _cost(plan: Plan) -> str:
    line = plan.line("cost")
    return _money(line) if line is not None and line.amount is not None else ""


def _money(line: Line) -> str:
    assert line.amount is not None
    sure = line.low is None or line.high is None
    return money_range(line.amount, line.amount) if sure else money_range(line.low or 0.0, line.high or 0.0)


def _disk(plan: Plan) -> str:
    return f"{sum(line.amount or 0 for line in plan.disk) / 1e9:.1f} GB"


def _range(line: Line, words: Callable[[float], str]) -> str:
    """The figure, or both ends of what it may be."""
    assert line.amount is not None
    if line.low is None or line.high is None or words(line.low) == words(line.high):
        return words(line.amount)
    return f"{words(line.low)}–{words(line.high)}"


def _figure(line: Line) -> str:
    if line.amount is None:
        return "–"
    if line.unit == "bytes":
        return f"{line.amount / 1e9:.2f} GB"
    return _range(line, duration if line.id != "step" else per_step) if line.unit == "seconds" else _money(line)
