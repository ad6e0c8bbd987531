"""Changes of a dataset in a line each, for the command and the app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.config.language import counted, say
from engine.data.caption_checks import shorten
from musubi_tui.datasets.list_lines import numbers_of
from musubi_tui.datasets.record import Change

_LINES = 12  # of a list, told by number


def change_line(change: Change) -> str:
    """One change in a line."""
    if change.kind == "move":
        return say(f"set aside {change.path} -> {change.to}", f"よける {change.path} -> {change.to}")
    if change.kind == "lines":
        numbers = numbers_of(change)
        shown = ", ".join(map(str, numbers[:_LINES])) + (f" … ({len(numbers)})" if len(numbers) > _LINES else "")
        return say(
            f"take {'line' if len(numbers) == 1 else 'lines'} {shown} out of {change.path}",
            f"{change.path} から {shown} 行目を取り除く",
        )
    if change.kind == "text":
        old, new = (change.before or "").splitlines(), (change.after or "").splitlines()
        parts = [f"- {line.strip()}" for line in old if line not in new]
        parts += [f"+ {line.strip()}" for line in new if line not in old]
        return f"{change.path}: {'; '.join(parts)}"
    first, last = readable(change.before), readable(change.after)
    before, after = _quoted(first), _quoted(last)
    if len(first or "") > 60:  # both begin alike: the ends differ
        before, after = (repr("…" + (text or "")[-40:].strip()) for text in (first, last))
    name = change.path.name
    return say(f"caption of {name}: {before} -> {after}", f"{name} のキャプション: {before} -> {after}")


def _quoted(text: str | None) -> str:
    return say("(none)", "(なし)") if text is None else repr(shorten(text))


def readable(text: str | None) -> str | None:
    """A caption as it can be shown: bytes of another encoding, kept to be put back, become question marks."""
    return None if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def changes_line(changes: Sequence[Change]) -> str:
    """How many changes of each kind, and for which findings."""
    moved, written = (Counter(one.code for one in changes if one.kind == kind) for kind in ("move", "caption"))
    lines = sum(len(numbers_of(one)) for one in changes if one.kind == "lines")
    edits = sum(one.kind == "text" for one in changes)
    parts = []
    if moved:
        parts.append(
            say(
                f"{counted(moved.total(), 'file')} set aside ({_by_code(moved)})",
                f"{moved.total()} ファイルをよける ({_by_code(moved)})",
            )
        )
    if written:
        parts.append(
            say(
                f"{counted(written.total(), 'caption')} written ({_by_code(written)})",
                f"キャプション {written.total()} 件を書き換え ({_by_code(written)})",
            )
        )
    if lines:
        parts.append(say(f"{counted(lines, 'line')} of lists taken out", f"リストから {lines} 行を取り除く"))
    if edits:
        parts.append(say("the dataset file edited", "データセットファイルを編集"))
    return say(", ", "、").join(parts)


def _by_code(codes: Counter[str]) -> str:
    return ", ".join(f"{code} {count}" for code, count in codes.most_common())
