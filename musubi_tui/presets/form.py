"""What the form of a preset shows: which options stand in it, in which order, and what each line says. No screen in here."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.config.language import counted, say
from engine.config.option import Option, Text
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, SECTIONS
from engine.config.toml_text import toml_value
from musubi_tui.presets.dataset_cells import DatasetCell, dataset_cells
from musubi_tui.presets.draft import Draft, lines_of, settable
from musubi_tui.presets.facts import Facts, Origin
from musubi_tui.presets.stepping import spelled

# Names of the sections as a person reads them; the schema's own names are its keys.
SECTION_TITLES: dict[str, Text] = {
    "run": Text("Run", "実行"),
    "model": Text("Model", "モデル"),
    "dataset": Text("Data", "データ"),
    "network": Text("LoRA", "LoRA"),
    "training": Text("Training", "学習"),
    "optimizer": Text("Optimizer", "最適化"),
    "timesteps": Text("Timesteps", "タイムステップ"),
    "memory": Text("Memory", "メモリ"),
    "attention": Text("Attention", "アテンション"),
    "compile": Text("Compile", "コンパイル"),
    "save": Text("Save", "保存"),
    "sampling": Text("Samples", "サンプル"),
    "validation": Text("Validation", "検証"),
    "logging": Text("Logging", "記録"),
    "metadata": Text("Metadata", "メタデータ"),
    "huggingface": Text("Hugging Face", "Hugging Face"),
    "distributed": Text("GPUs", "複数 GPU"),
}
ALL = "all"
_LONGEST = 300  # characters of either end of a long value that a line may show


@dataclass(frozen=True)
class Look:
    """What a person wants to see. ``section`` is one of the schema or ``ALL``; ``words`` search over all sections."""

    section: str = "run"
    words: str = ""
    changed: bool = False
    problems: bool = False
    expert: bool = False
    everything: bool = False  # also what the family or task has no use for

    @property
    def narrowed(self) -> bool:
        """Whether it goes over all sections for something."""
        return bool(self.words or self.changed or self.problems)


@dataclass(frozen=True)
class Row:
    """One line of the form. ``option`` is None for titles and for complaints about no option."""

    kind: Literal["title", "option", "cell", "problem", "more"]
    text: str
    option: Option | None = None
    problem: Problem | None = None
    cell: DatasetCell | None = None


@dataclass(frozen=True)
class Cell:
    """What stands in the line of an option."""

    value: str
    default: str
    inherited: str  # the base's value where there is a base, else ""
    origin: Origin
    changed: bool
    unsaved: bool
    severity: Literal["", "error", "warning"]


def rows(draft: Draft, look: Look, problems: tuple[Problem, ...] | None = None) -> list[Row]:
    """The lines of the form in order. ``problems`` are all that are known (default: those of the text alone)."""
    facts = draft.facts
    by_option: dict[str, list[Problem]] = {}
    for problem in facts.problems if problems is None else problems:
        by_option.setdefault(problem.key if problem.key in OPTIONS else "", []).append(problem)
    return list(_rows(draft, facts, look, by_option))


def _rows(draft: Draft, facts: Facts, look: Look, by_option: dict[str, list[Problem]]) -> Iterator[Row]:
    if look.problems or look.section == ALL:
        for problem in by_option.get("", ()):
            yield Row("problem", problem.message, None, problem)
    whole = look.narrowed or look.section == ALL
    for section in SECTIONS if whole else (look.section,):
        listed, hidden = [], 0
        for option in _options_of(section):
            if not _wanted(draft, facts, option, look, by_option):
                continue
            if _hidden(facts, option, look, by_option):
                hidden += 1
                continue
            listed.append(option)
        if whole and listed:
            yield Row("title", str(SECTION_TITLES[section]))
        for option in listed:
            yield Row("option", option.name, option)
            yield from (Row("problem", one.message, option, one) for one in by_option.get(option.name, ()))
        if section == "dataset" and not look.problems:
            yield from _cell_rows(draft, look)
        if hidden and not look.narrowed:
            yield Row("more", say(f"{hidden} more: e expert, a also those without effect here", f"他 {hidden} 件: e 上級、a この構成で無効なもの"))  # fmt: skip


def _cell_rows(draft: Draft, look: Look) -> Iterator[Row]:
    """The tables of the dataset in the file, key by key."""
    before = {cell.key: cell.written for cell in dataset_cells(draft.saved_facts)} if look.changed else {}
    table = ""
    for cell in dataset_cells(draft.facts):
        if not all(word in f"{cell.key} {cell.help}".lower() for word in look.words.lower().split()):
            continue
        if look.changed and cell.written == before.get(cell.key) and cell.value == cell.default:
            continue
        if cell.table != table:
            table = cell.table
            yield Row("title", table)
        yield Row("cell", cell.name, cell=cell)


def _options_of(section: str) -> list[Option]:
    return [option for option in OPTIONS.values() if option.section == section]


def _wanted(draft: Draft, facts: Facts, option: Option, look: Look, by_option: dict[str, list[Problem]]) -> bool:
    if look.words and not all(word in _haystack(option) for word in look.words.lower().split()):
        return False
    if look.changed and not (facts.changed(option.name) or draft.unsaved(option.name)):
        return False
    return not look.problems or option.name in by_option


def _hidden(facts: Facts, option: Option, look: Look, by_option: dict[str, list[Problem]]) -> bool:
    """Whether the option is left out though it fits: expert, or of no use here. What is set or complained about is shown."""
    if look.narrowed and not look.words:
        return False
    if facts.given(option.name) is not None or option.name in by_option:
        return False
    if not facts.applies(option):
        return not look.everything
    return option.level == "expert" and not look.expert and not look.words


def _haystack(option: Option) -> str:
    return f"{option.name} {option.help.en} {option.help.ja} {option.section}".lower()


def cell(draft: Draft, option: Option, problems: tuple[Problem, ...] | list[Problem]) -> Cell:
    """What the line of an option says."""
    facts, name = draft.facts, option.name
    severities = {problem.severity for problem in problems}
    return Cell(
        value=shown(option, facts.value(name)),
        default=shown(option, facts.default(name)),
        inherited=shown(option, facts.inherited(name)) if facts.has_base else "",
        origin=facts.origin(name),
        changed=facts.changed(name),
        unsaved=draft.unsaved(name),
        severity="error" if "error" in severities else "warning" if severities else "",
    )


def shown(option: Option, value: Any) -> str:
    """A value as the form writes it, on one line: without quotes, on and off, words of a list."""
    if value is None or value == "" or (value == [] and option.kind.startswith("list of")):
        return "–"
    if option.secret:
        return "•" * 8
    if value is True or value is False:
        return say("on", "オン") if value else say("off", "オフ")
    if isinstance(value, str | Path):
        return _plain(str(value))
    if option.kind == "list of tables" and isinstance(value, list):
        return say(f"{len(value)} in this file", f"このファイルに {len(value)} 件")
    if option.kind == "table" and isinstance(value, dict):
        return say(f"{counted(len(value), 'key')} in this file", f"このファイルに {len(value)} 項目")
    if isinstance(value, list) and all(isinstance(item, str | Path) for item in value):
        return "  ".join(_plain(str(item)) for item in value)
    if isinstance(value, float):
        return spelled(value)
    try:
        return toml_value(value)
    except (TypeError, ValueError):
        return str(value)


def shown_plainly(value: Any) -> str:
    """A value of a dataset table on one line."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return say("on", "オン") if value else say("off", "オフ")
    if isinstance(value, str):
        return _plain(value)
    try:
        return toml_value(list(value) if isinstance(value, tuple) else value)
    except (TypeError, ValueError):
        return _plain(str(value))


