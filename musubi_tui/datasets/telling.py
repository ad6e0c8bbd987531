"""Changes of a dataset in a line each, for the command and the app."""

from __future__ import annotations

from engine.config.language import say
from engine.data.caption_checks import shorten
from musubi_tui.datasets.record import Change


def change_line(change: Change) -> str:
    """One change in a line."""
    if change.kind == "move":
        return say(f"set aside {change.path} -> {change.to}", f"よける {change.path} -> {change.to}")
    if change.kind == "text":
        old = (change.before or "").splitlines()
        added = [line.strip() for line in (change.after or "").splitlines() if line not in old]
        return f"{change.path}: + {'; '.join(added)}"
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
