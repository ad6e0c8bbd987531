"""``musubi-tui plan``: what a preset will need in memory, time, money and disk, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from musubi_tui.cli.arguments import JsonOption, PresetArgument, SetOption
from musubi_tui.cli.output import MISSING_REQUIREMENT, OK, harmless, in_japanese, narrate, print_json, print_table
from musubi_tui.cli.train import StrictOption, load_preset, parse_overrides

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.config import LoadedConfig
    from engine.planner.lines import Line, Plan, Suggestion

ENCODING = ("latents", "text")  # phases that write files which a later run finds


@in_japanese(
    """プリセットの学習に必要な GPU メモリ、時間、費用、ディスクを、何も開始せずに計算します。

    各行に計算方法と確かさを示します。既定ではこのマシンの GPU（他のプロセスの使用分を除く）で、--vram または --card で
    別の GPU を指定できます。収まらない場合は、変更の候補をその結果とともに示します。収まらないときの終了コードは 3 です。

      musubi-tui plan preset.toml

      musubi-tui plan preset.toml --card 4090 --price 0.69

      musubi-tui plan preset.toml --vram 16 --set network_dim=16
    """
)
def plan(
    preset: PresetArgument,
    vram: Annotated[
        float | None,
        typer.Option(
            "--vram",
            metavar="GB",
            help=say("Plan for a card with so much memory.", "このメモリ量の GPU で計算します。"),
            show_default=False,
        ),
    ] = None,
    card: Annotated[
        str,
        typer.Option(
            "--card",
            metavar="NAME",
            help=say("Plan for this card (4090, H100 …).", "この GPU で計算します（4090、H100 など）。"),
        ),
    ] = "",
    price: Annotated[
        float | None,
        typer.Option(
            "--price",
            metavar="N",
            help=say("Money per hour of the machine.", "マシンの 1 時間あたりの料金。"),
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """Say what training a preset will need: memory of the card, time, money and disk. Nothing is started.

    Each line says how it was computed and how sure it is. The card is this machine's, less what other processes hold of it;
    --vram or --card plan for another. Where the run does not fit, changes are listed with what each comes to, and the exit
    code is 3.

      musubi-tui plan preset.toml

      musubi-tui plan preset.toml --card 4090 --price 0.69

      musubi-tui plan preset.toml --vram 16 --set network_dim=16
    """  # fmt: skip
    from musubi_tui.presets.library import find_preset
    from musubi_tui.presets.planning import other_machine

    machine = other_machine(card, vram) if card or vram is not None else None
    loaded = load_preset(find_preset(preset), parse_overrides(overrides), strict, check_files=False)
    found = plan_of(loaded, machine=machine, price=_checked(price))
    if as_json:
        print_json(found.as_json())
    else:
        print_plan(found)
    return MISSING_REQUIREMENT if found.fits is False else OK


def _checked(price: float | None) -> float | None:
    from engine.config.problems import UserError

    if price is not None and not 0 <= price < 1e9:
        raise UserError.of(
            "wrong_value",
            say(
                f"--price is money per hour, not {price:g}.", f"--price は 1 時間あたりの料金です（{price:g} は不可）。"
            ),
            key="price",
        )
    return price


def plan_of(loaded: LoadedConfig, *, machine: object = None, price: float | None = None) -> Plan:
    """The plan of a loaded preset on this machine (or ``machine``), with what its earlier runs tell."""
    from engine.planner.facts import Machine
    from engine.planner.plan import make_plan
    from musubi_tui.presets.planning import gather
    from musubi_tui.runs.history import past_runs

    assert machine is None or isinstance(machine, Machine)
    past = past_runs(str(loaded.config.run.family))
    return make_plan(gather(loaded, machine=machine, price=price, past=past))


def print_plan(found: Plan) -> None:
    """The plan as tables on stdout, remarks on stderr."""
    from engine.planner.lines import gib

    print_table(*_memory_table(found), right=[1])
    narrate()
    rows = [_row(line) for line in (*found.time, *found.money, *found.disk)]
    print_table(
        (say("what", "項目"), say("figure", "値"), say("sure", "確度"), say("how", "計算方法")), rows, right=[1]
    )
    narrate()
    for note in found.notes:
        narrate(harmless(note))
    narrate(verdict(found))
    if found.suggestions:
        narrate()
        headers = (
            say("change", "変更"),
            say("peak", "ピーク"),
            say("fits", "収まる"),
            say("step", "ステップ"),
            say("cost", "代わりに"),
        )
        print_table(headers, [_suggestion(one) for one in found.suggestions], right=[1, 3])
    if found.together:
        listed = ", ".join(one.title for one in found.together)
        last = found.together[-1]
        narrate(say(f"Together they fit: {listed} ({gib(last.peak)}).", f"まとめて変更すると収まります: {listed}（{gib(last.peak)}）。"))  # fmt: skip


def _memory_table(found: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    from engine.planner.lines import SURE_WORDS, gib

    rows: list[tuple[str, ...]] = []
    for phase in found.phases:
        mark = say(" (most)", "（最大）") if phase is found.widest and len(found.phases) > 1 else ""
        rows.append((phase.title + mark, gib(phase.peak), "", ""))
        rows += [(f"  {line.title}", gib(line.amount or 0), SURE_WORDS[line.sure], line.how) for line in phase.lines]
    return (say("memory", "メモリ"), "", say("sure", "確度"), say("how", "計算方法")), rows


def verdict(found: Plan) -> str:
    """One sentence: does it fit?"""
    from engine.planner.lines import gib

    peak = gib(found.peak)
    if found.available is None:
        return say(
            f"The most at once: {peak} ({found.widest.title}). No GPU here: --vram GB or --card NAME says whether it fits.",
            f"最大 {peak}（{found.widest.title}）。GPU がありません。--vram GB か --card NAME で収まるか確認できます。",
        )
    have = gib(found.available)
    name = f" {found.card}" if found.card else ""
    if found.fits:
        return say(f"It fits: {peak} of {have}{name}.", f"収まります: {peak} / {have}{name}。")
    weights = found.line("weights")
    fixed = weights.amount or 0 if weights is not None else 0
    if fixed > found.available:
        smaller = _smaller_tasks(found)
        choose = say("Choose ", "")
        choose += (
            say(f"a smaller model ({', '.join(smaller)}) or ", f"小さいモデル（{'、'.join(smaller)}）か")
            if smaller
            else ""
        )
        return say(
            f"It does not fit: the model alone takes {gib(fixed)} in training, and {have}{name} is there. {choose}a larger card.",
            f"収まりません: 学習時にモデルだけで {gib(fixed)} 必要ですが、使えるのは {have}{name} です。{choose}大きい GPU を選んでください。",
        )  # fmt: skip
    told = say(
        f"It does not fit: {peak} ({found.widest.title}) of {have}{name}.",
        f"収まりません: {peak}（{found.widest.title}） / {have}{name}。",
    )
    return " ".join([told, *_encoded_elsewhere(found)])


def _encoded_elsewhere(found: Plan) -> Iterable[str]:
    """What helps where encoding needs more than the card has: the files it makes may come from the CPU or another machine."""
    from engine.planner.lines import gib

    large = [phase for phase in found.phases if phase.id in ENCODING and phase.peak > (found.available or 0)]
    train = found.phase("train")
    if large and train is not None and train.peak <= (found.available or 0):
        yield say(f"Training itself takes {gib(train.peak)} and fits.", f"学習自体は {gib(train.peak)} で収まります。")
    for phase in large:
        command = f"musubi-tui cache PRESET --only {phase.id} --set device=cpu"
        title = phase.title[0].upper() + phase.title[1:]
        yield say(
            f"{title} can be done once without the card, in main memory: {command} (or on a larger card; keep the cache folder). The run then skips it.",
            f"{phase.title}は GPU を使わず、メインメモリで一度だけ実行できます: {command}（大きい GPU でも可。キャッシュフォルダーを残す）。以後の run では省略されます。",
        )  # fmt: skip


def _smaller_tasks(found: Plan) -> list[str]:
    """Tasks of the family that do the same with fewer weights."""
    from engine.families import get_family
    from engine.planner.transformer import find_transformer

    spec = get_family(found.family)
    mine = spec.task(found.task)
    size = {name: find_transformer(spec, name, None).parameters for name, task in spec.tasks.items() if task.built}
    return [
        name
        for name in size
        if spec.task(name).capabilities == mine.capabilities and size[name] < size.get(found.task, 0)
    ]


def _row(line: Line) -> tuple[str, ...]:
    from engine.planner.lines import SURE_WORDS

    return line.title, figure(line), SURE_WORDS[line.sure], line.how


def figure(line: Line) -> str:
    """The figure in its unit; a range where it is not sure."""
    from engine.planner.disk import megabytes
    from engine.planner.lines import duration
    from musubi_tui.runs.money import money

    if line.amount is None:
        return "–"
    if line.unit == "bytes":
        return megabytes(int(line.amount))
    shown = duration if line.unit == "seconds" else money
    if line.low is None or line.high is None or line.low == line.high:
        return shown(line.amount)
    return f"{shown(line.low)} – {shown(line.high)}"


def _suggestion(one: Suggestion) -> tuple[str, ...]:
    from engine.planner.lines import duration, gib

    fits = "–" if one.fits is None else say("yes", "はい") if one.fits else say("no", "いいえ")
    step = "–" if one.step_seconds is None else duration(one.step_seconds)
    return one.title, gib(one.peak), fits, step, one.cost


def brief_lines(found: Plan) -> Iterable[str]:
    """The plan in a few lines, for commands that only mention it."""
    from engine.planner.lines import gib

    phases = ", ".join(f"{phase.title} {gib(phase.peak)}" for phase in found.phases)
    yield say(f"Plan: memory {phases}.", f"計画: メモリ {phases}。")
    whole = next((line for line in found.time if line.id == "whole"), None)
    cost = next(iter(found.money), None)
    if whole is not None:
        priced = say(f", cost {figure(cost)}", f"、費用 {figure(cost)}") if cost else ""
        yield say(f"Time {figure(whole)}{priced}.", f"時間 {figure(whole)}{priced}。")
    yield verdict(found)
