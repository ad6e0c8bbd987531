"""``presets duplicate`` and ``presets versions``: the next version of a preset, and what became of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.output import OK, narrate, print_json, print_table

DUPLICATE_HELP = say(
    "Make the next version of a preset, with its dataset file and prompts; a run may be named instead.\n\n"
    "v1/ becomes v2/, ink.toml becomes ink-v2.toml. Paths still lead where they led; output_name gets the number.\n\n"
    '  musubi-tui presets duplicate ink/v1/ink.toml --note "half the learning rate"',
    "プリセットの次のバージョンを、データセットファイルとプロンプトごと作成します。run を指定することもできます。\n\n"
    "v1/ は v2/ に、ink.toml は ink-v2.toml になります。パスの指す先は変わらず、output_name には番号が付きます。\n\n"
    '  musubi-tui presets duplicate ink/v1/ink.toml --note "学習率を半分に"',
)
VERSIONS_HELP = say(
    "List the versions of a preset: notes, what each changed since its parent, and its runs.",
    "プリセットのバージョンを一覧します（メモ、親からの変更点、run）。",
)
PresetArgument = Annotated[
    str, typer.Argument(metavar="PRESET", help=say("A file, a name of the library, or a run.", "ファイル、ライブラリの名前、または run。"))
]  # fmt: skip


def duplicate(
    preset: PresetArgument,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help=say("Why: shown beside the version.", "メモ。バージョンの横に表示されます。"))] = "",
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Make the next version of a preset."""
    from musubi_tui.presets import versions

    plan = versions.plan_next(_preset_or_run(preset))
    made = versions.make(plan, note)
    if as_json:
        copies = [{"from": str(source), "to": str(target)} for source, target in plan.copies]
        print_json(
            {"preset": str(made.preset), "version": made.number, "parent": str(plan.source.preset), "copies": copies}
        )
        return OK
    typer.echo(str(made.preset))
    for _, target in plan.copies[1:]:
        narrate(say(f"with {target}", f"付属: {target}"))
    return OK


def list_versions(preset: PresetArgument, as_json: JsonOption = False) -> int:
    """List the versions of a preset."""
    from musubi_tui.presets.lineage import changes_since_parent, history_of

    found = history_of(_preset_or_run(preset))[::-1]
    if as_json:
        print_json([
            {
                "version": chapter.version.number,
                "preset": str(chapter.version.preset),
                "parent": str(chapter.version.parent) if chapter.version.parent else None,
                "note": chapter.version.note,
                "created": chapter.version.created or None,
                "changes": [
                    {"key": change.key, "before": change.before, "after": change.after}
                    for change in changes_since_parent(chapter.version) or ()
                ],
                "runs": [run.id for run in chapter.runs],
            }
            for chapter in found
        ])  # fmt: skip
        return OK
    rows = [
        (chapter.version.label, chapter.version.preset.name, chapter.version.created[:10] or "-", chapter.version.note or "-",
         chapter.changes or "-", ", ".join(run.id for run in chapter.runs) or "-")
        for chapter in found
    ]  # fmt: skip
    print_table(
        (say("VERSION", "版"), say("FILE", "ファイル"), say("MADE", "作成"), say("NOTE", "メモ"), say("CHANGED", "変更点"), "RUNS"), rows
    )  # fmt: skip
    return OK


def _preset_or_run(word: str) -> Path:
    """The file meant. Raises ``UserError``."""
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.finding import find_run
    from musubi_tui.runs.origin import preset_of

    no_preset: UserError | None = None
    try:
        path = find_preset(word)
        if not path.is_dir():  # a missing file is told as such when it is read
            return path
    except UserError as error:
        no_preset = error
    try:
        run = find_run(word)
    except UserError:
        if no_preset is not None:
            raise no_preset from None
        from engine.config.toml_source import read_text

        read_text(path)  # a folder, but no run's: says so, and which presets lie in it
        raise
    return preset_of(run)
