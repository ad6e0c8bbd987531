"""The list of runs as text: its columns for a width, the cells of a run, what a filter keeps and how they are sorted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from musubi_tui.runs.costs import cost_text
from musubi_tui.runs.plain_text import clean
from musubi_tui.runs.state_words import state_word
from musubi_tui.terminal_width import cells
from musubi_tui.tui.filtering import fits
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import duration, fit, per_step, percent, small

if TYPE_CHECKING:
    from musubi_tui.runs.snapshot import Snapshot
    from musubi_tui.tui.view import View

_WIDE = 120
_MADE = re.compile(r"-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?:-\d+)?$")  # the end of a run's id
SORTS = ("recent", "name", "state", "step", "loss", "s/it", "ETA", "cost")
MARK, WINNER = "*", "w"
_RUNNING = frozenset({"starting", "running", "paused", "stopping"})
_STATE_ORDER = (
    "running", "starting", "paused", "stopping", "queued", "failed", "orphaned", "preempted", "stopped", "done",
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What the list knows beside the runs themselves. Keys are run directories; ``queue`` is the place among those that wait."""

    queue: Mapping[str, int] = field(default_factory=dict)
    held: bool = False
    marked: frozenset[str] = frozenset()
    archived: frozenset[str] = frozenset()
    winners: frozenset[str] = frozenset()
    doubles: frozenset[str] = (
        frozenset()
    )  # names that several runs have, and their ids up to the minute where several began in one


NO_FACTS = Facts()


@dataclass(frozen=True)
class Column:
    """``width`` 0 takes what is left. ``id`` names its explanation, ``sort`` the order that a click on its title gives."""

    id: str
    title: str
    width: int
    right: bool
    text: Callable[[Snapshot, Glyphs], str]
    sort: str = ""


@dataclass(frozen=True)
class Cell:
    """A text of exactly ``width`` cells, starting at column ``x`` of the line."""

    x: int
    width: int
    text: str


def columns(width: int, facts: Facts = NO_FACTS) -> tuple[Column, ...]:
    """The columns for a line of ``width`` cells."""
    mark = Column("mark", "", 1, False, lambda now, _: _mark(now, facts))
    name = Column("name", say("name", "名前"), 0, False, lambda now, _: clean(now.name), "name")
    family = Column("family", say("family", "ファミリー"), 10, False, lambda now, _: clean(now.family))
    state = Column("state", say("state", "状態"), 11, False, lambda now, glyphs: _state(now, glyphs, facts), "state")
    share = Column("step", say("step", "進捗"), 5, True, _share, "step")
    loss = Column("loss", "loss", 6, True, lambda now, _: small(now.loss), "loss")
    pace = Column("pace", "s/it", 5, True, lambda now, _: per_step(now.step_seconds), "s/it")
    eta = Column("eta", "ETA", 5, True, lambda now, _: duration(now.eta_seconds), "ETA")
    cost = Column("cost", say("cost", "費用"), 7, True, lambda now, _: money(now), "cost")
    if width < _WIDE:
        others = (family, state, replace(share, text=_share_or_kind), loss, pace, eta, cost)
        room = width - sum(column.width + 1 for column in (mark, *others))
        name = replace(name, text=lambda now, _: _named(now, facts, room))
        return (mark, name, *others)
    kind = Column("kind", say("kind", "種類"), 8, False, lambda now, _: clean(now.kind))
    phase = Column("phase", say("phase", "フェーズ"), 14, False, lambda now, _: clean(now.phase))
    steps = Column(
        "steps",
        say("steps", "ステップ数"),
        16,
        True,
        lambda now, _: f"{now.step}/{now.max_steps}" if now.max_steps else "",
    )
    started = Column("started", say("started", "開始"), 12, True, lambda now, _: local_time(now.started), "recent")
    return (mark, name, family, kind, state, phase, steps, share, loss, pace, eta, cost, started)


def names_of_several(runs: Iterable[Snapshot]) -> frozenset[str]:
    """The names that more than one of the runs has, and their ids up to the minute where more than one was made in it."""
    known = [word for now in runs for word in (now.name, _minute(now))]
    return frozenset(word for word, count in Counter(known).items() if word and count > 1)


def _minute(now: Snapshot) -> str:
    made = _MADE.search(now.id)
    return now.id[: made.start(6)] if made else ""


