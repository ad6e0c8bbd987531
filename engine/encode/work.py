"""What is to be encoded, and who does it: units of files that are made together, handed out one claim at a time.

Every process that fills the same folders, of this run or another, of this machine or another, holds a claim while it
makes a file. A rank begins with its own share of the units and then helps with the others', from their end; what another
process holds is looked at again when there is nothing else to do. So work is shared, and none is done twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.claims import Claims, Holder
from engine.data.items import Item
from engine.data.provenance import CacheContext, CacheState
from engine.encode.store import cannot_write
from engine.ranks import Share

Verdict = tuple[Item, CacheState]


@dataclass(frozen=True)
class Work:
    """The verdict on all cache files of a dataset, by file: one item stands for all that share it."""

    todo: tuple[Verdict, ...]
    current: int
    foreign: int
    touched: tuple[Item, ...] = ()  # up to date, but their headers speak of the source as it was before it was touched
    folders: frozenset[Path] = frozenset()  # where the files lie

    @property
    def total(self) -> int:
        """All cache files of the dataset."""
        return len(self.todo) + self.current + self.foreign


@dataclass(frozen=True)
class Unit:
    """Cache files that are made together: those of one picture or video, or of one caption."""

    members: tuple[Verdict, ...]


def judge(
    items: Sequence[Item],
    file_of: Callable[[Item], Path],
    state_of: Callable[[Item, CacheContext], CacheState],
    context: CacheContext,
) -> Work:
    """Look at each cache file once, headers only. Raises ``ConfigError`` for items that cannot be encoded again."""
    one_per_file: dict[Path, Item] = {}
    for item in items:
        one_per_file.setdefault(file_of(item), item)
    states = [(item, state_of(item, context)) for item in one_per_file.values()]
    lost = [_lost(file_of(item), state) for item, state in states if item.cached_only and not state.usable]
    if lost:
        raise ConfigError(lost)
    return Work(
        todo=tuple((item, state) for item, state in states if not state.usable),
        current=sum(state.state == "current" for _, state in states),
        foreign=sum(state.state == "foreign" for _, state in states),
        touched=tuple(item for item, state in states if state.stamps is not None),
        folders=frozenset(file.parent for file in one_per_file),
    )


def units_by(key_of: Callable[[Item], object], todo: Iterable[Verdict]) -> list[Unit]:
    """Verdicts of equal key together, in the order in which the keys come first."""
    groups: dict[object, list[Verdict]] = {}
    for verdict in todo:
        groups.setdefault(key_of(verdict[0]), []).append(verdict)
    return [Unit(tuple(members)) for members in groups.values()]


def in_order_of(share: Share, units: Sequence[Unit]) -> list[Unit]:
    """The share of a rank first, then the others' from their end, so that ranks that help meet late."""
    own = [unit for number, unit in enumerate(units) if number % share.world == share.rank]
    others = [unit for number, unit in enumerate(units) if number % share.world != share.rank]
    return own + others[::-1]


class Worklist:
    """Hands out units that are claimed and still to be made. Thread-safe."""

    def __init__(
        self,
        units: Sequence[Unit],
        claims: Claims,
        *,
        claim_of: Callable[[Item], tuple[Path, str]],
        file_of: Callable[[Item], Path],
        state_of: Callable[[Item], CacheState],
    ) -> None:
        """``claim_of`` gives the (folder, name) that stands for an item's file ``file_of``; ``state_of`` looks at it again."""
        self._claims = claims
        self._claim_of, self._file_of, self._state_of = claim_of, file_of, state_of
        self._lock = threading.Lock()
        self._queue = deque(units)
        self._held: list[tuple[Unit, Holder]] = []
        self.made_elsewhere = 0  # files that another process made while we worked

    def take(self) -> Unit | None:
        """The next unit nobody else works on, claimed; None when there is none now (see ``holders``).

        Raises ``UserError`` when the folder cannot be written.
        """
        with self._lock:
            while self._queue:
                mine = self._claim(self._queue.popleft())
                if mine:
                    return Unit(tuple(mine))
            return None

    @property
    def holders(self) -> list[Holder]:
        """Who works on what is left; empty when nothing is."""
        with self._lock:
            return [holder for _, holder in self._held]

    def look_again(self) -> None:
        """Put what others held back on the list."""
        with self._lock:
            self._queue.extend(unit for unit, _ in self._held)
            self._held.clear()

    def done(self, unit: Unit) -> None:
        """Give the claims of a unit back: it is written, or cannot be made here."""
        for claim in {self._claim_of(item) for item, _ in unit.members}:
            self._claims.give_back(*claim)

    def _claim(self, unit: Unit) -> list[Verdict]:
        mine: list[Verdict] = []
        for part in units_by(self._claim_of, unit.members):
            claim = self._claim_of(part.members[0][0])
            try:
                holder = self._claims.take(*claim)
            except OSError as error:
                raise cannot_write(self._file_of(part.members[0][0]), error) from error
            if holder is not None:
                self._held.append((part, holder))
                continue
            # Its last holder may have made it since we looked first.
            fresh = [(item, self._state_of(item)) for item, _ in part.members]
            left = [verdict for verdict in fresh if not verdict[1].usable]
            self.made_elsewhere += len(fresh) - len(left)
            mine += left
            if not left:
                self._claims.give_back(*claim)
        return mine


def _lost(file: Path, state: CacheState) -> Problem:
    reason = state.reason or say("it is missing", "ファイルがない")
    return Problem(
        "source_gone",
        say(f"this cache file cannot be used ({reason}), and its source is gone, so it cannot be made again.",
            f"このキャッシュは使えず（{reason}）、元ファイルもないため作り直せません。"),
        say("Put the pictures or clips back, or remove the cache file from the dataset.",
            "元の画像・動画を戻すか、キャッシュファイルをデータセットから外してください。"),
        str(file),
    )  # fmt: skip
