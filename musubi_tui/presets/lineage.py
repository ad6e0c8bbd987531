"""What a version changed since its parent: options as a run would use them, the dataset key by key, the prompts; and what came
of all versions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.config.problems import UserError
from engine.events.rundir import RunDirectory
from musubi_tui.presets.stepping import spelled
from musubi_tui.presets.versions import Version, version_of

# Every version has its own; that they differ says nothing.
_OF_EVERY_VERSION = frozenset({"dataset_config", "sample_prompts", "output_name", "output_dir", "logging_dir"})  # fmt: skip
_MOST_TOLD = 30  # changes of one version in its history


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
    prompts = [_prompts(loaded.config.get("sample_prompts")) for loaded in (old, new)]
    if prompts[0] != prompts[1]:
        found.append(Changed("sample_prompts", *(_count(lines) for lines in prompts)))
    return found


def short(changes: list[Changed], most: int = 4) -> str:
    """The first few, in one line."""
    rest = len(changes) - most
    text = ", ".join(change.text() for change in changes[:most])
    return text + (say(f", {rest} more", f"、他 {rest} 件") if rest > 0 else "")


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
    return say(counted(len(kept), "prompt"), f"プロンプト {len(kept)} 件") if kept else "-"


def _text(value: Any) -> str | None:
    from engine.config.toml_text import toml_value

    if value is None:
        return None
    if isinstance(value, float):
        return spelled(value)
    return str(value) if isinstance(value, Path) else toml_value(value)


def describe(version: Version, most: int = 4) -> str:
    """What changed since the parent in one line, the first ``most`` of it; empty for the first version or when one of the two has errors."""
    try:
        changes = changes_since_parent(version)
    except UserError:
        return ""
    if changes is None:
        return ""
    return short(changes, most) or say("nothing yet", "まだ変更なし")


def story_of(preset: Path) -> str:
    """``v2: learning_rate 1e-4 -> 5e-5`` of a version that has a parent, else empty."""
    version = version_of(preset)
    told = describe(version) if version.parent is not None else ""
    return f"{version.label}: {told}" if told else ""


@dataclass(frozen=True)
class Chapter:
    """One version, what it changed since its parent ("" for the first, or where that cannot be told), and its runs, newest first."""

    version: Version
    changes: str
    runs: tuple[RunDirectory, ...]


def history_of(preset: Path) -> list[Chapter]:
    """All versions of a preset, newest first."""
    from musubi_tui.presets.versions import versions_of
    from musubi_tui.runs.origin import runs_by_preset

    runs = runs_by_preset()
    return [
        Chapter(version, describe(version, _MOST_TOLD), tuple(runs.get(version.preset, ())))
        for version in reversed(versions_of(preset))
    ]