def _named(now: Snapshot, facts: Facts, room: int) -> str:
    """The name; where several have it also when the run was made, as its id says, if ``room`` cells are enough for both."""
    name, made = clean(now.name), _MADE.search(now.id)
    if now.name not in facts.doubles or made is None:
        return name
    _, month, day, hour, minute, second = made.groups()
    clock = (
        f"{hour}{minute}{second}" if _minute(now) in facts.doubles else f"{hour}:{minute}"
    )  # to the second as in the id
    for moment in (f" {month}-{day} {clock}", f" {clock}"):
        if cells(name + moment) <= room:
            return name + moment
    return name


def money(now: Snapshot) -> str:
    """``$4.81``; ``~$4.81`` where the engine knew no price and today's is taken; empty without one."""
    if now.cost is None:
        return ""
    return cost_text(now.cost, 2 if now.cost < 100 else 0, guessed=now.cost_guessed)


def _mark(now: Snapshot, facts: Facts) -> str:
    if now.run_dir in facts.marked:
        return MARK
    if now.run_dir in facts.winners:
        return WINNER
    return "a" if now.run_dir in facts.archived else " "


def _state(now: Snapshot, glyphs: Glyphs, facts: Facts) -> str:
    place = facts.queue.get(now.run_dir)
    word = state_word(now.state)
    if place is not None and now.state not in _RUNNING:
        word = f"{say('held', '保留') if facts.held else state_word('queued')} {place}"
    return f"{glyphs.state(now.state)} {word}"


def _share_or_kind(now: Snapshot, glyphs: Glyphs) -> str:
    """The share; of a run that has no steps what it is, where there is no room for a column of its own."""
    return clean(now.kind) if now.kind == "cache" else _share(now, glyphs)


def _share(now: Snapshot, _: Glyphs) -> str:
    return percent(now.step, now.max_steps) or (str(now.step) if now.step else "")


def line(
    texts: Sequence[str], shape: Sequence[Column], width: int, glyphs: Glyphs, *, empty: str = ""
) -> tuple[Cell, ...]:
    """The cells of one line; ``empty`` stands for a text that is not there."""
    flexible = width - sum(column.width + 1 for column in shape if column.width)
    found, x = [], 0
    for text, column in zip(texts, shape):
        size = column.width or max(4, flexible)
        found.append(Cell(x, size, fit(text or empty, size, right=column.right, ellipsis=glyphs.ellipsis)))
        x += size + 1
    return tuple(found)


def column_at(x: int, width: int) -> Column:
    """The column in which a cell of the line stands."""
    shape = columns(width)
    flexible = width - sum(column.width + 1 for column in shape if column.width)
    for column in shape:
        x -= (column.width or max(4, flexible)) + 1
        if x < 0:
            return column
    return shape[-1]


def reason_line(now: Snapshot, width: int, glyphs: Glyphs, key: str = "F") -> tuple[Cell, ...]:
    """The line under a run that went wrong, and the ``key`` that shows what to do; nothing for the others."""
    if now.state not in ("failed", "orphaned") or not now.reason:
        return ()
    lead = "  `- " if glyphs.name == "ascii" else "  └ "
    way = say(f"  {key} see fixes ", f"  {key} 対処を見る ")
    text = fit(lead + clean(now.reason), width - cells(way), ellipsis=glyphs.ellipsis)
    return (Cell(0, width, text + way),)


def keeps(words: str, now: Snapshot) -> bool:
    """Whether a filter keeps a run."""
    return fits(words, " ".join((now.id, now.name, now.family, now.kind, now.state, state_word(now.state))))


DRAFT = "draft"


def rows_of(view: View, *, archived: bool) -> list[Snapshot]:
    """What Jobs lists: the runs, without the archived ones unless they are wanted, and below them what is no run yet."""
    from musubi_tui.runs.snapshot import Snapshot

    runs = [now for now in view.runs if archived or now.run_dir not in view.archived]
    nothing: dict[str, Any] = dict.fromkeys(
        ("epoch", "loss", "lr", "step_seconds", "eta_seconds", "started", "ended", "exit_code", "pid", "heartbeat")
    )
    return runs + [
        Snapshot(id=one.name, name=one.name, family=one.family, kind=DRAFT, state=DRAFT, phase="", attempt=1, step=0, max_steps=0,
                 run_dir=f"{DRAFT}:{one.file}", reason="", host="", **nothing)
        for one in view.drafts
    ]  # fmt: skip


