"""What makes a set of valid values a run that can start: needed values, parts not built yet, options that cannot matter.

Every rule gets the same ``Case`` and yields problems by option name; ``load`` adds file, line and column.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.entries import Entry, suggestion
from engine.config.language import say
from engine.config.option import OnlyWith, Option
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, shorten
from engine.config.toml_source import similar_path
from engine.config.values import parse_arguments
from engine.families import FamilySpec, TaskSpec

_LONGEST_FILE_NAME = 255  # bytes, on the file systems people have
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories: controls, halves of characters, line ends
_NETWORK_ARGS = (
    "rank_dropout",
    "module_dropout",
    "exclude_patterns",
    "include_patterns",
    "loraplus_lr_ratio",
    "verbose",
)
_DRAWS = ("logit_normal", "mode")  # weighting schemes that weigh nothing: they only shape how the sigma mode draws
_OTHER_NETWORK_ARGS = ("conv_dim", "conv_alpha", "use_tucker", "factor")


@dataclass(frozen=True)
class Case:
    """Validated values by option name (defaults included), and which of them the user gave."""

    values: Mapping[str, Any]
    given: Mapping[str, Entry]
    spec: FamilySpec
    task: TaskSpec | None
    check_files: bool

    def on(self, name: str) -> bool:
        """Whether the option is given and switches something on."""
        return name in self.given and OPTIONS[name].is_active(self.values[name])


def problems(case: Case) -> Iterator[Problem]:
    """All complaints about the case, errors and warnings, without places."""
    for rule in _RULES:
        yield from rule(case)


def _error(code: str, key: str, message: str, fix: str = "") -> Problem:
    return Problem(code, message, fix, key=key)


def _warning(code: str, key: str, message: str, fix: str = "") -> Problem:
    return Problem(code, message, fix, key=key, severity="warning")


def _statuses(case: Case) -> Iterator[Problem]:
    """No option is accepted and ignored: it works, or it is named."""
    for name in case.given:
        option, value = OPTIONS[name], case.values[name]
        if not option.is_active(value) or name == "network_module":  # the adapter is judged with the family
            continue
        status = option.status_of(value)
        if not option.applies_to(case.spec):
            yield _no_effect(name, say(f"it is not for {case.spec.title}", f"{case.spec.title} には関係しません"))
        elif case.task and not option.applies_to(case.spec, case.task) and status != "deferred-result":
            yield _no_effect(name, say(f"it is not for {case.task.name}", f"{case.task.name} には関係しません"))
        elif (unmet := _unmet(option, case)) is not None:
            yield _no_effect(name, _why_unmet(unmet, case))
        elif name == "weighting_scheme" and value in _DRAWS and case.values["timestep_sampling"] != "sigma":
            yield _no_effect(
                name, say(f"{value} shapes only the sigma mode", f"{value} は sigma モードだけに影響します")
            )
        elif status != "built":
            yield _not_built(option, value, case)


def _unmet(option: Option, case: Case) -> OnlyWith | None:
    """The first condition of an option none of whose conditions holds."""
    if not option.only_with or any(_holds(condition, case) for condition in option.only_with):
        return None
    return option.only_with[0]


def _holds(condition: OnlyWith, case: Case) -> bool:
    value = case.values[condition.option]
    return value in condition.values if condition.values else OPTIONS[condition.option].is_active(value)


def _why_unmet(condition: OnlyWith, case: Case) -> str:
    name = condition.option
    if not condition.values or condition.values == (True,):
        return say(f"{name} is not set", f"{name} が設定されていません")
    wanted = " / ".join(str(value) for value in condition.values)
    now = case.values[name]
    return say(f"it needs {name} = {wanted}, and that is {now}", f"{name} = {wanted} のときだけ有効です (現在は {now})")


def _no_effect(name: str, why: str) -> Problem:
    return _warning(
        "no_effect",
        name,
        say(f"{name} has no effect: {why}.", f"{name} は効果がありません: {why}。"),
        say("Remove the line.", "この行を削除してください。"),
    )


def _not_built(option: Option, value: Any, case: Case) -> Problem:
    consequence = str(option.consequence).format(**_model_sizes(case.values["dit"])) if option.consequence else ""
    shown = option.name if value is True else f"{option.name} = {shorten(value)}"
    if option.status_of(value) == "deferred-cost":
        message = say(f"{shown} is not built yet. {consequence}", f"{shown} は未対応です。{consequence}")
        return _warning("not_built_yet", option.name, message)
    message = say(
        f"{shown} is not built yet, and without it something else would be learned. {consequence}",
        f"{shown} は未対応です。無視すると学習結果が変わるため停止します。{consequence}",
    )
    return _error("not_built_yet", option.name, message, _way_out(option))


def _model_sizes(file: Path | None) -> dict[str, str]:
    """How large the model is, in words: measured where its file is there, relative otherwise."""
    try:
        whole = file.stat().st_size / 1e9 if file is not None and file.is_file() else 0.0
    except (OSError, ValueError):
        whole = 0.0
    if not whole:
        return {
            "model": say("the size of its file", "ファイルと同じ大きさ"),
            "half_model": say("half of its file's size", "ファイルの半分ほど"),
        }
    return {
        "model": say(f"about {whole:.2g} GB", f"約 {whole:.2g} GB"),
        "half_model": say(f"about {whole / 2:.2g} GB", f"約 {whole / 2:.2g} GB"),
    }


def _way_out(option: Option) -> str:
    if option.name == "resume":
        return say(
            "Leave it out and continue with: musubi-tui train --resume RUN",
            "この行を削除し、musubi-tui train --resume RUN で再開してください。",
        )
    if option.built_values():
        listed = ", ".join(f'"{value}"' for value in option.built_values())
        return say(f"Choose one of {listed}.", f"次から選んでください: {listed}")
    return say("Remove the line to train without it.", "使わずに学習するには、この行を削除してください。")


def _needed_values(case: Case) -> Iterator[Problem]:
    samples = case.values["sample_prompts"] is not None and _makes_samples(case)
    for slot in case.spec.slots:
        wanted = "train" in slot.needed_for or (samples and "sample" in slot.needed_for and slot.role != "tokenizer")
        if not wanted or case.values[slot.option] is not None:
            continue
        where = f"{slot.files[0]}, {slot.repository}" if slot.files else slot.repository
        reason = "" if "train" in slot.needed_for else say(", which samples need", " (サンプル作成に必要)")
        yield _error(
            "missing_value",
            slot.option,
            say(
                f"{slot.option} is not set: the {slot.title}{reason}.",
                f"{slot.option} が未指定です: {slot.title}{reason}。",
            ),
            say(
                f'Add {slot.option} = "path/to/file" ({where}).',
                f'{slot.option} = "ファイルのパス" を追加してください ({where})。',
            ),
        )


def _dataset(case: Case) -> Iterator[Problem]:
    file, tables = case.values["dataset_config"], case.values["datasets"]
    if file is not None and tables:
        yield _error(
            "contradiction",
            "dataset_config",
            say(
                "both dataset_config and [[datasets]] are given.",
                "dataset_config と [[datasets]] の両方が指定されています。",
            ),
            say("Keep one of them.", "どちらか一方にしてください。"),
        )
    elif file is None and not tables:
        yield _error(
            "missing_value",
            "dataset_config",
            say("no dataset is given.", "データセットが指定されていません。"),
            say(
                'Add dataset_config = "dataset.toml", or a [[datasets]] table with image_directory.',
                'dataset_config = "dataset.toml"、または image_directory を持つ [[datasets]] を追加してください。',
            ),
        )


def _output_name(case: Case) -> Iterator[Problem]:
    name = case.values["output_name"]
    if not name:
        return
    if any(unicodedata.category(char) in _CONTROLS for char in name):
        yield _error(
            "wrong_value",
            "output_name",
            say(
                f"output_name holds a character that cannot be shown (a line end, a tab …): {name!r}.",
                f"output_name に表示できない文字 (改行・タブなど) があります: {name!r}。",
            ),
            say("Remove it.", "取り除いてください。"),
        )
    room, length = _room_for_name(case), len(name.encode("utf-8", "surrogateescape"))
    if length > room:
        yield _error(
            "wrong_value",
            "output_name",
            say(
                f"output_name is too long: {length} bytes, and a file's name has room for {room} beside step and ending.",
                f"output_name が長すぎます: {length} バイト。ステップ番号と拡張子を除くと {room} バイトまでです。",
            ),
            say("Shorten it.", "短くしてください。"),
        )
    elif Path(name).name != name or name == "..":
        yield _error(
            "wrong_value",
            "output_name",
            say(
                f"output_name is the name of a file, not a path: {name!r}.",
                f"output_name はファイル名で、パスは書けません: {name!r}。",
            ),
            say(
                "Put the folder into output_dir.",
                "フォルダーは output_dir に書いてください。",
            ),
        )


def _room_for_name(case: Case) -> int:
    """Bytes left for the name in that of the longest file: an unfinished LoRA (``engine.networks.files``)."""
    others = [f".{dialect}" for dialect in (case.values["lora_dialects"] or ())[1:]]
    around = "." + "-step00000000" + max(others, key=len, default="") + ".safetensors." + 16 * "0" + ".part"
    return _LONGEST_FILE_NAME - len(around)


def _base_unset(case: Case) -> Iterator[Problem]:
    for name in case.values["base_unset"] or []:
        if name not in OPTIONS:
            message = say(f"base_unset: there is no option {name!r}.", f"base_unset: {name!r} という項目はありません。")
            yield _error("unknown_key", "base_unset", message, suggestion(name))


def _schedule(case: Case) -> Iterator[Problem]:
    if case.values["lr_scheduler"] == "constant" and case.values["lr_warmup_steps"]:
        yield _error(
            "contradiction",
            "lr_warmup_steps",
            say(
                'lr_scheduler = "constant" has no warm-up.',
                'lr_scheduler = "constant" にはウォームアップがありません。',
            ),
            say(
                'Use lr_scheduler = "constant_with_warmup", or lr_warmup_steps = 0.',
                'lr_scheduler = "constant_with_warmup" または lr_warmup_steps = 0 にしてください。',
            ),
        )
    if "max_train_steps" in case.given and case.values["max_train_epochs"] is not None:
        yield _no_effect("max_train_steps", say("max_train_epochs counts instead", "max_train_epochs が優先されます"))


def _precisions(case: Case) -> Iterator[Problem]:
    """Weights of one 16-bit kind computed in another, or in 32 bits, end in PyTorch's own complaint at the first step."""
    weights, mixed = case.values["dit_dtype"], case.values["mixed_precision"]
    own = {"bf16": "bfloat16", "fp16": "float16"}.get(mixed, "float32")
    if weights not in (None, "float32", own):
        yield _error(
            "contradiction",
            "dit_dtype",
            say(
                f'dit_dtype = "{weights}" does not go with mixed_precision = "{mixed}".',
                f'dit_dtype = "{weights}" と mixed_precision = "{mixed}" は組み合わせられません。',
            ),
            say(
                "Remove dit_dtype: it follows mixed_precision.",
                "dit_dtype を削除してください (mixed_precision に従います)。",
            ),
        )


