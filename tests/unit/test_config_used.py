"""No option is accepted and ignored: whatever is called built is read by the code that should act on it."""

from __future__ import annotations

import ast
from pathlib import Path

from engine.config.schema import OPTIONS
from engine.data.schema import KEYS
from engine.families import family_names, get_family

# Read on the way to the engine, by the side that prepares a run.
_READ_BEFORE = {
    "base", "base_unset",  # laid under the preset before anything is started
    "family", "dataset_config", "general", "datasets",  # run.toml holds what they mean
    "hook_grace_seconds",  # stands in the run's hooks.json
    "huggingface_token",  # goes into the engine's environment
    "model_version", "edit", "edit_plus",  # Musubi Tuner's words for task
}  # fmt: skip
# What a switch of Musubi Tuner asks for is how it always is here.
_ALWAYS_SO = {"sdpa", "persistent_data_loader_workers"}


def _words(folders: list[Path], skip: tuple[str, ...]) -> set[str]:
    """Attribute names and string literals of the code in these folders."""
    found: set[str] = set()
    for folder in folders:
        for path in folder.rglob("*.py"):
            if any(part in path.as_posix() for part in skip):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    found.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def test_every_built_option_is_read_by_the_engine(repository: Path) -> None:
    read = _words([repository / "engine"], ("engine/config/", "engine/testing/", "engine/families/recognise"))
    slots = {slot.option for name in family_names() for slot in get_family(name).slots}
    ignored = {name for name, option in OPTIONS.items() if option.status == "built" or option.built_values()}
    ignored -= read | slots | _READ_BEFORE | _ALWAYS_SO
    assert ignored == set()


def test_what_prepares_a_run_reads_the_rest(repository: Path) -> None:
    read = _words([repository / "engine" / "config", repository / "musubi_tui"], ("engine/config/sections",))
    assert read >= _READ_BEFORE


def test_every_dataset_key_is_read(repository: Path) -> None:
    skip = ("data/schema.py", "data/own_keys.py", "engine/config/", "engine/testing/")
    read = _words([repository / "engine"], skip)
    assert {key.name for key in KEYS} - read == set()
