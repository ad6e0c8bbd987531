"""The questions: each is built from the answers so far and from what this machine has. Texts for people who do this once.

Pages: goal, model, data, fit, length, samples, review. Every question has a default that works, and one sentence (``why``)
that explains its term.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.families import FamilySpec, TaskSpec, get_family
from engine.planner.cards import CARDS
from engine.planner.lines import gib
from musubi_tui.presets.wizard.around import Around, Pictures, slots_for
from musubi_tui.presets.wizard.fitting import offers, tiny
from musubi_tui.presets.wizard.flow import Answers, Choice, Question, Step, refused

_PER_ITEM = {"character": 100, "style": 60, "motion": 80}
_STEPS_BOUNDS = (500, 3000)
_TINY_STEPS = 100
FIRST_PREVIEW = 25


def chosen(answers: Answers) -> tuple[FamilySpec, TaskSpec]:
    """Family and task of the model answer."""
    family, _, task = str(answers["model"]).partition("/")
    spec = get_family(family)
    return spec, spec.task(task)


def pictures_of(answers: Answers, around: Around) -> Pictures:
    """The folder of the data answer."""
    return around.pictures(Path(answers["data"]))


def _goal(answers: Answers, around: Around) -> Question:
    edits = any("control_images" in spec.capabilities | task.capabilities for spec, task in around.offers())
    moves = any("clips" in spec.capabilities for spec, _ in around.offers())
    later = say("cannot be trained in this release yet", "このリリースではまだ学習できません")
    return Question(
        "goal",
        "goal",
        "choice",
        say("What shall the model learn?", "モデルに何を学習させますか？"),
        "character",
        say(
            "The result is a LoRA: a small file beside the big model that teaches it one thing. What that thing is decides how many "
            "steps and which captions make sense.",
            "結果は LoRA です。大きなモデルに添える小さなファイルで、一つのことを教えます。何を教えるかで、適切なステップ数とキャプションが決まります。",
        ),
        choices=(
            Choice("character", say("a character or a thing", "キャラクター・物"), say("10 to 50 pictures of it", "その画像 10〜50 枚")),
            Choice("style", say("a style", "画風"), say("30 to 200 pictures that share it", "同じ画風の画像 30〜200 枚")),
            Choice("motion", say("a motion", "動き"), say("10 to 50 short clips", "短い動画 10〜50 本"), "" if moves else later),
            Choice("edit", say("an edit: before and after", "編集（前と後の組）"), "", "" if edits else later),
        ),
    )  # fmt: skip


def _model(answers: Answers, around: Around) -> Question:
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
            note += say(" (a tiny model to try with)", "（お試し用の小さなモデル）")
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


def _files(answers: Answers, around: Around) -> Question | None:
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
            lines.append(f"✓ {slot.option:<13}{_short(found.path, around)}{size}")
        elif slot.role != "tokenizer":
            missing.append(slot.option)
            lines.append(
                say(f"– {slot.option:<13}missing: {slot.files[0]}", f"– {slot.option:<13}なし: {slot.files[0]}")
            )
            lines.append(f"      huggingface.co/{slot.repository}, {slot.size_gb:g} GB")
    return lines, missing


def _models_folder(answers: Answers, around: Around) -> Question | None:
    if answers["files"] not in ("folder", "download"):
        return None
    download = answers["files"] == "download"
    title = (
        say("Into which folder?", "どのフォルダーに保存しますか？")
        if download
        else say("Which folder?", "どのフォルダーですか？")
    )

    def check(text: str) -> str:
        folder = _folder(text, around)
        if not download and not folder.is_dir():
            raise refused(
                "models_folder", say(f"there is no folder {folder}.", f"{folder} というフォルダーはありません。")
            )
        return str(folder)

    return Question(
        "models_folder", "model", "folder", title, str(around.cwd / "models"),
        say("Model files are large: choose a disk that survives when the machine is stopped.", "モデルファイルは大きいので、マシンを停止しても残るディスクを選んでください。"),
        check=check,
    )  # fmt: skip


def _data(answers: Answers, around: Around) -> Question:
    clips = answers["goal"] == "motion"
    likely = around.likely_folders()
    fitting = [folder for folder in likely if around.pictures(folder).clip == clips] or likely
    lines = tuple(f"  {_short(folder, around)}  {_counted(around.pictures(folder))}" for folder in fitting[:6])

    def check(text: str) -> str:
        folder = _folder(text, around)
        if not folder.is_dir():
            raise refused("data", say(f"there is no folder {folder}.", f"{folder} というフォルダーはありません。"),
                          say("Give the folder that holds your pictures.", "画像のあるフォルダーを指定してください。"))  # fmt: skip
        found = around.pictures(folder)
        if not found.count:
            raise refused("data", say(f"{folder} holds no pictures or clips.", f"{folder} に画像や動画がありません。"),
                          say("Pictures are .png, .jpg, .webp; clips .mp4, .mov, .webm.", "画像は .png・.jpg・.webp、動画は .mp4・.mov・.webm です。"))  # fmt: skip
        if found.clip and "clips" not in chosen(answers)[0].capabilities:
            raise refused(
                "data",
                say(
                    "These are clips, and this model learns pictures only.",
                    "動画ですが、このモデルは画像のみ学習できます。",
                ),
            )
        return str(folder)

    return Question(
        "data",
        "data",
        "folder",
        say("Where are your clips?", "動画はどこにありますか？")
        if clips
        else say("Where are your pictures?", "画像はどこにありますか？"),
        str(fitting[0]) if fitting else str(around.cwd / ("clips" if clips else "pictures")),
        say(
            "A folder of pictures or clips. Beside each may lie a text file of the same name that describes it: cat.png and cat.txt. "
            "Nothing in the folder is changed.",
            "画像や動画のフォルダーです。同じ名前のテキスト（cat.png と cat.txt）に説明を書けます。フォルダーの中身は変更しません。",
        ),
        lines=(say("Near by:", "近くにあるもの:"), *lines) if lines else (),
        check=check,
    )


def _trigger(answers: Answers, around: Around) -> Question:
    found = pictures_of(answers, around)
    name = slug(found.folder.name) if found.folder.name not in ("pictures", "images", "clips", "data") else "mylora"
    lines = [_counted(found)]
    spec, task = chosen(answers)
    lines += bucket_lines(answers, around, spec, task)

    def check(text: str) -> str:
        if len(text) > 60 or any(char in text for char in '\n\r\t"'):
            raise refused("trigger", say("A trigger is a word or two.", "トリガーは 1〜2 語にしてください。"))
        return "" if text in ("-", "none") else text

    return Question(
        "trigger",
        "data",
        "text",
        say("A trigger word (- for none)", "トリガーワード（なしは -）"),
        "" if answers["goal"] == "style" and found.captions else name,
        say(
            "A word that stands in every caption and later calls up what was learned. Take one the model does not know: bella_cat "
            "rather than cat. It is added while training; your text files stay as they are.",
            "すべてのキャプションに入れ、後で学習内容を呼び出す語です。モデルが知らない語（cat ではなく bella_cat など）にします。学習時に加えるだけで、テキストファイルは変更しません。",
        ),
        lines=tuple(lines),
        check=check,
    )


def _captions(answers: Answers, around: Around) -> Question | None:
    found = pictures_of(answers, around)
    if found.captions == found.count:
        return None
    without = found.count - found.captions
    choices = []
    if found.captions:
        choices.append(
            Choice("described", say("train only the described ones", "説明のあるものだけ学習"), f"{found.captions}")
        )
    if answers["trigger"]:
        choices.append(Choice("trigger", say("the trigger word is the caption of all", "すべてトリガーワードをキャプションに"), say("text files are not read", "テキストは読みません")))  # fmt: skip
    else:
        choices.append(Choice("none", say("no captions at all", "キャプションなし"), say("the model learns from looking alone", "画像だけから学習します")))  # fmt: skip
    default = choices[0].value if found.captions >= without else choices[-1].value
    return Question(
        "captions",
        "data",
        "choice",
        say(
            f"{without} of {found.count} have no text file. And now?",
            f"{found.count} 件中 {without} 件にテキストがありません。どうしますか？",
        ),
        default,
        say(
            "What a caption names stays free to change later; what it does not name is taken into the LoRA. For a character a trigger word "
            "alone works; for a style describe what the pictures show.",
            "キャプションに書いたことは後で自由に変えられ、書かないことは LoRA に取り込まれます。キャラクターはトリガーワードだけでも学習でき、画風なら画像の内容を書きます。",
        ),
        choices=tuple(choices),
    )


def bucket_lines(answers: Answers, around: Around, spec: FamilySpec, task: TaskSpec) -> list[str]:
    """The sizes the pictures would be trained in, drawn, and how many are left out."""
    from collections import Counter

    from musubi_tui.presets.wizard.fitting import scan_at

    found = scan_at(answers, around, spec, task)
    counts = Counter(item.bucket for item in found.items)
    widest = max(counts.values(), default=1)
    lines = []
    for bucket, count in counts.most_common(5):
        size = f"{bucket.width}x{bucket.height}" + (f"x{bucket.frames}" if bucket.frames > 1 else "")
        lines.append(f"{size:>12} {'█' * max(1, round(24 * count / widest))} {count}")
    if len(counts) > 5:
        lines.append(say(f"{'':>12} and {len(counts) - 5} more sizes", f"{'':>12} 他 {len(counts) - 5} サイズ"))
    if found.skipped:
        first = found.skipped[0]
        lines.append(say(f"! {len(found.skipped)} left out: {first.path.name}: {first.reason}", f"! {len(found.skipped)} 件は使われません: {first.path.name}: {first.reason}"))  # fmt: skip
    lines += [f"! {warning.message}" for warning in found.warnings[:2]]
    return lines


def _card(answers: Answers, around: Around) -> Question | None:
    spec, task = chosen(answers)
    if around.machine.total is not None:
        return None
    toy = tiny(spec, task, around)
    cpu = Choice("cpu", say("this computer, without a GPU", "GPU なしのこのコンピューター"), say("fine for the tiny model", "小さなモデルなら十分") if toy else say("far too slow for this model", "このモデルには遅すぎます"))  # fmt: skip
    cards = tuple(Choice(card.name, card.name, f"{card.memory_gib:.0f} GB") for card in CARDS)
    return Question(
        "card",
        "fit",
        "choice",
        say("There is no GPU here. Where will it run?", "GPU が見つかりません。どこで実行しますか？"),
        "cpu" if toy else "RTX 4090",
        say(
            "Memory of the card (VRAM) decides what can be trained, its speed how long it takes. You can write the preset here and train "
            "on a rented card later.",
            "GPU のメモリ（VRAM）で学習できるものが、速度で所要時間が決まります。ここでプリセットを作り、後で借りた GPU で学習することもできます。",
        ),
        choices=(cpu, *cards),
    )


def _price(answers: Answers, around: Around) -> Question:
    from engine.budget import PRICE_VARIABLE

    def check(text: str) -> float:
        try:
            price = float(text.lstrip("$€¥"))
        except ValueError:
            price = -1.0
        if not 0 <= price < 1e6:
            raise refused(
                "price", say(f"{text!r} is no price per hour.", f"{text!r} は 1 時間あたりの料金ではありません。")
            )
        return price

    known = around.environment.get(PRICE_VARIABLE, "")
    return Question(
        "price",
        "fit",
        "number",
        say("What does an hour of it cost? (0: nothing, or not known)", "1 時間あたりの料金は？（0: 無料または不明）"),
        check(known) if known else 0.0,
        say(
            "With the price of an hour the plan also tells what the whole run costs.",
            "1 時間の料金があれば、全体の費用も見積もれます。",
        ),
        check=check,
    )


def _fit(answers: Answers, around: Around) -> Question:
    found = offers(answers, around)
    fitting = [offer for offer in found if offer.plan.fits is not False]
    default = next((o.id for o in fitting if o.id == "balanced"), fitting[-1].id if fitting else found[0].id)
    lines = [
        say(
            "Beside each: memory, a step, 1000 steps, and what they cost.",
            "各行: メモリ、1 ステップ、1000 ステップの時間と費用。",
        )
    ]
    plan = found[0].plan
    if plan.available is not None:
        card = f" ({plan.card})" if plan.card else ""
        lines.append(
            say(f"The card has {gib(plan.available)} free{card}.", f"GPU の空きメモリ: {gib(plan.available)}{card}")
        )
    step = plan.line("step")
    if step is not None:
        lines.append(say(f"Speed: {step.how}", f"速度: {step.how}"))
    if not fitting:
        lines.append(say("! None fits. The files are written all the same: for a larger card.", "! どれも収まりません。より大きな GPU のためにファイルは作成できます。"))  # fmt: skip
    return Question(
        "fit",
        "fit",
        "choice",
        say("How much detail?", "どのくらいの細かさで学習しますか？"),
        default,
        say(
            "Pictures are scaled to this size for training. More pixels mean more detail, more memory and slower steps. The figures come from "
            "the plan: `musubi-tui plan` shows how each was computed and how sure it is.",
            "画像はこのサイズに縮小して学習します。画素が多いほど細かく、メモリが必要で遅くなります。数値の計算方法と確度は `musubi-tui plan` で確認できます。",
        ),
        lines=tuple(lines),
        choices=tuple(Choice(offer.id, offer.title, offer.note) for offer in found),
    )


def _steps(answers: Answers, around: Around) -> Question:
    spec, task = chosen(answers)
    count = pictures_of(answers, around).count
    each = _PER_ITEM.get(str(answers["goal"]), 80)
    low, high = _STEPS_BOUNDS
    toy = tiny(spec, task, around)
    default = _TINY_STEPS if toy else min(high, max(low, round(count * each / 50) * 50))

    def check(text: str) -> int:
        try:
            steps = int(text)
        except ValueError:
            steps = 0
        if not 1 <= steps <= 1_000_000:
            raise refused("steps", say(f"{text!r} is no number of steps.", f"{text!r} はステップ数ではありません。"),
                          say("Give a whole number from 1 to 1,000,000.", "1〜1,000,000 の整数を指定してください。"))  # fmt: skip
        return steps

    reason = say("A tiny model: a few steps show that it works.", "小さなモデルなので、少ないステップで動作を確認できます。") if toy else say(
        f"{count} pictures or clips, about {each} steps for each; at least {low}, at most {high}.",
        f"{count} 件 × 約 {each} ステップ（最小 {low}、最大 {high}）。")  # fmt: skip
    return Question(
        "steps",
        "length",
        "number",
        say("How many steps?", "何ステップ学習しますか？"),
        default,
        say(
            "In a step the model looks at one batch and improves a little. Too few: it has not learned. Too many: it can draw nothing else. "
            "A LoRA file is saved along the way, so the best one can be picked.",
            "1 ステップで 1 バッチを見て少し改善します。少なすぎると学習不足、多すぎるとそれしか描けなくなります。途中の LoRA も保存されるので、最良のものを選べます。",
        ),
        lines=(reason,),
        check=check,
    )


def _prompts(answers: Answers, around: Around) -> Question:
    word = str(answers["trigger"])
    defaults = {
        "character": [f"{word}, a portrait", f"{word} at the sea"],
        "style": [f"{word}, a house by a lake", f"{word}, a cat on a chair"],
        "motion": [f"{word}, a person in a park"],
    }
    default = " | ".join(line.lstrip(", ") for line in defaults.get(str(answers["goal"]), [word or "a picture"]))

    def check(text: str) -> str:
        prompts = [part.strip() for part in text.split("|") if part.strip()]
        return " | ".join(prompts) if text not in ("-", "none") else ""

    return Question(
        "prompts",
        "samples",
        "text",
        say("What shall it draw while it trains? ( | between prompts, - for none)", "学習中に描かせるプロンプト（区切りは | 、なしは -）"),
        default,
        say(
            f"Previews show better than the loss whether it learns. The first ones come after {FIRST_PREVIEW} steps, so that a mistake costs a "
            "minute and not an hour; then whenever a LoRA is saved.",
            f"損失の値よりもプレビューの方が学習の様子がわかります。最初は {FIRST_PREVIEW} ステップ後に作るので、間違いに早く気づけます。以後は LoRA の保存ごとに作ります。",
        ),
        lines=(say(f"First after {FIRST_PREVIEW} steps, then at every save.", f"最初は {FIRST_PREVIEW} ステップ後、以後は保存ごと。"),),
        check=check,
    )  # fmt: skip


def _name(answers: Answers, around: Around) -> Question:
    def check(text: str) -> str:
        if slug(text) != text or not text:
            raise refused("name", say("A name has letters, digits, - and _.", "名前は英数字と - と _ だけにしてください。"), say(f"For example: {slug(text) or 'my-lora'}", f"例: {slug(text) or 'my-lora'}"))  # fmt: skip
        return text

    return Question(
        "name", "review", "text", say("A name for the LoRA", "LoRA の名前"),
        slug(str(answers["trigger"])) or slug(pictures_of(answers, around).folder.name) or "my-lora",
        say("The LoRA file is called so, and the run in every list.", "LoRA ファイルと、一覧に表示される run の名前になります。"),
        check=check,
    )  # fmt: skip


def _folder_question(answers: Answers, around: Around) -> Question:
    def check(text: str) -> str:
        folder = _folder(text, around)
        if folder.is_file():
            raise refused("folder", say(f"{folder} is a file.", f"{folder} はファイルです。"))
        return str(folder)

    default = around.cwd / str(answers["name"])
    return Question(
        "folder", "review", "folder", say("Where shall the preset be written?", "プリセットをどこに書きますか？"), str(default),
        say(
            "A folder v1 is made in it, with preset.toml, dataset.toml and prompts.txt. The next attempt becomes v2 beside it. Nothing "
            "that is there is overwritten.",
            "その中に v1 フォルダーを作り、preset.toml・dataset.toml・prompts.txt を書きます。次の試行は隣の v2 になります。既存のものは上書きしません。",
        ),
        check=check,
    )  # fmt: skip


def _then(answers: Answers, around: Around) -> Question:
    from musubi_tui.presets.wizard.writing import summary_lines

    _, missing = file_lines(answers, around)
    lacking = say("model files are missing", "モデルファイルが不足しています") if missing else ""
    choices = (
        Choice(
            "smoke",
            say("write, and try five steps", "書いて、5 ステップ試す"),
            say("a minute that saves hours", "数分の確認"),
            lacking,
        ),
        Choice("train", say("write, and start the run", "書いて、学習を開始"), "", lacking),
        Choice("write", say("only write", "書くだけ")),
    )
    return Question(
        "then",
        "review",
        "choice",
        say("All answered. And now?", "以上です。どうしますか？"),
        "write" if missing else "smoke",
        say(
            "A smoke run goes through everything once: encoding, loading, five steps, a preview, saving. What would fail after an hour fails "
            "now.",
            "スモークランは、エンコード・読み込み・5 ステップ・プレビュー・保存までを一通り実行します。1 時間後に起きる失敗が今わかります。",
        ),
        lines=tuple(summary_lines(answers, around)),
        choices=choices,
    )  # fmt: skip


STEPS: tuple[Step, ...] = (
    Step("goal", "goal", _goal),
    Step("model", "model", _model, ("goal",)),
    Step("files", "model", _files, ("model",)),
    Step("models_folder", "model", _models_folder, ("files",)),
    Step("data", "data", _data, ("goal", "model")),
    Step("trigger", "data", _trigger, ("data", "goal")),
    Step("captions", "data", _captions, ("data", "trigger")),
    Step("card", "fit", _card, ("model",)),
    Step("price", "fit", _price, ("card",)),
    Step("fit", "fit", _fit, ("model", "data", "card", "price")),
    Step("steps", "length", _steps, ("goal", "model", "data")),
    Step("prompts", "samples", _prompts, ("goal", "trigger")),
    Step("name", "review", _name, ("trigger", "data")),
    Step("folder", "review", _folder_question, ("name",)),
    Step("then", "review", _then, ("files", "fit", "steps", "prompts", "folder")),
)


def slug(text: str) -> str:
    """A word that may name a file: ``Bella the cat`` -> ``bella-the-cat``."""
    return re.sub(r"[^a-zA-Z0-9_]+", "-", text).strip("-").lower()


def _folder(text: str, around: Around) -> Path:
    path = Path(text.strip().strip("'\"")).expanduser()
    return Path(os.path.abspath(path if path.is_absolute() else around.cwd / path))


def _short(path: Path, around: Around) -> str:
    """The path as a person reads it: from here, or from home."""
    for base, mark in ((around.cwd, ""), (around.home, "~/")):
        if path.is_relative_to(base):
            return f"{mark}{path.relative_to(base)}"
    return str(path)


def _counted(found: Pictures) -> str:
    kinds: list[Any] = []
    if found.pictures:
        kinds.append(say(f"{found.pictures} pictures", f"画像 {found.pictures} 枚"))
    if found.clips:
        kinds.append(say(f"{found.clips} clips", f"動画 {found.clips} 本"))
    text = say(f"{found.captions} with a text file", f"テキスト付き {found.captions} 件")
    return ", ".join([*kinds, text]) if kinds else say("nothing", "なし")
