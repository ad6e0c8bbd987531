"""Musubi Tuner's own configs and command lines: the same words, so what matters are its defaults and what is not built here.

Its three commands (two for the caches, one to train) may be pasted together; they become one preset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.entries import suggestion
from engine.config.language import say
from engine.config.load import examine
from engine.config.option import Option
from engine.config.problems import Problem, UserError
from engine.config.schema import OPTIONS
from engine.config.toml_source import parse_toml, read_toml
from engine.config.toml_text import toml_key, toml_value
from engine.config.values import parse_override
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, Line
from musubi_tui.presets.importing.command_line import Command

_MODULES = {
    "wan_train_network": "networks.lora_wan",
    "qwen_image_train_network": "networks.lora_qwen_image",
    "hv_train_network": "networks.lora",
    "hv_1_5_train_network": "networks.lora_hv_1_5",
    "fpack_train_network": "networks.lora_framepack",
    "flux_kontext_train_network": "networks.lora_flux",
    "flux_2_train_network": "networks.lora_flux_2",
    "zimage_train_network": "networks.lora_zimage",
    "kandinsky5_train_network": "networks.lora_kandinsky",
}
_CACHE_ONLY = {
    **dict.fromkeys(("skip_existing", "keep_cache"), ("only what changed is encoded again, and nothing is deleted", "変更分だけを再エンコードし、何も削除しません")),
    **dict.fromkeys(("num_workers", "batch_size", "console_width", "console_back", "console_num_images", "debug_mode"), reasons.PACE),
    "device": reasons.GPU,
    "i2v": ("the task says it", "task で決まります"),
}  # fmt: skip
_LAUNCHER = {
    "num_cpu_threads_per_process": ("threads are set by the program", "スレッド数は自動です"),
    "num_processes": ("training runs in one process", "1 プロセスで学習します"),
    "num_machines": ("training runs on one machine", "1 台で学習します"),
    "dynamo_backend": ("compile is set with compile", "コンパイルは compile で設定します"),
    "gpu_ids": ("set CUDA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES を設定してください"),
}


def from_commands(found: Sequence[Command], here: Path, family: str | None) -> Account:
    """The account of pasted commands, with musubi's defaults written out. Raises ``UserError`` when none of them trains."""
    trains = [command for command in found if command.script.endswith("_train_network")]
    if len(trains) != 1:
        names = ", ".join(command.script for command in found)
        raise UserError.of(
            "usage",
            say(
                f"exactly one training command is needed; found: {names}.",
                f"学習コマンドがちょうど 1 つ必要です (見つかったもの: {names})。",
            ),
            say(
                "Paste one wan_train_network.py line, or one of another model.",
                "wan_train_network.py などの行を 1 つ貼り付けてください。",
            ),
        )
    account = Account({})
    values: dict[str, Any] = {}
    for command in (*(one for one in found if one is not trains[0]), trains[0]):
        _cache_or_train(account, command, values, training=command is trains[0])
    train = trains[0]
    for name, words in train.launcher.items():
        if name == "mixed_precision" and "mixed_precision" not in values:
            values["mixed_precision"] = words[0] if words else "bf16"
        elif name in _LAUNCHER:
            account.lines.append(Line(f"accelerate --{name}", " ".join(words), "no_effect", why=say(*_LAUNCHER[name])))
    values.setdefault("network_module", _MODULES.get(train.script))
    config = values.pop("config_file", None)
    if config:
        values = {**_flat(read_toml(here / str(config)).data), **values}
        account.lines.append(Line("--config_file", config, "kept", why=say("read as well", "あわせて読み込みました")))
    return _resolve(account, {k: v for k, v in values.items() if v is not None}, here / "command.toml", family)


def from_file(data: Mapping[str, Any], path: Path, family: str | None) -> Account:
    """The account of a musubi TOML. ``path`` is where relative paths of the file's folder would count from."""
    return _resolve(Account({}), _flat(data), path, family)


