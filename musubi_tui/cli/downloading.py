"""``musubi-tui models download``: the files of a family from the hub, as the wizard fetches them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli import output
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.family_option import require_family, require_task


@output.in_japanese(
    """モデルのファイルを Hugging Face hub からダウンロードします。途中のものは続きから再開し、チェックサムで確認します。

      musubi-tui models download --family wan --task t2v-1.3B --out models
    """
)
def download(
    family: Annotated[str, typer.Option("--family", help=say("Model family.", "モデルのファミリー。"))],
    task: Annotated[
        str, typer.Option("--task", help=say("Task, which decides the size.", "サイズを決めるタスク。"))
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KEY",
            help=say("Only this file (dit, vae …); may be repeated.", "このファイルだけ（dit、vae など、複数可）。"),
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help=say("Folder to write.", "保存先フォルダー。"))] = Path("models"),
    as_json: JsonOption = False,
) -> None:
    """Download a family's model files from the Hugging Face hub: half a download goes on, checksums are compared.

      musubi-tui models download --family wan --task t2v-1.3B --out models

    HF_ENDPOINT and HF_TOKEN work as everywhere. The tokenizer is fetched by the run that needs it.
    """  # fmt: skip
    from musubi_tui.presets.wizard.around import slots_for
    from musubi_tui.presets.wizard.downloading import fetch, look_up

    spec = require_family(family)
    slots = [slot for slot in slots_for(spec, require_task(spec, task)) if slot.role != "tokenizer"]
    unknown = set(only or ()) - {slot.option for slot in slots}
    if unknown:
        known = ", ".join(slot.option for slot in slots)
        raise UserError.of(
            "usage",
            say(f"{spec.name} has no file {min(unknown)!r}.", f"{spec.name} に {min(unknown)!r} というファイルはありません。"),
            say(f"There are: {known}.", f"ファイル: {known}。"),
            key="only",
        )  # fmt: skip
    wanted = look_up([slot for slot in slots if not only or slot.option in only])
    paths = fetch(wanted, out, output.tenths())
    if as_json:
        output.print_json({one.slot.option: path.absolute() for one, path in zip(wanted, paths, strict=True)})
        return
    for path in paths:
        sys.stdout.write(f"{path}\n")
