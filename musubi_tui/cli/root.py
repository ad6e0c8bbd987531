"""``musubi-tui`` itself: the lazy table of commands, and the frame in which a command runs and fails.

The overview and typing errors touch no command module. An exception that a person can act on becomes a paragraph and an
exit code; a traceback means a bug of ours.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from engine.config.language import say
from engine.config.problems import Problem, UserError
from musubi_tui import __version__
from musubi_tui.cli.arguments import NoMouseOption
from musubi_tui.cli.commands import COMMANDS
from musubi_tui.cli.guard import guarded
from musubi_tui.cli.output import print_problems
from musubi_tui.terminal_width import cells


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Import the module of one command and build it. Raises ``KeyError`` for a name that is not in the table."""
    entry = COMMANDS[name]
    target = getattr(import_module(entry.module), entry.attribute)
    if entry.kind == "group":
        group = get_group(target)
        group.no_args_is_help = True
        command: Any = group
    else:
        single = typer.Typer(rich_markup_mode="rich", add_completion=False)
        single.command(name)(target)
        command = get_command(single)
    command.name = name
    if not command.help:
        command.help = entry.help
    for one in (command, *getattr(command, "commands", {}).values()):
        one.help = laid_out(one.help or "")
    return command  # type: ignore[no-any-return]


def laid_out(text: str) -> str:
    """A long help as Rich shall draw it: sentences flow to the width of the terminal, examples keep their lines and indentation."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        if all(line.startswith("  ") for line in lines):
            paragraphs.append("[none][/none]" + "\n".join(lines))  # Typer strips blanks at the beginning of the text
        else:
            paragraphs.append(_joined(line.strip() for line in lines))
    return "\n\n".join(paragraphs)


def _joined(lines: Iterable[str]) -> str:
    """One line; between Japanese characters there is no blank."""
    text = ""
    for line in lines:
        wide = text and line and all(cells(char) == 2 for char in (text[-1], line[0]))
        text += line if wide or not text else f" {line}"
    return text


class LazyGroup(TyperGroup):
    """Shows every command of the table, imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help, rich_markup_mode="rich"), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Swap the placeholder for the real command just before it runs (or completes its arguments)."""
        name = args[0]
        if name in COMMANDS:
            self.commands[name] = load_command(name)
        elif not name.startswith("-") and not ctx.resilient_parsing:
            raise UserError(_unknown_command(name))
        return super().resolve_command(ctx, args)


def _behind_dashes(error: typer.TyperException, option: str, arguments: Sequence[str]) -> tuple[str, str] | None:
    """The word that was taken for ``option`` where it looks like a name (``-dash.png``), and the command line that takes it for one."""
    context = getattr(error, "ctx", None)
    if context is None or all(one.param_type_name != "argument" for one in context.command.params):
        return None
    at = next((n for n, word in enumerate(arguments) if word.startswith(option) and _is_name(word)), None)
    if at is None:
        return None
    rest = arguments[at:]
    ends = next((n for n, word in enumerate(rest) if n and word.startswith("-") and not _is_name(word)), len(rest))
    words = [*arguments[:at], *rest[ends:], "--", *rest[:ends]]  # options behind the name go before it
    return arguments[at], f"`{shlex.join(['musubi-tui', *words])}`"


def _is_name(word: str) -> bool:
    """Whether a word with a dash in front may be meant as the name of a file or an item: no option looks so."""
    clustered = word.startswith("-") and not word.startswith("--") and len(word) > 2
    return clustered or ("." in word and "=" not in word) or os.path.lexists(word)


def _unknown_command(name: str) -> Problem:
    near = get_close_matches(name, COMMANDS, n=1)
    fix = say(f"Did you mean {near[0]!r}?", f"{near[0]!r} のことですか？") if near else ""
    overview = say("`musubi-tui --help` lists the commands.", "コマンドの一覧は `musubi-tui --help` にあります。")
    return Problem(
        code="unknown_command",
        message=say(f"There is no command {name!r}.", f"{name!r} というコマンドはありません。"),
        fix=f"{fix} {overview}".strip(),
    )


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=say(
        "Train LoRAs of diffusion models from a terminal: presets in, LoRA and pictures out.",
        "ターミナルから拡散モデルの LoRA を学習します。プリセットを渡すと LoRA と画像ができます。",
    ),
    epilog=say(
        "Start with [bold]musubi-tui demo[/bold]. Exit codes: 0 ok, 1 the job failed, 2 your input is wrong, "
        "3 the machine lacks something, 75 preempted and saved, 130 interrupted.",
        "まずは [bold]musubi-tui demo[/bold] からどうぞ。終了コード: 0 成功、1 ジョブの失敗、2 入力の誤り、"
        "3 環境の不足、75 中断・保存済み、130 割り込み。",
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"musubi-tui {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help=say("Print the version and exit.", "バージョンを表示して終了します。"),
        ),
    ] = False,
    no_mouse: NoMouseOption = False,
) -> None:
    if ctx.invoked_subcommand is None:
        from musubi_tui.cli.opening import open_app

        raise typer.Exit(open_app(mouse=not no_mouse))
    if no_mouse:
        raise UserError.of(
            "usage",
            say("--no-mouse is for the app.", "--no-mouse はアプリ用のオプションです。"),
            say(
                "Give it alone, or behind `runs open` and `presets edit`.",
                "単独で、または `runs open`、`presets edit` の後に付けてください。",
            ),
        )


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Everything that can go wrong has been told on stderr by then."""
    return guarded(lambda: _typed(arguments))


