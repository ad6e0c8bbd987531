"""``musubi-tui presets edit``: the app on one preset."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import NoMouseOption

HELP = say(
    "Edit a preset in the app: every option with its meaning, the file beside it. Without PRESET one chooses there.\n\n"
    "  musubi-tui presets edit my.toml",
    "アプリでプリセットを編集します（全項目の説明付き、隣にファイルの内容）。PRESET を省略すると一覧から選びます。\n\n"
    "  musubi-tui presets edit my.toml",
)


def edit(
    preset: Annotated[
        str,
        typer.Argument(
            metavar="[PRESET]",
            help=say("A file, or a name from `presets list`.", "ファイル、または `presets list` の名前。"),
            show_default=False,
        ),
    ] = "",
    no_mouse: NoMouseOption = False,
) -> int:
    from musubi_tui.cli.opening import full_screen, open_app
    from musubi_tui.presets.library import find_preset

    path = find_preset(preset) if preset else None
    if not full_screen():
        raise UserError.of(
            "no_terminal",
            say("The app needs a terminal.", "アプリには端末が必要です。"),
            say(
                "In lines: `musubi-tui presets set FILE key=value`.",
                "行操作: `musubi-tui presets set FILE key=value`。",
            ),
        )
    return open_app(edit=str(path or ""), mouse=not no_mouse)
