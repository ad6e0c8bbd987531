"""What a version changed since its parent: options as a run would use them, the dataset file key by key, the prompts."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.presets.versions import Version, version_of

# Every version has its own; that they differ says nothing.
_OF_EVERY_VERSION = frozenset({"dataset_config", "sample_prompts", "output_name", "output_dir", "logging_dir", "datasets", "general"})  # fmt: skip


@dataclass(frozen=True)
class Changed:
    """One thing that differs from the parent, as texts; None where there was or is nothing."""

    key: str
    before: str | None
    after: str | None

    def text(self) -> str:
        """``learning_rate 1e-4 -> 5e-5``."""
        return (
            f"{self.key} {'-' if self.before is None else self.before} -> {'-' if self.after is None else self.after}"
        )


def changes_since_parent(version: Version | Path) -> list[Changed] | None:
    """What differs; None where there is no parent any more. Raises ``ConfigError`` when one of the two presets has errors."""
    version = version_of(version) if isinstance(version, Path) else version
    if version.parent is None or not version.parent.is_file():
        return None
    return changes_between(version.parent, version.preset)


def changes_between(before: Path, after: Path) -> list[Changed]:
    """What the second preset, its dataset file and its prompts change. Raises ``ConfigError``."""
    from engine.config import load_config
    from musubi_tui.presets.comparing import differences

    found = [
        Changed(entry.key, _text(entry.left), _text(entry.right))
        for entry in differences(before, after)
        if entry.key not in _OF_EVERY_VERSION
    ]
    old, new = load_config(before), load_config(after)
    left, right = (_dataset(loaded) for loaded in (old, new))
    keys = [*left, *(key for key in right if key not in left)]
    found += [Changed(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]
    prompts = [_prompts(loaded.config.get("sample_prompts")) for loaded in (old, new)]
    if prompts[0] != prompts[1]:
        found.append(Changed("sample_prompts", *(_count(lines) for lines in prompts)))
    return found


def short(changes: list[Changed], most: int = 4) -> str:
    """The first few, in one line."""
    rest = len(changes) - most
    text = ", ".join(change.text() for change in changes[:most])
    return text + (say(f", {rest} more", f"、他 {rest} 件") if rest > 0 else "")


def _dataset(loaded: Any) -> dict[str, str]:
    """The dataset flat: ``datasets[0].num_repeats`` -> its value as text; paths absolute, so that a moved file is no change."""
    file = loaded.config.get("dataset_config")
    if file is None:
        tables: Any = {"general": loaded.config.get("general"), "datasets": loaded.config.get("datasets")}
        base = loaded.dataset_base
    else:
        try:
            tables = tomllib.loads(Path(file).read_text("utf-8-sig"))
        except (OSError, ValueError):
            return {}
        base = Path(file).parent if loaded.dialect == "musubi-tui" else Path.cwd()
    return dict(_flat("", tables, base))


def _flat(name: str, value: Any, base: Path) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            pair for key, item in value.items() for pair in _flat(f"{name}.{key}" if name else str(key), item, base)
        ]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [pair for place, item in enumerate(value) for pair in _flat(f"{name}[{place}]", item, base)]
    if isinstance(value, str) and name.endswith(("_directory", "_jsonl_file")):
        return [(name, os.path.abspath(base / Path(value).expanduser()))]
    return [] if value is None else [(name, _text(value) or "")]


def _prompts(value: Any) -> list[str]:
    """Lines of the prompts file, or the prompts themselves."""
    if isinstance(value, (str, Path)):
        try:
            return Path(value).read_text("utf-8-sig").splitlines()
        except (OSError, ValueError):
            return [str(value)]
    return [str(item) for item in value or []]


def _count(lines: list[str]) -> str:
    kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return say(f"{len(kept)} prompts", f"プロンプト {len(kept)} 件") if kept else "-"


def _text(value: Any) -> str | None:
    from engine.config.toml_text import toml_value

    if value is None:
        return None
    return str(value) if isinstance(value, Path) else toml_value(value)


def describe(version: Version) -> str:
    """What changed since the parent in one line; empty for the first version or when one of the two has errors."""
    try:
        changes = changes_since_parent(version)
    except UserError:
        return ""
    if changes is None:
        return ""
    return short(changes) or say("nothing yet", "まだ変更なし")
