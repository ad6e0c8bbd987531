"""The help dock: what the option under the cursor is and does, what values beside it would change, its line and its flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.config.language import say
from engine.config.option import Option
from engine.config.reference import consequence
from engine.config.schema import OPTIONS
from engine.events.redaction import redact
from musubi_tui.presets import form
from musubi_tui.presets.dataset_cells import DatasetCell
from musubi_tui.presets.draft import Draft, settable, written_as
from musubi_tui.presets.effects import Effect
from musubi_tui.presets.facts import Facts
from musubi_tui.presets.form import SECTION_TITLES
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.preset.figures import dock_line, dock_lines
from musubi_tui.tui.screens.preset.panels import Block, marks
from musubi_tui.tui.widgets.grid import GridRow, wrap
from musubi_tui.tui.widgets.lines import Line


def dock_title(option: Option) -> str:
    """The name, and its section."""
    return f"{option.name}  {SECTION_TITLES[option.section]}"


def dock(draft: Draft, option: Option, found: Sequence[Effect], width: int, height: int, glyphs: Glyphs) -> Block:
    """What the option is, lower and higher, what the values beside would change, what it needs, how far it is built, its line
    and its flag; the last are always shown. ``found``: the effects of the values beside."""
    roomy = height > 10
    body = [*_about(draft, option, found, width, glyphs, roomy=roomy)]
    last = _last_lines(draft, option, width, together=not roomy and len(body) > height - 2)
    body = body[: height - len(last)]
    return [*body, *([[]] if roomy and len(body) < height - len(last) else []), *last]


def _last_lines(draft: Draft, option: Option, width: int, *, together: bool) -> Block:
    """The line of the file and the flag; ``together`` on one line, if they are short enough."""
    toml, shell = _toml_line(draft, option), flag(draft, option)
    if together and cells(toml) + cells(shell) + len("toml  " + "   cli  ") <= width:
        return [[("toml  ", "muted"), (toml, ""), ("   cli  ", "muted"), (shell, "")]]
    return [[("toml  ", "muted"), (toml, "")], [("cli   ", "muted"), (shell, "")]]


def _about(
    draft: Draft, option: Option, found: Sequence[Effect], width: int, glyphs: Glyphs, *, roomy: bool
) -> Iterator[Line]:
    facts = draft.facts
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
    if found and not roomy:
        yield dock_line(found, width)
    yield from _lower_higher(option, width, marks(glyphs), roomy=roomy)
    if found and roomy:
        yield [(say("estimate, against now", "見積もり（現在との差）"), "muted")]
        yield from dock_lines(found, width)
    needs = needs_text(option, facts)
    if needs:
        yield from ([(text, "muted")] for text in wrap(needs, width, 3 if roomy else 1))
    if roomy:
        yield [(fit(say("from  ", "由来  ") + source_text(facts, option), width), "muted")]


def _lower_higher(option: Option, width: int, signs: Mapping[str, str], *, roomy: bool) -> Iterator[Line]:
    effects = [(signs["lower"], option.lower), (signs["higher"], option.higher)]
    told = [f"{sign} {text}" for sign, text in effects if text]
    if told and not roomy:
        yield [(fit("  ".join(told), width), "mark")]
    elif told:
        yield from ([(text, "mark")] for one in told for text in wrap(one, width, 2))


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
    if built:
        return values_built(option, value, works=status == "built")
    if option.status != "built" and (status != "built" or not option.is_active(value)):
        return say("not built yet. ", "未対応。") + (str(told) if told else "")
    return ""


def values_built(option: Option, value: object, *, works: bool) -> str:
    """Which values work beside the one of now, and which do not."""
    built = [str(one) for one in option.built_values()]
    others = ", ".join(one for one in built if one != str(value))
    lacking = ", ".join(one for one in option.suggestions if one not in built)
    if not works:
        return say(f"{value} is not built yet. Built: {others}", f"{value} は未対応です。対応済み: {others}")
    if not others and not lacking:
        return ""
    also = say(f"also built: {others}", f"他に対応済み: {others}")
    return f"{also} / " + say(f"not built: {lacking}", f"未対応: {lacking}") if lacking else also


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
    return redact(form.line_in_toml(draft, option.name))


def flag(draft: Draft, option: Option) -> str:
    """The option of ``train`` that says the same."""
    if not settable(option.name):
        return say("(edited in the file: T)", "（ファイルで編集: T）")
    typed = form.typed(draft.facts, option, written_as(draft.facts, option.name))
    written = "…" if option.secret else redact(typed)
    quoted = (
        f"'{option.name}={written}'"
        if any(c in written for c in " \"'$*?[](){}&|;<>\\")
        else f"{option.name}={written}"
    )
    return f"--set {quoted}" if written else f"--set {option.name}=none"


def cell_dock(cell: DatasetCell, found: Sequence[Effect], width: int) -> Block:
    """What a key of a dataset table does, what values beside would change, and its line."""
    lines: Block = [[(text, "")] for text in wrap(cell.help, width, 3 if not found else 2)]
    default = form.shown_plainly(cell.default)
    lines.append([(say(f"default {default}", f"デフォルト {default}"), "muted")])
    if found:
        lines.append(dock_line(found, width))
    lines.append(
        [("toml  ", "muted"), (redact(f"{cell.name} = {cell.written}") if cell.written else f"# {cell.name}", "")]
    )
    return lines


def about_row(row: GridRow | None, width: int) -> Block:
    """What a row that is no option says, whole."""
    return [[(text, "")] for text in wrap(row.name, width, 8)] if row else []
