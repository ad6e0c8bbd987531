"""``musubi-tui runs rm``: delete a run, after showing what goes and what stays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption, RunArgument, YesOption
from musubi_tui.cli.output import OK, narrate, print_json

if TYPE_CHECKING:
    from musubi_tui.runs.removing import Removal

HELP = say(
    "Delete a run: its states, log, samples and the LoRAs in it. A folder outside the run (output_dir) is kept.",
    "run を削除します（状態、ログ、サンプル、run 内の LoRA）。run の外にある output_dir は残します。",
)


def rm(
    run: RunArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.removing import plan_removal, remove

    try:
        target = find_run(run)
    except UserError as error:
        if error.problems[0].code != "run_gone":
            raise
        return _forget(str(error.problems[0].file), as_json)
    removal = plan_removal(target)
    if not as_json:
        _tell(removal)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UserError.of(
                "unconfirmed",
                say("Nothing was deleted: nobody confirmed it.", "確認がないため、何も削除していません。"),
                say("Give --yes.", "--yes を付けてください。"),
            )
        typer.confirm(say("Delete it?", "削除しますか？"), abort=True, err=True)
    remove(target, narrate)
    if as_json:
        kept = [str(path) for path in removal.kept]
        print_json({"id": target.id, "run_dir": str(target.path), "bytes": removal.total, "kept": kept})
    else:
        narrate(say(f"Deleted {target.id}.", f"{target.id} を削除しました。"))
    return OK


def _tell(removal: Removal) -> None:
    from musubi_tui.runs.removing import size_text

    lines = [say(f"Will be deleted: {removal.run.path}", f"削除対象: {removal.run.path}")]
    lines.append(say(f"  resume states  {size_text(removal.states)}", f"  再開用の状態  {size_text(removal.states)}"))
    lines += [f"  LoRA  {path.relative_to(removal.run.path)}  {size_text(size)}" for path, size in removal.loras]
    lines.append(say(f"  log, samples, settings  {size_text(removal.other)}", f"  ログ・サンプル・設定  {size_text(removal.other)}"))  # fmt: skip
    lines += [say(f"Kept: {path}", f"残すもの: {path}") for path in removal.kept]
    narrate("\n".join(lines))


def _forget(path: str, as_json: bool) -> int:
    from pathlib import Path

    from musubi_tui.runs.registry import Registry

    gone = Path(path)
    Registry().forget(gone)
    if as_json:
        print_json({"id": gone.name, "run_dir": path, "bytes": 0, "kept": []})
    else:
        narrate(say(f"{gone.name} is off the list; its folder was gone already.", f"{gone.name} を一覧から外しました（フォルダーはすでにありません）。"))  # fmt: skip
    return OK
