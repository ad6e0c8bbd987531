"""``musubi-tui models check``: which model files are here, told by what is in them, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from engine.families import FamilySpec, family_names, get_family
from musubi_tui.cli import output
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.family_option import require_family, require_task

if TYPE_CHECKING:
    from musubi_tui.presets.wizard.model_check import FileCheck, SlotCheck, TaskCheck


@output.in_japanese(
    """モデルのファイルがそろっているかを、テンソル名で判別して調べます。ファイル名は問いません。途中で切れたファイルや足りない分割ファイルもわかります。

    パスがなければ、ウィザードと同じ場所（models/、ComfyUI、Hugging Face のキャッシュ）を探します。フォルダーを渡すとその中だけ、
    ファイルを渡すとそれが何かを表示します。

      musubi-tui models check --family wan --task t2v-1.3B

      musubi-tui models check ~/Downloads/unknown.safetensors

    終了コード: 0 そろったタスクがある、2 渡したパスが誤り、3 不足。
    """
)
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help=say("Files to tell, or folders to look in.", "調べるファイル、または探すフォルダー。"),
            show_default=False,
        ),
    ] = None,
    family: Annotated[str, typer.Option("--family", help=say("Only this family.", "このファミリーだけ。"))] = "",
    task: Annotated[str, typer.Option("--task", help=say("Only this task.", "このタスクだけ。"))] = "",
    as_json: JsonOption = False,
) -> int:
    """Say which model files are here: told by the names of their tensors, whatever they are called, and whether they are whole.

    Without a path it looks where the wizard does: models/, ComfyUI's folders, the Hugging Face cache. With folders it looks in
    them alone; of a file it says what it is.

      musubi-tui models check --family wan --task t2v-1.3B

      musubi-tui models check ~/Downloads/unknown.safetensors

    Exit code: 0 when all files of a task are here, 2 for a path that is wrong, 3 when files are missing or damaged.
    """  # fmt: skip
    from musubi_tui.presets.wizard.around import Around
    from musubi_tui.presets.wizard.model_check import check_file, check_task

    named = [path.expanduser().absolute() for path in paths or ()]
    _demand(named)
    files = [check_file(path) for path in named if path.is_file()]
    folders = [path for path in named if path.is_dir()]
    specs = _chosen_families(family, task)
    tasks = []
    if folders or not files:
        around = Around.here()
        if folders:
            around.only(folders)
        chosen = [(spec, one) for spec, one in around.offers() if spec in specs and task in ("", one.name)]
        tasks = [check_task(spec, one, around) for spec, one in chosen]
    if as_json:
        output.print_json({"files": [one.as_json() for one in files], "tasks": [one.as_json() for one in tasks]})
    else:
        for file in files:
            _print_file(file)
        for number, found in enumerate(tasks):
            if number or files:
                output.print_line("")
            _print_task(found)
        _advise(tasks)
    if any(file.wrong or not file.serves for file in files):
        return output.WRONG_INPUT
    return output.OK if not tasks or any(one.complete for one in tasks) else output.MISSING_REQUIREMENT


def _demand(paths: list[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise UserError.of("missing_file", say("there is no such file or folder.", "ファイルもフォルダーもありません。"), file=path)  # fmt: skip


def _chosen_families(family: str, task: str) -> list[FamilySpec]:
    specs = [require_family(family)] if family else [get_family(name) for name in family_names()]
    if not task:
        return specs
    having = [spec for spec in specs if task in spec.tasks]
    found = require_task((having or specs)[0], task)
    if not found.built:
        raise UserError.of("not_built", say(f"{found.title} cannot be trained in this release yet.", f"{found.title} はこのリリースではまだ学習できません。"), key="task")  # fmt: skip
    return having


def _print_file(file: FileCheck) -> None:
    output.print_line(f"{file.path}  {_size(file.size)}")
    if file.wrong:
        output.print_line(say(f"  cannot be used: {file.wrong}", f"  使えません: {file.wrong}"))
        return
    output.print_line(f"  {file.what or say('nothing that is known', '不明なファイル')}")
    for family, option in file.serves:
        title = get_family(family).title
        output.print_line(say(f"  serves as {option} of {title} (--family {family})", f"  {title} の {option} に使えます（--family {family}）"))  # fmt: skip
    if not file.serves:
        output.print_line(say("  serves in no place of a model that can be trained here.", "  ここで学習できるモデルの部品ではありません。"))  # fmt: skip


def _print_task(found: TaskCheck) -> None:
    verdict = say("all files are here", "すべてあります") if found.complete else say("not complete", "不足あり")
    toy = say(" (a tiny model)", "（小さなモデル）") if found.toy else ""
    output.print_line(f"{found.spec.name} {found.task.name}: {found.task.title}: {verdict}{toy}")
    for one in found.slots:
        output.print_line(f"  {_line(one)}")


def _size(count: int) -> str:
    from engine.planner.disk import gigabytes, megabytes

    return gigabytes(count) if count >= 1e9 else megabytes(count)


def _line(one: SlotCheck) -> str:
    name = f"{one.slot.option:<13}"
    match one.state:
        case "ok":
            return f"✓ {name}{one.path}" + (f"  {_size(one.size)}" if one.size else "")
        case "damaged":
            return f"✗ {name}{one.path}: {one.wrong}"
        case "later":
            return say(f"  {name}fetched by the run that needs it", f"  {name}必要になった run が取得します")
    return say(f"– {name}missing", f"– {name}なし") + f": {one.slot.files[0]}, huggingface.co/{one.slot.repository}, {one.slot.size_gb:g} GB"  # fmt: skip


def _advise(tasks: list[TaskCheck]) -> None:
    """How to get what is missing, where one task was asked for."""
    if len(tasks) == 1 and not tasks[0].complete:
        command = f"musubi-tui models download --family {tasks[0].spec.name} --task {tasks[0].task.name}"
        output.narrate(say(f"To fetch it: {command}", f"取得するには: {command}"))
    elif tasks and not any(one.complete for one in tasks):
        output.narrate(say("To fetch the files of a task: musubi-tui models download --family … --task …", "取得するには: musubi-tui models download --family … --task …"))  # fmt: skip
