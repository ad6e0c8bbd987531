"""The library of presets: those that ship with the program, and the user's own. Nothing here imports the schema."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from engine.config.language import say
from engine.config.preset_folders import own_presets_folder, preset_files, preset_names, presets_root
from engine.config.problems import UserError

# A TOML file that has one of these is a preset; without them it is the settings of another program, or a dataset file.
PRESET_KEYS = frozenset(
    {"family", "base", "dataset_config", "network_module", "dit", "vae", "output_dir", "output_name", "network_dim"}
)
_LARGEST = 1 << 20  # bytes that a listing reads
_MOST_LOOKED_AT = 200  # files of each depth: one may stand in a folder of everything
_DEEPEST = 8  # bases that a listing follows


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
    named = preset_names()
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


def may_be_preset(path: Path) -> bool:
    """Whether a TOML file sets an option that only presets have; one that cannot be read may be a preset that is damaged."""
    try:
        if path.stat().st_size > _LARGEST:
            return True
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError:
        return False
    except (ValueError, RecursionError):
        return True
    return holds_preset(data)


def presets_near(folder: Path) -> list[Path]:
    """Presets in a folder, one below it and in the versions of those: ``p.toml``, ``my-lora/p.toml``, ``my-lora/v1/p.toml``."""
    found: list[Path] = []
    for pattern in ("*.toml", "*/*.toml", "*/v*/*.toml"):
        looked = islice((path for path in folder.glob(pattern) if not path.relative_to(folder).parts[0].startswith(".")), _MOST_LOOKED_AT)  # fmt: skip
        found += [path for path in sorted(looked) if may_be_preset(path)]
    return found


def holds_preset(data: Mapping[str, Any]) -> bool:
    """Whether these tables set an option that only presets have."""
    names = set(data)
    for name, table in data.items():
        if name not in ("general", "datasets") and isinstance(table, Mapping):
            names |= set(table)
    return bool(names & PRESET_KEYS)


def _presets_in(folder: Path, origin: Literal["shipped", "own"]) -> Iterator[PresetInfo]:
    for path in preset_files(folder):
        yield _describe(path, origin)


def _describe(path: Path, origin: Literal["shipped", "own"]) -> PresetInfo:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError):  # listed all the same: `presets check` says what is wrong with it
        title = say("(cannot be read)", "(読み込めません)")
        return PresetInfo(path.stem, path, origin, title, readable=False)
    words = {key: _word(data, key) for key in ("family", "task")}
    for below in _bases(path, data):
        words = {key: word or _word(below, key) for key, word in words.items()}
    return PresetInfo(path.stem, path, origin, _title(text), words["family"], words["task"])


def _bases(path: Path, data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values of the presets that one builds on, as far as they can be read (a check says why they cannot)."""
    for _ in range(_DEEPEST):
        written = _word(data, "base")
        if not written:
            return
        path = preset_names().get(written) or path.parent / written
        try:
            data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            return
        yield data


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
