"""The lines under a picture: crop, caption, cache files; and the frames of a clip along its video."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from engine.config.language import counted, say
from musubi_tui.datasets.words import cache_state_word
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.glyphs import Glyphs
from musubi_tui.tui.screens.data.painter import Painted
from musubi_tui.tui.screens.data.text import crop_words, track_text, wrapped
from musubi_tui.tui.widgets.lines import Line

if TYPE_CHECKING:
    from engine.data.timeline import Timeline
    from musubi_tui.datasets.board import Board


def facts_lines(
    painted: Painted, board: Board, row: int, width: int, height: int, glyphs: Glyphs, write_key: str
) -> list[Line]:
    """What is known about an item, in ``height`` lines; ``write_key`` writes a caption: the crop first, then the caption, then the rest if there is room."""
    lines: list[Line] = []
    if painted.problem:
        lines.append([(clean(painted.problem), "warn")])
    if not painted.facts:
        reason = board.rows.reasons[row]
        lines += [
            [(text, "warn")]
            for text in wrapped(say(f"not trained: {reason}", f"学習されません: {reason}"), width, height)
        ]
    else:
        lines.append([(crop_words(painted.facts), "muted")])
    if painted.line is not None:
        lines += _own_track(painted, board, row, width, glyphs)
    caption = board.rows.captions[row] if painted.caption is None else painted.caption
    caption = caption or (say(f"(none)  {write_key} to write", f"(なし)  {write_key} で書く"))
    rest = _cache_lines(painted) if height > 6 else []
    room = max(1, height - len(lines) - len(rest))
    texts = wrapped(say(f"caption: {caption}", f"キャプション: {caption}"), width, room)
    lines += [[(text, "")] for text in texts]
    return [*lines, *rest][:height]


_ROLES = {"current": "good", "foreign": "good", "missing": "muted", "stale": "warn", "unknown": "muted"}


def _cache_lines(painted: Painted) -> list[Line]:
    if not painted.facts:
        return []
    part = painted.facts["parts"][0]
    mine = [one for one in painted.facts["parts"] if (one["id"], one["bucket"]) == (part["id"], part["bucket"])]
    lines: list[Line] = []
    for name, title, entries in (
        ("latents", say("latents", "潜在"), mine),
        ("text", say("text", "テキスト"), painted.facts["texts"]),
    ):
        states = Counter((one[name], one[f"{name}_reason"]) for one in entries)
        for (state, reason), count in states.most_common():
            many = f"{count}/{len(entries)} " if len(entries) > 1 else ""
            why = f" ({clean(reason)})" if reason else ""
            lines.append([(f"{title}: ", "muted"), (many + cache_state_word(state) + why, _ROLES[state])])
    if part["tokens"]:
        lines.append([(say(f"{part['tokens']} tokens of the model", f"モデルのトークン数 {part['tokens']}"), "muted")])
    return lines


def _own_track(painted: Painted, board: Board, row: int, width: int, glyphs: Glyphs) -> list[Line]:
    from engine.data.timeline import track

    line = painted.line
    start, frames = int(board.rows.start[row]), int(board.rows.bucket[row, 2])
    clip = next((c for c in line.clips if c.start == start and c.frames == frames), None) if line else None
    if line is None or clip is None:
        return []
    label = f" {clip.first}-{clip.last}/{line.info.frames}"
    return [[(track_text(track(line, clip, max(4, width - len(label))), glyphs), "mark"), (label, "muted")]]


def frames_lines(line: Timeline, width: int, height: int, glyphs: Glyphs, *, chosen_start: int) -> list[Line]:
    """All clips of a video along its frames."""
    from engine.data.timeline import track

    info = line.info
    rate = f"{info.fps:g} fps" if info.fps else say("rate unknown", "レート不明")
    lines: list[Line] = [[(say(f"{counted(info.frames, 'frame')}, {rate}", f"{info.frames} フレーム、{rate}"), "")]]
    if line.by_time:
        lines.append([(say(f"by time, {line.target_fps:g} fps: {len(line.kept)} are left", f"表示時刻で {line.target_fps:g} fps: {len(line.kept)} フレーム"), "muted")])  # fmt: skip
    elif line.source_fps and line.target_fps:
        lines.append([(say(f"{line.source_fps:g} -> {line.target_fps:g} fps: {len(line.kept)} are left", f"{line.source_fps:g} -> {line.target_fps:g} fps: {len(line.kept)} フレーム"), "muted")])  # fmt: skip
    lines.append([(say(f"{counted(line.used, 'frame is', 'frames are')} used by {counted(len(line.clips), 'clip')}", f"{len(line.clips)} クリップが {line.used} フレームを使用"), "muted")])  # fmt: skip
    for clip in line.clips[: max(1, height - len(lines))]:
        label = f"@{clip.start:<5}{clip.frames:>3} "
        role = "mark" if clip.start != chosen_start else "ema"
        lines.append([(label, "bold" if clip.start == chosen_start else "muted"), (track_text(track(line, clip, max(4, width - len(label))), glyphs), role)])  # fmt: skip
    return lines[:height]
