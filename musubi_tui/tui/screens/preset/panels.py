"""The lines around the grid, as pure functions of the draft: the rows of the grid, the sections, the head."""

from __future__ import annotations

from collections.abc import Mapping

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import Problem
from engine.config.schema import OPTIONS
from engine.events.redaction import redact
from musubi_tui.presets import form
from musubi_tui.presets.batch import RateHint
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.fixing import fix_for
from musubi_tui.presets.form import ALL, SECTION_TITLES, Look
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.widgets.grid import GridRow, Role
from musubi_tui.tui.widgets.lines import Line, Span

Block = list[Line]
_STORY_LEAST = 20  # cells
HINT_ROWS = ("learning_rate", "gradient_accumulation_steps")


_ASCII = str.maketrans({"…": "~", "–": "-", "→": ">", "·": ".", "•": "*", "▼": "v", "▲": "^"})


def drawable(text: str, glyphs: Glyphs) -> str:
    """The text with the signs that a set of characters has; as wide as before."""
    return text if glyphs.name == "unicode" else text.translate(_ASCII)


def marks(glyphs: Glyphs) -> Mapping[str, str]:
    """What the signs of the form look like in a set of characters."""
    if glyphs.name == "unicode":
        return {"changed": "●", "unsaved": "✱", "given": "⌂", "error": "!", "warning": "?", "lower": "▼", "higher": "▲"}
    return {"changed": "o", "unsaved": "*", "given": "^", "error": "!", "warning": "?", "lower": "v", "higher": "^"}


def problem_key(problem: Problem) -> str:
    """The key of a row that complains about no option."""
    return f"!{problem.code}:{problem.file}:{problem.line}:{problem.column}:{problem.message}"


def grid_rows(
    draft: Draft,
    look: Look,
    problems: tuple[Problem, ...],
    hint: RateHint | None,
    glyphs: Glyphs,
    figures: Mapping[str, str],
) -> list[GridRow]:
    """The rows of the grid: options with their values, complaints below them with what ``f`` would do; ``{id}`` in a text row
    stands for the key of an action.

    ``figures``: what values cost against their defaults, by option, as far as that was found.
    """
    found: list[GridRow] = []
    by_option: dict[str, list[Problem]] = {}
    for problem in problems:
        by_option.setdefault(problem.key, []).append(problem)
    unsaved = frozenset(draft.unsaved_cells())
    for row in form.rows(draft, look, problems):
        if row.kind == "option" and row.option is not None:
            found.append(_option_row(draft, row.option, by_option.get(row.option.name, []), glyphs, figures))
            if hint is not None and row.option.name in HINT_ROWS:
                found.append(GridRow("", "text", name=drawable(hint_text(hint), glyphs), role="changed", wrapped=2))
        elif row.kind == "problem" and row.problem is not None:
            alone = problem_key(row.problem) if row.option is None else ""
            found.append(GridRow(alone, "text", name=drawable(complaint(row.problem, draft.facts), glyphs), role=row.problem.severity, wrapped=3))  # fmt: skip
        elif row.kind == "cell" and row.cell is not None:
            found.append(_cell_row(row.cell, unsaved, glyphs))
            if hint is not None and row.cell.name == "batch_size":
                found.append(GridRow("", "text", name=drawable(hint_text(hint), glyphs), role="changed", wrapped=2))
        elif row.kind == "title":
            found.append(GridRow("", "title", name=row.text))
        else:
            found.append(GridRow("", "text", name=drawable(row.text, glyphs), role="muted"))
    return found


def _option_row(
    draft: Draft, option: Option, problems: list[Problem], glyphs: Glyphs, figures: Mapping[str, str]
) -> GridRow:
    signs, cell = marks(glyphs), form.cell(draft, option, problems)
    first = signs[cell.severity] if cell.severity else ""
    if not first:
        first = signs["changed"] if cell.origin == "file" and cell.changed else signs["given"] if cell.origin in ("base", "family") else ""  # fmt: skip
    role: Role = cell.severity or ("changed" if cell.changed or cell.unsaved else "")
    default = cell.inherited if cell.inherited and cell.inherited != cell.default else cell.default
    return GridRow(
        option.name,
        "value",
        marks=fit(first, 1) + (signs["unsaved"] if cell.unsaved else " "),
        name=option.name,
        value=drawable(cell.value, glyphs),
        default=drawable(default, glyphs),
        effect=drawable(form.effect(draft.facts, option, figures.get(option.name, "")), glyphs),
        role=role,
        keep_end=option.kind == "path",
    )