def arranged(
    runs: Sequence[Snapshot], words: str, sort: str, *, reverse: bool = False, queue: Mapping[str, int] | None = None
) -> tuple[Snapshot, ...]:
    """The runs that a filter keeps, in order. ``runs`` stand newest first, and equal ones keep that order.

    What waits in the queue stands in the order of the queue.
    """
    kept = [now for now in runs if keeps(words, now)]
    places = queue or {}
    waiting = sorted((now for now in kept if now.run_dir in places), key=lambda now: places[now.run_dir])
    in_turn = iter(waiting)
    kept = [next(in_turn) if now.run_dir in places else now for now in kept]
    order = _ORDERS.get(sort)
    if order is not None:  # runs without the value come last, whichever way round
        known = [now for now in kept if order(now) is not None]
        known.sort(key=order, reverse=reverse)
        kept = known + [now for now in kept if order(now) is None]
    elif reverse:
        kept.reverse()
    return tuple(kept)


def _state_place(now: Snapshot) -> int:
    return _STATE_ORDER.index(now.state) if now.state in _STATE_ORDER else len(_STATE_ORDER)


_ORDERS: dict[str, Callable[[Snapshot], Any]] = {
    "name": lambda now: now.name.casefold(),
    "state": _state_place,
    "step": lambda now: -now.step / now.max_steps if now.max_steps else None,
    "loss": lambda now: now.loss,
    "s/it": lambda now: now.step_seconds,
    "ETA": lambda now: now.eta_seconds,
    "cost": lambda now: None if now.cost is None else -now.cost,
}


def sort_word(sort: str) -> str:
    """The name of an order."""
    words = {"recent": say("recent", "新しい順"), "name": say("name", "名前"), "state": say("state", "状態"),
             "step": say("step", "進捗"), "cost": say("cost", "費用")}  # fmt: skip
    return words.get(sort, sort)


def list_title(
    facts: Facts, shown: int, of: int, words: str, sort: str, *, reverse: bool = False, hidden: int = 0
) -> str:
    """What stands over the list: how to filter it, its order, and what is marked or put away. ``{id}`` stands for the key of an action."""
    count = f" ({shown}/{of})" if words else ""
    turned = say(" reversed", "・逆順") if reverse else ""
    title = say(f"runs  {{jobs.filter}} filter{count}  {{jobs.sort}} sort: {sort_word(sort)}{turned}", f"run  {{jobs.filter}} 絞り込み{count}  {{jobs.sort}} 並べ替え: {sort_word(sort)}{turned}")  # fmt: skip
    if facts.marked:
        title += say(
            f"  {{jobs.compare}} compare {len(facts.marked)}", f"  {{jobs.compare}} 比較 {len(facts.marked)} 件"
        )
    return title + (
        say(f"  {{jobs.archived}} {hidden} archived", f"  {{jobs.archived}} アーカイブ {hidden} 件") if hidden else ""
    )


def list_hint() -> str:
    """What stands below the list."""
    return say("{jobs.mark} select  {jobs.compare} compare  {jobs.resume} resume  {jobs.duplicate} duplicate",
               "{jobs.mark} 選択  {jobs.compare} 比較  {jobs.resume} 再開  {jobs.duplicate} 複製")  # fmt: skip


def card_hint() -> str:
    """What stands below the card."""
    return say("{jobs.open} monitor  {jobs.edit} preset  {jobs.log} log  {jobs.outputs} outputs",
               "{jobs.open} 監視  {jobs.edit} プリセット  {jobs.log} ログ  {jobs.outputs} 出力")  # fmt: skip


def titles_line(width: int, glyphs: Glyphs) -> str:
    """The titles of the columns."""
    shape = columns(width)
    return " ".join(cell.text for cell in line([column.title for column in shape], shape, width, glyphs))


def why_nothing(runs: Sequence[Snapshot], words: str) -> str:
    """Why the list is empty, and what to do about it. ``{id}`` stands for the key of an action."""
    if runs and words:
        return say(
            "No run fits the filter. {jobs.clear} clears it.",
            "条件に合う run がありません。{jobs.clear} で解除します。",
        )
    if runs:
        return say(
            "All runs are archived. {jobs.archived} shows them.",
            "すべてアーカイブ済みです。{jobs.archived} で表示します。",
        )
    return say(
        "No runs yet. {jobs.new} starts one: a preset, or the wizard's questions.\nAt the shell `musubi-tui demo` trains a tiny model in a minute or two.",
        "まだ run がありません。{jobs.new} で開始します（プリセットから、またはウィザードの質問で）。\nシェルの `musubi-tui demo` は小さなモデルを 1〜2 分で学習します。",
    )


def local_time(iso: str | None) -> str:
    """``11-21 08:15`` by the clock of the person; empty for nothing."""
    if not iso:
        return ""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%m-%d %H:%M")
    except ValueError:
        return ""
