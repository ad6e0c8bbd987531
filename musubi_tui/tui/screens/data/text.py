"""The Data screen's facts as lines of cells. Names and captions come from outside: they are drawn as text, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.style import Style

from engine.config.language import counted, say
from musubi_tui.runs.plain_text import clean
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.data.choosing import Group
from musubi_tui.tui.widgets.lines import Line, Span

if TYPE_CHECKING:
    from engine.data.findings import Finding
    from musubi_tui.datasets.board import Board
    from musubi_tui.datasets.cells import Drawing

_SIGNS = {
    "unicode": {"yes": "✓", "no": "✗", "up": "↑", "like": "≈", "to": "→", "warn": "!", "bad": "✗"},
    "ascii": {"yes": "+", "no": "x", "up": "^", "like": "~", "to": "->", "warn": "!", "bad": "x"},
}
_TRACK = {"unicode": str.maketrans("#:.", "█▒░"), "ascii": str.maketrans("", "")}
MUCH_ENLARGED = 1.5
_ROOMY = 110


def sign(glyphs: Glyphs, name: str) -> str:
    """A sign in the set of the terminal."""
    return _SIGNS[glyphs.name][name]


# -- the first line


def head_line(board: Board | None, busy: str, width: int, glyphs: Glyphs, open_key: str) -> Line:
    """``ink.toml   Wan 2.1   scan 0.4 s · 214 files · 2 sources   cache 98%``. ``open_key`` opens something else."""
    if board is None:
        return [(f" {busy}", "muted")]
    total = board.summary["total"]
    dot = " · " if glyphs.name == "unicode" else " | "
    sources = len(board.summary["datasets"])
    facts = [
        busy or say(f"scan {board.seconds:.1f} s", f"スキャン {board.seconds:.1f} 秒"),
        say(counted(total["files"], "file"), f"{total['files']} ファイル"),
        say(counted(sources, "source"), f"{sources} ソース"),
    ]
    if board.cached is not None:
        facts.append(say(f"cache {board.cached:.0%}", f"キャッシュ {board.cached:.0%}"))
    if board.opened.spec is None and (board.trains or width >= _ROOMY):
        if not busy:  # in a narrow line the hint is worth more than how long the scan took
            facts = facts[1:2] if width < _ROOMY else facts
        facts.append(say(f"no family: caches not judged ({open_key}: preset, or --family)", f"モデル未指定: キャッシュ未判定（{open_key} でプリセット、または --family）"))  # fmt: skip
    if not board.trains:
        facts.append(say("training would stop", "学習は開始できません"))
    right = " " + dot.join(facts) + " "
    room = width - cells(right) - 1
    name = clean(str(board.opened.file))
    left = f"{name}  {board.opened.family_title}"
    if cells(left) > room:
        left = name if cells(name) <= room else glyphs.ellipsis + _end(name, room - 1)
    return [(" " + fit(left, max(0, room), ellipsis=glyphs.ellipsis), "bold"), (right, "bad" if not board.trains else "muted")]  # fmt: skip


def _end(text: str, room: int) -> str:
    while text and cells(text) > room:
        text = text[1:]
    return text


# -- buckets


def buckets_title(board: Board) -> str:
    """``buckets   214 img · 0 vid · 9 buckets``."""
    pictures = sum(room["files"] for room in board.summary["datasets"] if room["kind"] == "image")
    videos = sum(room["files"] for room in board.summary["datasets"] if room["kind"] != "image")
    count = sum(len(room["buckets"]) for room in board.summary["datasets"])
    total = board.summary["total"]
    return say(
        f"buckets   {pictures} img, {videos} vid, {counted(count, 'bucket')}, {counted(total['batches'], 'batch', 'batches')}/epoch",
        f"バケット   画像 {pictures}、動画 {videos}、{count} バケット、{total['batches']} バッチ/エポック",
    )


def bucket_line(group: Group, most: int, width: int, name_width: int, glyphs: Glyphs) -> Line:
    """`` 832x1216 ████████  71  17x4 +3``."""
    name = fit(clean(group.title), name_width, right=group.dataset is None, ellipsis=glyphs.ellipsis)
    full = group.batches - (1 if group.short and group.dataset is None else 0)
    short = f"+{group.short}" if group.short else ""
    if group.dataset is not None:
        batches = say(counted(group.batches, "batch", "batches"), f"{group.batches} バッチ") + (say(f", {group.short} short", f"、端数 {group.short}") if group.short else "")  # fmt: skip
        tail = f" {group.items:>6}  {batches:<20}"
    else:
        tail = f" {group.items:>6} {full:>5}x{group.batch_size:<2} {short:<4}"
    bar_width = max(4, width - cells(name) - 2 - cells(tail))
    bar = glyphs.bar(group.items / max(1, most), bar_width).replace(glyphs.empty, " ")
    role = "warn" if group.below_batch and group.dataset is None else ""
    return [(name + " ", ""), (bar, "ema"), (tail, role)]


# -- items


def item_line(board: Board, row: int, width: int, glyphs: Glyphs, marks: Mapping[str, str]) -> Line:
    """``0118.png   768x1100  38 tok  ✓L ✓T  ↑1.4x``, or why the file is not trained."""
    rows = board.rows
    name = clean(rows.names[row])
    roomy = width >= 56
    name_width = max(10, min(32, width - (42 if roomy else 31)))
    spans: list[Span] = [(fit(name, name_width, ellipsis=glyphs.ellipsis), "")]
    if rows.reasons[row]:
        return [*spans, (f" {sign(glyphs, 'bad')} ", "bad"), (clean(rows.reasons[row]), "warn")]
    size = f"{rows.size[row, 0]}x{rows.size[row, 1]}"
    spans.append((f" {size:>9}", ""))
    if roomy:
        bucket = f"{sign(glyphs, 'to')}{rows.bucket[row, 0]}x{rows.bucket[row, 1]}"
        spans.append((f" {bucket:<10}", "muted"))
    tokens = int(rows.tokens[row])
    spans.append((f" {tokens:>3}t", "warn" if not tokens else "muted"))
    spans += [(" ", ""), *_cache_signs(int(rows.latents[row]), int(rows.texts[row]), glyphs)]
    mark = marks.get(rows.paths[row], "")
    if not mark and rows.enlarged[row] > 1:
        mark = f"{sign(glyphs, 'up')}{rows.enlarged[row]:.1f}x" + (" !" if rows.enlarged[row] > MUCH_ENLARGED else "")
    return [*spans, (f" {mark}", "warn")]


def _cache_signs(latents: int, text: int, glyphs: Glyphs) -> Iterable[Span]:
    for state, letter in ((latents, "L"), (text, "T")):
        known = {1: (sign(glyphs, "yes"), "good"), 2: (sign(glyphs, "no"), "muted")}.get(state, (glyphs.none, "muted"))
        yield known[0] + letter, known[1]


def marks_of(findings: Sequence[Finding], glyphs: Glyphs) -> dict[str, str]:
    """Path -> the mark of what a closer look found."""
    words = {
        "corrupt": f"{sign(glyphs, 'bad')} " + say("broken", "破損"),
        "duplicates": f"{sign(glyphs, 'like')} " + say("dup", "重複"),
        "blank": "! " + say("blank", "単色"),
        "trigger_word": "! " + say("trigger", "語なし"),
        "long_caption": "! " + say("long", "長い"),
        "frame_rate": "! fps",
        "slow_video": "! fps",
    }
    marks: dict[str, str] = {}
    for finding in findings:
        if finding.code in words:
            for entry in finding.entries:
                if not entry.keep:
                    marks.setdefault(str(entry.path), words[finding.code])
    return marks


# -- one item


def drawing_lines(drawing: Drawing, width: int) -> list[Line]:
    """A picture's cells as spans, centred."""
    if drawing.problem:
        return [[(clean(drawing.problem), "warn")]]
    lines: list[Line] = []
    for row in drawing.rows:
        left = " " * max(0, (width - len(row)) // 2)
        spans: list[Span] = [(left, "")]
        for cell in row:
            if cell.edge:
                style: str | Style = "accent" if cell.back is None else Style(color="#ffffff", bgcolor=_hex(cell.back))
            else:
                style = (
                    ""
                    if cell.front is None or cell.back is None
                    else Style(color=_hex(cell.front), bgcolor=_hex(cell.back))
                )
            spans.append((cell.text, style))
        lines.append(spans)
    return lines


def _hex(colour: tuple[int, int, int]) -> str:
    return f"#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x}"


def crop_words(facts: Mapping[str, Any]) -> str:
    """What is cut away and enlarged, in words."""
    part = facts["parts"][0]
    words = []
    if part["cropped_width"] >= 0.005:
        words.append(say(f"crop {part['cropped_width']:.0%} of width", f"幅の {part['cropped_width']:.0%} を切除"))
    if part["cropped_height"] >= 0.005:
        words.append(say(f"crop {part['cropped_height']:.0%} of height", f"高さの {part['cropped_height']:.0%} を切除"))  # fmt: skip
    if part["enlarged"] > 1:
        words.append(say(f"larger {part['enlarged']:.1f}x", f"{part['enlarged']:.2f} 倍に拡大"))
    return ", ".join(words) or say("nothing is cut away", "切除なし")


def wrapped(text: str, width: int, most: int) -> list[str]:
    """A text in at most ``most`` lines of at most ``width`` cells, cut at blanks where there are any."""
    width = max(2, width)  # a wide character must fit
    lines: list[str] = []
    line = ""
    for word in clean(text).split(" "):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while cells(word) > width and len(lines) < most:
            cut = next(end for end in range(min(len(word), width), 0, -1) if cells(word[:end]) <= width)
            lines.append(word[:cut])
            word = word[cut:]
        line = word
        if len(lines) >= most:
            return lines[:most]
    return [*lines, line][:most]


def track_text(track: str, glyphs: Glyphs) -> str:
    """The track of a clip in the set of the terminal."""
    return track.translate(_TRACK[glyphs.name])


# -- what is wrong


@dataclass(frozen=True)
class Told:
    """One line of the warnings, and the files it is about."""

    line: Line
    files: frozenset[str] = frozenset()


def warnings_of(board: Board, glyphs: Glyphs) -> list[Told]:
    """``{id}`` stands for the key of an action. Findings first, then what the scan left out, short batches, enlarged files, and what the scan warned of."""
    told: list[Told] = []
    codes = set()
    for finding in board.findings:
        fix = say("  {data.fix} mends it", "  {data.fix} で修正") if finding.fix else ""
        files = frozenset(str(entry.path) for entry in finding.entries)
        told.append(Told(_warning(finding.severity == "error", finding.title, fix, glyphs), files))
        codes.add(finding.code)
    for code, paths in _skipped(board).items():
        if code not in codes:
            from engine.data.reasons import reason_of

            title = reason_of(code).title
            words = say(f"not trained, {title}: {len(paths)}", f"学習されない ({title}): {len(paths)}")
            told.append(Told(_warning(False, words, "", glyphs), frozenset(paths)))
    total = board.summary["total"]
    if total["short_batches"]:
        words = say(f"short batches: {total['short_batches']} of {total['batches']}", f"端数バッチ: {total['batches']} 中 {total['short_batches']}")  # fmt: skip
        told.append(Told(_warning(False, words, "", glyphs)))
    if total["upscaled"] and "low_resolution" not in codes:
        words = say(f"enlarged files: {total['upscaled']}", f"拡大されるファイル: {total['upscaled']}")
        told.append(Told(_warning(False, words, "", glyphs)))
    broken = {entry["code"] for room in board.summary["datasets"] for entry in room["skipped"]}
    for problem in board.problems:
        if problem.code not in broken and problem.code not in codes:
            told.append(Told(_warning(problem.severity == "error", problem.message, f" {problem.fix}", glyphs)))
    return told


def _warning(bad: bool, words: str, after: str, glyphs: Glyphs) -> Line:
    mark = f"{sign(glyphs, 'bad' if bad else 'warn')} "
    return [(mark, "bad" if bad else "warn"), (clean(words), ""), (clean(after), "key" if after.startswith("  ") else "muted")]  # fmt: skip


def _skipped(board: Board) -> dict[str, list[str]]:
    paths: dict[str, list[str]] = {}
    for room in board.summary["datasets"]:
        for entry in room["skipped"]:
            paths.setdefault(entry["code"], []).append(entry["path"])
    return paths


def word_lines(words: Sequence[tuple[str, int]], files: int, width: int, most: int, glyphs: Glyphs) -> list[Line]:
    """How many captions hold each of the most frequent words."""
    lines: list[Line] = []
    for word, count in words[:most]:
        name = fit(clean(word), 16, ellipsis=glyphs.ellipsis)
        bar = glyphs.bar(count / max(1, files), max(4, width - 24)).replace(glyphs.empty, " ")
        lines.append([(name, ""), (f" {bar}", "mark"), (f" {count:>5}", "muted")])
    return lines
