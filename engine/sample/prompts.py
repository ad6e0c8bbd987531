"""Sample prompts: what pictures to make while training, and with which numbers.

A prompt file is Musubi Tuner's: ``.txt`` with one prompt per line and flags behind it (``a cat --w 640 --h 480 --d 7``),
``.json`` with a list of such lines or of tables, ``.toml`` with ``[prompt]`` and ``[[prompt.subset]]``. Read differently:

- the text before the first flag is never searched for flags (there, "I see a cat" sets an image path);
- a flag nobody knows is left out with a warning that names it, not silently;
- a number that is none, or out of range, is an error with file and line, not silently the default;
- blanks around the text are cut off;
- what a line leaves open is the task's recommendation (size, frames, steps, guidance, shift), not 256 x 256 at shift 14.5,
  so that previews look like what the model is used for; without ``--d`` the seed is the run's own, so that the previews of
  different steps can be compared.

Sides are rounded down to the family's pixel step and frames to its rule, with a notice.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.families.family import FamilySpec, TaskSpec

MAX_STEPS = 1000


@dataclass(frozen=True)
class SamplePrompt:
    """One picture or clip to make, with every number decided."""

    index: int  # position in the prompt file, from 0; part of the file name
    text: str
    negative: str
    width: int  # pixels
    height: int
    frames: int
    steps: int
    guidance_scale: float  # real guidance; 1 or less: none
    embedded_guidance: float  # what the model is told, in families that are told
    flow_shift: float | None  # None: the family's resolution-dependent shift
    seed: int


@dataclass(frozen=True)
class RawPrompt:
    """One prompt as written: only the values that stand there, under Musubi Tuner's names."""

    values: Mapping[str, Any]
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class _Value:
    """How one option is read: its type, its bounds, and whether it may stand more than once."""

    name: str
    read: Callable[[str], Any]
    lowest: float | None = None
    highest: float = 1e6
    repeated: bool = False


_FLAGS = {
    "w": _Value("width", int, 16, 16384),
    "h": _Value("height", int, 16, 16384),
    "f": _Value("frame_count", int, 1, 100_000),
    "d": _Value("seed", int, 0, 2**63 - 1),
    "s": _Value("sample_steps", int, highest=2**63),
    "g": _Value("guidance_scale", float, 0),
    "fs": _Value("discrete_flow_shift", float, 0),
    "l": _Value("cfg_scale", float, 0),
    "n": _Value("negative_prompt", str),
    "i": _Value("image_path", str),
    "ei": _Value("end_image_path", str),
    "cn": _Value("control_video_path", str),
    "ci": _Value("control_image_path", str, repeated=True),
    "of": _Value("one_frame", str),
}
_KINDS: dict[Callable[[str], Any], Callable[[], str]] = {
    int: lambda: say("a whole number", "整数"),
    float: lambda: say("a number", "数値"),
    str: lambda: say("a value", "値"),
}
_BY_NAME = {value.name: value for value in _FLAGS.values()}
_FLAG = re.compile(r"([a-zA-Z]+)(?:\s+(.*))?$", re.DOTALL)
_IMAGES = ("image_path", "end_image_path", "control_video_path", "control_image_path", "one_frame")