def _cell_row(cell: DatasetCell, unsaved: frozenset[str], glyphs: Glyphs) -> GridRow:
    signs = marks(glyphs)
    changed = cell.written is not None and cell.value != cell.default
    return GridRow(
        cell.key,
        "value",
        marks=fit(signs["changed"] if changed else "", 1) + (signs["unsaved"] if cell.key in unsaved else " "),
        name=cell.name,
        value=drawable(form.shown_plainly(cell.value), glyphs),
        default=drawable(form.shown_plainly(cell.default), glyphs),
        role="changed" if changed else "",
        keep_end=cell.schema is not None and cell.schema.type == "path",
    )


def complaint(problem: Problem, facts: Facts) -> str:
    """The problem, where it is when it is elsewhere, and what ``f`` does about it, else what a person can do."""
    where = f"{problem.location()}: " if problem.file not in ("", str(facts.path)) else ""
    line = (
        say(f"line {problem.line}: ", f"{problem.line} 行目: ") if problem.line and problem.key not in OPTIONS else ""
    )
    fix = fix_for(problem, facts)
    tail = f"  {{preset.fix}}: {fix.words}" if fix else f" {problem.fix}" if problem.fix else ""
    return redact(f"{where}{line}{problem.message}{tail}")


def hint_text(hint: RateHint) -> str:
    """The square-root rule in a sentence."""
    return say(
        f"{hint.before} → {hint.after} per step: the square-root rule gives learning_rate {hint.rate}. {{preset.fix}} sets it",
        f"1 ステップあたり {hint.before} → {hint.after}: 平方根則では learning_rate {hint.rate}。{{preset.fix}} で設定",
    )


# Sections


def section_order() -> list[str]:
    """The sections as ``[`` and ``]`` walk them."""
    return [*SECTION_TITLES, ALL]


def section_line(look: Look, counts: Mapping[str, tuple[int, int, int]], width: int, glyphs: Glyphs) -> list[Span]:
    """One line: the sections around the chosen one, as many as fit, and what is shown."""
    right = look_words(look)
    names = section_order()
    place = names.index(look.section)
    texts = [section_name(name, counts, look, glyphs) for name in names]
    start = end = place
    room = width - cells(right) - 8
    total = cells(texts[place])
    while True:
        grown = False
        for candidate in (end + 1, start - 1):
            if 0 <= candidate < len(texts) and total + cells(texts[candidate]) + 1 <= room:
                total += cells(texts[candidate]) + 1
                start, end, grown = min(start, candidate), max(end, candidate), True
        if not grown:
            break
    spans: list[Span] = [(" [ " if start == 0 else " [… " if glyphs.name == "unicode" else " [~ ", "muted")]
    for number in range(start, end + 1):
        spans.append((texts[number], "key" if number == place and not look.narrowed else ""))
        spans.append((" ", ""))
    spans.append(("]" if end == len(texts) - 1 else "…]" if glyphs.name == "unicode" else "~]", "muted"))
    used = sum(cells(text) for text, _ in spans)
    return [
        *spans,
        (" " * max(1, width - used - cells(right) - 1), ""),
        (right, "accent" if look.narrowed else "muted"),
    ]


def section_name(name: str, counts: Mapping[str, tuple[int, int, int]], look: Look, glyphs: Glyphs) -> str:
    """Cursor, title, and a sign when something in it is wrong."""
    title = say("All", "すべて") if name == ALL else str(SECTION_TITLES[name])
    _, errors, warnings = counts.get(name, (0, 0, 0))
    sign = "!" if errors else "?" if warnings else ""
    chosen = glyphs.cursor if name == look.section and not look.narrowed else ""
    return f"{chosen}{title}{sign}"


