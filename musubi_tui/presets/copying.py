"""Copy a preset to where its owner may edit it."""

from __future__ import annotations

from pathlib import Path

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.toml_source import read_text
from engine.events.atomic import write_bytes_atomically
from musubi_tui.presets.library import own_presets_folder


def copy_preset(source: Path, to: Path | None, *, force: bool = False) -> Path:
    """Copy byte for byte to a file, into a folder, or (None) into the user's library. Returns the file written.

    Raises ``ConfigError`` when the source is no text, the file exists and ``force`` is not given, or cannot be written.
    """
    read_text(source)  # raises for what is no text, and so no preset
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
        write_bytes_atomically(target, source.read_bytes(), 0o644)
    except OSError as error:
        message = say(f"cannot be written: {error.strerror}.", f"書き込めません: {error.strerror}")
        raise ConfigError.of("unwritable_file", message, file=target) from None
    return target
