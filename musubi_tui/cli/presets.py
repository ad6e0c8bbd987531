"""``musubi-tui presets``: look at presets, check them, change values in place, copy and compare them, look options up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import say
from engine.config.problems import ConfigError, UserError
from musubi_tui.cli import editing, importing, versions
from musubi_tui.cli.arguments import JsonOption, PresetArgument
from musubi_tui.cli.output import WRONG_INPUT, harmless, narrate, print_json, print_problems, print_table

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory

app = typer.Typer(
    rich_markup_mode="rich",
    help=say(
        "Presets are TOML files that say what to train. Yours, Musubi Tuner's and the shipped ones are all read.\n\n"
        "Start with [bold]presets list[/bold], take one with [bold]presets copy[/bold], fill in your paths with "
        "[bold]presets set[/bold], and see with [bold]presets check[/bold] whether it can start.",
        "プリセットは学習内容を書いた TOML ファイルです。自作、Musubi Tuner のもの、同梱のものをすべて読み込めます。\n\n"
        "[bold]presets list[/bold] で一覧、[bold]presets copy[/bold] で複製、[bold]presets set[/bold] でパスなどを記入し、"
        "[bold]presets check[/bold] で開始できるか確認します。",
    ),
)


@app.command("list", help=say("List your own presets and the shipped ones.", "自作と同梱のプリセットを一覧します。"))
def list_(as_json: JsonOption = False) -> None:
    from musubi_tui.presets.library import list_presets

    presets = list_presets()
    if as_json:
        keys = ("name", "path", "origin", "title", "family", "task", "readable")
        print_json([{key: getattr(preset, key) for key in keys} for preset in presets])
        return
    origins = {"shipped": say("shipped", "同梱"), "own": say("own", "自作")}
    print_table(
        (
            say("NAME", "名前"),
            say("FAMILY", "ファミリー"),
            say("TASK", "タスク"),
            say("FROM", "種別"),
            say("WHAT", "内容"),
        ),
        [(preset.name, preset.family, preset.task, origins[preset.origin], preset.title) for preset in presets],
    )
    narrate(say("Take one: musubi-tui presets copy NAME my.toml", "使うには: musubi-tui presets copy 名前 my.toml"))


@app.command(
    help=say(
        "Print a preset. With --resolved: every option with its value and where that comes from.",
        "プリセットを表示します。--resolved では全項目の値と、その出どころを表示します。",
    )
)
def show(
    preset: PresetArgument,
    resolved: Annotated[
        bool,
        typer.Option("--resolved", help=say("All options, with the source of each value.", "全項目と値の出どころ。")),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    from musubi_tui.presets.library import find_preset

    path = find_preset(preset)
    if not resolved and not as_json:
        from engine.config.toml_source import read_text

        text = read_text(path)
        # A pipe gets the file as it is; a terminal nothing that would steer it, and no secrets to be read over a shoulder.
        sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
        return
    from engine.config.toml_text import toml_value
    from musubi_tui.presets.comparing import resolve

    values = resolve(path)
    if as_json:
        rows = [
            {"section": entry.section, "key": entry.key, "value": _plain(entry.value), "source": entry.source}
            for entry in values
        ]
        print_json({"path": str(path), "values": rows})
        return
    print_table(
        (say("OPTION", "項目"), say("VALUE", "値"), say("FROM", "出どころ")),
        [(e.key, "-" if e.value is None else toml_value(e.value), e.source) for e in values],
    )


@app.command(
    help=say(
        "Check a preset, its files and its dataset. Nothing is started. Exit code 2 when there are errors.",
        "プリセットと、そのファイルやデータセットを検査します。何も開始しません。エラーがあれば終了コードは 2 です。",
    )
)
def check(preset: PresetArgument, as_json: JsonOption = False) -> None:
    from engine.config import check_config
    from musubi_tui.datasets.opening import scan_memory
    from musubi_tui.presets.library import find_preset

    try:
        problems = check_config(find_preset(preset), memory=scan_memory())
    except UserError as error:
        problems = list(error.problems)
    errors = [problem for problem in problems if problem.severity == "error"]
    warnings = [problem for problem in problems if problem.severity == "warning"]
    if as_json:
        print_json(
            {
                "ok": not errors,
                "errors": [problem.as_json() for problem in errors],
                "warnings": [problem.as_json() for problem in warnings],
            }
        )
    else:
        print_problems(problems)
        if not errors:
            noted = len(warnings)
            narrate(
                say(
                    f"ok: no errors, {noted} {'warning' if noted == 1 else 'warnings'}.",
                    f"OK: エラーなし、警告 {noted} 件。",
                )
                if noted
                else say("ok: nothing to complain about.", "OK: 問題はありません。")
            )
    if errors:
        raise typer.Exit(WRONG_INPUT)


@app.command(
    "set",
    help=say(
        "Change values in place: musubi-tui presets set my.toml learning_rate=1e-4 max_train_steps=2000\n\n"
        "Comments, order and spelling of everything else stay byte for byte; a new key goes beside the options of its "
        "section. key=none removes the line. Lists: network_args='[\"rank_dropout=0.1\"]'. Dataset tables of the file, from 0: "
        "general.batch_size=2 datasets.0.num_repeats=4.",
        "値をその場で変更します: musubi-tui presets set my.toml learning_rate=1e-4 max_train_steps=2000\n\n"
        "他の部分のコメント・順序・表記は 1 バイトも変わりません。新しい項目は同じ分類の項目の隣に入ります。"
        "key=none で行を削除します。リストの例: network_args='[\"rank_dropout=0.1\"]'。ファイル内のデータセット（0 から）: "
        "general.batch_size=2 datasets.0.num_repeats=4",
    ),
)
def set_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=say("The preset file.", "プリセットファイル。"), show_default=False)
    ],
    assignments: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE...", help=say("What to change.", "変更内容。"), show_default=False),
    ],
    as_json: JsonOption = False,
) -> None:
    values = _assignments(assignments)
    from musubi_tui.presets.editing import set_values

    changes = set_values(file, values)
    if as_json:
        keys = ("key", "before", "after", "line")
        print_json({"file": str(file), "changes": [{key: getattr(c, key) for key in keys} for c in changes]})
        return
    for change in changes:
        before, after = (
            text if text is not None else say("(unset)", "(未指定)") for text in (change.before, change.after)
        )
        typer.echo(f"{file}:{change.line}: {change.key}: {before} -> {after}")
    if not changes:
        narrate(say("Nothing to change.", "変更はありません。"))


@app.command(
    help=say(
        "Copy a preset to a file of your own, or into your library when no file is given.",
        "プリセットを自分のファイルに複製します。ファイルを省略すると自分のライブラリに入ります。",
    )
)
def copy(
    preset: PresetArgument,
    to: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help=say("File or folder to write.", "書き込むファイルまたはフォルダー。"),
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help=say("Replace an existing file.", "既存のファイルを置き換えます。"))
    ] = False,
) -> None:
    from musubi_tui.presets.copying import copy_preset
    from musubi_tui.presets.library import find_preset

    written = copy_preset(find_preset(preset), to, force=force)
    typer.echo(str(written))
    narrate(
        say(
            f"Fill in your paths: musubi-tui presets set {written} dit=… dataset_config=…",
            f"パスを記入: musubi-tui presets set {written} dit=… dataset_config=…",
        )
    )


@app.command(
    help=say(
        "Compare what two presets would train; with one, what it changes from the defaults, with --base from the preset it builds "
        "on, with --run from what a run was started with (last: the newest run of this preset, else of all).",
        "2 つのプリセットの学習内容を比べます。1 つだけ指定すると、デフォルトからの変更を、--base では元のプリセットからの"
        "変更を、--run では run 開始時の設定からの変更を表示します（last: このプリセットの最新の run、なければ全体で最新）。",
    )
)
def diff(
    preset: PresetArgument,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help=say("What to compare with.", "比較対象。"), show_default=False),
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help=say("Compare with the preset it builds on.", "元のプリセットと比べます。"))
    ] = False,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help=say("Compare with this run.", "この run と比べます。"), show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    from engine.config.toml_text import toml_value
    from musubi_tui.presets import comparing
    from musubi_tui.presets.library import find_preset

    if sum((base, other is not None, run is not None)) > 1:
        raise UserError.of(
            "usage", say("OTHER, --base and --run exclude each other.", "OTHER、--base、--run は同時に指定できません。")
        )
    left, right = find_preset(preset), find_preset(other) if other else None
    if run is not None:
        started = _run_of(left, run)
        found, other_name = comparing.run_differences(left, started), started.id
    elif base:
        found, other_name = comparing.base_differences(left), say("base", "元")
    else:
        found, other_name = comparing.differences(left, right), right.name if right else say("default", "デフォルト")
    if as_json:
        print_json(
            [{"section": d.section, "key": d.key, "left": _plain(d.left), "right": _plain(d.right)} for d in found]
        )
        return
    if not found:
        narrate(say(f"Nothing differs from {other_name}.", f"{other_name} との違いはありません。"))
        return
    name = left.name
    if right is not None and right.name == name:  # ink/v1/ink.toml and ink/v2/ink.toml
        name, other_name = f"{left.parent.name}/{name}", f"{right.parent.name}/{right.name}"
    rows = [(d.key, *("-" if v is None else toml_value(v) for v in (d.left, d.right))) for d in found]
    print_table((say("OPTION", "項目"), name, other_name), rows)


def _run_of(preset: Path, word: str) -> RunDirectory:
    from musubi_tui.presets.versus import last_run
    from musubi_tui.runs.finding import find_run

    return last_run(preset) if word == "last" else find_run(word)


@app.command(
    help=say(
        "Explain options: all of them, those that contain a word, or those that apply to a family.",
        "項目を説明します。すべて、語を含むもの、またはファミリーで使えるものを表示します。",
    )
)
def options(
    word: Annotated[
        str,
        typer.Argument(metavar="[WORD]", help=say("Part of a name, or a section.", "名前の一部、またはセクション名。")),
    ] = "",
    family: Annotated[
        str | None,
        typer.Option("--family", help=say("Only what applies to this family.", "このファミリーで使える項目のみ。")),
    ] = None,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema", help=say("Print the JSON Schema of presets.", "プリセットの JSON Schema を出力します。")
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    from engine.config import json_schema, reference

    chosen = reference.choose(word=word, family=family)
    if schema:
        print_json(json_schema.preset_schema())
    elif as_json:
        print_json([reference.as_json(option) for option in chosen])
    elif not chosen:
        raise ConfigError.of(
            "unknown_key", say(f"no option contains {word!r}.", f"{word!r} を含む項目はありません。"), _hint(word)
        )
    else:
        typer.echo("\n\n".join(reference.describe(option) for option in chosen))


app.command("duplicate", help=versions.DUPLICATE_HELP)(versions.duplicate)
app.command("versions", help=versions.VERSIONS_HELP)(versions.list_versions)
app.command("edit", help=editing.HELP)(editing.edit)
app.command("import", help=importing.HELP)(importing.import_)


def _hint(word: str) -> str:
    from engine.config.entries import suggestion

    return suggestion(word)


def _assignments(words: list[str]) -> dict[str, Any]:
    """``["a=1"]`` -> values by name. Raises ``UserError`` for a word without "="."""
    values: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UserError.of(
                "usage",
                say(f"{word!r} is not of the form key=value.", f"{word!r} は key=value の形ではありません。"),
                say("Example: learning_rate=1e-4", "例: learning_rate=1e-4"),
            )
        values[name.strip()] = value
    return values


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value
