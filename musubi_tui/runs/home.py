"""The home of runs and states: a folder that should outlive the machine's current disk.

``MUSUBI_TUI_HOME``, else ``home`` of the config file, else beside ``output_dir`` when the usual place lies on a container's own
disk (overlay, tmpfs) and ``output_dir`` does not, else ``$XDG_STATE_HOME/musubi-tui``. Homes that were used are noted in the
usual place, so that runs are found again without their preset.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.events.atomic import write_text_atomically

_PASSING = frozenset({"overlay", "tmpfs", "aufs", "ramfs", "fuse-overlayfs"})  # gone with the container or the power


@dataclass(frozen=True)
class Home:
    """Where runs live, why there, and whether that survives a stopped pod."""

    path: Path
    reason: str
    survives: bool


def find_home(output_dir: Path | None = None) -> Home:
    """The home for new runs that write to ``output_dir``. Makes nothing. Raises ``ConfigError`` for a damaged config file."""
    from_environment = os.environ.get("MUSUBI_TUI_HOME")
    if from_environment:
        return _home(Path(from_environment).expanduser(), "MUSUBI_TUI_HOME")
    configured = _configured_home()
    if configured is not None:
        return _home(configured, str(config_file()))
    usual = usual_home()
    if output_dir is not None and not survives(usual) and survives(output_dir):
        reason = say(
            f"beside output_dir: {usual} is on the container's own disk",
            f"output_dir の隣（{usual} はコンテナのディスク上）",
        )
        return _home(output_dir.absolute().parent / "musubi-tui", reason)
    return _home(usual, say("the usual place", "標準の場所"))


def known_homes() -> list[Path]:
    """Every home in which runs may be found: the current one first, then the ones that were used before."""
    homes = [find_home().path]
    try:
        noted = _notes().read_text("utf-8").splitlines()
    except OSError:
        noted = []
    for line in noted:
        path = Path(line)
        if line and path not in homes:
            homes.append(path)
    return homes


def remember(home: Home) -> None:
    """Note a home that is not the usual one. A place that cannot be noted is still used."""
    if home.path == usual_home() or home.path in known_homes():
        return
    with contextlib.suppress(OSError):
        _notes().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = _notes().read_text("utf-8").splitlines() if _notes().exists() else []
        write_text_atomically(_notes(), "\n".join([*lines, str(home.path)]) + "\n")


def usual_home() -> Path:
    """``$XDG_STATE_HOME/musubi-tui``, by default ``~/.local/state/musubi-tui``."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "musubi-tui"


def config_file() -> Path:
    """The user's own settings: ``$XDG_CONFIG_HOME/musubi-tui/config.toml``."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "musubi-tui" / "config.toml"


def read_config() -> dict[str, Any]:
    """The values of the config file; none without one. Raises ``ConfigError`` for what is not TOML."""
    path = config_file()
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    import tomllib  # most people have no such file, and their first screen need not wait for it

    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        message = say(f"The config file is not TOML: {error}.", f"設定ファイルが TOML ではありません: {error}。")
        fix = say("Repair or remove it.", "修正するか削除してください。")
        raise ConfigError.of("toml_syntax", message, fix, file=path) from error


def config_line(*address: str) -> int:
    """The line of the config file in which a key stands, from 1; 0 where it is not there."""
    from engine.data.positions import key_positions  # only complaints ask

    try:
        text = config_file().read_text("utf-8", "replace")
    except OSError:
        return 0
    return key_positions(text).get(address, (0, 0))[0]


def survives(path: Path) -> bool:
    """Whether the file system of ``path`` (or of its nearest existing parent) outlives the container."""
    return file_system(path) not in _PASSING


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path`` ("ext4", "overlay" …); empty where the system does not say."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    target = os.fspath(existing.resolve())
    best, kind = -1, ""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount on the same point covers the earlier one
            best, kind = len(point), right.split(" ")[0]
    return kind


def _configured_home() -> Path | None:
    path, home = config_file(), read_config().get("home")
    if home is None:
        return None
    if not isinstance(home, str) or not home:
        raise ConfigError.of(
            "wrong_type",
            say("`home` must be the path of a folder.", "`home` にはフォルダーのパスを書いてください。"),
            file=path,
            key="home",
        )
    return Path(home).expanduser()


def _home(path: Path, reason: str) -> Home:
    path = path.absolute()
    return Home(path, reason, survives(path))


def _notes() -> Path:
    return usual_home() / "homes"


def _xdg(variable: str, default: str) -> Path:
    value = os.environ.get(variable)
    return Path(value) if value and Path(value).is_absolute() else Path.home() / default
