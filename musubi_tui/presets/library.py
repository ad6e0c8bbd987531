"""The library of presets: those that ship with the program, and the user's own. Nothing here imports the schema."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import UserError


@dataclass(frozen=True)
class PresetInfo:
    """One preset of the library, as far as its first lines tell."""

    name: str  # file name without .toml: what commands take
    path: Path
    origin: Literal["shipped", "own"]
    title: str  # the first comment line
    family: str = ""  # empty for Musubi Tuner's files, which do not name it
    task: str = ""
    readable: bool = True


def presets_root() -> Path:
    """The folder of shipped presets: package data in an installed program, else the repository's ``presets/``."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_presets"
    return installed if installed.is_dir() else package.parent / "presets"


def own_presets_folder() -> Path:
    """The folder of the user's own presets, under the XDG configuration home. It need not exist."""
    home = os.environ.get("XDG_CONFIG_HOME")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return base / "musubi-tui" / "presets"


def list_presets() -> list[PresetInfo]:
    """All presets, the user's own first, each group by name. An own preset hides a shipped one of the same name."""
    own = list(_presets_in(own_presets_folder(), "own"))
    hidden = {preset.name for preset in own}
    return [*own, *(preset for preset in _presets_in(presets_root(), "shipped") if preset.name not in hidden)]


def find_preset(text: str) -> Path:
    """The file meant by a path or by a name of the library. Raises ``UserError`` with the nearest name."""
    path = Path(text)
    if path.exists() or (path.suffix == ".toml" and path.parent != Path()):
        return path
    named = {preset.name: preset.path for preset in list_presets()}
    name = text.removesuffix(".toml")
    if name in named:
        return named[name]
    close = get_close_matches(name, named, n=1, cutoff=0.5)
    fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else ""
    seen = say("See: musubi-tui presets list", "一覧: musubi-tui presets list")
    raise UserError.of(
        "missing_file",
        say(f"there is no file and no preset called {text}.", f"{text} というファイルもプリセットもありません。"),
        f"{fix} {seen}".strip(),
    )


def _presets_in(folder: Path, origin: Literal["shipped", "own"]) -> Iterator[PresetInfo]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file())
    except OSError:  # no such folder yet
        return
    for path in files:
        yield _describe(path, origin)


def _describe(path: Path, origin: Literal["shipped", "own"]) -> PresetInfo:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError):  # listed all the same: `presets check` says what is wrong with it
        title = say("(cannot be read)", "(読み込めません)")
        return PresetInfo(path.stem, path, origin, title, readable=False)
    return PresetInfo(path.stem, path, origin, _title(text), _word(data, "family"), _word(data, "task"))


def _title(text: str) -> str:
    for line in text.splitlines():
        if not line.startswith("#"):
            return ""
        title = line.lstrip("#").strip()
        if title and not line.startswith("#:"):
            return title
    return ""


def _word(data: dict[str, Any], key: str) -> str:
    for table in (data, *(value for value in data.values() if isinstance(value, dict))):
        if isinstance(table.get(key), str):
            return str(table[key])
    return ""
