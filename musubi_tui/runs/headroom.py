"""What a run leaves of its card, and what that could be spent on: from the peak it really had, and the planner's arithmetic.

The key ``b`` of the run screen and ``runs headroom`` show it. It is advice for the next run: nothing here is safe to change live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.events.reader import other_events
from engine.events.rundir import RunDirectory
from engine.events.sound_index import sound_index
from engine.events.types import Host, Memory, RunStart
from engine.planner.advice import around
from engine.planner.lines import Suggestion, gib
from musubi_tui.runs.history import request_of

_MARGIN = 0.97  # of what is ours: the driver and pieces between tensors take the rest


@dataclass(frozen=True)
class Headroom:
    """Bytes. ``room``: what of the card is this run's; ``peak``: the most it held at once."""

    peak: int
    room: int
    total: int
    more: tuple[Suggestion, ...] = ()
    less: tuple[Suggestion, ...] = ()
    judged: bool = True  # False: the run's files do not tell what a change would do

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""

        def told(found: tuple[Suggestion, ...]) -> list[dict[str, Any]]:
            return [{"key": one.key, "value": one.value, "where": one.where, "peak": one.peak} for one in found]

        sizes = {"peak": self.peak, "room": self.room, "total": self.total}
        return {**sizes, "raise": told(self.more), "lower": told(self.less)}


def headroom(run: RunDirectory) -> Headroom:
    """The advice. Raises ``UserError`` (no_reading) before a card's memory was told of, and ``ConfigError``."""
    peak, card, reserved = _measured(run)
    total = card.get("total")
    if not peak or not isinstance(total, int):
        raise UserError.of(
            "no_reading",
            say("There is no reading of a card's memory yet.", "GPU メモリの測定値がまだありません。"),
            say("A run on a GPU tells it with its first steps.", "GPU での run は最初の数ステップで測定します。"),
        )
    used, ours = card.get("used"), card.get("ours")
    ours = ours if isinstance(ours, int) else reserved
    others = max(0, used - ours) if isinstance(used, int) and isinstance(ours, int) else 0
    room = int((total - others) * _MARGIN)
    ask = request_of(run) if run.run_toml.is_file() else None
    more, less = around(ask, peak, room) if ask is not None else ((), ())
    return Headroom(peak, room, total, more, less, ask is not None)


def headroom_lines(found: Headroom) -> list[tuple[str, str]]:
    """(kind, text) with kind "title", "key" or "text", as the help shows its lines."""
    left = found.room - found.peak
    lines = [("text", say(f"peak {gib(found.peak)} of {gib(found.room)} that this run may take ({gib(found.total)} card)",
                          f"最大 {gib(found.peak)} / この run が使える {gib(found.room)}（GPU {gib(found.total)}）"))]  # fmt: skip
    if left >= 0:
        lines.append(("text", say(f"{gib(left)} were never used.", f"{gib(left)} は使われていません。")))
    else:
        lines.append(("text", say(f"{gib(-left)} over: it may fail at any time.", f"{gib(-left)} 超過: いつ失敗してもおかしくありません。")))  # fmt: skip
    if not found.judged:
        gone = say("What a change would do cannot be told: files of the run are gone.", "run のファイルがないため、変更の効果は計算できません。")  # fmt: skip
        return [*lines, ("text", gone)]
    lines += _table(
        say("could be raised", "上げられるもの"), found.more, say("nothing of it fits", "収まるものはありません")
    )
    lines += _table(
        say("could be lowered", "下げられるもの"), found.less, say("nothing helps", "効果のあるものはありません")
    )
    lines.append(("text", say("Peaks are expected from this one. Set them in the preset (D on Jobs) for the next run.",
                              "ピークはこの実測からの予測です。次の run のプリセットで設定してください（ジョブ画面の D）。")))  # fmt: skip
    return lines


def _table(title: str, found: tuple[Suggestion, ...], nothing: str) -> list[tuple[str, str]]:
    rows = [("key", f"{one.title:<28} {gib(one.peak):>8}  {one.cost}") for one in found]
    return [("title", title), *(rows or [("key", nothing)])]


def _measured(run: RunDirectory) -> tuple[int, dict[str, Any], int | None]:
    """(highest peak of the last attempt, the last reading of its first card, bytes our allocator held then)."""
    peak, card, reserved = 0, dict[str, Any](), None
    for record in other_events(run.events, sound_index(run)):
        event = record.event
        if isinstance(event, RunStart):
            peak, card = 0, {}
        elif isinstance(event, Memory):
            peak, reserved = max(peak, event.peak or 0), event.reserved
        elif isinstance(event, Host) and event.gpus:
            card = event.gpus[0]
    return peak, card, reserved