def _timesteps(case: Case) -> Iterator[Problem]:
    low, high = case.values["min_timestep"], case.values["max_timestep"]
    if (low or 0) >= (1000 if high is None else high):
        yield _error(
            "contradiction",
            "min_timestep" if low is not None else "max_timestep",
            say(
                f"min_timestep ({low}) must be below max_timestep ({high}).",
                f"min_timestep ({low}) は max_timestep ({high}) より小さくしてください。",
            ),
        )
    if (
        case.on("num_timestep_buckets")
        and case.values["numerics"] == "musubi"
        and case.values["timestep_sampling"] == "sigma"
    ):
        why = 'timestep_sampling = "sigma", numerics = "musubi"'
        yield _no_effect(
            "num_timestep_buckets",
            say(f"as in Musubi Tuner with {why}", f"Musubi Tuner と同じく {why} では使われません"),
        )


def _attention(case: Case) -> Iterator[Problem]:
    others = ("flash_attn", "flash3", "sage_attn", "xformers")
    if "sdpa" in case.given and not case.values["sdpa"] and not any(case.values[name] for name in others):
        yield _no_effect("sdpa", say("there is no other attention to use", "他に使えるアテンションがありません"))


def _samples(case: Case) -> Iterator[Problem]:
    wanted = [
        name
        for name in ("sample_every_n_steps", "sample_every_n_epochs", "sample_at_first", "sample_after_steps")
        if case.on(name)
    ]
    if wanted and case.values["sample_prompts"] is None:
        fix = say(
            "Name a file of prompts: sample_prompts = …",
            "sample_prompts = … でプロンプトのファイルを指定してください。",
        )
        why = say("sample_prompts is not set", "sample_prompts が設定されていません")
        yield from (_with_fix(_no_effect(name, why), fix) for name in wanted)
    elif case.values["sample_prompts"] is not None and not _makes_samples(case):
        fix = say(
            "Add sample_every_n_steps or sample_at_first.",
            "sample_every_n_steps か sample_at_first を追加してください。",
        )
        why = say("nothing says when to make samples", "サンプルを作る時期が指定されていません")
        yield _with_fix(_no_effect("sample_prompts", why), fix)


