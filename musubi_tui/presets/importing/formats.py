"""Which trainer wrote a text, and the account of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import Problem, UserError
from engine.config.toml_source import parse_toml
from musubi_tui.presets.importing.account import Account
from musubi_tui.presets.importing.command_line import commands, looks_like_a_command

TITLES = {
    "musubi": "Musubi Tuner",
    "kohya": "sd-scripts",
    "diffusion-pipe": "diffusion-pipe",
    "ai-toolkit": "ai-toolkit",
    "onetrainer": "OneTrainer",
    "simpletuner": "SimpleTuner",
}
_READERS = {
    "kohya": "kohya",
    "diffusion-pipe": "diffusion_pipe",
    "ai-toolkit": "ai_toolkit",
    "onetrainer": "onetrainer",
    "simpletuner": "simpletuner",
}
_KOHYA_KEYS = {"pretrained_model_name_or_path", "train_data_dir", "train_batch_size", "clip_l", "t5xxl", "unet_lr", "clip_skip"}  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What a foreign config became: the account of its keys, the trainer it is from, and the family (None: not known)."""

    account: Account
    format: str
    family: str | None
    here: Path  # what its relative paths count from


def import_text(
    text: str, *, here: Path, file: Path | None = None, format: str | None = None, family: str | None = None
) -> Imported:
    """Read a foreign config. ``here`` is the folder its relative paths count from (all of these programs count from the
    working directory). Raises ``UserError`` for what is no config, or of which the trainer cannot be told.
    """
    if format in (None, "musubi", "kohya") and looks_like_a_command(text):
        return _from_commands(text, here, family, format)
    data = _parse(text, file)
    chosen = format or recognise(data)
    if chosen is None:
        known = ", ".join(TITLES)
        raise UserError.of(
            "unknown_format",
            say("it cannot be told which trainer this is for.", "どのトレーナーの設定か判別できません。"),
            say(f"Say it: --from with one of {known}.", f"--from で指定してください: {known}"),
            file=file or "-",
        )
    if chosen == "musubi":
        from musubi_tui.presets.importing.musubi import from_file

        account = from_file(data, file or here / "config.toml", family)
        return Imported(account, chosen, account.options["family"], here)
    account = Account.of(data)
    read: Callable[..., str | None] = import_module(f"musubi_tui.presets.importing.{_READERS[chosen]}").read
    found = read(account, here, file, family)
    return Imported(_finished(account, found), chosen, found, here)


def _from_commands(text: str, here: Path, family: str | None, format: str | None) -> Imported:
    found = commands(text)
    ours = [command for command in found if "train" in command.script]
    foreign = format == "kohya" or any(_KOHYA_KEYS & command.options.keys() for command in ours)
    if not foreign:
        from musubi_tui.presets.importing.musubi import from_commands

        account = from_commands(found, here, family)
        return Imported(account, "musubi", account.options["family"], here)
    from musubi_tui.presets.importing import kohya

    words = ours[-1].options if ours else found[-1].options
    account = Account({name: _word(name, values) for name, values in words.items()})
    found_family = kohya.read(account, here, None, family)
    return Imported(_finished(account, found_family), "kohya", found_family, here)


def _word(name: str, values: list[str]) -> Any:
    """A value of a command line of sd-scripts, typed as its TOML would be."""
    if not values:
        return True
    if name.endswith("_args"):
        return values
    text = values[0]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _finished(account: Account, family: str | None) -> Account:
    account.close()
    _part_caches(account)
    if family is not None:
        account.options["family"] = family
    return account


def _part_caches(account: Account) -> None:
    """Give every dataset a cache folder of its own: ``a/pics`` and ``b/pics`` have the same last name."""
    taken = set[str]()
    for table in account.datasets:
        written = table.get("cache_directory")
        if written is None:
            continue
        number, free = 1, str(written)
        while free.casefold() in taken:
            number, free = number + 1, f"{written}-{number + 1}"
        taken.add(free.casefold())
        table["cache_directory"] = free


def recognise(data: Mapping[str, Any]) -> str | None:
    """The trainer whose words these are; None when it cannot be told."""
    flat = {key.rpartition(".")[2].lstrip("-") for key in Account.of(data).leaves} | set(data)
    if isinstance(data.get("config"), Mapping) and "process" in data["config"]:
        return "ai-toolkit"
    if isinstance(data.get("model"), Mapping) and ("adapter" in data or "micro_batch_size_per_gpu" in data):
        return "diffusion-pipe"
    if "model_type" in data and ("training_method" in data or "base_model_name" in data):
        return "onetrainer"
    if "model_family" in flat and ("data_backend_config" in flat or "model_type" in flat):
        return "simpletuner"
    if _KOHYA_KEYS & flat:
        return "kohya"
    if {"dit", "network_module", "dataset_config"} & flat:
        return "musubi"
    return None


def _parse(text: str, file: Path | None) -> Mapping[str, Any]:
    """The values of a TOML, JSON or YAML text, by its file's ending, else whichever reads it."""
    path = file or Path("-")
    ending = path.suffix.lower()
    if ending == ".toml":
        return parse_toml(text, path).data
    if ending == ".json" or text.lstrip()[:1] == "{":
        return _mapping(_json(text, path), path)
    if ending in (".yaml", ".yml"):
        return _mapping(_yaml(text, path), path)
    try:
        return parse_toml(text, path).data
    except UserError:
        return _mapping(_yaml(text, path), path)


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        message = say(f"this is not JSON: {error}.", f"JSON ではありません: {error}")
        raise UserError(Problem("syntax", message, file=str(path), line=line)) from None


def _yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        message = say(f"this is not YAML: {why}.", f"YAML ではありません: {why}")
        line = mark.line + 1 if mark is not None else 0
        raise UserError(Problem("syntax", message, file=str(path), line=line)) from None


def _mapping(value: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise UserError.of(
        "not_a_config",
        say("this is not the config of a trainer.", "トレーナーの設定ファイルではありません。"),
        file=path,
    )
