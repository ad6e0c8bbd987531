"""A preset while it is edited: its text, what may be undone, and how it goes to the disk. No screen in here.

The text is the only state. Values are changed through ``musubi_tui.presets.editing``, so comments, order and spelling of
everything untouched survive byte for byte; undo is the text from before.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS
from engine.config.secrets import variable_of
from engine.config.toml_text import toml_value
from engine.events.redaction import redact
from musubi_tui.presets.dataset_cells import dataset_cells
from musubi_tui.presets.document import Document, read_document, resolved, write_document
from musubi_tui.presets.editing import Change, edit_text
from musubi_tui.presets.facts import Facts, facts_of

_MOST_STEPS = 1000
_MOST_COMPARED = 4000  # lines
_MOST_CHARACTERS = 32 * 2**20  # of texts kept for undo


class Draft:
    """One preset file being edited. ``saved`` is the file as last read or written, None for a file that is not there yet."""

    def __init__(self, path: Path, text: str, saved: Document | None) -> None:
        self.path = path
        self.text = text
        self.saved = saved
        self._past: list[str] = []
        self._future: list[str] = []
        self._facts: dict[str, Facts] = {}

    @classmethod
    def open(cls, path: Path) -> Draft:
        """Read a file. Raises ``ConfigError`` when it cannot be read as text; text that is not TOML is opened all the same."""
        document = read_document(path)
        return cls(document.path, document.text, document)

    # What is known

    @property
    def facts(self) -> Facts:
        """What is known about the text of now."""
        return self._facts_of(self.text)

    @property
    def saved_facts(self) -> Facts:
        """What is known about the text on disk (nothing, for a file that is not there yet)."""
        return self._facts_of(self.saved.text if self.saved else "")

    def _facts_of(self, text: str) -> Facts:
        found = self._facts.get(text)
        if found is None:
            kept = self.saved.text if self.saved else ""
            self._facts = {one: facts for one, facts in self._facts.items() if one in (kept, self.text)}
            found = self._facts[text] = facts_of(text, self.path)
        return found

    def forget_facts(self) -> None:
        """Something the text refers to (a base) may have changed on disk."""
        self._facts.clear()

    @property
    def dirty(self) -> bool:
        """Whether the text differs from the file."""
        return self.saved is None or self.text != self.saved.text

    def unsaved(self, name: str) -> bool:
        """Whether the file sets the option otherwise than the draft."""
        if not self.dirty:
            return False
        now, before = self.facts.own(name), self.saved_facts.own(name)
        if now is None or before is None:
            return now is not before
        return repr(now.value) != repr(before.value)

    def unsaved_options(self) -> list[str]:
        """The options that a save would change, in the schema's order."""
        comparable = self.dirty and self.facts.source is not None and (self.saved is None or self.saved_facts.source)
        return [name for name in OPTIONS if self.unsaved(name)] if comparable else []

    def unsaved_cells(self) -> list[str]:
        """The keys of dataset tables that a save would change."""
        if not self.dirty or self.saved is None:
            return []
        before, now = (
            {cell.key: cell.written for cell in dataset_cells(facts)} for facts in (self.saved_facts, self.facts)
        )
        return [key for key in dict.fromkeys((*now, *before)) if now.get(key) != before.get(key)]

    def changed_lines(self) -> dict[int, str]:
        """Line of the draft, from 1 -> the text of that line on disk; "" for lines that are new."""
        return line_changes(self.saved.text if self.saved else "", self.text) if self.dirty else {}

    # Changing it

    def set(self, values: Mapping[str, Any]) -> list[Change]:
        """Change options: texts are parsed as ``presets set`` does, None removes the line. Raises ``ConfigError``."""
        text, changes = edit_text(self.text, values, self.path)
        self.replace(text)
        return changes

    def reset(self, name: str) -> list[Change]:
        """Remove the own line; without one, leave the base's value out (``base_unset``), so that the default counts."""
        if self.facts.own(name) is not None:
            return self.set({name: None})
        if self.facts.origin(name) == "base":
            listed = self.facts.own("base_unset")
            names = listed.value if listed is not None and isinstance(listed.value, list) else []
            return self.set({"base_unset": [*names, name]})
        return []

    def replace(self, text: str) -> bool:
        """Another text; whether it is one. The text from before can be brought back with ``undo``."""
        if text == self.text:
            return False
        self._past.append(self.text)
        self._future.clear()
        while len(self._past) > _MOST_STEPS or sum(map(len, self._past)) > max(_MOST_CHARACTERS, len(self.text) * 3):
            del self._past[0]
        self.text = text
        return True

    def undo(self) -> bool:
        """Back to the text before; whether there was one."""
        if not self._past:
            return False
        self._future.append(self.text)
        self.text = self._past.pop()
        return True

    def redo(self) -> bool:
        """Forward again; whether there was something undone."""
        if not self._future:
            return False
        self._past.append(self.text)
        self.text = self._future.pop()
        return True

    # The disk

    def on_disk(self) -> Literal["same", "other", "gone"]:
        """What became of the file since it was read or written; a file that somebody made in the meantime is another one."""
        if self.saved is None:
            return "other" if self.path.exists() else "same"
        return self.saved.on_disk()

    def reload(self) -> None:
        """Take the file's text of now; the draft's can be brought back with ``undo``. Raises ``ConfigError``."""
        document = read_document(self.path)
        self.replace(document.text)
        self.saved = document
        self.forget_facts()

    def save(self, *, overwrite: bool = False) -> None:
        """Write the file. Raises ``ConfigError`` (changed_on_disk) rather than write over what somebody else wrote."""
        if not overwrite and self.on_disk() == "other":
            raise ConfigError.of(
                "changed_on_disk",
                say("somebody else changed the file.", "ファイルが外部で変更されました。"),
                say("Reload it, or overwrite it.", "再読み込みするか、上書きしてください。"),
                file=self.path,
            )
        self.saved = write_document(self.path, self.text, marked=bool(self.saved and self.saved.marked))

    def save_as(self, path: Path, *, overwrite: bool = False) -> None:
        """Write another file, which is edited from now on. Raises ``ConfigError`` (file_exists, and as ``save``)."""
        path = target_of(path, self.path)
        if path.exists() and not overwrite and path != self.path:
            message = say(
                "the file exists already; nothing was written.", "ファイルが既にあります。書き込みませんでした。"
            )
            raise ConfigError.of("file_exists", message, file=path)
        self.saved = write_document(path, self.text, marked=bool(self.saved and self.saved.marked))
        self.path = self.saved.path
        self.forget_facts()

    # The shell's way

    def twin(self) -> str:
        """The command line that makes the unsaved changes of options at the shell."""
        file = shlex.quote(str(self.path))
        words = [_shell_word(name, value) for name, value in self._shell_values().items()]
        return f"musubi-tui presets set {file} {' '.join(words)}" if words else f"musubi-tui presets check {file}"

    def beyond_twin(self) -> bool:
        """Whether there are unsaved changes that the command line cannot make (comments, whole tables, unknown keys)."""
        if not self.dirty or self.facts.source is None or self.saved is None or self.saved_facts.source is None:
            return self.dirty
        try:
            return edit_text(self.saved.text, self._shell_values(), self.path)[0] != self.text
        except ConfigError:
            return True

    def _shell_values(self) -> dict[str, str]:
        values = {name: self._shell_value(name) for name in self.unsaved_options() if settable(name)}
        now = {cell.key: cell for cell in dataset_cells(self.facts)}
        for key in self.unsaved_cells():
            cell = now.get(key)
            written = (
                None if cell is None else cell.value if isinstance(cell.value, str) and cell.written else cell.written
            )
            values[key] = written or "none"
        return values

    def _shell_value(self, name: str) -> str:
        entry = self.facts.own(name)
        if entry is None:
            return "none"
        return entry.value if isinstance(entry.value, str) else written_as(self.facts, name)


