"""``musubi-tui data show``: one item: its picture with the crop frame, caption, bucket, cache files."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import counted, say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.data_words import FamilyOption, FileArgument, opened_dataset
from musubi_tui.cli.output import OK, in_colour, narrate, print_json, print_line
from musubi_tui.datasets.words import cache_state_word
from musubi_tui.terminal_width import cells, padded

if TYPE_CHECKING:
    from engine.data import Item, Scan, Skipped
    from musubi_tui.datasets.cells import Cell, Drawing
    from musubi_tui.datasets.opening import OpenedDataset

HELP = say(
    "Show one item of a dataset: the picture with the frame of its crop, the caption, the bucket, the cache files.\n\n"
    "ITEM is a file name, its stem, a path, an item's id, or its line of a list (list.jsonl:12).\n\n"
    "  musubi-tui data show dataset.toml cat.jpg --family wan",
    "データセットの 1 項目を表示します。切り抜き枠つきの画像、キャプション、バケット、キャッシュ。\n\n"
    "ITEM はファイル名、拡張子なしの名前、パス、項目の id、またはリストの行 (list.jsonl:12) です。\n\n"
    "  musubi-tui data show dataset.toml cat.jpg --family wan",
)


def show(
    file: FileArgument,
    item: Annotated[
        str,
        typer.Argument(metavar="ITEM", help=say("File name, stem, path, id or line of a list.", "ファイル名、名前、パス、id、リストの行。"), show_default=False),
    ],
    family: FamilyOption = None,
    width: Annotated[
        int, typer.Option(min=8, max=400, metavar="CELLS", help=say("Width of the picture.", "画像の幅。"))
    ] = 60,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    from engine.data.variants import cuts
    from musubi_tui.datasets.item_facts import item_facts
    from musubi_tui.datasets.opening import scan_index, scan_opened

    opened = opened_dataset(file, family)
    with scan_index() as index:
        found = scan_opened(opened, index=index)
    lists = [dataset.jsonl for dataset in opened.config.datasets]
    mine = [
        one
        for one in found.cached
        if is_called(one.path, item) or one.id == item or stands_at(lists[one.dataset], one.line, item)
    ]
    if not mine:
        return _left_out(opened, found, item, as_json)
    facts = item_facts(opened, mine, held_out=found.held_out)
    if as_json:
        print_json(facts)
        return OK
    _draw(cuts(mine[0])[0], width)
    lines = list(told(facts))
    first = max(9, *(cells(name) for name, _ in lines))
    for name, text in lines:
        print_line(f"{padded(name, first)} {text}")
    return OK


def is_called(path: Path, word: str) -> bool:
    """Whether a person means this file by that word."""
    return word in (path.name, path.stem, str(path)) or Path(word).absolute() == path


def stands_at(source: Path | None, line: int, word: str) -> bool:
    """Whether the word is the place of that line of a list as it is told: ``list.jsonl:12``."""
    return source is not None and line > 0 and word in (f"{source.name}:{line}", f"{source}:{line}")


def _left_out(opened: OpenedDataset, found: Scan, word: str, as_json: bool) -> int:
    """A file that is not trained is told with its reason; one that is not there raises ``UserError``."""
    from engine.data.summary import skipped_entry

    skipped: list[Skipped] = [
        entry for entry in found.skipped if is_called(entry.path, word) or stands_at(entry.source, entry.line, word)
    ]
    if not skipped:
        raise _unknown(opened.file, word, found)
    entry = skipped[0]
    if as_json:
        print_json({"skipped": skipped_entry(entry)})
    else:
        print_line(say(f"{entry.named} is not trained: {entry.reason}", f"{entry.named} は学習されません: {entry.reason}"))  # fmt: skip
    return OK


def _unknown(file: Path, word: str, found: Scan) -> UserError:
    from difflib import get_close_matches

    names = {item.path.name for item in found.items} | {entry.path.name for entry in found.skipped}
    near = get_close_matches(word, sorted(names), n=1)
    return UserError.of(
        "no_such_item",
        say(f"there is no item {word!r} in it.", f"{word!r} という項目はありません。"),
        say(f"Did you mean {near[0]}?", f"{near[0]} のことですか?") if near else "",
        file=file,
    )


def told(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What ``item_facts`` says, in words."""
    lines = [(say("file", "ファイル"), facts["path"])]
    texts = facts["texts"]
    several = len({part["dataset"] for part in facts["parts"]}) > 1
    for parts in _by_item(facts["parts"]):
        part = parts[0]
        bucket = part["bucket"]
        size = f"{facts['width']}x{facts['height']} -> {bucket['width']}x{bucket['height']}"
        if bucket["frames"] > 1:
            size += say(f" x {bucket['frames']} frames from frame {part['start']}",
                        f"、{bucket['frames']} フレーム ({part['start']} から)")  # fmt: skip
        tokens = say(f", {part['tokens']} tokens", f"、{part['tokens']} トークン") if part["tokens"] else ""
        owner = f"{part['dataset']}: " if several else ""
        lines.append((say("trained", "学習"), f"{owner}{size}{tokens}"))
        alone = latents_word(part) if len(parts) == 1 else ""
        told = [alone] if alone else []
        told += [text_word(texts[0])] if len(texts) == 1 else []
        lines += [(say("cut", "切り抜き"), f"{cut_words(one)}: {latents_word(one)}") for one in parts if not alone]
        lines += [(say("cache", "キャッシュ"), ", ".join(told))] if told else []
    first = facts["parts"][0]
    cut = (
        [say(f"{first['cropped_width']:.0%} of the width", f"幅の {first['cropped_width']:.0%}")]
        if first["cropped_width"] >= 0.005
        else []
    )
    cut += (
        [say(f"{first['cropped_height']:.0%} of the height", f"高さの {first['cropped_height']:.0%}")]
        if first["cropped_height"] >= 0.005
        else []
    )
    nothing = say("nothing", "なし")
    times = (
        say(f", enlarged {first['enlarged']:.2f} times", f"、{first['enlarged']:.2f} 倍に拡大")
        if first["enlarged"] > 1
        else ""
    )
    lines.append((say("cut away", "切除"), (", ".join(cut) or nothing) + times))
    count = facts["caption_tokens"]
    about = "" if facts["caption_tokens_exact"] else say("about ", "約 ")
    caption = " ".join(facts["caption"].split()) or say("(none)", "(なし)")
    tokens = say(f"{about}{counted(count, 'token')}", f"{about}{count} トークン")
    lines.append((say("caption", "キャプション"), f"{caption}  ({tokens}{_of_several(texts, 0)})"))
    return [*lines, *_more(facts)]


