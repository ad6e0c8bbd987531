"""run.toml: the resolved configuration of one run. Absolute paths, every value written out, no secrets.

TOML has no "unset", so options without a value are left out; those whose default is not "unset" are listed in ``unset``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS, SECTIONS, Config
from engine.config.secrets import SECRET_OPTIONS
from engine.config.toml_source import read_toml
from engine.config.toml_text import toml_key, toml_value
from engine.events.atomic import write_text_atomically
from engine.events.redaction import REDACTED, redact, redacted_words

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RunToml:
    """What run.toml says: the configuration, the kind of job and its stages in order."""

    config: Config
    kind: str
    stages: tuple[str, ...]
    schema_version: int


def write_run_toml(
    config: Config, path: Path, *, kind: str, stages: Sequence[str], sources: Mapping[str, str] | None = None
) -> None:
    """Write run.toml atomically, readable by its owner only. ``sources`` stand behind the values as comments."""
    write_text_atomically(Path(path), run_toml_text(config, kind=kind, stages=stages, sources=sources))


def run_toml_text(config: Config, *, kind: str, stages: Sequence[str], sources: Mapping[str, str] | None = None) -> str:
    """The text of run.toml."""
    values = config.values()
    lines = [
        f"schema_version = {SCHEMA_VERSION}",
        f"kind = {toml_value(kind)}",
        f"stages = {toml_value(list(stages))}",
        f"unset = {toml_value([n for n, v in values.items() if v is None and OPTIONS[n].default is not None])}",
    ]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        for name in (option.name for option in OPTIONS.values() if option.section == section):
            if values[name] is not None and OPTIONS[name].kind not in ("table", "list of tables"):
                value = _shown(name, values[name])
                comment = f"  # {_one_line(sources[name])}" if sources and name in sources else ""
                lines.append(f"{name} = {toml_value(value)}{comment}")
    lines += list(_dataset_tables(values))
    return "\n".join(lines) + "\n"


def _shown(name: str, value: Any) -> Any:
    """The value as it may be kept. Paths stay as they are: they must be found again."""
    if name in SECRET_OPTIONS:
        return REDACTED
    if OPTIONS[name].kind in ("text", "list of texts"):
        return redact(value) if isinstance(value, str) else redacted_words(value)
    return value


def _dataset_tables(values: Mapping[str, Any]) -> Iterator[str]:
    if values["general"]:
        yield from ("", "[general]", *_pairs(values["general"]))
    for table in values["datasets"]:
        yield from ("", "[[datasets]]", *_pairs(table))


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{toml_key(str(key))} = {toml_value(value)}" for key, value in table.items() if value is not None)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def read_run_toml(path: Path) -> RunToml:
    """Read run.toml. Secrets come from the environment, not from here. Raises ``ConfigError``."""
    path = Path(path)
    data = dict(read_toml(path).data)
    version = data.pop("schema_version", None)
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise ConfigError.of(
            "schema_version",
            say(
                f"run.toml has schema version {version!r}; this program reads up to {SCHEMA_VERSION}.",
                f"run.toml のスキーマバージョンは {version!r} ですが、読み込めるのは {SCHEMA_VERSION} までです。",
            ),
            say(
                "Use the version of musubi-tui that made the run.",
                "実行を作成したバージョンの musubi-tui を使ってください。",
            ),
            file=path,
        )
    kind, stages, unset = data.pop("kind", ""), data.pop("stages", []), data.pop("unset", [])
    values: dict[str, Any] = {name: data.pop(name) for name in ("general", "datasets") if name in data}
    for table in data.values():
        values.update(table if isinstance(table, Mapping) else {})
    values = {name: value for name, value in values.items() if name not in SECRET_OPTIONS or value != REDACTED}
    try:
        config = Config.of({**values, **dict.fromkeys(unset)})
    except ConfigError as error:
        raise ConfigError.of("damaged_run", str(error), file=path) from None
    return RunToml(config, str(kind), tuple(stages), version)
