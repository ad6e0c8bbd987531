"""``musubi-tui models``: which files a family needs, which are here, fetching them, and a tiny set to try everything with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.config.language import say
from engine.config.problems import UserError
from engine.families import FamilySpec, ModelSlot, family_names, get_family
from musubi_tui.cli import downloading, model_check, output
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.family_option import require_family

app = typer.Typer(
    rich_markup_mode="rich",
    help=say("Which model files a family needs and which are here; make a tiny set.", "必要なモデルファイルの一覧と確認、小さなモデル一式の作成。"),
)  # fmt: skip


@app.command("list")
@output.in_japanese(
    """各ファミリーに必要なファイルを、プリセットの項目名・サイズ・入手元リポジトリとともに一覧します。

    キーごとに 1 つのファイルが必要です。「または」は代わりに使えるものです。ComfyUI と公式の形式はどちらも読めます。
    """
)
def list_models(
    family: Annotated[str, typer.Option("--family", help=say("Only this family.", "このファミリーだけ。"))] = "",
    as_json: JsonOption = False,
) -> None:
    """List the files each family needs: the preset key that names it, its size, and the repository people get it from.

    One file for each key; "or" stands before what serves instead. Any layout that ComfyUI or the original release uses is read.
    """
    from musubi_tui.presets.wizard.around import slots_for

    chosen = [require_family(family)] if family else [get_family(name) for name in family_names()]
    if as_json:
        output.print_json([_slot_json(spec, slot) for spec in chosen for slot in spec.slots])
        return
    for number, spec in enumerate(chosen):
        if number:
            output.print_line("")
        output.print_line(
            say(
                f"{spec.title} (--family {spec.name}): one file for each key",
                f"{spec.title}（--family {spec.name}）: キーごとに 1 つ",
            )
        )
        of_task = {task.name: slots_for(spec, task) for task in spec.tasks.values() if task.built}
        for place, slot in enumerate(spec.slots):
            _print_slot(slot, {task: slots[place] for task, slots in of_task.items()})


def _print_slot(slot: ModelSlot, of_task: Mapping[str, ModelSlot]) -> None:
    """The file of each size with its tasks, then what serves instead, then where they come from."""
    wanted: dict[tuple[str, float], list[str]] = {}
    for task, one in of_task.items():
        wanted.setdefault((one.files[0], one.size_gb), []).append(task)
    lines = []
    for (file, size), tasks in wanted.items():
        note = say(f"  for {', '.join(tasks)}", f"  {'、'.join(tasks)} 用") if len(wanted) > 1 else ""
        lines.append(f"{size:>5g} GB  {file}{note}")
    known = [file for file, _ in wanted]
    lines += [say(f"{'':>8}  or {file}", f"{'':>8}  または {file}") for file in slot.files if file not in known]
    lines.append(f"{'':>8}  huggingface.co/{slot.repository}")
    for number, line in enumerate(lines):
        output.print_line(f"  {slot.option if not number else '':<13}{line}")


def _slot_json(spec: FamilySpec, slot: ModelSlot) -> dict[str, Any]:
    return {
        "family": spec.name,
        "option": slot.option,
        "title": slot.title,
        "size_gb": slot.size_gb,
        "repository": slot.repository,
        "files": list(slot.files),
        "needed_for": sorted(slot.needed_for),
    }


app.command("check")(model_check.check)
app.command("download")(downloading.download)


@app.command("tiny")
@output.in_japanese(
    """小さなランダムモデル、キャプション付き写真、データセットファイル、プリセットを書き出します。`train` に必要なものすべてです。

    ファイルの形式は配布モデルと同じでサイズだけが小さいため、通常のコマンドがそのまま使えます。
    ダウンロードはありません。preset.toml が既にあるフォルダーは変更しません。
    """
)
def tiny(
    out: Annotated[Path, typer.Option("--out", help=say("Folder to write.", "書き出すフォルダー。"))],
    family: Annotated[str, typer.Option("--family", help=say("Model family.", "モデルのファミリー。"))] = "",
) -> None:
    """Write a tiny random model, photographs with captions, a dataset file and a preset: all that `train` takes.

    The model files have the layouts people have on disk, only with small sizes, so every ordinary command works on them.
    Nothing is downloaded. A folder that has a preset.toml already is left as it is.
    """
    preset = write_tiny(require_family(family) if family else get_family(family_names()[0]), out)
    output.narrate(say(f"Train it: musubi-tui train {preset}", f"学習: musubi-tui train {preset}"))
    typer.echo(preset)


def write_tiny(spec: FamilySpec, out: Path) -> Path:
    """The preset of a tiny set-up in ``out``, written by the engine unless it is there already.

    Raises ``UserError`` when ``out`` holds a preset of another family, ``typer.Exit`` with the engine's code when it fails.
    """
    import shutil
    import sys

    from engine.config import Config
    from musubi_tui.cli.following import listening, stay_with
    from musubi_tui.cli.live import make_display
    from musubi_tui.runs.creating import create_job
    from musubi_tui.runs.launching import launch

    preset = out / "preset.toml"
    if preset.exists():
        _require_same_family(preset, spec)
        output.narrate(
            say(f"{out} has a tiny model already: using it.", f"{out} には既に小さなモデルがあるため、それを使います。")
        )
        return preset
    output.narrate(
        say(
            f"Writing a tiny {spec.title}, photographs and a preset to {out} (some seconds).",
            f"小さな {spec.title}、写真、プリセットを {out} に書き出します（数秒）。",
        )
    )
    config = Config.of({"family": spec.name, "output_dir": out.absolute()})
    job = create_job(config, kind="tiny", stages=("tiny",), name=f"tiny-{spec.name}")
    with listening() as wishes:
        code = stay_with(job, launch(job, device="cpu"), make_display(sys.stderr), wishes)
    if code == output.OK and preset.exists():
        shutil.rmtree(job.path, ignore_errors=True)
        return preset
    if code == output.OK:  # the person detached and the engine still writes
        output.narrate(
            say(f"The tiny model is still being written to {out}.", f"小さなモデルはまだ {out} に書き出し中です。")
        )
    raise typer.Exit(output.INTERRUPTED if code == output.PREEMPTED else code)


def _require_same_family(preset: Path, spec: FamilySpec) -> None:
    from engine.config import load_config

    found = load_config(preset).config.run.family
    if found != spec.name:
        raise UserError.of(
            "other_family",
            say(f"This folder holds a model of {found}, not {spec.name}.", f"このフォルダーは {spec.name} ではなく {found} のモデルです。"),
            say("Choose another folder, or --family " + str(found) + ".", f"別のフォルダーか、--family {found} を指定してください。"),
            file=preset,
        )  # fmt: skip
