"""``musubi-tui presets import``: a config of another trainer becomes a preset, and every key of it is accounted for."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import counted, say
from engine.config.problems import ConfigError, MissingRequirement, UserError
from musubi_tui.cli.output import OK, WRONG_INPUT, narrate, print_json, print_problems

if TYPE_CHECKING:
    from musubi_tui.presets.importing.account import Line
    from musubi_tui.presets.importing.formats import Imported

HELP = say(
    "Make a preset of another trainer's config, and say of every key of it what became of it.\n\n"
    "SOURCE is a file, or - for what you paste (end with Ctrl-D): a command line of Musubi Tuner "
    "([bold]accelerate launch … wan_train_network.py --dit …[/bold], its cache commands may stand beside it), TOML of Musubi "
    "Tuner, sd-scripts or diffusion-pipe, YAML of ai-toolkit, JSON of OneTrainer or SimpleTuner.\n\n"
    "  musubi-tui presets import train.yaml my.toml\n\n"
    "  musubi-tui presets import - my.toml --from musubi\n\n"
    "Without OUT the preset is printed. What another trainer does by default is written out, so that the preset means the "
    "same. Nothing is dropped silently: what has no counterpart stands at the end of the preset and in the account.",
    "他のトレーナーの設定をプリセットに変換し、すべてのキーの行き先を報告します。\n\n"
    "SOURCE はファイル、または - で貼り付け (Ctrl-D で終了) です。Musubi Tuner のコマンドライン "
    "([bold]accelerate launch … wan_train_network.py --dit …[/bold]。キャッシュのコマンドを並べても可)、Musubi Tuner・"
    "sd-scripts・diffusion-pipe の TOML、ai-toolkit の YAML、OneTrainer・SimpleTuner の JSON を読み込めます。\n\n"
    "  musubi-tui presets import train.yaml my.toml\n\n"
    "  musubi-tui presets import - my.toml --from musubi\n\n"
    "OUT を省略すると標準出力に表示します。元のトレーナーのデフォルト値も書き出すため、意味は変わりません。"
    "対応するものがないキーは、プリセットの末尾と報告に残ります。",
)


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help=say("File, or - for stdin.", "ファイル、または - (標準入力)。"), show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]",
            help=say("Preset to write; - or nothing prints it.", "書き込むプリセット。- または省略で表示。"),
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TRAINER",
            help=say(
                "Whose config it is: musubi, kohya, diffusion-pipe, ai-toolkit, onetrainer or simpletuner; told from the keys otherwise.",
                "設定の種類: musubi, kohya, diffusion-pipe, ai-toolkit, onetrainer, simpletuner。省略時はキーから判別。",
            ),
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            help=say(
                "Model family to train, where the config names none that is built.",
                "学習するモデル (設定から分からない場合)。",
            )
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help=say("Replace existing files.", "既存のファイルを置き換えます。"))
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help=say("Print the account as JSON.", "報告を JSON で出力します。"))
    ] = False,
) -> int:
    from musubi_tui.presets.importing.preset_text import preset_text, settle

    if out == Path("-"):
        out = None
    imported = _read(source, format, family)
    trainable = imported.family is not None
    settle(imported)
    folder = Path.cwd() if out is None else out.absolute().parent
    named = source if source != "-" else say("a pasted text", "貼り付けたテキスト")
    prompts = None if out is None or not imported.account.prompts else out.with_name(f"{out.stem}-prompts.txt")
    text = preset_text(imported, source=Path(named).name, folder=folder, prompts=prompts.name if prompts else "")
    if out is not None and (trainable or force):
        if prompts is not None:
            _write(prompts, "\n".join(imported.account.prompts) + "\n", force)
        _write(out, text, force)
    problems = (
        [] if imported.family is None else _check(text, folder / (out.name if out is not None else "preset.toml"))
    )
    if as_json:
        print_json(_as_json(imported, out if trainable or force else None, text, problems))
        return OK if trainable else WRONG_INPUT
    if not trainable:
        names = ", ".join(_families())
        narrate(say(f"Not for a model that is trained here ({names}): nothing of it can be trained as it is.", f"対応モデル ({names}) の設定ではないため、このままでは学習できません。"))  # fmt: skip
    if out is None:
        sys.stdout.write(text)
    _tell(imported, out if trainable or force else None)
    print_problems(problems)
    if trainable:
        return OK
    if out is not None and not force:
        narrate(say(f"{out} was not written; --force writes it all the same.", f"{out} は書き込みませんでした。--force なら書き込みます。"))  # fmt: skip
    again = _again(source, out, format, force)
    narrate(say(f"To use its settings for another model name the family, --family ({names}): {again}", f"別のモデルにこの設定を使うには --family ({names}) を指定してください: {again}"))  # fmt: skip
    return WRONG_INPUT


def _again(source: str, out: Path | None, format: str | None, force: bool) -> str:
    """The same command with a family; a file it has just written is replaced."""
    import shlex

    words = ["musubi-tui", "presets", "import", source]
    words += [] if out is None else [str(out), *(["--force"] if force else [])]
    words += [] if format is None else ["--from", format]
    return f"{shlex.join(words)} --family {say('FAMILY', 'モデル名')}"


def _families() -> tuple[str, ...]:
    from engine.families import family_names

    return tuple(family_names())


def _read(source: str, format: str | None, family: str | None) -> Imported:
    from engine.config.toml_source import read_text
    from musubi_tui.presets.importing.formats import TITLES, import_text

    if format is not None and format not in TITLES:
        known = ", ".join(TITLES)
        raise UserError.of(
            "usage",
            say(f"there is no format {format!r}.", f"{format!r} という形式はありません。"),
            say(f"Known: {known}.", f"使えるもの: {known}"),
            key="--from",
        )
    if family is not None and family not in _families():
        known = ", ".join(_families())
        raise UserError.of(
            "unknown_family",
            say(f"there is no family {family!r}.", f"{family!r} というモデルはありません。"),
            say(f"Known: {known}.", f"使えるもの: {known}"),
            key="--family",
        )
    if source == "-":
        text, file = sys.stdin.read(), None
    else:
        file = Path(source)
        text = read_text(file)
    try:
        return import_text(text, here=Path.cwd(), file=file, format=format, family=family)
    except ImportError as error:
        raise MissingRequirement.of(
            "missing_package",
            say(f"a package is missing: {error}.", f"パッケージがありません: {error}"),
            "pip install pyyaml",
        ) from error


def _write(path: Path, text: str, force: bool) -> None:
    from engine.events.atomic import write_bytes_atomically

    if path.exists() and not force:
        message = say("the file exists already; nothing was written.", "ファイルが既にあります。書き込みませんでした。")
        fix = say("Choose another name, or add --force.", "別の名前にするか、--force を付けてください。")
        raise ConfigError.of("file_exists", message, fix, file=path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, text.encode(), 0o644)
    except OSError as error:
        message = say(f"cannot be written: {error.strerror}.", f"書き込めません: {error.strerror}")
        raise ConfigError.of("unwritable_file", message, file=path) from None


def _check(text: str, path: Path) -> list[Any]:
    from engine.config.load import check_source
    from engine.config.toml_source import parse_toml

    return check_source(parse_toml(text, path), check_files=False)


_FATES = (
    ("kept", "kept", "引き継ぎ"),
    ("set", "written out, a default there", "元のデフォルト値を明記"),
    ("no_effect", "without effect here", "本ツールでは影響なし"),
    ("lost", "lost", "引き継げないもの"),
    ("unknown", "unknown", "不明"),
)


def _tell(imported: Imported, out: Path | None) -> None:
    from musubi_tui.presets.importing.formats import TITLES

    lines = imported.account.lines
    counts = Counter(line.fate for line in lines)
    for fate, english, japanese in _FATES:
        mine = [line for line in lines if line.fate == fate]
        if not mine:
            continue
        narrate(f"{say(english, japanese)}: {len(mine)}")
        for line in mine:
            narrate(f"  {_row(line)}")
    where = "" if out is None else say(f" Written: {out}.", f" 書き込み先: {out}")
    gone = counts["lost"] + counts["unknown"]
    narrate(
        say(
            f"{TITLES[imported.format]}: {counted(counts['kept'], 'key')} kept, {gone} not carried over.{where}",
            f"{TITLES[imported.format]}: {counts['kept']} 個を引き継ぎ、{gone} 個は引き継がれませんでした。{where}",
        )
    )


def _row(line: Line) -> str:
    from engine.config.schema import shorten
    from musubi_tui.cli.output import harmless

    value = "" if line.value is None else f" = {shorten(line.value)}"
    target = f" -> {line.option}" if line.option and line.option != line.key else ""
    became = (
        f" {'=' if target else '->'} {shorten(line.became)}"
        if line.became is not None and line.became != line.value
        else ""
    )
    why = f"  ({line.why})" if line.why else ""
    return harmless(f"{line.key}{value}{target}{became}{why}".strip())


def _as_json(imported: Imported, out: Path | None, text: str, problems: list[Any]) -> dict[str, Any]:
    return {
        "from": imported.format,
        "family": imported.family,
        "file": None if out is None else str(out),
        "preset": text,
        "prompts": imported.account.prompts,
        "keys": [
            {
                "key": line.key,
                "value": line.value,
                "fate": line.fate,
                "option": line.option,
                "became": line.became,
                "why": line.why,
            }
            for line in imported.account.lines
        ],
        "problems": [problem.as_json() for problem in problems],
    }
