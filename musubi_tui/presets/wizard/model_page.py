"""The model page: which model, which of its files are here, and where the others come from."""

from __future__ import annotations

import shlex
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.planner.disk import gigabytes
from engine.planner.lines import gib
from musubi_tui.presets.wizard.around import Around, slots_for
from musubi_tui.presets.wizard.downloading import free_bytes
from musubi_tui.presets.wizard.fitting import tiny
from musubi_tui.presets.wizard.flow import Answers, Choice, Question, refused
from musubi_tui.presets.wizard.words import chosen, folder_of, short


def which_model(answers: Answers, around: Around) -> Question:
    """Which model? The one proposed is the one whose files are here."""
    choices, best, most = [], "", -1.0
    for spec, task in around.offers():
        if answers["goal"] == "motion" and "clips" not in spec.capabilities:
            continue
        if answers["goal"] == "edit" and "control_images" not in spec.capabilities | task.capabilities:
            continue
        needed = [slot for slot in slots_for(spec, task) if slot.role != "tokenizer"]
        here = around.best(spec, task)
        found = sum(slot.option in here for slot in needed)
        size = sum(slot.size_gb for slot in needed if slot.option not in here)
        note = say("all files are here", "ファイルはすべてあります") if found == len(needed) else say(
            f"{found} of {len(needed)} files here", f"{len(needed)} 個中 {found} 個のファイルあり")  # fmt: skip
        toy = tiny(spec, task, around)
        if toy:
            note += say(", a tiny model", "（小さなモデル）")
        value = f"{spec.name}/{task.name}"
        choices.append(Choice(value, task.title, note))
        score = found * 100 - size  # most files here, then the smallest download
        if score > most or not best:
            best, most = value, score
    return Question(
        "model",
        "model",
        "choice",
        say("Which model?", "どのモデルを使いますか？"),
        best,
        say(
            "The model is what already draws or films; your LoRA works with this model only. Larger ones are better and need more "
            "memory. The one proposed is the one whose files are on this machine.",
            "モデルは元から絵や動画を作れる本体で、LoRA はそのモデル専用です。大きいほど高品質ですがメモリが必要です。提案は、このマシンにファイルがあるものです。",
        ),
        choices=tuple(choices),
    )  # fmt: skip


def which_files(answers: Answers, around: Around) -> Question | None:
    """What was found of it, and what to do about the rest."""
    spec, task = chosen(answers)
    lines, missing = file_lines(answers, around)
    choices = [Choice("use", say("go on with these", "これで進む"))]
    if missing:
        total = sum(slot.size_gb for slot in slots_for(spec, task) if slot.option in missing)
        choices = [
            Choice("later", say("go on; I will put them there later", "このまま進む（後で用意する）")),
            Choice("download", say(f"download what is missing ({total:.1f} GB)", f"不足分をダウンロード（{total:.1f} GB）")),
        ]  # fmt: skip
    choices.append(Choice("folder", say("look in another folder", "別のフォルダーを探す")))
    return Question(
        "files",
        "model",
        "choice",
        say(f"The files of {task.title}", f"{task.title} のファイル"),
        choices[0].value,
        say(
            "A model comes in parts: the diffusion model draws, the VAE turns pictures into numbers and back, the text encoder reads "
            "captions. Files are recognised by what is in them, so their names do not matter.",
            "モデルは部品に分かれています。拡散モデルが描き、VAE が画像を数値に変換し、テキストエンコーダーがキャプションを読みます。ファイルは中身で判別するので、名前は問いません。",
        ),
        lines=tuple(lines),
        choices=tuple(choices),
    )


def file_lines(answers: Answers, around: Around) -> tuple[list[str], list[str]]:
    """(what was found and what is missing, in words; the options that are missing)."""
    spec, task = chosen(answers)
    here = around.best(spec, task)
    lines, missing = [], []
    for slot in slots_for(spec, task):
        found = here.get(slot.option)
        if found is not None:
            size = f"  {gib(found.size)}" if found.size else ""
            lines.append(f"✓ {slot.option:<13}{short(found.path, around)}{size}")
        elif slot.role != "tokenizer":
            missing.append(slot.option)
            lines.append(
                say(f"– {slot.option:<13}missing: {slot.files[0]}", f"– {slot.option:<13}なし: {slot.files[0]}")
            )
            lines.append(f"      huggingface.co/{slot.repository}, {slot.size_gb:g} GB")
    return lines, missing


