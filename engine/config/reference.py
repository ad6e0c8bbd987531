"""Every option explained, from the schema alone: docs/options.md, ``presets options``, help beside a form.

python -m engine.config.reference > docs/options.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from engine.config.language import say
from engine.config.option import Option, Text
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS, SECTIONS
from engine.config.toml_text import toml_value
from engine.families import family_names, get_family

_STATUS = {
    "built": Text("built", "対応済み"),
    "deferred-cost": Text("not built yet; the run goes on with a warning", "未対応 (警告を出して続行)"),
    "deferred-result": Text("not built yet; an error when set", "未対応 (指定するとエラー)"),
}
_UNKNOWN_SIZES = {"model": "the size of its file", "half_model": "half of its file's size"}
_UNKNOWN_SIZES_JA = {"model": "ファイルと同じ大きさ", "half_model": "ファイルの半分ほど"}


def choose(*, word: str = "", family: str | None = None) -> list[Option]:
    """Options whose name contains ``word`` (or whose section is it) and that apply to the family.

    Raises ``ConfigError`` for an unknown family.
    """
    if family is not None and family not in family_names():
        close = get_close_matches(family, family_names(), n=1)
        raise ConfigError.of(
            "unknown_family",
            say(
                f"there is no family {family!r}; there are {', '.join(family_names())}.",
                f"ファミリー {family!r} はありません。候補: {', '.join(family_names())}",
            ),
            say(f"Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else "",
            key="family",
        )
    spec = get_family(family) if family else None
    exact = [option for option in OPTIONS.values() if word in (option.name, option.section)]
    found = exact if word and exact else [option for option in OPTIONS.values() if word.lower() in option.name]
    return [option for option in found if spec is None or option.applies_to(spec)]


def as_json(option: Option) -> dict[str, Any]:
    """The whole record, both languages, for programs."""
    return {
        "name": option.name,
        "section": option.section,
        "type": option.type,
        "optional": option.optional,
        "default": _plain(option.default),
        "musubi": option.musubi,
        "musubi_default": option.musubi_default,
        "family_defaults": {
            name: get_family(name).defaults[option.name]
            for name in family_names()
            if option.name in get_family(name).defaults
        },
        "unit": option.unit,
        "choices": list(option.choices),
        "minimum": option.minimum,
        "maximum": option.maximum,
        "help": _both(option.help),
        "lower": _both(option.lower),
        "higher": _both(option.higher),
        "needs": sorted(option.needs),
        "level": option.level,
        "status": option.status,
        "built_values": list(option.built_values()),
        "consequence": _both(consequence(option)),
        "only_with": [{"option": one.option, "values": list(one.values)} for one in option.only_with],
        "secret": option.secret,
    }


def consequence(option: Option) -> Text | None:
    """What happens while the option is not built, without the sizes of a certain model."""
    if option.consequence is None:
        return None
    return Text(option.consequence.en.format(**_UNKNOWN_SIZES), option.consequence.ja.format(**_UNKNOWN_SIZES_JA))


def describe(option: Option) -> str:
    """A few lines about one option, in the user's language."""
    lines = [f"{option.name}  [{option.section}]", f"  {option.help}"]
    lines.append(f"  {say('value', '値')}: {option.expectation()}{_in_unit(option)}")
    lines.append(f"  {say('default', 'デフォルト')}: {_default_words(option)}")
    if option.lower:
        lines.append(f"  {say('lower', '小さくすると')}: {option.lower}")
    if option.higher:
        lines.append(f"  {say('higher', '大きくすると')}: {option.higher}")
    for one in option.only_with:
        wanted = " / ".join(str(value) for value in one.values) or say("set", "指定あり")
        lines.append(f"  {say('only with', '有効になる条件')}: {one.option} = {wanted}")
    lines.append(f"  {say('state', '状態')}: {_status_words(option)}")
    return "\n".join(lines)


def _in_unit(option: Option) -> str:
    return f" ({option.unit})" if option.unit else ""


def _default_words(option: Option) -> str:
    words = [_value(option.default)]
    words += [
        f"{name}: {_value(get_family(name).defaults[option.name])}"
        for name in family_names()
        if option.name in get_family(name).defaults and get_family(name).defaults[option.name] != option.default
    ]
    if option.musubi and option.musubi_default != option.default:
        words.append(f"Musubi Tuner: {_value(option.musubi_default)}")
    return "; ".join(words)


