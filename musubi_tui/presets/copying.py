"""Copy a preset to where its owner may edit it."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from pathlib import Path

from engine.config.bases import base_written, is_file_name
from engine.config.language import say
from engine.config.preset_folders import own_presets_folder
from engine.config.problems import ConfigError
from engine.config.toml_source import parse_toml, read_text
from engine.events.atomic import write_bytes_atomically

_SCHEMA_LINE = b"#:schema ./schema.json"


def copy_preset(source: Path, to: Path | None, *, force: bool = False) -> Path:
    """Copy byte for byte to a file, into a folder, or (None) into the user's library. Returns the file written.

    A ``base`` and a ``#:schema`` that are relative paths become absolute, so that the copy still finds them. Raises
    ``ConfigError`` when the source is no text, the file exists and ``force`` is not given, or cannot be written.
    """
    text = read_text(source)  # raises for what is no text, and so no preset
    target = own_presets_folder() / source.name if to is None else to
    if target.is_dir():
        target = target / source.name
    if target.suffix != ".toml":
        target = target.with_name(f"{target.name}.toml")
    if target.exists() and not force:
        message = say("the file exists already; nothing was written.", "ファイルが既にあります。書き込みませんでした。")
        fix = say("Choose another name, or add --force.", "別の名前にするか、--force を付けてください。")
        raise ConfigError.of("file_exists", message, fix, file=target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(target, _with_schema(source, _with_absolute_base(source, text)), 0o644)
    except OSError as error:
        message = say(f"cannot be written: {error.strerror}.", f"書き込めません: {error.strerror}")
        raise ConfigError.of("unwritable_file", message, file=target) from None
    return target


def _with_schema(source: Path, raw: bytes) -> bytes:
    """The line that tells editors where the schema is, with its whole path."""
    schema = source.absolute().parent / "schema.json"
    return raw.replace(_SCHEMA_LINE, b"#:schema " + os.fsencode(schema), 1) if schema.is_file() else raw


def _with_absolute_base(source: Path, text: str) -> bytes:
    """The bytes of the copy."""
    raw = source.read_bytes()
    try:
        written = base_written(parse_toml(text, source))
    except ConfigError:  # a broken file is copied as it is: its owner wants to mend it
        return raw
    if written is None or not is_file_name(written) or Path(written).expanduser().is_absolute():
        return raw
    from musubi_tui.presets.editing import edit_text

    base = source.absolute().parent / written
    edited, _ = edit_text(text, {"base": str(base)}, source)
    return (BOM_UTF8 if raw.startswith(BOM_UTF8) else b"") + edited.encode()