def _makes_samples(case: Case) -> bool:
    return any(
        case.values[name]
        for name in ("sample_every_n_steps", "sample_every_n_epochs", "sample_at_first", "sample_after_steps")
    )


def _with_fix(problem: Problem, fix: str) -> Problem:
    return Problem(problem.code, problem.message, fix, key=problem.key, severity=problem.severity)


def _argument_words(case: Case) -> Iterator[Problem]:
    for name in ("network_args", "optimizer_args"):
        try:
            parsed = parse_arguments(case.values[name] or [])
        except ValueError as error:
            message = say(f'{name} holds "{error}", which has no "=".', f'{name} の "{error}" に "=" がありません。')
            yield _error(
                "wrong_value", name, message, say('Write it as "name=value".', '"名前=値" の形で書いてください。')
            )
            continue
        if name == "network_args":
            yield from _network_args(parsed)


def _network_args(parsed: Mapping[str, Any]) -> Iterator[Problem]:
    from difflib import get_close_matches

    for word in parsed:
        if word in _NETWORK_ARGS:
            continue
        if word in _OTHER_NETWORK_ARGS:
            message = say(f"network_args: {word} is not built yet.", f"network_args の {word} は未対応です。")
            yield _error("not_built_yet", "network_args", message, say("Remove it.", "削除してください。"))
            continue
        close = get_close_matches(word, _NETWORK_ARGS + _OTHER_NETWORK_ARGS, n=1)
        fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか。") if close else ""
        message = say(
            f"network_args: there is no setting {word!r}.", f"network_args に {word!r} という設定はありません。"
        )
        yield _error("unknown_key", "network_args", message, fix)