def read_prompts(path: Path) -> tuple[list[RawPrompt], list[Problem]]:
    """The prompts of a ``.txt``, ``.json`` or ``.toml`` file, and warnings.

    Raises ``ConfigError`` with every mistake of the file: missing, not UTF-8, not a prompt file, numbers that are none.
    """
    text = _read_text(path)
    problems: list[Problem] = []
    reader = {".txt": _from_lines, ".json": _from_json, ".toml": _from_toml}.get(path.suffix.lower())
    if reader is None:
        raise _error(
            "unknown_prompt_file",
            say(
                "A prompt file ends in .txt, .json or .toml.",
                "プロンプトファイルの拡張子は .txt / .json / .toml です。",
            ),
            path,
        )
    prompts = reader(text, path, problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise ConfigError(errors)
    if not prompts:
        problems.append(
            _problem(
                "no_prompts", say("The file holds no prompt.", "プロンプトがありません。"), path, severity="warning"
            )
        )
    return prompts, problems


def parse_prompt_line(line: str, problems: list[Problem], *, file: str | Path = "", number: int = 0) -> RawPrompt:
    """One line of a prompt file, or one typed by hand. What is wrong with it is appended to ``problems``."""
    text, *flags = f" {line.strip()}".split(" --")
    values: dict[str, Any] = {}
    if not text.strip() and flags:
        # A line that starts with an option: Musubi Tuner takes it for the text, and so do we, but not silently.
        text = f"--{flags.pop(0)}"
        problems.append(
            _problem(
                "option_as_text",
                say(f'The line starts with "{text.strip()}", which is taken for the prompt text.',
                    f"行頭の「{text.strip()}」はプロンプト本文として扱われます。"),
                file, number, say("Write the prompt before its options.", "本文をオプションの前に書いてください。"), "warning",
            )
        )  # fmt: skip
    values["prompt"] = text.strip()
    for flag in flags:
        found = _FLAG.match(flag.strip()) if not flag.startswith((" ", "-")) else None
        option = _FLAGS.get(found[1].lower()) if found else None
        if option is None or found is None:
            problems.append(
                _problem(
                    "unknown_prompt_option",
                    say(f'"--{flag.rstrip()}" is not an option of sample prompts and is left out.',
                        f"「--{flag.rstrip()}」はサンプルプロンプトのオプションではないため無視します。"),
                    file, number, say(f"Known: {_known_flags()}.", f"使えるもの: {_known_flags()}"), "warning",
                )
            )  # fmt: skip
            continue
        value = _checked(option, (found[2] or "").strip(), f"--{found[1].lower()}", problems, file, number)
        if value is not None:
            values[option.name] = [*values.get(option.name, []), value] if option.repeated else value
    return RawPrompt(values, str(file), number)


def resolve_prompt(
    raw: RawPrompt, index: int, spec: FamilySpec, task: TaskSpec, *, seed: int
) -> tuple[SamplePrompt, list[Problem]]:
    """Fill what a prompt leaves open from the task's recommendation, and round its size to what the family can make.

    ``seed`` is used when the prompt names none. The notices say what was rounded or cannot be used by this task.
    """
    values, default, notices = raw.values, task.sample, []
    step = spec.pixel_step

    def notice(code: str, en: str, ja: str) -> None:
        notices.append(_problem(code, say(en, ja), raw.file, raw.line, severity="warning"))

    width, height = int(values.get("width", default.width)), int(values.get("height", default.height))
    size = max(step, width // step * step), max(step, height // step * step)
    if size != (width, height):
        notice("size_rounded", f"{width}x{height} becomes {size[0]}x{size[1]} (multiples of {step}).",
               f"{width}x{height} を {size[0]}x{size[1]} にします（{step} の倍数）。")  # fmt: skip
    wanted = int(values.get("frame_count", default.frames))
    frames = spec.frames_allowed(wanted) if "clips" in spec.capabilities else 1
    if frames != wanted:
        notice(
            "frames_rounded", f"{wanted} frames become {frames}.", f"{wanted} フレームを {frames} フレームにします。"
        )
    unused = [name for name in _IMAGES if name in values and not task.capabilities & _USES[name]]
    if unused:
        notice("prompt_option_unused", f"Task {task.name} does not use {', '.join(unused)}: left out.",
               f"タスク {task.name} は {'、'.join(unused)} を使わないため無視します。")  # fmt: skip
    # Musubi Tuner has --l for real guidance and --g for the embedded kind; where only one exists, both words mean it.
    embedded = "embedded_guidance" in spec.capabilities
    guidance = values.get("cfg_scale")
    if guidance is None:
        guidance = 1.0 if embedded else values.get("guidance_scale", default.guidance_scale)
    return SamplePrompt(
        index=index,
        text=values.get("prompt", ""),
        negative=values.get("negative_prompt", default.negative),
        width=size[0],
        height=size[1],
        frames=frames,
        steps=int(values.get("sample_steps", default.steps)),
        guidance_scale=float(guidance),
        embedded_guidance=float(values.get("guidance_scale", default.guidance_scale)) if embedded else 1.0,
        flow_shift=values.get("discrete_flow_shift") or default.flow_shift,
        seed=int(values.get("seed", seed)),
    ), notices


_USES = {
    "image_path": frozenset({"i2v"}),
    "end_image_path": frozenset({"i2v"}),
    "control_video_path": frozenset({"control_video"}),
    "control_image_path": frozenset({"control_images"}),
    "one_frame": frozenset({"one_frame"}),
}


def _checked(
    option: _Value, text: str, shown: str, problems: list[Problem], file: str | Path, line: int = 0
) -> Any | None:
    """The value of one option, or ``None`` with a problem. Steps are clamped to 1..1000 as Musubi Tuner does."""
    try:
        value = option.read(text)
    except (ValueError, OverflowError):
        value = None
    if option.read is str:
        wrong = not text and option.name != "negative_prompt"
    else:  # written so that "nan" is wrong too
        wrong = value is None or not (option.lowest is None or option.lowest <= value) or not value <= option.highest
    if wrong:
        kind = _KINDS[option.read]()
        bound = "" if option.lowest is None else say(f" of at least {option.lowest}", f"（{option.lowest} 以上）")
        if value is not None and option.lowest is not None and value > option.lowest:
            bound = say(f" of at most {option.highest:g}", f"（{option.highest:g} 以下）")
        problems.append(
            _problem("wrong_prompt_value", say(f'{shown} "{text}": {option.name} needs {kind}{bound}.',
                                               f"{shown}「{text}」: {option.name} には{kind}{bound}が必要です。"), file, line)
        )  # fmt: skip
        return None
    if option.name == "sample_steps" and not 1 <= value <= MAX_STEPS:
        clamped = min(max(value, 1), MAX_STEPS)
        problems.append(
            _problem("steps_clamped", say(f"{value} steps become {clamped} (1 to {MAX_STEPS}).",
                                          f"ステップ数 {value} を {clamped} にします（1〜{MAX_STEPS}）。"),
                     file, line, severity="warning")
        )  # fmt: skip
        return clamped
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _error(
            "missing_file", say("The prompt file does not exist.", "プロンプトファイルがありません。"), path
        ) from None
    except UnicodeDecodeError as error:
        raise _error(
            "not_utf8",
            say(
                f"The prompt file is not UTF-8 (byte {error.start}).",
                f"UTF-8 ではありません（{error.start} バイト目）。",
            ),
            path,
            say("Save it as UTF-8.", "UTF-8 で保存し直してください。"),
        ) from None
    except OSError as error:
        raise _error(
            "unreadable_file",
            say(f"The prompt file cannot be read: {error.strerror}.", f"読めません: {error.strerror}"),
            path,
        ) from None


def _from_lines(text: str, path: Path, problems: list[Problem]) -> list[RawPrompt]:
    return [
        parse_prompt_line(line, problems, file=path, number=number)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def _from_json(text: str, path: Path, problems: list[Problem]) -> list[RawPrompt]:
    try:
        entries = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        problems.append(
            _problem("not_json", say(f"Not valid JSON: {error}.", f"JSON として読めません: {error}"), path, line)
        )
        return []
    if not isinstance(entries, list):
        problems.append(_wrong_shape(path))
        return []
    return _from_entries(entries, {}, path, problems)


def _from_toml(text: str, path: Path, problems: list[Problem]) -> list[RawPrompt]:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else 0
        problems.append(
            _problem("not_toml", say(f"Not valid TOML: {error}.", f"TOML として読めません: {error}"), path, line)
        )
        return []
    table = document.get("prompt")
    subsets = table.get("subset") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(subsets, list | None):
        problems.append(_wrong_shape(path))
        return []
    shared = {name: value for name, value in table.items() if name != "subset"}
    return _from_entries([{}] if subsets is None else subsets, shared, path, problems)


def _from_entries(
    entries: Sequence[Any], shared: Mapping[str, Any], path: Path, problems: list[Problem]
) -> list[RawPrompt]:
    prompts = []
    for number, entry in enumerate(entries, start=1):
        if isinstance(entry, str):
            prompts.append(RawPrompt(parse_prompt_line(entry, problems, file=path).values, str(path)))
        elif isinstance(entry, dict):
            prompts.append(RawPrompt(_from_table({**shared, **entry}, number, path, problems), str(path)))
        else:
            problems.append(_wrong_shape(path))
    return prompts


def _from_table(table: Mapping[str, Any], number: int, path: Path, problems: list[Problem]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, given in table.items():
        option = _BY_NAME.get(name)
        if name == "prompt":
            values[name] = str(given).strip()
        elif option is None:
            problems.append(
                _problem(
                    "unknown_prompt_option",
                    say(f"Prompt {number}: {name} is not an option of sample prompts and is left out.",
                        f"プロンプト {number}: {name} はオプションではないため無視します。"),
                    path, 0, say(f"Known: prompt, {', '.join(_BY_NAME)}.", f"使えるもの: prompt, {', '.join(_BY_NAME)}"),
                    "warning",
                )
            )  # fmt: skip
        else:
            several = given if option.repeated and isinstance(given, list) else [given]
            shown = say(f"Prompt {number}: {name} =", f"プロンプト {number}: {name} =")
            # A boolean is no number, and 64.5 no whole one: both are read from their text, as on a line.
            checked = [_checked(option, str(one), shown, problems, path) for one in several]
            if None not in checked:
                values[name] = checked if option.repeated else checked[0]
    if not values.get("prompt"):
        problems.append(
            _problem(
                "no_prompt_text",
                say(f"Prompt {number} has no text.", f"プロンプト {number} に本文がありません。"),
                path,
            )
        )
    return values


def _known_flags() -> str:
    return " ".join(f"--{flag}" for flag in _FLAGS)


def _wrong_shape(path: Path) -> Problem:
    return _problem(
        "not_a_prompt_file",
        say("JSON prompts are a list of lines or tables; TOML prompts are [prompt] with [[prompt.subset]].",
            "JSON は行またはテーブルのリスト、TOML は [prompt] と [[prompt.subset]] です。"),
        path,
    )  # fmt: skip


def _problem(
    code: str, message: str, file: str | Path = "", line: int = 0, fix: str = "", severity: Any = "error"
) -> Problem:
    return Problem(
        code=code, message=message, fix=fix, file=str(file), line=line, key="sample_prompts", severity=severity
    )


def _error(code: str, message: str, path: Path, fix: str = "") -> ConfigError:
    return ConfigError(_problem(code, message, path, fix=fix))
