"""What a draft would train differently from something else: its file, the defaults, its base, another preset, a run."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from engine.config.schema import OPTIONS
from engine.config.secrets import starred_lines
from engine.events.redaction import starred
from engine.events.rundir import RunDirectory
from musubi_tui.presets.comparing import Difference, dataset_differences, dataset_values, flat_tables
from musubi_tui.presets.draft import Draft, lines_of
from musubi_tui.presets.facts import Facts

# What names a run rather than shapes it; the tables of the dataset are compared key by key.
_LEFT_OUT = frozenset({"base", "base_unset", "general", "datasets"})


@dataclass(frozen=True)
class Side:
    """What a draft is compared with: its name, its resolved values, and its text where a comparison by line makes sense.

    ``dataset``: its dataset key by key, None where that is not known. ``tables``: it is compared with the tables of the draft's
    own file alone. ``twin``: the words that make ``presets diff FILE`` compare the saved file with it; None where none do.
    """

    title: str
    values: Mapping[str, Any]
    text: str | None = None
    without: frozenset[str] = _LEFT_OUT  # options that cannot be compared with it
    dataset: Mapping[str, Any] | None = None
    tables: bool = False
    twin: str | None = None


def saved_side(draft: Draft) -> Side:
    """The file as it was last read or written."""
    return Side(say("the saved file", "保存済みのファイル"), _values(draft.saved_facts), draft.saved.text if draft.saved else "", dataset=_dataset(draft.saved_facts))  # fmt: skip


def disk_side(draft: Draft) -> Side:
    """The file as it is on disk now. Raises ``ConfigError``."""
    from musubi_tui.presets.document import read_document
    from musubi_tui.presets.facts import facts_of

    text = read_document(draft.path).text
    facts = facts_of(text, draft.path)
    return Side(say("the file on disk now", "現在のファイル"), _values(facts), text, dataset=_dataset(facts))


def default_side(draft: Draft) -> Side:
    """What the options would be if the file set none of them."""
    reading = draft.facts.reading
    return Side(
        say("the defaults", "デフォルト"), reading.defaults if reading else {}, dataset={}, tables=True, twin=""
    )


def base_side(draft: Draft) -> Side:
    """The preset that it builds on. Raises ``UserError`` when there is none."""
    reading = draft.facts.reading
    if reading is None or not reading.bases:
        raise UserError.of("no_base", say("It builds on no other preset.", "元にするプリセットがありません。"))
    tables = flat_tables(reading.inherited)
    return Side(reading.bases[0].name, reading.inherited, dataset=tables, tables=True, twin="--base")


def preset_side(word: str) -> Side:
    """Another preset: a path or a name of the library. Raises ``UserError``."""
    from musubi_tui.presets.document import read_document
    from musubi_tui.presets.facts import facts_of
    from musubi_tui.presets.library import find_preset

    document = read_document(find_preset(word))
    facts = facts_of(document.text, document.path)
    return Side(document.path.name, _values(facts), document.text, dataset=_dataset(facts), twin=shlex.quote(word))


def parent_side(draft: Draft) -> Side:
    """The version that it was made of. Raises ``UserError`` when there is none any more."""
    from musubi_tui.presets.versions import version_of

    parent = version_of(draft.path).parent
    if parent is None:
        raise UserError.of("no_parent", say("It is no version of another preset.", "元のバージョンがありません。"))
    return replace(preset_side(str(parent)), title=say(f"{version_of(parent).label}, its parent", f"親の {version_of(parent).label}"))  # fmt: skip


def run_side(run: RunDirectory) -> Side:
    """What a run was started with. Raises ``UserError`` when its run.toml cannot be read."""
    from engine.config.run_file import read_run_toml

    values = read_run_toml(run.run_toml).config.values()
    left_out = _LEFT_OUT | {"dataset_config"}  # a run has its dataset in it
    return Side(run.id, values, without=left_out, dataset=flat_tables(values), twin=f"--run {shlex.quote(run.id)}")


def last_run(preset: Path) -> RunDirectory:
    """The newest run that was made of this preset, else the newest of all. Raises ``UserError`` without runs."""
    from musubi_tui.runs.finding import is_training, list_runs
    from musubi_tui.runs.origin import runs_of

    runs = runs_of(preset) or list_runs()
    if not runs:
        raise UserError.of("no_such_run", say("There are no runs yet.", "まだ run がありません。"))
    return next((run for run in runs if is_training(run)), runs[0])


def differences_to(draft: Draft, side: Side) -> list[Difference]:
    """Options whose values differ, in the schema's order, then the dataset key by key; the draft's on the left. Secrets are not
    shown."""
    mine = _values(draft.facts)
    found = [
        Difference(option.section, name, _shown(name, mine[name]), _shown(name, side.values.get(name)))
        for name, option in OPTIONS.items()
        if name in mine and name in side.values and name not in side.without and mine[name] != side.values[name]
    ]
    if side.dataset is None:
        return found
    own = flat_tables(mine) if side.tables else _dataset(draft.facts)
    return [*found, *dataset_differences(own, side.dataset)]


def line_difference(draft: Draft, side: Side) -> list[str]:
    """The lines that differ, with a line or two around them, as ``diff -u`` writes them; stars for secrets."""
    if side.text is None:
        return []
    old, new = lines_of(side.text), lines_of(draft.text)
    shown = starred_lines(old), starred_lines(new)
    lines: list[str] = []
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(2):
        lines += [] if lines else [f"--- {side.title}", f"+++ {draft.path.name}"]
        first, last = group[0], group[-1]
        lines.append(f"@@ -{_lines_from(first[1], last[2])} +{_lines_from(first[3], last[4])} @@")
        for tag, left, left_end, right, right_end in group:
            lines += [f" {line}" for line in shown[0][left:left_end]] if tag == "equal" else []
            lines += [f"-{line}" for line in shown[0][left:left_end]] if tag in ("replace", "delete") else []
            lines += [f"+{line}" for line in shown[1][right:right_end]] if tag in ("replace", "insert") else []
    return [starred(line) for line in lines]


def _lines_from(start: int, end: int) -> str:
    """The lines [start, end), from 0, as the head of a hunk names them."""
    return f"{start + 1}" if end - start == 1 else f"{start + (end > start)},{end - start}"


def _values(facts: Facts) -> Mapping[str, Any]:
    return facts.reading.values if facts.reading else {}


def _dataset(facts: Facts) -> dict[str, Any] | None:
    """The dataset of a text, wherever it stands; None where the text has errors, or the dataset cannot be read."""
    from engine.config.load import load_source

    if facts.source is None:
        return None
    try:
        return dataset_values(load_source(facts.source))
    except (UserError, OSError):
        return None


def _shown(name: str, value: Any) -> Any:
    return "<redacted>" if OPTIONS[name].secret and value else value
