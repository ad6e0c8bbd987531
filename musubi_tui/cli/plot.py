"""``runs plot`` and ``runs compare``: still pictures of finished or running runs, for a pipe, a log or a quick look."""

from __future__ import annotations

import math
import os
import shutil
import string
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.output import OK, print_json, print_table
from musubi_tui.runs.money import money

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory

RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN…", help=say("One or several runs.", "1 つ以上の run。"))
]
QUANTITIES = {"loss": "loss", "lr": "lr", "grad-norm": "grad_norm", "seconds": "step_s", "wait": "data_s"}
EMA_WEIGHT = 0.95  # of the past, in the smoothed loss
_LETTERS = string.ascii_uppercase
_MARGIN = 2  # columns that stay free, so that no terminal wraps a line


def plot(
    runs: RunsArgument,
    what: Annotated[
        str,
        typer.Option("--what", metavar="|".join(QUANTITIES), help=say("What to draw.", "描画する量。")),
    ] = "loss",
    raw: Annotated[bool, typer.Option("--raw", help=say("Do not smooth the loss.", "loss を平滑化しません。"))] = False,
    log: Annotated[bool, typer.Option("--log", help=say("Logarithmic axis.", "対数軸。"))] = False,
    width: Annotated[int | None, typer.Option("--width", min=30, help=say("Columns. Default: the terminal's.", "桁数。既定は端末の幅。"))] = None,
    height: Annotated[int, typer.Option("--height", min=8, help=say("Lines.", "行数。"))] = 18,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Draw a curve of one or several runs over the steps."""
    from musubi_tui.runs.finding import find_training

    if what not in QUANTITIES:
        raise UserError.of(
            "wrong_value",
            say(f"--what knows {', '.join(QUANTITIES)}, not {what!r}.", f"--what は {', '.join(QUANTITIES)} のいずれかです（{what!r} は不可）。"),
        )  # fmt: skip
    columns = width or max(30, shutil.get_terminal_size().columns - _MARGIN)
    smooth = what == "loss" and not raw
    curves = []
    for word in runs:
        run = find_training(word)
        steps, values = _curve(run, QUANTITIES[what])
        if not steps:
            raise UserError.of(
                "no_steps",
                say(f"{run.id} has no steps to draw yet.", f"{run.id} にはまだ描画できるステップがありません。"),
                file=run.path,
            )
        curves.append((run.id, steps, smoothed(values) if smooth else values))
    if as_json:
        print_json([{"id": name, "what": what, "steps": steps, "values": values} for name, steps, values in curves])
        return OK
    title = f"{what} (EMA {EMA_WEIGHT})" if smooth else what
    sys.stdout.write(draw(curves, title, columns, height, log=log) + "\n")
    return OK


def compare(
    runs: RunsArgument,
    by: Annotated[str, typer.Option("--by", metavar="step|time|cost", help=say("Where losses are compared: at equal steps, hours of work, or money.", "loss を揃える軸（ステップ、作業時間、費用）。"))] = "step",
    points: Annotated[int, typer.Option("--points", min=1, max=1000, help=say("At how many places.", "比較する箇所の数。"))] = 5,
    everything: Annotated[bool, typer.Option("--all", help=say("Also settings that are equal.", "同じ設定も表示します。"))] = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Show in which settings runs differ, and what came of them."""
    from musubi_tui.runs import comparing
    from musubi_tui.runs.finding import find_training
    from musubi_tui.runs.pricing import known_price

    if by not in comparing.AXES:
        raise UserError.of(
            "wrong_value",
            say(f"--by knows {', '.join(comparing.AXES)}, not {by!r}.", f"--by は {', '.join(comparing.AXES)} のいずれかです（{by!r} は不可）。"),
        )  # fmt: skip
    price = known_price()
    found = comparing.compare_runs([find_training(word) for word in runs], price.per_hour if price else None)
    settings = comparing.setting_rows(found, everything=everything)
    losses = comparing.aligned(found, by, points)
    if as_json:
        at = [{by: round(place, 4), "loss": values} for place, values in losses]
        print_json({"runs": [run.now.as_json() for run in found], "different": dict(settings), "aligned": at})
        return OK
    rows = settings + comparing.result_rows(found)
    rows += [
        (f"loss @ {_place(by, place)}", ["-" if value is None else f"{value:.4f}" for value in values])
        for place, values in losses
    ]
    print_table(("", *(run.now.id for run in found)), [(name, *cells) for name, cells in rows])
    return OK


def _place(by: str, value: float) -> str:
    if by == "step":
        return f"{value:.0f}"
    return money(value) if by == "cost" else f"{value / 60:.1f} min"


def smoothed(values: Sequence[float]) -> list[float]:
    """The exponential moving average, without the pull towards zero at its start (Kingma and Ba 2014, bias correction)."""
    average, weight, result = 0.0, 0.0, []
    for value in values:
        average = EMA_WEIGHT * average + (1 - EMA_WEIGHT) * value
        weight = EMA_WEIGHT * weight + (1 - EMA_WEIGHT)
        result.append(average / weight)
    return result


def draw(
    curves: Sequence[tuple[str, list[int], list[float]]], title: str, width: int, height: int, *, log: bool
) -> str:
    """The curves as lines of text ``width`` columns wide; colours only on a terminal that takes them."""
    import plotext

    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    plotext.clf()
    plotext.theme("clear" if plain else "pro")
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.title(title)
    if log:
        plotext.yscale("log")
    for number, (name, steps, values) in enumerate(curves):
        label: str | None = name if len(curves) > 1 else None
        letter = plain and len(curves) > 1  # what has no colour is told apart by its letter
        plotext.plot(steps, values, label=label, marker=_LETTERS[number % len(_LETTERS)] if letter else "braille")
    plotext.xlabel(say("step", "ステップ"))
    picture: str = plotext.build()
    lines = (plotext.uncolorize(picture) if plain else picture).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _curve(run: RunDirectory, column: str) -> tuple[list[int], list[float]]:
    """Steps and finite values of the story, in order."""
    from engine.events.sound_index import sound_index

    index = sound_index(run)
    steps: list[int] = []
    values: list[float] = []
    for entry in index.story():
        found = zip(index.column("step", entry.start, entry.stop), index.column(column, entry.start, entry.stop))
        for step, value in found:
            if math.isfinite(value):
                steps.append(int(step))
                values.append(float(value))
    return steps, values
