"""From a TOML file to flat options: sections flattened as in Musubi Tuner, the dataset tables set apart, typos found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from engine.config.language import say
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, SECTIONS, wrong_value
from engine.config.toml_source import TomlSource
from engine.config.values import parse_override
from engine.data.positions import Address

MOST_TYPOS = 50  # suggestions are searched for this many unknown keys; a file with more is another kind of file
_SECTION_LIKE = {*SECTIONS, "general", "datasets"}  # names of tables, also where an option has the same name

# Words of Musubi Tuner's dataset files and of other trainers -> where the thing lives here.
_ELSEWHERE = {
    **dict.fromkeys(
        (
            "resolution",
            "batch_size",
            "num_repeats",
            "caption_extension",
            "enable_bucket",
            "bucket_no_upscale",
            "image_directory",
            "image_jsonl_file",
            "video_directory",
            "video_jsonl_file",
            "cache_directory",
            "control_directory",
            "target_frames",
            "frame_extraction",
        ),
        "dataset",
    ),
    "train_batch_size": "dataset",
    "train_data_dir": "dataset",
    "unet_lr": "learning_rate",
    "lr": "learning_rate",
    "network_rank": "network_dim",
    "rank": "network_dim",
    "alpha": "network_alpha",
    "steps": "max_train_steps",
    "epochs": "max_train_epochs",
    "pretrained_model_name_or_path": "dit",
    "optimizer": "optimizer_type",
}


@dataclass(frozen=True)
class Entry:
    """One option as it was given. ``address`` is empty for overrides."""

    name: str
    value: Any
    source: str  # "preset.toml:12" or "--set"
    address: Address = ()
    origin: TomlSource | None = field(default=None, repr=False, compare=False)  # the file it stands in

    @property
    def from_file(self) -> bool:
        """Whether it stands in the preset file."""
        return bool(self.address)


@dataclass
class Entries:
    """All given options by name, and what was wrong on the way."""

    by_name: dict[str, Entry] = field(default_factory=dict)
    unknown: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """The plain values by option name."""
        return {name: entry.value for name, entry in self.by_name.items()}


def collect(source: TomlSource, overrides: Mapping[str, Any], bases: Sequence[TomlSource] = ()) -> Entries:
    """The options of a file, laid over those of its bases (nearest first), with overrides on top.

    Problems are collected, nothing is raised.
    """
    entries = Entries()
    for layer in (*reversed(bases), source):
        _lay_over(entries, _read_layer(layer, entries, embedded=_has_datasets(layer) or "datasets" in entries.by_name))
    for name, value in overrides.items():
        _override(entries, name, value)
    return entries


def _read_layer(source: TomlSource, entries: Entries, *, embedded: bool) -> dict[str, Entry]:
    """The options of one file; complaints about it go to ``entries``."""
    found: dict[str, Entry] = {}
    for address, value in _flat(source, entries, embedded):
        name = str(address[-1])
        line = source.positions.get(address, (0, 0))[0]
        entry = Entry(name, value, f"{source.path.name}:{line}" if line else source.path.name, address, source)
        if name not in OPTIONS:
            entries.unknown.append(_unknown(source, entry, suggest=len(entries.unknown) < MOST_TYPOS))
            continue
        if name in found:
            entries.problems.append(_set_twice(source, found[name], entry))
        found[name] = entry
    return found


def _lay_over(entries: Entries, layer: dict[str, Entry]) -> None:
    """Put one file's options over those of its bases, the dataset as a whole."""
    below = entries.by_name
    if not below:
        entries.by_name = layer
        return
    if "datasets" in layer or "dataset_config" in layer:
        for name in ("datasets", "dataset_config", "general"):
            below.pop(name, None)
    elif "general" in layer and "general" in below:
        own, inherited = layer["general"], below["general"]
        if isinstance(own.value, Mapping) and isinstance(inherited.value, Mapping):
            layer["general"] = replace(own, value={**inherited.value, **own.value})
    unset = layer.get("base_unset")
    for name in unset.value if unset is not None and isinstance(unset.value, list) else ():
        if isinstance(name, str):
            below.pop(name, None)
    entries.by_name = {**below, **layer}