def _shell_word(name: str, value: str) -> str:
    """``name=value`` for a shell. A secret is no part of it: the shell takes it from its environment variable."""
    if value != "none" and name in OPTIONS and OPTIONS[name].secret:
        return f'{name}="${variable_of(name)}"'
    return shlex.quote(redact(f"{name}={value}"))


def settable(name: str) -> bool:
    """Whether an option has a single value, which one line can say."""
    return OPTIONS[name].kind not in ("table", "list of tables")


def written_as(facts: Facts, name: str) -> str:
    """The TOML text of a value as the file spells it, on one line; as TOML writes it where the file does not."""
    entry = facts.own(name)
    if entry is not None and isinstance(entry.value, int | float) and not isinstance(entry.value, bool):
        pair = facts.lines_of_pairs.get(facts.line(name))
        if pair is not None and pair.name == name:
            return facts.text.encode()[pair.value_start : pair.value_end].decode()
    value = facts.value(name)
    return "" if value is None else toml_value(value)


def target_of(path: Path, like: Path) -> Path:
    """The file that a person means by a path to save to: in a folder the same name, without a suffix ``.toml``."""
    path = resolved(path)
    if path.is_dir():
        path = path / like.name
    return path if path.suffix else path.with_name(f"{path.name}.toml")


def lines_of(text: str) -> list[str]:
    """The lines as TOML counts them, without their ends."""
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def rewritten(original: str, lines: Sequence[str]) -> str:
    """``original`` with its lines (as ``str.splitlines`` counts them) replaced by ``lines``, the last without an end.

    A line that stays keeps its own line end, whatever it is; a new one gets the text's usual one.
    """
    ends = [line[len(bare) :] for line, bare in zip(original.splitlines(keepends=True), original.splitlines())]
    old = original.splitlines()
    if not original or ends[-1]:
        old.append("")
        ends.append("")
    usual = "\r\n" if "\r\n" in original else "\n"
    found = [usual] * len(lines)
    for start, other, size in _same_blocks(old, lines):
        for place in range(size):
            found[other + place] = ends[start + place] or usual
    return "".join(f"{line}{end}" for line, end in zip(lines[:-1], found)) + (lines[-1] if lines else "")


def _same_blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(place in old, place in new, lines) of what is the same in both."""
    import difflib

    least = min(len(old), len(new))
    first = next((n for n in range(least) if old[n] != new[n]), least)
    cut = next((n for n in range(least - first) if old[-1 - n] != new[-1 - n]), least - first)
    yield 0, 0, first
    middle = old[first : len(old) - cut], new[first : len(new) - cut]
    if len(middle[0]) + len(middle[1]) <= _MOST_COMPARED:  # a rewritten text: comparing would take seconds
        for block in difflib.SequenceMatcher(None, *middle, autojunk=False).get_matching_blocks():
            yield first + block.a, first + block.b, block.size
    yield len(old) - cut, len(new) - cut, cut


def line_changes(before: str, after: str) -> dict[int, str]:
    """Line of ``after``, from 1 -> the line it replaced; "" where it is new."""
    old, new = lines_of(before), lines_of(after)
    found: dict[int, str] = {}
    last, before_at = 0, 0
    for start, other, size in [*_same_blocks(old, new), (len(old), len(new), 0)]:
        for place in range(last, other):
            was = before_at + place - last
            found[place + 1] = old[was] if was < start else ""
        last, before_at = other + size, start + size
    return found