def _by_item(parts: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The cuts of each clip together."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for part in parts:
        found.setdefault((part["id"], str(part["bucket"])), []).append(part)
    return list(found.values())


def _of_several(texts: Sequence[dict[str, Any]], number: int) -> str:
    """The state of one caption's cache, where there are several."""
    return f", {text_word(texts[number])}" if len(texts) > 1 else ""


def _more(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What only some items have: further captions, controls, targets, a mask, a weight."""
    texts = facts["texts"]
    lines = [
        (say("or", "または"), f"{' '.join(caption.split())}  ({text_word(texts[number])})")
        for number, caption in enumerate(facts["captions"][1:], 1)
    ]
    if facts["caption_dropout"]:
        share = f"{facts['caption_dropout']:.0%}"
        words = say(f"no caption, in {share} of the draws", f"キャプションなし ({share})")
        lines.append((say("or", "または"), f"{words}  ({text_word(texts[-1])})"))
    for control in facts["controls"]:
        bucket = control["bucket"]
        sizes = f"{control['width']}x{control['height']} -> {bucket['width']}x{bucket['height']}"
        lines.append((say("control", "制御"), f"{control['path']}  {sizes}"))
    lines += [(say("target", "目標"), target) for target in facts["targets"]]
    if facts["mask"] is not None:
        alpha = facts["mask"] == facts["path"]
        lines.append(
            (say("mask", "マスク"), say("its alpha channel", "アルファチャンネル") if alpha else facts["mask"])
        )
    if facts["loss_weight"] != 1:
        lines.append((say("weight", "重み"), f"{facts['loss_weight']:g}"))
    if facts["held_out"]:
        lines.append((say("held out", "検証用"), say("never trained, measured only", "学習せず、検証だけに使う")))
    return lines


def cut_words(part: dict[str, Any]) -> str:
    """Which part of the picture a cut is."""
    crop = part["crop"]
    across, down = f"{crop['left']:.0%}-{crop['right']:.0%}", f"{crop['top']:.0%}-{crop['bottom']:.0%}"
    words = say(f"{across} of the width, {down} of the height", f"幅 {across}、高さ {down}")
    return words + (say(", mirrored", "、左右反転") if part["mirrored"] else "")


def latents_word(part: dict[str, Any]) -> str:
    """``latents current``."""
    return _state_word(say("latents", "潜在"), part["latents"], part["latents_reason"])


def text_word(text: dict[str, Any]) -> str:
    """``text missing``."""
    return _state_word(say("text", "テキスト"), text["text"], text["text_reason"])


def _state_word(title: str, state: str, reason: str) -> str:
    return f"{title} {cache_state_word(state)}" + (f" ({reason})" if reason else "")


def _draw(item: Item, width: int) -> None:
    from musubi_tui.datasets.cells import draw_item

    columns, lines = shutil.get_terminal_size((80, 24))
    colour = in_colour(sys.stdout)
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "UTF-8"
    plain = "utf" not in locale.lower() and locale not in ("C", "POSIX")
    drawing = draw_item(item, min(width, columns), max(8, lines - 10), colour=colour, ascii_only=plain)
    write_cells(drawing)


def write_cells(drawing: Drawing) -> None:
    """The drawing on stdout, in 24-bit colour where its cells have any."""
    if drawing.problem:
        narrate(drawing.problem)
    for row in drawing.rows:
        sys.stdout.write(_ansi(row) + "\n")


def _ansi(row: Sequence[Cell]) -> str:
    parts, before = [], ""
    for cell in row:
        front = "" if cell.front is None else f"\x1b[38;2;{cell.front[0]};{cell.front[1]};{cell.front[2]}m"
        back = "" if cell.back is None else f"\x1b[48;2;{cell.back[0]};{cell.back[1]};{cell.back[2]}m"
        style = front + back
        if cell.edge and cell.back is not None:
            style = f"\x1b[97m{back}"
        parts.append((("\x1b[0m" + style) if style != before else "") + cell.text)
        before = style
    return "".join(parts) + ("\x1b[0m" if before else "")
