"""The configuration: every option once, presets read and checked, run.toml written. No torch in this room.

Start at ``load_config``. Names are imported when first used, so that ``engine.config.problems`` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.load import LoadedConfig as LoadedConfig
    from engine.config.load import check_config as check_config
    from engine.config.load import load_config as load_config
    from engine.config.option import Option as Option
    from engine.config.run_file import RunToml as RunToml
    from engine.config.run_file import read_run_toml as read_run_toml
    from engine.config.run_file import write_run_toml as write_run_toml
    from engine.config.schema import OPTIONS as OPTIONS
    from engine.config.schema import Config as Config
    from engine.config.secrets import redacted_source as redacted_source
    from engine.config.secrets import secrets_environment as secrets_environment
    from engine.config.values import parse_arguments as parse_arguments

_HOMES = {
    "Config": "schema",
    "LoadedConfig": "load",
    "OPTIONS": "schema",
    "Option": "option",
    "RunToml": "run_file",
    "check_config": "load",
    "load_config": "load",
    "parse_arguments": "values",
    "read_run_toml": "run_file",
    "redacted_source": "secrets",
    "secrets_environment": "secrets",
    "write_run_toml": "run_file",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"engine.config.{_HOMES[name]}"), name)