def _secrets(case: Case) -> Iterator[Problem]:
    for name, entry in case.given.items():
        if OPTIONS[name].secret and entry.from_file and case.values[name]:
            yield _warning(
                "secret_in_file",
                name,
                say(
                    f"{name} stands in the file; it is used, and left out of every copy.",
                    f"{name} がファイルに書かれています。使用しますが、コピーには残しません。",
                ),
                say("Keep it in the environment instead.", "環境変数に移してください。"),
            )


def _files(case: Case) -> Iterator[Problem]:
    if not case.check_files:
        return
    output = case.values["output_dir"]
    blocked = output and next((path for path in (output, *output.parents) if path.exists() and not path.is_dir()), None)
    if blocked:
        message = say(f"output_dir: {blocked} is not a folder.", f"output_dir: {blocked} はフォルダーではありません。")
        yield _error("not_a_folder", "output_dir", message, say("Name a folder.", "フォルダーを指定してください。"))
    for name in case.given:
        option, value = OPTIONS[name], case.values[name]
        if (
            option.path in ("", "output")
            or not value
            or not option.applies_to(case.spec)
            or option.status_of(value) != "built"
        ):
            continue
        for path in value if isinstance(value, list) else [value]:
            yield from _file(option, Path(path))


def _file(option: Option, path: Path) -> Iterator[Problem]:
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        exists, is_folder = False, False
    if not exists:
        message = say(f"{option.name}: there is no {path}.", f"{option.name}: {path} がありません。")
        yield _error("missing_file", option.name, message, similar_path(path))
    elif option.path == "file" and is_folder:
        message = say(f"{option.name}: {path} is a folder.", f"{option.name}: {path} はフォルダーです。")
        yield _error("not_a_file", option.name, message, say("Name a file.", "ファイルを指定してください。"))


_RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _needed_values,
    _dataset,
    _output_name,
    _base_unset,
    _statuses,
    _schedule,
    _precisions,
    _timesteps,
    _attention,
    _samples,
    _argument_words,
    _secrets,
    _files,
)
