"""``runs note``, ``winner``, ``headroom`` and ``fixes``: what to remember about a run, what its card has left, what to do about a failure."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.config.language import say
from musubi_tui.cli.arguments import JsonOption, RunArgument
from musubi_tui.cli.output import OK, narrate, print_json, print_line

HELP = say(
    'Keep a note with a run, or print its notes.\n\n  musubi-tui runs note last "colours are right from here on"\n\n  musubi-tui runs note last',
    'run にメモを残す、またはメモを表示します。\n\n  musubi-tui runs note last "ここから色が合う"\n\n  musubi-tui runs note last',
)

WINNER_HELP = say(
    "Mark the run that won a comparison; the mark leaves those it won over.\n\n  musubi-tui runs winner v2 --over v1 --over v3\n\n"
    "  musubi-tui runs winner v2 --undo",
    "比較で最も良かった run に印を付けます（相手の run の印は外れます）。\n\n  musubi-tui runs winner v2 --over v1 --over v3\n\n"
    "  musubi-tui runs winner v2 --undo",
)

FIXES_HELP = say(
    "Say why a run failed, and which changes would help.\n\n  musubi-tui runs fixes last",
    "run が失敗した原因と、有効な変更を表示します。\n\n  musubi-tui runs fixes last",
)

HEADROOM_HELP = say(
    "Say what of the card a run left unused, and what could be raised or lowered.\n\n  musubi-tui runs headroom last",
    "run が GPU メモリをどれだけ余らせたか、何を上げ下げできるかを表示します。\n\n  musubi-tui runs headroom last",
)


def note(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help=say("The note; without it, notes are printed.", "メモの内容。省略すると表示。"))] = "",
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.notes import add_note
    from musubi_tui.runs.snapshot import brief, snapshot

    found = find_run(run)
    if text:
        add_note(found, text, brief(found).step)
    notes = snapshot(found).notes
    if as_json:
        print_json(notes)
    else:
        for one in notes:
            print_line(f"{one['t']}  {one['step']}  {one['text']}")
    return OK


def winner(
    run: RunArgument,
    over: Annotated[list[str] | None, typer.Option("--over", metavar="RUN", help=say("A run it won over; may be repeated.", "比較した相手の run（繰り返し可）。"))] = None,
    undo: Annotated[bool, typer.Option("--undo", help=say("Take the mark away.", "印を外します。"))] = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.snapshot import brief
    from musubi_tui.runs.winning import pick_winner, unpick_winner

    found = find_run(run)
    if undo:
        unpick_winner(found, brief(found).step)
    else:
        others = [other for other in map(find_run, over or ()) if other.path != found.path]
        pick_winner(found, others, brief(found).step)
    if as_json:
        print_json({"id": found.id, "winner": not undo})
    else:
        narrate(
            say(f"{found.id} is not marked any more.", f"{found.id} の印を外しました。")
            if undo
            else say(f"{found.id} is the winner.", f"{found.id} を最良の run にしました。")
        )
    return OK


def fixes(run: RunArgument, as_json: JsonOption = False) -> int:
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.remedies import causes_of, remedies_of
    from musubi_tui.runs.snapshot import snapshot

    found = find_run(run)
    now = snapshot(found)
    (cause, advice), remedies = causes_of(now), remedies_of(found, now)
    if as_json:
        changes = [{"title": one.title, "cost": one.cost.strip(), "set": dict(one.values)} for one in remedies]
        print_json({"id": found.id, "state": now.state, "cause": cause, "advice": advice, "changes": changes})
        return OK
    if not cause:
        narrate(say(f"{found.id} did not fail.", f"{found.id} は失敗していません。"))
    for text in filter(None, (cause, advice)):
        print_line(text)
    for one in remedies:
        print_line(f"  {one.title:<28} {one.cost}")
    return OK


def headroom(run: RunArgument, as_json: JsonOption = False) -> int:
    from musubi_tui.runs.finding import find_training
    from musubi_tui.runs.headroom import headroom as judge
    from musubi_tui.runs.headroom import headroom_lines

    found = judge(find_training(run))
    if as_json:
        print_json(found.as_json())
    else:
        for kind, text in headroom_lines(found):
            print_line(f"  {text}" if kind == "key" else text)
    return OK
