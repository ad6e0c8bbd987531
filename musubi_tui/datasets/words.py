"""A survey of a dataset in sentences: what ``data scan`` prints and the app shows under ``s``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.config.language import counted, say
from engine.config.spelling import named, readable
from musubi_tui.terminal_width import cells, padded

_LABEL_CELLS = 15  # of a line "  label        text"
_NAME_CELLS = 10  # before the name of what is left out
_BEFORE_TEXT = re.compile(r" +(?P<mark>-> |\d+  )?")
_EXAMPLES = 3
_LINES = 20  # of a list, told one by one for each reason
_TOLD_EACH = {  # reasons that differ from file to file: how many are told one by one
    "bad_line": 20, "list_not_utf8": 20, "no_such_file": 10, "unreadable_image": 3, "unreadable_clip": 3, "unreadable_control": 3,
    "unreadable_mask": 3, "unreadable_caption": 3, "caption_not_utf8": 3, "caption_case": 3, "mask_size": 3, "name_not_utf8": 3, "name_too_long": 3, "too_short_after_fps": 3,
}  # fmt: skip


def kind_word(kind: str) -> str:
    """What a dataset of that kind holds."""
    return say("pictures", "画像") if kind == "image" else say("clips", "クリップ")


def survey_lines(told: Mapping[str, Any]) -> list[str]:
    """The survey in sentences; the app shows the same ones."""
    lines: list[str] = []
    for room in told["datasets"]:
        lines += ["", f"{room['name']}  {kind_word(room['kind'])}  {room['source']}"]
        lines += [f"  {padded(name, 12)} {text}" for name, text in _facts(room)]
        lines += _left_out(room)
    return [*lines, "", _total(told)]


def _total(told: Mapping[str, Any]) -> str:
    """The last line: what is trained and how much is not; what is left out may be files, folders of frames, and lines of lists."""
    total = told["total"]
    held, left = total["held_out"], total["skipped"]
    if not total["items"]:
        return say(
            f"Nothing would be trained. Not trained: {left}.", f"学習されるものがありません。学習されない: {left} 件。"
        )
    will_en, will_ja = ("Would be trained", "学習される予定") if told["errors"] else ("Trained", "学習される")
    line = say(
        f"{will_en}: {counted(total['items'], 'item')} per epoch from {counted(total['files'], 'file')} ({size_word(total['bytes'])}).",
        f"{will_ja}: {total['files']} ファイル ({size_word(total['bytes'])}) から 1 エポック {total['items']} 件。",
    )
    line += say(f" Not trained: {left}.", f"学習されない: {left} 件。")
    if held:
        line += say(f" Held out for validation: {counted(held, 'file')}.", f" 検証用に除外: {held} ファイル。")
    return line


def hanging(line: str) -> int:
    """Where a line of the survey goes on when it is too long: below its text, behind label, number or arrow."""
    before = _BEFORE_TEXT.match(line)
    if before is None:
        return 0
    blanks = cells(before[0])
    return blanks if before["mark"] else blanks + 2 if blanks >= _NAME_CELLS else _LABEL_CELLS


def _facts(room: Mapping[str, Any]) -> list[tuple[str, str]]:
    kinds = ", ".join(f"{name or '?'} {count}" for name, count in room["extensions"].items())
    repeats = say(f", each {room['repeats']} times", f"、各 {room['repeats']} 回") if room["repeats"] > 1 else ""
    cached = say(", from cache files alone", "、キャッシュのみ") if room["from_caches"] else ""
    files = say(
        f"{counted(room['files'], 'file')} ({kinds or 'none'}), {size_word(room['bytes'])}{repeats}{cached}",
        f"{room['files']} ファイル ({kinds or 'なし'})、{size_word(room['bytes'])}{repeats}{cached}",
    )
    facts = [(say("trained", "学習"), files)]
    if room["size"]:
        small, middle, large = ("x".join(map(str, room["size"][k])) for k in ("smallest", "median", "largest"))
        facts.append(
            (
                say("sizes", "寸法"),
                small if small == large else say(f"{small} to {large}, the middle one {middle}", f"{small} ~ {large}、中央 {middle}"),
            )
        )  # fmt: skip
    facts.append((say("captions", "キャプション"), _caption_fact(room["captions"])))
    videos = room.get("videos")
    if videos:
        facts += _video_facts(videos)
    from engine.data.extras import extra_facts

    return facts + extra_facts(room["extras"])


def _caption_fact(captions: Mapping[str, Any]) -> str:
    length, empty = captions["characters"], captions["empty"]
    alone = captions["unused"]
    unused = say(f"; {alone} {'belongs' if alone == 1 else 'belong'} to no file", f"、対応ファイルなし {alone}") if alone else ""  # fmt: skip
    if not captions["written"]:
        told = say(f"{empty} empty", f"空 {empty}") if captions["extension"] and empty else say("none", "なし")
        return told + unused
    told = say(f", {empty} empty", f"、空 {empty}") if empty else ""
    if length["shortest"] == length["longest"]:
        all_en, all_ja = counted(length["longest"], "character"), f"{length['longest']} 文字"
    else:
        all_en = f"{length['shortest']} to {length['longest']} characters, middle {length['median']}"
        all_ja = f"{length['shortest']} ~ {length['longest']} 文字 (中央 {length['median']})"
    return say(f"{captions['written']} with text{told}; {all_en}", f"{captions['written']} 件{told}、{all_ja}") + unused


def _video_facts(videos: Mapping[str, Any]) -> list[tuple[str, str]]:
    rates = ", ".join([*(f"{rate} fps ({count})" for rate, count in videos["fps"].items()), *_without_rate(videos)])
    frames, seconds = videos["frames"], videos["seconds"]
    same = frames["shortest"] == frames["longest"]
    length = say(
        counted(frames["longest"], "frame") if same else f"{frames['shortest']} to {frames['longest']} frames",
        f"{'' if same else str(frames['shortest']) + ' ~ '}{frames['longest']} フレーム",
    )
    if seconds:
        same = seconds["shortest"] == seconds["longest"]
        from_en, from_ja = ("", "") if same else (f"{seconds['shortest']:g} to ", f"{seconds['shortest']:g} ~ ")
        length += say(
            f", {from_en}{seconds['longest']:g} s, together {seconds['total']:g} s",
            f"、{from_ja}{seconds['longest']:g} 秒、合計 {seconds['total']:g} 秒",
        )
    return [(say("rates", "レート"), rates), (say("lengths", "長さ"), length)]  # fmt: skip


def _without_rate(videos: Mapping[str, Any]) -> list[str]:
    """What is taken for the rate of folders of frames, and of files that do not say theirs."""
    count, stated = videos["without_fps"], videos["stated_fps"]
    if not count:
        return []
    if stated:
        taken_en, taken_ja = f"counted as {stated:g} fps (source_fps)", f"source_fps の {stated:g} fps とみなす"
    else:
        taken_en, taken_ja = "every frame is used", "全フレームを使用"
    return [
        say(
            f"no rate of {'its' if count == 1 else 'their'} own ({count}), as folders of frames: {taken_en}",
            f"レート情報なし ({count}、フレームのフォルダなど): {taken_ja}",
        )
    ]


def _left_out(room: Mapping[str, Any]) -> list[str]:
    from engine.data.reasons import reason_of
    from engine.data.survey import first_examples

    lines = []
    if room["skipped"]:
        count = len(room["skipped"])
        lines.append(f"  {padded(say('NOT trained', '学習されない'), 12)} {count}")
    for code, count in room["skipped_by_code"].items():
        reason = reason_of(code, room)
        each = _LINES if room["list"] else _TOLD_EACH.get(code, 0)
        examples = first_examples(room["skipped"], code, each or _EXAMPLES)
        left = count - len(examples)
        more = say(f"and {left} more", f"ほか {left} 件") if left > 0 else ""
        if each:
            lines.append(f"  {count:>6}  {reason.title}:")
            lines += [f"          {place_of(entry, room)}: {readable(entry['reason'])}" for entry in examples]
            more += say("; --json lists all", " (--json で全件)")
            lines += [f"          {more}"] if left > 0 else []
        else:
            names = ", ".join(place_of(entry, room) for entry in examples)
            lines.append(f"  {count:>6}  {reason.title}: {names}{f' {more}' if more else ''}")
        if reason.advice:
            lines.append(f"          -> {reason.advice}")
        elif count <= _EXAMPLES and not each:
            lines += [f"          {entry['reason']}" for entry in examples]
    others = room["others"]
    parts = [f"{name} {count}" for name, count in others["files"].items()]
    if others["folders"]:
        parts.append(say(f"{counted(others['folders'], 'subfolder')}", f"サブフォルダ {others['folders']}"))
    if parts:
        lines.append(f"  {padded(say('also there', 'その他'), 12)} {', '.join(parts)}")
    return lines


def place_of(entry: Mapping[str, Any], room: Mapping[str, Any], *, whole: bool = False) -> str:
    """What is left out, by its name (or ``whole`` path), with its line where a list names it: ``list.jsonl:7``, ``cat.png (list.jsonl:3)``."""
    line = entry.get("line", 0)
    return named(str(entry["path"]), str(room["list"]), line, whole=whole and not line)


def size_word(size: int) -> str:
    """Bytes as a person reads them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def cache_state_word(state: str) -> str:
    """The verdict on a cache file, as ``item_facts`` gives it."""
    return {
        "current": say("current", "最新"),
        "foreign": say("made by another tool, used as it is", "他ツール製 (使用)"),
        "missing": say("missing", "なし"),
        "stale": say("stale", "古い"),
        "unknown": say("unknown without a family", "モデル未指定のため不明"),
    }[state]