def _typed(arguments: Sequence[str]) -> int:
    """Typer's part: a typing error is told, everything else goes on to ``guarded``."""
    try:
        result = app(list(arguments), prog_name="musubi-tui", standalone_mode=False)
    except typer.TyperException as error:
        return _usage_error(error, arguments)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return result if isinstance(result, int) else 0


def _usage_error(error: typer.TyperException, arguments: Sequence[str]) -> int:
    """A wrong option or argument, as a paragraph with the command whose help explains it."""
    text = _usage_text(error, arguments).strip()
    if text:  # empty when a group without arguments has printed its help already
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "musubi-tui"
        if text[-1] not in ".?!)。？":
            text += "."
        print_problems(
            [Problem("usage", text, say(f"`{path} --help` explains it.", f"説明は `{path} --help` にあります。"))]
        )
    return error.exit_code


def _usage_text(error: typer.TyperException, arguments: Sequence[str]) -> str:
    """The two most frequent complaints in the user's language, the others in Typer's own words."""
    option = getattr(error, "option_name", None)
    near = getattr(error, "possibilities", None)
    if option and hasattr(error, "possibilities"):
        behind = _behind_dashes(error, str(option), arguments)
        if behind is not None:
            word, line = behind
            return say(
                f"{word} begins with a dash and is taken for an option. If it is a name, write it behind --: {line}",
                f"{word} はハイフンで始まるためオプションとして扱われました。名前であれば -- の後に書いてください: {line}",
            )
        unknown = say(f"There is no option {option}.", f"{option} というオプションはありません。")
        return unknown + (say(f" Did you mean {near[0]}?", f" {near[0]} のことですか？") if near else "")
    parameter = getattr(error, "param", None)
    if parameter is not None and hasattr(error, "param_type"):  # a parameter that was not given
        hint = parameter.get_error_hint(getattr(error, "ctx", None)).strip("'")
        return say(f"{hint} is missing.", f"{hint} が指定されていません。")
    text = error.format_message()
    extra = re.fullmatch(r"Got unexpected extra arguments?\(?s?\)? \((.*)\)", text)
    if extra:
        told = say(f"{extra[1]} is one word too many.", f"余分な引数です: {extra[1]}。")
        options = "--" in arguments and extra[1].startswith("-")
        return told + (say(" Options stand before --.", " オプションは -- の前に書きます。") if options else "")
    nothing = re.match(r"No such command '(.*?)'", text)
    if nothing:
        return say(f"There is no command {nothing[1]!r}.", f"{nothing[1]!r} というコマンドはありません。")
    return text
