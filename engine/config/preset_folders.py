"""Where presets live: the shipped ones and the user's own. A preset's ``base`` is looked up here by name. No schema here."""

from __future__ import annotations

import os
from pathlib import Path


def presets_root() -> Path:
    """The folder of shipped presets: package data in an installed program, else the repository's ``presets/``."""
    site = Path(__file__).resolve().parents[2]
    installed = site / "musubi_tui" / "_presets"
    return installed if installed.is_dir() else site / "presets"


def own_presets_folder() -> Path:
    """The folder of the user's own presets, under the XDG configuration home. It need not exist."""
    home = os.environ.get("XDG_CONFIG_HOME")
    base = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return base / "musubi-tui" / "presets"


def preset_names() -> dict[str, Path]:
    """Every preset by name (file name without ``.toml``); an own one hides a shipped one."""
    found: dict[str, Path] = {}
    for folder in (presets_root(), own_presets_folder()):
        found.update({path.stem: path for path in preset_files(folder)})
    return found


def preset_files(folder: Path) -> list[Path]:
    """The preset files of a folder by name; none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file())
    except OSError:
        return []