def look_words(look: Look) -> str:
    """What narrows the form, in words."""
    words = [f"/{look.words}"] if look.words else []
    words += [say("changed", "変更のみ")] if look.changed else []
    words += [say("problems", "問題のみ")] if look.problems else []
    words += [say("expert", "上級")] if look.expert else []
    words += [say("everything", "全項目")] if look.everything else []
    return " ".join(words) or say("/ find  . changed", "/ 検索  . 変更のみ")


def section_panel(look: Look, counts: Mapping[str, tuple[int, int, int]], width: int, glyphs: Glyphs) -> Block:
    """The sections one below the other, with how many options differ, then the switches and the legend."""
    lines: Block = []
    for name in section_order():
        changed, errors, warnings = counts.get(name, (0, 0, 0))
        title = say("All", "すべて") if name == ALL else str(SECTION_TITLES[name])
        chosen = name == look.section and not look.narrowed
        right = f"{changed or glyphs.none} {'!' if errors else '?' if warnings else ' '}"
        left = f"{glyphs.cursor if chosen else ' '} {title}"
        lines.append([(fit(left, width - cells(right)), "key" if chosen else ""), (right, "bad" if errors else "warn" if warnings else "muted")])  # fmt: skip
    lines.append([])
    signs = marks(glyphs)
    for on, word, letter in (
        (look.changed, say("changed only", "変更のみ"), "."),
        (look.problems, say("with problems", "問題のみ"), "!"),
        (look.expert, say("expert", "上級"), "e"),
        (look.everything, say("without effect", "無効なものも"), "a"),
    ):
        box = f"[{'x' if on else ' '}] "
        lines.append([(fit(box + word, width - 2), "key" if on else ""), (f"{letter} ", "muted")])
    lines.append([])
    for sign, word in (
        (signs["changed"], say("differs from default", "デフォルトと異なる")),
        (signs["unsaved"], say("not saved", "未保存")),
        (signs["given"], say("from base or family", "base・ファミリー由来")),
        ("! ?", say("error, warning", "エラー、警告")),
    ):
        lines.append([(fit(f"{sign} {word}", width), "muted")])
    return lines


# Head


def head(draft: Draft, counts: Mapping[str, tuple[int, int, int]], width: int, note: str, story: str) -> list[Span]:
    """The file, what it builds on, which version it is (``story``), how many options differ, what is wrong; or the note of the
    moment."""
    changed, errors, warnings = counts[ALL]
    roomy = width >= 120
    parts = [say(f"{changed} changed", f"変更 {changed}")] if roomy else []
    parts += [say(f"{errors} error{'s' if errors != 1 else ''}", f"エラー {errors}")] if errors else []
    parts += [say(f"{warnings} warning{'s' if warnings != 1 else ''}", f"警告 {warnings}")] if warnings else []
    right = " · ".join(parts) or say("no problems", "問題なし")
    tail = say("   H history", "   H 履歴") if roomy else ""
    room = width - cells(right) - cells(tail) - 3
    left = note or _whose(draft, room, story)
    role = "bad" if errors else "warn" if warnings else "muted"
    return [(f" {fit(left, room)} ", "accent" if note else "bold"), (right, role), (tail, "muted")]


def _whose(draft: Draft, room: int, story: str) -> str:
    reading = draft.facts.reading
    base = reading.bases[0].stem if reading and reading.bases else ""
    based = say(f"  based on {base}", f"  base: {base}") if base else ""
    left = f"{short_path(draft.path, max(20, room - cells(based) - 1))}{based}"
    rest = room - cells(left) - 2
    return f"{left}  {fit(story, rest).rstrip()}" if story and rest >= _STORY_LEAST else left


def short_path(path: object, width: int) -> str:
    """A path with the home as ``~``, cut at its beginning."""
    import os

    text = str(path)
    home = os.path.expanduser("~")
    text = f"~{text[len(home) :]}" if text.startswith(home + os.sep) else text
    text = "".join(character if character.isprintable() else "·" for character in text)
    while cells(text) > width:
        text = "…" + text.lstrip("…")[1:]
    return text