def _cache_or_train(account: Account, command: Command, values: dict[str, Any], *, training: bool) -> None:
    for name, words in command.options.items():
        option = OPTIONS.get(name)
        if not training and name in _CACHE_ONLY:
            why = say(*_CACHE_ONLY[name])
            account.lines.append(Line(f"{command.script} --{name}", " ".join(words), "no_effect", why=why))
        elif option is None:
            why = suggestion(name) or say(*reasons.UNKNOWN)
            account.lines.append(Line(f"--{name}", " ".join(words), "unknown", why=why))
        else:
            values[name] = _value(option, words)
            for extra in words[1:] if not option.kind.startswith("list of") else ():
                why = say(f"a word too many behind --{name}", f"--{name} の後の余分な語です")
                account.lines.append(Line(extra, extra, "unknown", why=why))
    for word in command.loose:
        account.lines.append(
            Line(word, word, "unknown", why=say("it belongs to no option", "対応するオプションがありません"))
        )


def _value(option: Option, words: list[str]) -> Any:
    if option.kind == "yes/no":
        return parse_override(option, words[0]) if words else True
    if option.kind.startswith("list of"):
        return [float(word) for word in words] if option.kind == "list of numbers" else list(words)
    return parse_override(option, words[0]) if words else ""


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Sections opened one level, as in reading; the dataset's tables stay."""
    flat: dict[str, Any] = {}
    embedded = isinstance(data.get("datasets"), list)
    for name, value in data.items():
        if isinstance(value, Mapping) and not (name == "general" and embedded):
            flat.update(value)
        else:
            flat[name] = value
    return flat


def _resolve(account: Account, values: dict[str, Any], path: Path, family: str | None) -> Account:
    """Read the values as a musubi file, and write out where its defaults are others than ours."""
    known = {name: value for name, value in values.items() if name in OPTIONS}
    for name in values.keys() - known.keys():
        why = suggestion(name) or say(*reasons.UNKNOWN)
        account.lines.append(Line(name, values[name], "unknown", why=why))
    text = "".join(f"{toml_key(name)} = {toml_value(value)}\n" for name, value in known.items() if not _table(name))
    reading = examine(parse_toml(text, path))
    spec = reading.identity.spec if reading.identity is not None else None
    if spec is None or (family is not None and spec.name != family):
        raise UserError(
            [problem for problem in reading.problems if problem.severity == "error"][:3] or [_other(family)]
        )
    account.options["family"] = spec.name
    ours = examine(parse_toml(f'family = "{spec.name}"\n', path)).defaults
    for name, written in known.items():
        if name in ("network_module",):
            account.lines.append(Line(name, written, "kept", "family", spec.name))
        elif _table(name):
            (account.datasets.extend if name == "datasets" else account.general.update)(written)
            account.lines.append(Line(name, None, "kept", name))
        else:
            _given(account, OPTIONS[name], written, reading.values.get(name, written))
    if "task" not in account.options and reading.identity is not None and reading.identity.task is not None:
        account.set("task", reading.identity.task.name, say("Musubi Tuner's default", "Musubi Tuner の既定値"))
    for name, value in reading.values.items():
        option = OPTIONS[name]
        by_default = reading.sources.get(name) == "musubi default" and value != ours.get(name)
        if (
            by_default
            and value is not None
            and (option.status == "built" or option.built_values())
            and option.applies_to(spec)
        ):
            account.set(name, value, say("Musubi Tuner's default", "Musubi Tuner の既定値"))
    return account


def _table(name: str) -> bool:
    return name in ("general", "datasets")


def _given(account: Account, option: Option, written: Any, value: Any) -> None:
    why = ""
    if option.status_of(value) != "built":
        why = say("not built yet", "未対応です")
    became = written if option.kind in ("path", "list of paths") else value
    account.lines.append(Line(option.name, written, "kept", option.name, became, why))
    account.options[option.name] = became


def _other(family: str | None) -> Problem:
    message = say(f"the config is not for {family}.", f"{family} 用の設定ではありません。")
    return Problem("conflicting_keys", message, key="--family")
