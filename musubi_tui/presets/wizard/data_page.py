"""The data page: the folder, what lies in it, a trigger word, and what to do without captions."""

from __future__ import annotations

from collections import Counter

from engine.config.language import say
from engine.families import FamilySpec, TaskSpec
from musubi_tui.presets.wizard.around import Around
from musubi_tui.presets.wizard.captions import read_only
from musubi_tui.presets.wizard.fitting import scan_at
from musubi_tui.presets.wizard.flow import Answers, Choice, Question, refused
from musubi_tui.presets.wizard.words import MADE_UP, chosen, contents, folder_of, pictures_of, short, word_in


def which_pictures(answers: Answers, around: Around) -> Question:
    """Where the pictures or clips are. With none near by a folder is named into which they shall be put."""
    clips = answers["goal"] == "motion"
    likely = around.likely_folders()
    fitting = [folder for folder in likely if around.pictures(folder).clip == clips] or likely
    lines = [f"  {short(folder, around)}  {contents(around.pictures(folder))}" for folder in fitting[:6]]
    later = around.cwd / ("clips" if clips else "pictures")
    if lines:
        lines.insert(0, say("Near by (- to put them somewhere later):", "近くにあるもの（- で後で用意）:"))
    else:
        lines = [say("None are near by. Enter goes on with this folder: put yours into it before you train.",
                     "近くに見つかりません。Enter でこのフォルダーのまま進めます。学習の前に入れてください。")]  # fmt: skip

    def check(text: str) -> str:
        folder = later if text == "-" else folder_of(text, around)
        meant = text in ("-", str(later)) or not fitting  # a short word with others near by is a slip of the pen
        if folder == later and meant and not around.pictures(folder).count and not folder.is_file():
            return str(later)
        if not folder.is_dir():
            raise refused("data", say(f"there is no folder {folder}.", f"{folder} というフォルダーはありません。"),
                          say("Give the folder that holds your pictures, or - to name one later.", "画像のあるフォルダーを指定してください（- で後で用意）。"))  # fmt: skip
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
        str(fitting[0] if fitting else later),
        say(
            "A folder of pictures or clips. Beside each may lie a text file of the same name that describes it: cat.png and cat.txt. "
            "Nothing that is in the folder is changed.",
            "画像や動画のフォルダーです。同じ名前のテキスト（cat.png と cat.txt）に説明を書けます。中にあるファイルは変更しません。",
        ),
        lines=tuple(lines),
        check=check,
    )


def which_word(answers: Answers, around: Around) -> Question:
    """The trigger word, below the sizes that the pictures will be trained in."""
    found = pictures_of(answers, around)
    name = word_in(found.folder.name) or MADE_UP
    lines = [contents(found)]
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


def which_captions(answers: Answers, around: Around) -> Question | None:
    """Asked only where some or all have no text file."""
    found = pictures_of(answers, around)
    if found.captions == found.count:
        return None
    without = found.count - found.captions
    choices = []
    if found.captions:
        choices.append(
            Choice("described", say("train only the described ones", "説明のあるものだけ学習"), f"{found.captions}")
        )
    locked = read_only(found.folder)
    choices.append(Choice("write", say("write the missing ones", "足りない分を書く"), say("you see them first", "先に確認できます"), locked))  # fmt: skip
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
    if not pictures_of(answers, around).count:
        return []
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
        lines.append(say(f"! {len(found.skipped)} left out: {first.named}: {first.reason}", f"! {len(found.skipped)} 件は使われません: {first.named}: {first.reason}"))  # fmt: skip
    lines += [f"! {warning.message}" for warning in found.warnings[:2]]
    return lines
