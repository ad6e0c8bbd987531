"""The questions: each is built from the answers so far and from what this machine has. Texts for people who do this once.

Pages: goal, model, data, fit, length, samples, review. Every question has a default that works, and one sentence (``why``)
that explains its term.
"""

from __future__ import annotations

from pathlib import Path

from engine.config.language import say
from engine.planner.cards import CARDS
from engine.planner.lines import gib
from musubi_tui.presets.wizard.around import Around
from musubi_tui.presets.wizard.captions import which_sentence
from musubi_tui.presets.wizard.data_page import which_captions, which_pictures, which_word
from musubi_tui.presets.wizard.fitting import offers, tiny
from musubi_tui.presets.wizard.flow import Answers, Choice, Question, Step, refused
from musubi_tui.presets.wizard.model_page import file_lines, to_fetch, which_files, which_folder, which_model
from musubi_tui.presets.wizard.words import beside, chosen, folder_of, pictures_of, slug, word_in
from musubi_tui.runs.money import currency

_PER_ITEM = {"character": 100, "style": 60, "motion": 80}
_STEPS_BOUNDS = (500, 3000)
_TINY_STEPS = 100
FIRST_PREVIEW = 25


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


def _price(answers: Answers, around: Around) -> Question | None:
    from engine.budget import PRICE_VARIABLE

    if answers.get("card") == "cpu":
        return None

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
        say(
            f"What does an hour of it cost, in {currency()}? (0: nothing, or not known)",
            f"1 時間あたりの料金は？（{currency()}、0: 無料または不明）",
        ),
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
    plan = found[0].plan
    step = plan.line("step")
    if step is None or step.amount is None:
        beside = say("Beside each: the memory it needs.", "各行: 必要なメモリ。")
    elif plan.money:
        beside = say("Beside each: memory, a step, 1000 steps, and what they cost.", "各行: メモリ、1 ステップ、1000 ステップの時間と費用。")  # fmt: skip
    else:
        beside = say("Beside each: memory, a step, 1000 steps.", "各行: メモリ、1 ステップ、1000 ステップの時間。")
    lines = [beside]
    if plan.available is not None:
        card = f" ({plan.card})" if plan.card else ""
        lines.append(
            say(f"The card has {gib(plan.available)} free{card}.", f"GPU の空きメモリ: {gib(plan.available)}{card}")
        )
    if step is not None:
        lines.append(say(f"Speed: {step.how}", f"速度: {step.how}"))
    if fitting and len(fitting) < len(found):
        lines.append(say("! stands before what does not fit the card.", "! は GPU に収まらないものです。"))
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
        f"About {each} steps for each picture or clip; at least {low}, at most {high}. There are none yet.",
        f"1 件につき約 {each} ステップ（最小 {low}、最大 {high}）。まだ 1 件もありません。") if not count else say(
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
        slug(str(answers["trigger"])) or word_in(pictures_of(answers, around).folder.name) or "my-lora",
        say("The LoRA file is called so, and the run in every list.", "LoRA ファイルと、一覧に表示される run の名前になります。"),
        check=check,
    )  # fmt: skip


def _folder_question(answers: Answers, around: Around) -> Question:
    def check(text: str) -> str:
        folder = folder_of(text, around)
        if folder.is_file():
            raise refused("folder", say(f"{folder} is a file.", f"{folder} はファイルです。"))
        return str(folder)

    default = beside(around.cwd / str(answers["name"]), Path(answers["data"]))
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
    elsewhere = answers.get("card") not in (None, "cpu")
    lacking, remedy = "", ""
    if not pictures_of(answers, around).count:
        lacking = say("the folder of pictures is empty", "画像フォルダーが空です")
        remedy = say(
            f"Put files into {answers['data']}, or choose write.",
            f"{answers['data']} に画像や動画を入れるか、write を選んでください。",
        )
    elif missing:
        listed = ", ".join(missing)
        lacking = say(f"model files are missing: {listed}", f"モデルファイルが不足: {listed}")
        remedy = say(
            f"{to_fetch(answers, around)} fetches them, `musubi-tui models list` shows what is here; or choose write.",
            f"{to_fetch(answers, around)} で取得、`musubi-tui models list` で一覧を表示できます。または write を選んでください。",
        )
    elif elsewhere:
        lacking = say("that card is not in this computer", "その GPU はこのコンピューターにありません")
    choices = (
        Choice("smoke", say("write, and try five steps", "書いて、5 ステップ試す"), say("a minute that saves hours", "数分の確認"), lacking, remedy),
        Choice("train", say("write, and start the run", "書いて、学習を開始"), "", lacking, remedy),
        Choice("write", say("only write", "書くだけ")),
        Choice("form", say("write, and open the full form", "書いて、詳細フォームを開く"), say("every option, explained", "全項目を説明付きで")),
    )  # fmt: skip
    return Question(
        "then",
        "review",
        "choice",
        say("All answered. And now?", "以上です。どうしますか？"),
        "write" if lacking else "smoke",
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
    Step("model", "model", which_model, ("goal",)),
    Step("files", "model", which_files, ("model",)),
    Step("models_folder", "model", which_folder, ("files",)),
    Step("data", "data", which_pictures, ("goal", "model")),
    Step("trigger", "data", which_word, ("data", "goal")),
    Step("captions", "data", which_captions, ("data", "trigger")),
    Step("caption_text", "data", which_sentence, ("data", "goal", "trigger", "captions")),
    Step("card", "fit", _card, ("model",)),
    Step("price", "fit", _price, ("card",)),
    Step("fit", "fit", _fit, ("model", "data", "card", "price")),
    Step("steps", "length", _steps, ("goal", "model", "data")),
    Step("prompts", "samples", _prompts, ("goal", "trigger")),
    Step("name", "review", _name, ("trigger", "data")),
    Step("folder", "review", _folder_question, ("name",)),
    Step("then", "review", _then, ("files", "fit", "steps", "prompts", "folder", "caption_text")),
)