def _status_words(option: Option) -> str:
    built = option.built_values()
    if built:
        listed = ", ".join(str(value) for value in built)
        return say(f"built for {listed}; others are an error", f"{listed} に対応済み (他はエラー)")
    told = consequence(option)
    return f"{_STATUS[option.status]}. {told}" if option.status != "built" and told else str(_STATUS[option.status])


def _value(value: Any) -> str:
    return say("unset", "未指定") if value is None else toml_value(value)


def _both(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"en": text.en, "ja": text.ja}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | list | dict | None) else str(value)


def markdown() -> str:
    """docs/options.md. The same text on every machine, whatever its language."""
    return "\n".join(_markdown_lines()) + "\n"


def _markdown_lines() -> Iterator[str]:
    built = sum(option.status == "built" or bool(option.built_values()) for option in OPTIONS.values())
    yield "# Options"
    yield ""
    yield "Generated from the schema by `python -m engine.config.reference > docs/options.md`; a test keeps it current."
    yield "`musubi-tui presets options WORD` prints the same, in your language."
    yield ""
    yield f"{len(OPTIONS)} options, {built} of them built. A preset may group them under any section names or none; the"
    yield "sections below are for reading. **State**: *built*; *warning* = changes only memory, speed or side products and is"
    yield "not built yet: the run goes on and says what happens instead; *error* = would change what is learned and is not"
    yield "built yet. An option at its default never complains. **Default** is for presets that name their `family`; where a"
    yield "family recommends another value, that is in the second line; *musubi* is the value for Musubi Tuner's own files."
    for section, model in SECTIONS.items():
        mine = [option for option in OPTIONS.values() if option.section == section]
        yield ""
        yield f"## {section}"
        yield ""
        yield (model.__doc__ or "").strip()
        yield ""
        yield "| option | value | default | what it does | 説明 | state |"
        yield "|---|---|---|---|---|---|"
        yield from (_row(option) for option in mine)


def _row(option: Option) -> str:
    cells = (
        f"`{option.name}`",
        _markdown_kind(option),
        _markdown_default(option),
        _sentences(option, japanese=False),
        _sentences(option, japanese=True),
        _markdown_state(option),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _markdown_kind(option: Option) -> str:
    if option.choices:
        text = ", ".join(f"`{choice}`" for choice in option.choices)
        return f"list of {text}" if option.kind == "list of choices" else text
    limits = [f"≥ {option.minimum:.15g}"] if option.minimum is not None else []
    limits += [f"≤ {option.maximum:.15g}"] if option.maximum is not None else []
    return ", ".join([f"{option.kind} ({option.unit})" if option.unit else option.kind, *limits])


def _markdown_default(option: Option) -> str:
    def code(value: Any) -> str:
        return "unset" if value is None else f"`{toml_value(value)}`"

    words = [code(option.default)]
    for name in family_names():
        recommended = get_family(name).defaults.get(option.name, option.default)
        if recommended != option.default:
            words.append(f"{name}: {code(recommended)}")
    if option.musubi and option.musubi_default != option.default:
        words.append(f"musubi: {code(option.musubi_default)}")
    return "<br>".join(words)


def _sentences(option: Option, *, japanese: bool) -> str:
    parts = [option.help]
    parts += [Text(f"Lower: {option.lower.en}.", f"小さくすると: {option.lower.ja}。")] if option.lower else []
    parts += [Text(f"Higher: {option.higher.en}.", f"大きくすると: {option.higher.ja}。")] if option.higher else []
    if option.only_with:
        wanted = " / ".join(
            f"`{one.option}`" + (f" = {', '.join(str(value) for value in one.values)}" if one.values else "")
            for one in option.only_with
        )
        parts.append(Text(f"Only with {wanted}.", f"{wanted} のときのみ有効。"))
    return (" " if not japanese else "").join(part.ja if japanese else part.en for part in parts)


def _markdown_state(option: Option) -> str:
    built = option.built_values()
    if built:
        return f"built: {', '.join(str(value) for value in built)}"
    told = consequence(option)
    word = {"built": "built", "deferred-cost": "warning", "deferred-result": "error"}[option.status]
    return f"{word}: {told.en}" if told and option.status != "built" else word


if __name__ == "__main__":
    sys.stdout.write(markdown())
