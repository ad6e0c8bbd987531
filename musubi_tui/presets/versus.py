"""What a draft would train differently from something else: its file, the defaults, its base, another preset, a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.config.schema import OPTIONS
from engine.events.rundir import RunDirectory
from musubi_tui.presets.comparing import Difference
from musubi_tui.presets.draft import Draft, lines_of
from musubi_tui.presets.facts import Facts

# What names a run rather than shapes it, and what run.toml says in another way.
_LEFT_OUT = frozenset({"base", "base_unset"})
_DATASET = frozenset({"dataset_config", "general", "datasets"})


@dataclass(frozen=True)
class Side:
    """What a draft is compared with: its name, its resolved values, and its text where a comparison by line makes sense."""

    title: str
    values: Mapping[str, Any]
    text: str | None = None
    without: frozenset[str] = _LEFT_OUT  # options that cannot be compared with it


def saved_side(draft: Draft) -> Side:
    """The file as it was last read or written."""
    return Side(say("the saved file", "保存済みのファイル"), _values(draft.saved_facts), draft.saved.text if draft.saved else "")  # fmt: skip


def disk_side(draft: Draft) -> Side:
    """The file as it is on disk now. Raises ``ConfigError``."""
    from musubi_tui.presets.document import read_document
    from musubi_tui.presets.facts import facts_of

    text = read_document(draft.path).text
    return Side(say("the file on disk now", "現在のファイル"), _values(facts_of(text, draft.path)), text)


def default_side(draft: Draft) -> Side:
    """What the options would be if the file set none of them."""
    reading = draft.facts.reading
    return Side(say("the defaults", "デフォルト"), reading.defaults if reading else {})


def base_side(draft: Draft) -> Side:
    """The preset that it builds on. Raises ``UserError`` when there is none."""
    reading = draft.facts.reading
    if reading is None or not reading.bases:
        raise UserError.of("no_base", say("It builds on no other preset.", "元にするプリセットがありません。"))
    return Side(reading.bases[0].name, reading.inherited)


def preset_side(word: str) -> Side:
    """Another preset: a path or a name of the library. Raises ``UserError``."""
    from musubi_tui.presets.document import read_document
    from musubi_tui.presets.facts import facts_of
    from musubi_tui.presets.library import find_preset

    document = read_document(find_preset(word))
    return Side(document.path.name, _values(facts_of(document.text, document.path)), document.text)


def run_side(run: RunDirectory) -> Side:
    """What a run was started with. Raises ``UserError`` when its run.toml cannot be read."""
    from engine.config.run_file import read_run_toml

    config = read_run_toml(run.run_toml).config
    return Side(run.id, config.values(), without=_LEFT_OUT | _DATASET)


def last_run(draft: Draft) -> RunDirectory:
    """The newest run that was made of this preset, else the newest of all. Raises ``UserError`` without runs."""
    from musubi_tui.runs.finding import list_runs
    from musubi_tui.runs.origin import runs_of

    runs = runs_of(draft.path) or list_runs()
    if not runs:
        raise UserError.of("no_such_run", say("There are no runs yet.", "まだ run がありません。"))
    return runs[0]


def differences_to(draft: Draft, side: Side) -> list[Difference]:
    """Options whose values differ, in the schema's order, the draft's on the left. Secrets are not shown."""
    mine = _values(draft.facts)
    return [
        Difference(option.section, name, _shown(name, mine[name]), _shown(name, side.values.get(name)))
        for name, option in OPTIONS.items()
        if name in mine and name in side.values and name not in side.without and mine[name] != side.values[name]
    ]


def line_difference(draft: Draft, side: Side) -> list[str]:
    """The lines that differ, with a line or two around them, as ``diff -u`` writes them."""
    if side.text is None:
        return []
    old, new = lines_of(side.text), lines_of(draft.text)
    return list(difflib.unified_diff(old, new, side.title, draft.path.name, lineterm="", n=2))


def _values(facts: Facts) -> Mapping[str, Any]:
    return facts.reading.values if facts.reading else {}


def _shown(name: str, value: Any) -> Any:
    return "<redacted>" if OPTIONS[name].secret and value else value