def _plain(text: str) -> str:
    """The text without what would move the cursor or the colours, and without the middle of what no line can hold."""
    if len(text) > 2 * _LONGEST:
        text = f"{text[:_LONGEST]}…{text[-_LONGEST:]}"
    return "".join(character if character.isprintable() else "·" for character in text)


def typed(facts: Facts, option: Option, written: str) -> str:
    """The value as the line editor begins with: what ``presets set`` would take. ``written`` is its TOML text in the file."""
    value = facts.value(option.name)
    if value is None or not settable(option.name):
        return ""
    if isinstance(value, list) and all(isinstance(item, str | Path | int | float) for item in value):
        return shlex.join(str(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        return str(value)
    return written


def effect(facts: Facts, option: Option, figures: str = "") -> str:
    """What the value does compared with the default: its consequence while it is not built, what the planner says (``figures``),
    else what the schema says of being higher or lower."""
    value, default = facts.value(option.name), facts.default(option.name)
    if facts.given(option.name) is not None and not facts.applies(option):
        return say("no effect here", "この構成では無効")
    try:
        status = option.status_of(value)
    except TypeError:  # a list where a word belongs
        return ""
    if status != "built":
        return say("not built yet", "未対応")
    if figures and facts.changed(option.name):
        return figures
    if _number(value) and _number(default) and value != default:
        told = option.higher if value > default else option.lower
        return str(told) if told else ""
    return ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def counts(draft: Draft, problems: tuple[Problem, ...] | None = None) -> dict[str, tuple[int, int, int]]:
    """Section -> (options that differ from the default, errors, warnings). Complaints about no option stand under ``ALL``."""
    facts = draft.facts
    found = {section: [0, 0, 0] for section in (*SECTIONS, ALL)}
    for option in OPTIONS.values():
        if facts.changed(option.name):
            found[option.section][0] += 1
            found[ALL][0] += 1
    for problem in facts.problems if problems is None else problems:
        column = 1 if problem.severity == "error" else 2
        found[ALL][column] += 1
        if problem.key in OPTIONS:
            found[OPTIONS[problem.key].section][column] += 1
    return {section: (one, two, three) for section, (one, two, three) in found.items()}


def line_in_toml(draft: Draft, name: str) -> str:
    """The line of the file that sets the option, or the one that would."""
    line = draft.facts.line(name)
    if line:
        return lines_of(draft.text)[line - 1].strip()
    value = draft.facts.value(name)
    return f"{name} = {toml_value(value)}" if value is not None and settable(name) else f"{name} ="
