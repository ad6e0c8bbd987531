"""The result: ``v1/preset.toml``, ``v1/dataset.toml`` and ``v1/prompts.txt``, every line with its reason.

Paths to models and pictures are absolute, so that the folder may be moved; files of the version are named relative to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.config.problems import ConfigError
from engine.config.toml_text import toml_value
from engine.events.atomic import write_text_atomically
from engine.planner.lines import duration
from musubi_tui.presets.wizard.around import Around, slots_for
from musubi_tui.presets.wizard.captions import planned, write_captions
from musubi_tui.presets.wizard.fitting import Answers, Offer, model_values, offer_of, reads_captions, tiny
from musubi_tui.presets.wizard.model_page import file_lines, models_folder
from musubi_tui.presets.wizard.questions import FIRST_PREVIEW
from musubi_tui.presets.wizard.words import chosen, how_many, trains_clips
from musubi_tui.runs.money import money_range

_SMOKE_STEPS = 5
_LEAST_BETWEEN_SAVES = 25
_PREVIEW_STEPS_OF_TOYS = 12


@dataclass(frozen=True)
class Written:
    """What was written."""

    preset: Path
    dataset: Path
    prompts: Path | None
    captions: int = 0  # text files beside the pictures


@dataclass(frozen=True)
class _Row:
    """One line of TOML: ``key`` None is a heading."""

    key: str | None
    value: Any = None
    comment: str = ""


def files(answers: Answers, around: Around) -> dict[str, str]:
    """File name -> text of everything that will be written."""
    offer = offer_of(answers, around)
    texts = {
        "preset.toml": _text(_preset(answers, around)),
        "dataset.toml": _text(_dataset(answers, around, offer)),
    }
    if answers.get("prompts"):
        texts["prompts.txt"] = _prompts(answers, around, offer)
    return texts


def write(answers: Answers, around: Around) -> Written:
    """Write a new version folder below the chosen folder, and the captions that were asked for; nothing that exists is touched.

    Raises ``UserError``.
    """
    folder = next_version(answers)
    texts = files(answers, around)
    captions = write_captions(answers, around)
    try:
        folder.mkdir(parents=True)
        for name, text in texts.items():
            write_text_atomically(folder / name, text)
            (folder / name).chmod(0o644)
    except OSError as error:
        raise ConfigError.of(
            "unwritable_file",
            say(f"cannot be written: {error.strerror or error}.", f"書き込めません: {error.strerror or error}。"),
            say("Choose another folder.", "別のフォルダーにしてください。"),
            file=folder,
        ) from error
    prompts = folder / "prompts.txt"
    return Written(
        folder / "preset.toml", folder / "dataset.toml", prompts if prompts.name in texts else None, captions
    )


def smoke_values() -> dict[str, str]:
    """What a smoke run changes: five steps, one preview at the end, a name of its own."""
    return {"max_train_steps": str(_SMOKE_STEPS), "sample_after_steps": str(_SMOKE_STEPS), "sample_every_n_steps": "none",
            "save_every_n_steps": "none"}  # fmt: skip


def summary_lines(answers: Answers, around: Around) -> Iterator[str]:
    """The answers in a few lines, for the last look."""
    task = chosen(answers)[1]
    offer = offer_of(answers, around)
    found = around.pictures(Path(answers["data"]))
    kind = {"character": say("character", "キャラクター"), "style": say("style", "画風"), "motion": say("motion", "動き")}.get(str(answers["goal"]), "")  # fmt: skip
    items = how_many(found)
    yield say(f"{kind} LoRA on {task.title}: {items}", f"{task.title} の{kind} LoRA、{items}")
    size = f"{offer.resolution[0]}x{offer.resolution[1]}" + (f"x{offer.frames}" if offer.frames > 1 else "")
    steps = int(answers["steps"])
    yield say(
        f"{steps} steps at {size}, a LoRA every {save_every(steps)}",
        f"{size} で {steps} ステップ、{save_every(steps)} ごとに保存",
    )
    line = offer.plan.line("step")
    if line is not None and line.low is not None and line.high is not None:
        low, high = duration(round(line.low * steps) or 1), duration(round(line.high * steps) or 1)
        time = low if low == high else f"{low} – {high}"
        price = float(answers.get("price") or 0)
        cost = money_range(line.low * steps / 3600 * price, line.high * steps / 3600 * price)
        money = "" if not price else say(
            f", cost {cost}", f"、費用 {cost}")  # fmt: skip
        yield say(f"about {time}{money}", f"約 {time}{money}")
    texts = planned(answers, around)
    if texts:
        file, text = next(iter(texts.items()))
        yield say(f"{counted(len(texts), 'caption')} will be written, {file.stem}.txt: {text}", f"キャプションを {len(texts)} 件書きます。{file.stem}.txt: {text}")  # fmt: skip
    if not found.count:
        yield say(f"! Still to do: put your files into {found.folder}", f"! 未完了: {found.folder} に画像や動画を入れてください")  # fmt: skip
    missing = file_lines(answers, around)[1]
    if missing:
        yield say(f"! Still to do: model files ({', '.join(missing)})", f"! 未完了: モデルファイル（{'、'.join(missing)}）")  # fmt: skip
    if offer.plan.fits is False:
        yield say("! It does not fit the card.", "! この GPU には収まりません。")
    folder = next_version(answers)
    yield say(f"files: {folder}", f"ファイル: {folder}")


def next_version(answers: Answers) -> Path:
    """The version folder that is not there yet."""
    root = Path(answers["folder"])
    number = 1
    while (root / f"v{number}").exists():
        number += 1
    return root / f"v{number}"


def save_every(steps: int) -> int:
    """Eight files along the way, at round numbers."""
    every = max(_LEAST_BETWEEN_SAVES, steps // 8)
    unit = next(unit for unit in (250, 100, 50, 25) if every >= unit)
    return every // unit * unit


def _preset(answers: Answers, around: Around) -> Iterator[_Row]:
    spec, task = chosen(answers)
    toy = tiny(spec, task, around)
    values = {**spec.defaults, **model_values(toy)}
    steps = int(answers["steps"])
    yield _Row("#", comment=say(f"{answers['name']}: written by the wizard. Change anything; every option: musubi-tui presets options",
                                f"{answers['name']}: ウィザードが作成。自由に変更できます。全項目: musubi-tui presets options"))  # fmt: skip
    yield _Row("#", comment=say("Check it: musubi-tui presets check preset.toml    Plan it: musubi-tui plan preset.toml", "検査: musubi-tui presets check preset.toml    計画: musubi-tui plan preset.toml"))  # fmt: skip
    yield _Row(None, comment="run")
    yield _Row("family", spec.name, say("which architecture the model files have", "モデルファイルの種類"))
    yield _Row("task", task.name, task.title)
    yield _Row(
        "output_name", answers["name"], say("name of the LoRA file and of the run", "LoRA ファイルと run の名前")
    )
    yield _Row(
        "seed", 42, say("the same seed and settings give the same LoRA", "同じ設定とシードなら同じ LoRA になります")
    )
    if float(answers.get("price") or 0):
        yield _Row("price_per_hour", float(answers["price"]), say("money is counted with it", "費用の計算に使います"))
    yield _Row(None, comment="model")
    here = around.best(spec, task)
    for slot in slots_for(spec, task):
        found = here.get(slot.option)
        if found is not None:
            yield _Row(slot.option, str(found.path), slot.title)
        elif slot.role != "tokenizer":
            expected = models_folder(answers, around) / slot.files[0]
            yield _Row(slot.option, str(expected), say(f"{slot.title}: not there yet, from huggingface.co/{slot.repository}", f"{slot.title}: まだありません（huggingface.co/{slot.repository}）"))  # fmt: skip
    yield _Row(None, comment="dataset")
    yield _Row("dataset_config", "dataset.toml", say("which pictures, and how", "どの画像をどう学習するか"))
    yield _Row(None, comment="network")
    yield _Row("network_dim", values["network_dim"], say("rank: more learns more detail and overfits sooner", "rank: 大きいほど細部を学習し、過学習も早まります"))  # fmt: skip
    yield _Row("network_alpha", values["network_alpha"], say("strength is alpha / rank: equal values are neutral", "強さは alpha / rank。同じ値なら等倍です"))  # fmt: skip
    yield _Row(None, comment="training")
    yield _Row("max_train_steps", steps, say("how often the LoRA is improved", "LoRA を改善する回数"))
    yield _Row("mixed_precision", values["mixed_precision"], say("arithmetic of the big model; the LoRA stays in 32 bits", "本体の計算精度。LoRA は 32 ビットのままです"))  # fmt: skip
    if toy:
        yield _Row("vae_dtype", values["vae_dtype"], say("a CPU encodes pictures many times faster so", "CPU では画像のエンコードが何倍も速くなります"))  # fmt: skip
    yield _Row("gradient_checkpointing", values["gradient_checkpointing"], say("computes blocks twice to save memory", "ブロックを 2 回計算してメモリを節約します"))  # fmt: skip
    yield _Row(None, comment="optimizer")
    yield _Row("optimizer_type", values["optimizer_type"], say("how steps are made", "更新の方法"))
    yield _Row("learning_rate", values["learning_rate"], say("size of a step; halve it if pictures fall apart", "更新の大きさ。画像が崩れるなら半分に"))  # fmt: skip
    yield _Row("lr_scheduler", "constant_with_warmup", say("a gentle start, then steady", "最初は緩やかに、その後一定"))
    yield _Row("lr_warmup_steps", "5%", say("the gentle start takes this share", "緩やかに始める割合"))
    yield _Row(None, comment="timesteps")
    for key in ("timestep_sampling", "discrete_flow_shift"):
        if key in values:
            yield _Row(key, values[key], say("which noise levels are practised", "どのノイズ量を練習するか") if key == "timestep_sampling" else say("moves them towards more noise", "ノイズの多い側へずらす量"))  # fmt: skip
    yield _Row(None, comment="save")
    yield _Row("save_every_n_steps", save_every(steps), say("one LoRA each: the last is not always the best", "途中の LoRA も保存: 最後が最良とは限りません"))  # fmt: skip
    yield _Row("save_precision", "bf16", say("half the file size", "ファイルサイズが半分"))
    yield _Row(None, comment="validation")
    yield _Row("validation_items", 8, say("a loss on always the same pictures and noise, to compare steps", "常に同じ画像とノイズでの損失。ステップ間の比較用"))  # fmt: skip
    yield _Row("validate_every_n_steps", save_every(steps))
    if answers.get("prompts"):
        yield _Row(None, comment="sampling")
        yield _Row("sample_prompts", "prompts.txt", say("what is drawn while it trains", "学習中に描くもの"))
        if steps > FIRST_PREVIEW:
            yield _Row(
                "sample_after_steps", FIRST_PREVIEW, say("the first previews come early", "最初のプレビューは早めに")
            )
        yield _Row(
            "sample_every_n_steps", save_every(steps), say("then with every saved LoRA", "以後は LoRA の保存ごと")
        )


def _dataset(answers: Answers, around: Around, offer: Offer) -> Iterator[_Row]:
    found = around.pictures(Path(answers["data"]))
    clip = trains_clips(answers, around)
    yield _Row("#", comment=say("The dataset. Look at it: musubi-tui data buckets dataset.toml", "データセット。確認: musubi-tui data buckets dataset.toml"))  # fmt: skip
    yield _Row(None, comment="general")
    yield _Row(
        "resolution",
        list(offer.resolution),
        say("pictures are scaled to about this area", "画像をこの程度の面積に縮小します"),
    )
    yield _Row("batch_size", offer.batch_size, say("pictures per step", "1 ステップの枚数"))
    yield _Row("enable_bucket", True, say("portraits stay portraits", "縦横比を保ちます"))
    yield _Row("bucket_no_upscale", True, say("small ones are not blown up", "小さい画像は拡大しません"))
    if reads_captions(answers, around):
        yield _Row("caption_extension", ".txt", say("cat.png is described by cat.txt", "cat.png の説明は cat.txt"))
    if answers.get("trigger"):
        yield _Row("trigger_word", answers["trigger"], say("stands in every caption", "すべてのキャプションに入ります"))
    yield _Row("[[]]", comment="datasets")
    note = say("your files; nothing in there is changed", "あなたのファイル。変更しません") if found.count else say("TO DO: put your files in here", "未完了: ここに画像や動画を入れてください")  # fmt: skip
    yield _Row("video_directory" if clip else "image_directory", str(found.folder), note)
    yield _Row(
        "cache_directory",
        "../cache",
        say("encoded once, shared by all versions", "一度だけエンコードし、全バージョンで共有"),
    )
    if clip:
        yield _Row("target_frames", [offer.frames], say("frames of a clip: 4n + 1", "クリップのフレーム数: 4n + 1"))
        yield _Row("frame_extraction", "head", say("from the start of each video", "各動画の先頭から"))


def _prompts(answers: Answers, around: Around, offer: Offer) -> str:
    spec, task = chosen(answers)
    width, height = offer.resolution
    flags = f"--w {width} --h {height} --f {offer.frames}"
    if tiny(spec, task, around):
        flags += f" --s {_PREVIEW_STEPS_OF_TOYS} --l 1.0"
    head = say("# one prompt per line; --w width, --h height, --f frames, --d seed, --s steps", "# 1 行に 1 つ。--w 幅、--h 高さ、--f フレーム数、--d シード、--s ステップ数")  # fmt: skip
    prompts = [part.strip() for part in str(answers["prompts"]).split("|")]
    return "\n".join([head, *(f"{prompt} {flags} --d {seed}" for seed, prompt in enumerate(prompts, 1))]) + "\n"


def _text(rows: Iterator[_Row]) -> str:
    """TOML with the comments of a section aligned."""
    sections: list[list[str]] = [[]]
    pending: list[tuple[str, str]] = []

    def flush() -> None:
        width = max((len(line) for line, _ in pending if len(line) <= 60), default=0)
        for line, comment in pending:
            sections[-1].append(f"{line:<{width}}  # {comment}" if comment else line)
        pending.clear()

    for row in rows:
        if row.key == "#":
            sections[-1].append(f"# {row.comment}")
        elif row.key is None or row.key == "[[]]":
            flush()
            sections.append([f"[[{row.comment}]]" if row.key else f"[{row.comment}]"])
        else:
            pending.append((f"{row.key} = {toml_value(row.value)}", row.comment))
    flush()
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"