def models_folder(answers: Answers, around: Around) -> Path:
    """Where the preset says that files are which are not here yet."""
    return Path(answers.get("models_folder") or around.cwd / "models")


def to_fetch(answers: Answers, around: Around) -> str:
    """The command that downloads the missing files to where the preset expects them."""
    spec, task = chosen(answers)
    out = shlex.quote(str(models_folder(answers, around)))
    only = "".join(f" --only {option}" for option in file_lines(answers, around)[1])
    return f"musubi-tui models download --family {spec.name} --task {task.name} --out {out}{only}"


def missing_lines(answers: Answers, around: Around, preset: Path) -> list[str]:
    """The files that a written preset lacks: what each is called, where it comes from, and what to do; nothing where all are here."""
    missing = file_lines(answers, around)[1]
    if not missing:
        return []
    folder, quoted = models_folder(answers, around), shlex.quote(str(preset))
    lines = [
        say("It cannot train yet: model files are missing.", "まだ学習できません。モデルファイルが不足しています。")
    ]
    lines += [
        say(f"  {slot.option}: {folder / slot.files[0]} (huggingface.co/{slot.repository}, {slot.size_gb:g} GB)",
            f"  {slot.option}: {folder / slot.files[0]}（huggingface.co/{slot.repository}、{slot.size_gb:g} GB）")
        for slot in slots_for(*chosen(answers))
        if slot.option in missing
    ]  # fmt: skip
    sets = " ".join(f"{option}=FILE" for option in missing)
    lines += [
        say(f"Fetch them: {to_fetch(answers, around)}", f"取得: {to_fetch(answers, around)}"),
        say(f"Or name files that are elsewhere: musubi-tui presets set {quoted} {sets}   (what is here: musubi-tui models list)",
            f"別の場所のファイルを指定: musubi-tui presets set {quoted} {sets}（一覧: musubi-tui models list）"),
    ]  # fmt: skip
    return lines


def which_folder(answers: Answers, around: Around) -> Question | None:
    """Where to look, or where to download to."""
    if answers["files"] not in ("folder", "download"):
        return None
    download = answers["files"] == "download"
    title = (
        say("Into which folder?", "どのフォルダーに保存しますか？")
        if download
        else say("Which folder?", "どのフォルダーですか？")
    )

    def check(text: str) -> str:
        folder = folder_of(text, around)
        if not download and not folder.is_dir():
            raise refused(
                "models_folder", say(f"there is no folder {folder}.", f"{folder} というフォルダーはありません。")
            )
        return str(folder)

    def preview(text: str) -> tuple[str, ...]:
        try:
            free, _ = free_bytes(folder_of(text, around))
        except (UserError, OSError, ValueError):
            return ()
        return (say(f"{gigabytes(free)} are free there.", f"空き容量: {gigabytes(free)}"),)

    lines: tuple[str, ...] = ()
    if download:
        spec, task = chosen(answers)
        missing = file_lines(answers, around)[1]
        slots = [slot for slot in slots_for(spec, task) if slot.option in missing]
        total = sum(slot.size_gb for slot in slots)
        lines = (
            say(f"{len(slots)} files, {total:.1f} GB. What is half there goes on where it was.", f"{len(slots)} ファイル、{total:.1f} GB。途中までのものは続きから再開します。"),
            say("While it comes esc stops it; esc now goes back, where you can do without.", "ダウンロード中の esc で中止、今 esc で戻るとダウンロードなしで進めます。"),
        )  # fmt: skip
    return Question(
        "models_folder", "model", "folder", title, str(around.cwd / "models"),
        say("Model files are large: choose a disk that survives when the machine is stopped.", "モデルファイルは大きいので、マシンを停止しても残るディスクを選んでください。"),
        lines=lines,
        check=check,
        preview=preview if download else None,
    )  # fmt: skip
