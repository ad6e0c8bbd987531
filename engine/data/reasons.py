"""Why a file is not trained, as a heading over many such files, and what a person can do about it.

Codes are those of ``Skipped``. A code without a row is told by its name and the reasons of its files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.config.language import say
from engine.config.spelling import shell_word
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Skipped


@dataclass(frozen=True)
class Reason:
    """``title`` heads a list of files; ``advice`` says what to do, or is empty. ``broken``: such files stop a run that does not skip them."""

    title: str
    advice: str = ""
    broken: bool = False


def reason_of(code: str, room: Mapping[str, Any] | None = None) -> Reason:
    """The heading and the advice of a code. ``room``: the dataset as ``data scan --json`` and ``data buckets --json`` tell it."""
    listed, clips = (False, False) if room is None else (bool(room.get("list")), room.get("kind") == "clip")
    special = (_OF_LISTS if listed else {}).get(code) or (_OF_CLIPS if clips else {}).get(code)
    reason = special or _REASONS.get(code) or Reason(code.replace("_", " "))
    return replace(reason, advice=reason.advice + _or_without(room)) if reason.broken else reason


def _or_without(room: Mapping[str, Any] | None) -> str:
    """What becomes of the run meanwhile: it stops, or it goes on without them as the dataset asks."""
    if room is not None and room.get("on_bad_item") == "skip":
        return say('; they are left out, as on_bad_item = "skip" asks', ' (on_bad_item = "skip" のため除外して学習)')
    return say('; on_bad_item = "skip" trains without them', ' (on_bad_item = "skip" で除外して学習)')


def look_command(typed: str, command: str = "scan", *words: str) -> str:
    """What a person types to look at a dataset; ``typed`` is its own property of that name."""
    dashes = ["--"] if any(word.startswith("-") for word in words) else []
    return " ".join(["musubi-tui data", command, typed or "DATASET.toml", *dashes, *map(shell_word, words)])


_REPAIR = say("repair or remove them", "直すか取り除いてください")
_REASONS = {
    "missing_caption": Reason(
        say("no caption", "キャプションなし"),
        say(
            "write a text file of the same name, or leave caption_extension out to train without captions",
            "同名のテキストファイルを書くか、caption_extension を外して (キャプションなしで) 学習してください",
        ),
    ),
    "caption_case": Reason(
        say("the ending of its caption is written otherwise", "キャプションの拡張子の大文字・小文字が違う"),
        say("rename the captions, or write caption_extension as their names have it", "キャプションの名前を変えるか、caption_extension を実際の表記に合わせてください"),
    ),
    "no_such_file": Reason(
        say("no such file", "ファイルがない"),
        say("bring it back", "ファイルを戻してください"),
        broken=True,
    ),
    "caption_not_utf8": Reason(
        say("caption that cannot be read as text", "テキストとして読めないキャプション"),
        say("save them as UTF-8 text, or name their encoding: caption_encoding", "UTF-8 で保存するか、caption_encoding に文字コードを書いてください"),
        broken=True,
    ),
    "unreadable_caption": Reason(
        say("caption cannot be read", "キャプションを読めない"),
        say("put a text file in its place, or let it be read", "テキストファイルを置くか、読めるようにしてください"),
        broken=True,
    ),
    "broken_link": Reason(
        say("broken link", "リンク切れ"),
        say("bring back what it leads to, or remove it", "リンク先を戻すか、リンクを取り除いてください"),
        broken=True,
    ),
    "unreadable_image": Reason(say("broken picture", "壊れた画像"), _REPAIR, broken=True),
    "unreadable_clip": Reason(say("broken video", "壊れた動画"), _REPAIR, broken=True),
    "unsupported_type": Reason(
        say("a type that is not read here", "ここでは読まない種類"),
        say("convert pictures to png or jpg; videos go into video_directory", "画像は png / jpg に変換、動画は video_directory へ"),
    ),
    "hidden_file": Reason(say("hidden file", "隠しファイル")),
    "name_not_utf8": Reason(say("name is not UTF-8", "ファイル名が UTF-8 でない"), say("rename them", "名前を変えてください")),
    "name_too_long": Reason(
        say("name too long for its cache file", "キャッシュにするには名前が長すぎる"), say("rename them", "名前を変えてください")
    ),
    "too_short": Reason(
        say("video shorter than the shortest clip", "最短クリップより短い動画"),
        say("add a smaller number to target_frames (1 is a still)", "target_frames に小さい数を加えてください (1 は静止画)"),
    ),
    "too_short_after_fps": Reason(
        say("video too short at the frame rate of the model", "モデルのフレームレートでは短すぎる動画"),
        say(
            "correct source_fps to the rate the videos have, or remove it; or add a smaller number to target_frames (1 is a still)",
            "source_fps を動画の実際のレートに直すか外してください。または target_frames に小さい数を加えてください (1 は静止画)",
        ),
    ),
    "too_small": Reason(
        say("smaller than one step of the bucket", "バケットの 1 刻みより小さい"),
        say("use larger pictures, or set bucket_no_upscale = false", "大きな画像にするか bucket_no_upscale = false に"),
    ),
    "missing_control": Reason(
        say("no control picture or video, or too few", "制御画像・動画がない、または足りない"),
        say("add them by name, or train without control_directory", "同じ名前で追加するか、control_directory を外してください"),
    ),
    "unreadable_control": Reason(say("broken control picture or video", "壊れた制御画像・動画"), _REPAIR, broken=True),
    "target_count": Reason(
        say("another number of target pictures than most", "目標画像の数が他と違う"),
        say("give every item equally many", "すべての項目で枚数を揃えてください"),
    ),
    "missing_mask": Reason(say("no mask", "マスクがない"), say("add one of the same name", "同名のマスクを追加してください")),
    "mask_size": Reason(
        say("mask of another shape", "マスクの縦横比が違う"), say("make it as wide and high as its picture", "画像と同じ縦横比にしてください")
    ),
    "unreadable_mask": Reason(say("broken mask", "壊れたマスク"), _REPAIR, broken=True),
    "duplicate": Reason(say("listed twice", "重複した行")),
    "missing_text_cache": Reason(say("latents without a text cache", "テキストキャッシュがない")),
    "stale_cache": Reason(say("cached at another size", "別の寸法のキャッシュ")),
    "damaged_cache": Reason(say("damaged cache file", "壊れたキャッシュ")),
    "bad_line": Reason(
        say("a line of the list that cannot be read", "リストの読めない行"),
        say("correct or remove them", "直すか取り除いてください"),
        broken=True,
    ),
    "list_not_utf8": Reason(
        say("a line of the list in another encoding", "リストの文字コードが違う行"),
        say("save the list as UTF-8, or name its encoding: caption_encoding", "リストを UTF-8 で保存するか、caption_encoding に文字コードを書いてください"),
        broken=True,
    ),
    "unreadable_folder": Reason(say("folder cannot be read", "フォルダを読めない"), say("check permissions", "権限を確認してください")),
    "not_a_list": Reason(say("a file that is no list", "リストではないファイル"), say("write one object in each line: JSON Lines", "1行に1オブジェクトの JSON Lines にしてください")),
    "unreadable_list": Reason(say("list cannot be read", "リストを読めない"), say("check permissions", "権限を確認してください")),
    "not_built_yet": Reason(say("not built yet", "未実装")),
}  # fmt: skip
_REPAIR_OR_LINE = say("repair them, or remove their lines", "直すか、その行を取り除いてください")
_OF_LISTS = {
    "missing_caption": Reason(
        say("no caption", "キャプションなし"),
        say('write "caption" into these lines of the list; "" trains without one', 'リストのこれらの行に "caption" を書いてください ("" ならキャプションなしで学習)'),
    ),
    "no_such_file": Reason(
        say("no such file", "ファイルがない"),
        say(
            "correct the path: it counts from the folder of the list, else from the working directory",
            "パスを直してください。リストのあるフォルダ、次に作業フォルダから探します",
        ),
        broken=True,
    ),
    "unsupported_type": Reason(
        _REASONS["unsupported_type"].title,
        say("convert pictures to png or jpg; videos go into a list of their own: video_jsonl_file", "画像は png / jpg に変換、動画は別のリスト video_jsonl_file へ"),
        broken=True,
    ),
    "broken_link": Reason(
        _REASONS["broken_link"].title,
        say("bring back what they lead to, or remove their lines", "リンク先を戻すか、その行を取り除いてください"),
        broken=True,
    ),
    "unreadable_image": Reason(_REASONS["unreadable_image"].title, _REPAIR_OR_LINE, broken=True),
    "unreadable_clip": Reason(_REASONS["unreadable_clip"].title, _REPAIR_OR_LINE, broken=True),
    "missing_control": Reason(
        _REASONS["missing_control"].title,
        say("write control_path, or control_path_0, control_path_1 … into these lines", "これらの行に control_path、または control_path_0、control_path_1 … を書いてください"),
    ),
    "missing_mask": Reason(_REASONS["missing_mask"].title, say("write mask_path into these lines", "これらの行に mask_path を書いてください")),
    "duplicate": Reason(_REASONS["duplicate"].title, say("remove all but one of them; they are trained once", "1つを残して取り除いてください (学習は1回だけ)")),
}  # fmt: skip
_OF_CLIPS = {
    "missing_caption": Reason(
        _REASONS["missing_caption"].title,
        say(
            "write a text file of the same name, or leave caption_extension out to train videos without captions (folders of frames need one)",
            "同名のテキストファイルを書くか、caption_extension を外して動画をキャプションなしで学習してください (フレームのフォルダには必要)",
        ),
    ),
    "too_small": Reason(
        _REASONS["too_small"].title,
        say("use larger videos, or set bucket_no_upscale = false", "大きな動画にするか bucket_no_upscale = false に"),
    ),
    "unsupported_type": Reason(
        _REASONS["unsupported_type"].title,
        say("pictures go into image_directory", "画像は image_directory へ"),
    ),
}  # fmt: skip


def told_together(datasets: Sequence[DatasetSpec], skipped: Sequence[Skipped]) -> str:
    """What is not trained, in one sentence: a few by name with their reasons, of more the reasons, the most frequent first."""
    if len(skipped) <= _MOST_NAMED:
        told = "; ".join(f"{one.named}: {one.reason.rstrip('.。')}" for one in skipped)
    else:
        rooms = {dataset.index: {"kind": dataset.kind, "list": dataset.jsonl} for dataset in datasets}
        titles = Counter(reason_of(one.code, rooms.get(one.dataset)).title for one in skipped)
        told = ", ".join(f"{title} ({count})" for title, count in titles.most_common())
    return say(
        f"{len(skipped)} {'is' if len(skipped) == 1 else 'are'} not trained: {told}.",
        f"学習されないものが {len(skipped)} 件あります: {told}。",
    )


def mend_one(code: str, *, listed: bool, of_line: bool) -> str:
    """What to do about one broken file: ``listed``, if a list names it; or about a line of a list itself (``of_line``)."""
    if of_line:
        en, ja = "Correct or remove this line", "この行を直すか取り除くか"
    else:
        en, ja = _MENDS.get(code, ("Repair it", "直すか"))
        en += ", or remove this line" if listed else ", or remove it"
        ja += "、この行を取り除くか" if listed else "取り除くか"
    return say(
        f'{en}, or set on_bad_item = "skip" in the dataset.',
        f'{ja}、データセットに on_bad_item = "skip" を書いてください。',
    )


_MOST_NAMED = 3
_MENDS = {
    "no_such_file": ("Correct the path", "パスを直すか"),
    "broken_link": ("Bring back what it leads to", "リンク先を戻すか"),
    "unsupported_type": ("Name it in a list of its own kind", "種類に合うリストに移すか"),
    "caption_not_utf8": ("Save its caption as UTF-8 text, or name its encoding (caption_encoding)", "キャプションを UTF-8 で保存するか、caption_encoding に文字コードを書くか"),
    "unreadable_caption": ("Put a text file in the place of its caption", "キャプションとしてテキストファイルを置くか"),
    "name_not_utf8": ("Rename it", "名前を変えるか"),
    "name_too_long": ("Rename it", "名前を変えるか"),
    "unreadable_folder": ("Let it be read (permissions)", "読めるように権限を変えるか"),
    "unreadable_list": ("Let it be read (permissions)", "読めるように権限を変えるか"),
    "not_a_list": ("Write one object in each line", "1行に1オブジェクトで書くか"),
    "missing_control": ("Add its control pictures", "制御画像を追加するか"),
    "unreadable_control": ("Repair its control picture or video", "制御画像・動画を直すか"),
    "mask_size": ("Give its mask the shape of the picture", "マスクを画像と同じ縦横比にするか"),
    "unreadable_mask": ("Repair its mask", "マスクを直すか"),
}  # fmt: skip