def _has_datasets(source: TomlSource) -> bool:
    tables = source.data.get("datasets")
    return isinstance(tables, list)


def _flat(source: TomlSource, entries: Entries, embedded: bool) -> Iterator[tuple[Address, Any]]:
    """Options as the file gives them: sections open one level, as in Musubi Tuner."""
    for name, value in source.data.items():
        whole = embedded or not isinstance(value, Mapping)  # the dataset itself, not an ordinary section
        if name in ("general", "datasets") and whole:
            yield (name,), value
        elif isinstance(value, Mapping) and name in OPTIONS and name not in _SECTION_LIKE:
            entries.problems.append(_placed(source, wrong_value(OPTIONS[name], value), (name,)))
        elif isinstance(value, Mapping):
            yield from _section(source, entries, name, value)
        else:
            yield (name,), value


def _section(
    source: TomlSource, entries: Entries, section: str, table: Mapping[str, Any]
) -> Iterator[tuple[Address, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and name not in OPTIONS:
            message = say(
                f"[{section}.{name}] is a section inside a section; options are read one level deep.",
                f"[{section}.{name}] は入れ子のセクションです。項目は 1 階層までしか読み込まれません。",
            )
            fix = say(f"Write [{name}] instead.", f"[{name}] としてください。")
            entries.problems.append(source.problem("nested_section", message, fix, at=(section, name)))
        else:
            yield (section, name), value


def _unknown(source: TomlSource, entry: Entry, *, suggest: bool) -> Problem:
    fix = suggestion(entry.name) if suggest else ""
    message = say(f"there is no option {entry.name!r}.", f"{entry.name!r} という項目はありません。")
    return source.problem("unknown_key", message, fix, at=entry.address)


def suggestion(name: str) -> str:
    """What an unknown option name was probably meant to be; empty when nothing is near."""
    if _ELSEWHERE.get(name) == "dataset":
        return say(
            "It belongs into the dataset file, or under [general] or [[datasets]] of this file.",
            "データセットファイル、またはこのファイルの [general] か [[datasets]] に書きます。",
        )
    meant = suggestion_of(name)
    if name in _ELSEWHERE:
        return say(f"Here it is called {meant}.", f"本ツールでは {meant} です。")
    return say(f"Did you mean {meant}?", f"{meant} のことですか。") if meant else ""


@lru_cache(maxsize=512)  # a form asks for the same names at every key
def suggestion_of(name: str) -> str:
    """The option that an unknown name was probably meant to be; empty when nothing is near."""
    if name in _ELSEWHERE:
        return "" if _ELSEWHERE[name] == "dataset" else _ELSEWHERE[name]
    wanted = name.lower().replace("-", "_")
    close = [wanted] if wanted in OPTIONS else get_close_matches(wanted, OPTIONS, n=1, cutoff=0.7)
    return close[0] if close else ""


def _set_twice(source: TomlSource, first: Entry, second: Entry) -> Problem:
    message = say(
        f"{second.name} is set twice; {first.source} is overruled by this line.",
        f"{second.name} が二重に指定されています。{first.source} よりこの行が優先されます。",
    )
    fix = say("Remove one of the two lines.", "どちらかの行を削除してください。")
    return source.problem("duplicate_key", message, fix, at=second.address, warning=True)


def _override(entries: Entries, name: str, value: Any) -> None:
    option = OPTIONS.get(name)
    if option is None:
        message = say(f"there is no option {name!r}.", f"{name!r} という項目はありません。")
        entries.problems.append(Problem("unknown_key", message, suggestion(name), file="--set", key=name))
        return
    if option.kind in ("table", "list of tables"):
        message = say(f"{name} cannot be changed with --set.", f"{name} は --set では変更できません。")
        fix = say("Edit the dataset tables in the file.", "ファイル内のデータセットを編集してください。")
        entries.problems.append(Problem("not_settable", message, fix, file="--set", key=name))
        return
    parsed = parse_override(option, value) if isinstance(value, str) else value
    entries.by_name[name] = Entry(name, parsed, "--set")


def _placed(source: TomlSource, problem: Problem, address: Address) -> Problem:
    return source.problem(problem.code, problem.message, problem.fix, at=address)
