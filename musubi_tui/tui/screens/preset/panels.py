"""The lines that stand around the grid, as pure functions of the draft: rows of the grid, the sections, the help dock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import Problem
from engine.config.reference import consequence
from engine.config.schema import OPTIONS
from musubi_tui.presets import form
from musubi_tui.presets.batch import RateHint
from musubi_tui.presets.dataset_cells import DatasetCell, dataset_cells
from musubi_tui.presets.draft import Draft, settable, written_as
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.fixing import fix_for
from musubi_tui.presets.form import ALL, SECTION_TITLES, Look
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.widgets.grid import GridRow, Role, wrap
from musubi_tui.tui.widgets.lines import Line, Span

Block = list[Line]
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
    draft: Draft, look: Look, problems: tuple[Problem, ...], hint: RateHint | None, glyphs: Glyphs
) -> list[GridRow]:
    """The rows of the grid: options with their values, complaints below them with what ``f`` would do."""
    found: list[GridRow] = []
    by_option: dict[str, list[Problem]] = {}
    for problem in problems:
        by_option.setdefault(problem.key, []).append(problem)
    unsaved = unsaved_cells(draft)
    for row in form.rows(draft, look, problems):
        if row.kind == "option" and row.option is not None:
            found.append(_option_row(draft, row.option, by_option.get(row.option.name, []), glyphs))
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


def _option_row(draft: Draft, option: Option, problems: list[Problem], glyphs: Glyphs) -> GridRow:
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
        effect=drawable(form.effect(draft.facts, option), glyphs),
        role=role,
        keep_end=option.kind == "path",
    )


def unsaved_cells(draft: Draft) -> frozenset[str]:
    """The keys of dataset tables that a save would change."""
    if not draft.dirty or draft.saved is None:
        return frozenset()
    before = {cell.key: cell.written for cell in dataset_cells(draft.saved_facts)}
    return frozenset(cell.key for cell in dataset_cells(draft.facts) if cell.written != before.get(cell.key))


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


def cell_dock(cell: DatasetCell, width: int) -> Block:
    """What a key of a dataset table does, and its line."""
    lines: Block = [[(text, "")] for text in wrap(cell.help, width, 3)]
    default = form.shown_plainly(cell.default)
    lines.append([(say(f"default {default}", f"デフォルト {default}"), "muted")])
    lines.append([("toml  ", "muted"), (f"{cell.name} = {cell.written}" if cell.written else f"# {cell.name}", "")])
    return lines


def complaint(problem: Problem, facts: Facts) -> str:
    """The problem, where it is when it is elsewhere, and what ``f`` does about it, else what a person can do."""
    where = f"{problem.location()}: " if problem.file not in ("", str(facts.path)) else ""
    line = (
        say(f"line {problem.line}: ", f"{problem.line} 行目: ") if problem.line and problem.key not in OPTIONS else ""
    )
    fix = fix_for(problem, facts)
    tail = f"  f: {fix.words}" if fix else f" {problem.fix}" if problem.fix else ""
    return f"{where}{line}{problem.message}{tail}"


def hint_text(hint: RateHint) -> str:
    """The square-root rule in a sentence."""
    return say(
        f"{hint.before} → {hint.after} per step: the square-root rule gives learning_rate {hint.rate}. f sets it",
        f"1 ステップあたり {hint.before} → {hint.after}: 平方根則では learning_rate {hint.rate}。f で設定",
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


# Help dock


def dock_title(option: Option) -> str:
    """The name, and its section."""
    return f"{option.name}  {SECTION_TITLES[option.section]}"


def dock(draft: Draft, option: Option, width: int, height: int, glyphs: Glyphs) -> Block:
    """What the option is, lower and higher, what it needs, how far it is built, its line and its flag; the last are always shown."""
    facts = draft.facts
    last: Block = [
        [("toml  ", "muted"), (_toml_line(draft, option), "")],
        [("cli   ", "muted"), (flag(draft, option), "")],
    ]
    body = [*_about(draft, option, width, glyphs, roomy=height > 10)]
    room = height - len(last)
    if len(body) > room:
        body = body[:room]
    return [*body, *([[]] if height > 10 and len(body) < room else []), *last] if facts else []


def _about(draft: Draft, option: Option, width: int, glyphs: Glyphs, *, roomy: bool) -> Iterator[Line]:
    signs, facts = marks(glyphs), draft.facts
    if roomy:
        yield [(fit(_type_line(draft, option), width), "muted")]
        yield []
    for text in wrap(str(option.help), width, 6 if roomy else 2):
        yield [(text, "")]
    state = _state(option, facts)
    if state:
        yield from ([(text, "warn")] for text in wrap(state, width, 4 if roomy else 1))
    if roomy:
        yield []
    effects = [(signs["lower"], option.lower), (signs["higher"], option.higher)]
    told = [f"{sign} {text}" for sign, text in effects if text]
    if told and not roomy:
        yield [(fit("  ".join(told), width), "mark")]
    elif told:
        yield from ([(text, "mark")] for one in told for text in wrap(one, width, 2))
    needs = needs_text(option, facts)
    if needs:
        yield from ([(text, "muted")] for text in wrap(needs, width, 3 if roomy else 1))
    if roomy:
        yield [(fit(say("from  ", "由来  ") + source_text(facts, option), width), "muted")]


def _type_line(draft: Draft, option: Option) -> str:
    default = form.shown(option, draft.facts.default(option.name))
    unit = f" ({option.unit})" if option.unit else ""
    return say(
        f"{option.expectation()}{unit}   default {default}", f"{option.expectation()}{unit}   デフォルト {default}"
    )


def _state(option: Option, facts: Facts) -> str:
    """What it means that the option, or its value of now, is not built."""
    built = option.built_values()
    told = consequence(option)
    value = facts.value(option.name)
    try:
        status = option.status_of(value)
    except TypeError:
        return ""
    if built and option.kind == "choice":
        listed = ", ".join(str(one) for one in built)
        return say(f"built for {listed}", f"対応済み: {listed}")
    if option.status != "built" and (status != "built" or not option.is_active(value)):
        return say("not built yet. ", "未対応。") + (str(told) if told else "")
    return ""


def needs_text(option: Option, facts: Facts) -> str:
    """What must be set so that the option has an effect, and for which models it is."""
    parts = []
    for one in option.only_with:
        wanted = " / ".join(form.shown(OPTIONS[one.option], value) for value in one.values)
        parts.append(f"{one.option} = {wanted}" if wanted else one.option)
    words = [say("needs ", "必要: ") + say(" or ", " または ").join(parts)] if parts else []
    if option.needs and not facts.applies(option):
        words.append(say("not for this model", "このモデルでは無効"))
    return "  ".join(words)


def source_text(facts: Facts, option: Option) -> str:
    """Where the value of now comes from."""
    source = facts.reading.sources.get(option.name, "default") if facts.reading else "default"
    words = {
        "default": say("default", "デフォルト"),
        "musubi default": say("Musubi Tuner's default", "Musubi Tuner のデフォルト"),
        "family default": say("recommended for the family", "ファミリーの推奨値"),
    }
    return words.get(source, source)


def _toml_line(draft: Draft, option: Option) -> str:
    if option.secret and draft.facts.own(option.name) is not None:
        return f"{option.name} = …"
    return form.line_in_toml(draft, option.name)


def flag(draft: Draft, option: Option) -> str:
    """The option of ``train`` that says the same."""
    if not settable(option.name):
        return say("(edited in the file: T)", "（ファイルで編集: T）")
    written = "…" if option.secret else form.typed(draft.facts, option, written_as(draft.facts, option.name))
    quoted = (
        f"'{option.name}={written}'"
        if any(c in written for c in " \"'$*?[](){}&|;<>\\")
        else f"{option.name}={written}"
    )
    return f"--set {quoted}" if written else f"--set {option.name}=none"


# Head


def head(draft: Draft, counts: Mapping[str, tuple[int, int, int]], width: int, note: str) -> list[Span]:
    """The file, what it builds on, how many options differ, what is wrong; or the note of the moment."""
    changed, errors, warnings = counts[ALL]
    parts = [say(f"{changed} changed", f"変更 {changed}")] if width >= 120 else []
    parts += [say(f"{errors} error{'s' if errors != 1 else ''}", f"エラー {errors}")] if errors else []
    parts += [say(f"{warnings} warning{'s' if warnings != 1 else ''}", f"警告 {warnings}")] if warnings else []
    right = " · ".join(parts) or say("no problems", "問題なし")
    reading = draft.facts.reading
    based = (
        say(f"  based on {reading.bases[0].stem}", f"  base: {reading.bases[0].stem}")
        if reading and reading.bases
        else ""
    )
    left = note or f"{short_path(draft.path, max(20, width - cells(right) - cells(based) - 4))}{based}"
    left = fit(left, width - cells(right) - 3)
    return [(f" {left} ", "accent" if note else "bold"), (right, "bad" if errors else "warn" if warnings else "muted")]


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


def about_row(row: GridRow | None, width: int) -> Block:
    """What a row that is no option says, whole."""
    return [[(text, "")] for text in wrap(row.name, width, 8)] if row else []
