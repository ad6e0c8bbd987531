"""An account becomes the text of a preset: our sections, each line with the key it came from, and what was lost at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.option import Option
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, SECTIONS, validate
from engine.config.toml_text import toml_value
from engine.events.redaction import REDACTED, redact
from musubi_tui.presets.importing.account import Account, Line
from musubi_tui.presets.importing.formats import TITLES, Imported

_DATA_PATHS = ("image_directory", "video_directory", "control_directory", "image_jsonl_file", "video_jsonl_file")


def settle(imported: Imported) -> None:
    """Move values that the schema refuses from the options to the lost ones, with its reason; secrets stay out of files."""
    account = imported.account
    for name in [name for name in account.options if OPTIONS[name].secret]:
        del account.options[name]
        why = say("a secret: keep it in the environment", "秘密の値です。環境変数に置いてください")
        account.lines = [replace(line, became=REDACTED, value=REDACTED, fate="no_effect", why=why) if line.option == name else line for line in account.lines]  # fmt: skip
    account.lines = [replace(line, value=REDACTED) if _is_secret(line) else line for line in account.lines]
    while True:
        wrong: list[Problem] = validate({k: v for k, v in account.options.items() if v is not None})[1]
        if not wrong:
            return
        for problem in wrong:
            value = account.options.pop(problem.key)
            at = [number for number, line in enumerate(account.lines) if line.option == problem.key]
            for number in at:
                old = account.lines[number]
                account.lines[number] = Line(old.key or problem.key, value, "lost", why=problem.message)


def _is_secret(line: Line) -> bool:
    return isinstance(line.value, str) and redact(f"{line.key}={line.value}") != f"{line.key}={line.value}"


def preset_text(imported: Imported, *, source: str, folder: Path, prompts: str = "") -> str:
    """The preset. ``source`` names the config in the heading, ``folder`` is where the preset will stand, and ``prompts`` the
    name of the prompts file that goes with it.
    """
    account = imported.account
    lines = [
        say(
            f"# Imported from {source} ({TITLES[imported.format]}).",
            f"# {source} ({TITLES[imported.format]}) からインポートしました。",
        ),
        say("# Behind each value: the key it came from.", "# 各値の後ろは元のキーです。"),
    ]
    values = dict(account.options)
    if prompts:
        values["sample_prompts"] = prompts
    comments = _comments(account)
    for section in SECTIONS:
        rows = [
            f"{name} = {toml_value(_placed(OPTIONS[name], values[name], imported.here, folder))}{comments.get(name, '')}"
            for name, option in OPTIONS.items()
            if option.section == section
            and values.get(name) is not None
            and not option.kind.endswith(("table", "tables"))
        ]
        if rows:
            lines += ["", f"[{section}]", *rows]
    lines += _dataset(account, imported.here, folder)
    if account.prompts and not prompts:
        lines += ["", say("# Prompts for previews, one per line in a file named by sample_prompts:", "# プレビューのプロンプト (sample_prompts のファイルに 1 行ずつ):")]  # fmt: skip
        lines += [f"#   {_one_line(prompt)}" for prompt in account.prompts]
    missing = [line for line in account.lines if line.fate in ("lost", "unknown")]
    if missing:
        lines += ["", say("# Not carried over:", "# 引き継がれなかったもの:")]
        lines += [f"#   {_one_line(line.key)} = {_shown(line.value)}  ({_one_line(line.why)})" for line in missing]
    return "\n".join(lines) + "\n"


def _comments(account: Account) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in account.lines:
        if line.option in account.options:
            origin = line.key if line.fate == "kept" and line.key != line.option else ""
            text = "; ".join(filter(None, (origin, line.why)))
            before = found.get(line.option, "")
            found[line.option] = (
                f"{before}, {_one_line(text)}" if before and text else f"  # {_one_line(text)}" if text else before
            )
    return found


def _dataset(account: Account, here: Path, folder: Path) -> Iterator[str]:
    if not account.datasets:
        return
    if account.general:
        yield from ("", "[general]", *(f"{name} = {toml_value(value)}" for name, value in account.general.items()))
    for table in account.datasets:
        yield from ("", "[[datasets]]")
        for name, value in table.items():
            placed = _relative(str(value), here, folder) if name in _DATA_PATHS else value
            yield f"{name} = {toml_value(placed)}"


def _placed(option: Option, value: Any, here: Path, folder: Path) -> Any:
    """Paths count from the preset here, and from the working directory there."""
    if option.kind == "path" and str(value):
        return _relative(str(value), here, folder)
    if option.kind == "list of paths":
        return [_relative(str(one), here, folder) for one in value]
    return value


def _relative(written: str, here: Path, folder: Path) -> str:
    if written.startswith(("~", "$")) or "\\" in written:
        return written
    path = Path(os.path.abspath(here / written))
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    return str(path) if Path(written).is_absolute() else Path(os.path.relpath(path, folder)).as_posix()


def _shown(value: Any) -> str:
    try:
        text = toml_value(value) if value is not None else "null"
    except (TypeError, ValueError):
        text = str(value)
    text = _one_line(text)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
