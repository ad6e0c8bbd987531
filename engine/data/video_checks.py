"""What ``data doctor`` finds about videos: rates that make motion too slow or too fast, and videos too short for any clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.config.language import say
from engine.data.dataset_spec import DatasetConfig
from engine.data.findings import Entry, Finding, told_at
from engine.data.frames import rate_trouble
from engine.data.items import Item, Scan
from engine.data.media import ClipInfo, UnreadableMedia, clip_info
from engine.data.summary import printable
from engine.families.family import FamilySpec

Videos = Sequence[tuple[Item, ClipInfo]]


def measured(sources: Sequence[Item]) -> Videos:
    """The videos with what their headers say; those that cannot be read stand among the corrupt ones."""
    found = []
    for item in sources:
        if item.kind == "clip":
            try:
                found.append((item, clip_info(item.path)))
            except UnreadableMedia:
                continue
    return found


def video_row(item: Item, info: ClipInfo) -> dict[str, Any]:
    """A row of the table of videos."""
    return {
        "path": printable(item.path),
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
        "frames": info.frames,
        "seconds": round(info.frames / info.fps, 2) if info.fps else None,
    }


def video_findings(config: DatasetConfig, scan: Scan, spec: FamilySpec | None, videos: Videos) -> Iterator[Finding]:
    """Each kind of trouble, also where there is none of it."""
    if spec is not None:
        yield from _frame_rates(config, spec.fps, videos)
    yield _too_short(scan)
    yield _cut_off(videos)


def _frame_rates(config: DatasetConfig, target: float, videos: Videos) -> Iterator[Finding]:
    """Those that another ``source_fps`` mends, and those that have too few frames whatever is written."""
    sorted_out: dict[str, list[Entry]] = {"wrong": [], "slow": [], "": []}
    for item, info in videos:
        dropped_from = info.fps if item.shown else item.source_fps  # where times decide, what is stated does not matter
        motion = config.datasets[item.dataset].shows_motion
        trouble = rate_trouble(info.fps, dropped_from, target) if motion else ""
        rate = info.fps or (item.source_fps if trouble else 0) or 0
        sorted_out[trouble].append(Entry(item.path, f"{rate:g} fps", item.dataset))
    wrong, slow = sorted_out["wrong"], sorted_out["slow"]
    touched = {entry.dataset for entry in wrong}  # one source_fps would hold for all videos of such a dataset
    yield Finding(
        "frame_rate",
        "warning",
        say(
            f"videos at another rate than {target:g} fps or source_fps: {len(wrong)}",
            f"想定のレート ({target:g} fps、または source_fps) と異なる動画が {len(wrong)} 本",
        ),
        say(
            "Motion is learned at another speed. Write their rate as source_fps into the dataset, or fps_from_file = true.",
            "動きの速さがずれて学習されます。データセットの source_fps に実際のレートを書くか、fps_from_file = true にしてください。",
        ),
        tuple(wrong),
        "frame_rate",
        tuple(entry for entry in (*slow, *sorted_out[""]) if entry.dataset in touched),
    )
    yield Finding(
        "slow_video",
        "warning",
        say(f"videos of fewer than {target:g} frames a second: {len(slow)}", f"{target:g} fps 未満の動画が {len(slow)} 本"),
        say(
            f"No frame is repeated, so motion is learned too fast. Give them more frames (ffmpeg -i IN -vf minterpolate=fps={target:g} OUT), "
            "train them as stills (target_frames = [1]), or set them aside.",
            f"フレームは補わないため、動きが速く学習されます。フレームを補う (ffmpeg -i 入力 -vf minterpolate=fps={target:g} 出力) か、"
            "静止画として使う (target_frames = [1]) か、よけてください。",
        ),
        tuple(slow),
        "slow_video",
    )  # fmt: skip


def _cut_off(videos: Videos) -> Finding:
    """Videos that end before their headers say: what is there is trained."""
    entries = []
    for item, info in videos:
        if info.promised:
            frames = say(f"{info.frames} of {info.promised} frames", f"{info.promised} フレーム中 {info.frames}")
            seconds = f"{info.frames / info.fps:.2f} / {info.promised / info.fps:.2f} s, " if info.fps else ""
            entries.append(
                Entry(
                    item.path, say(f"ends early: {seconds}{frames}", f"途中で終わる: {seconds}{frames}"), item.dataset
                )
            )
    return Finding(
        "cut_off",
        "warning",
        say(f"videos that end before their headers say: {len(entries)}", f"途中で切れている動画が {len(entries)} 本"),
        say(
            "What is there is trained. Fetch them again if the rest matters, or set them aside.",
            "ある分だけ学習します。残りも必要なら取得し直すか、よけてください。",
        ),
        tuple(entries),
        "cut_off",
    )


def _too_short(scan: Scan) -> Finding:
    entries = [told_at(s) for s in scan.skipped if s.code in ("too_short", "too_short_after_fps")]
    by_rate = any(s.code == "too_short_after_fps" for s in scan.skipped)
    rate_en = "Correct source_fps where it is not their rate, add" if by_rate else "Add"
    rate_ja = "source_fps が実際のレートと違うなら直すか、" if by_rate else ""
    return Finding(
        "too_short",
        "warning",
        say(f"videos shorter than every clip length: {len(entries)}", f"どのクリップ長にも足りない動画が {len(entries)} 本"),
        say(f"{rate_en} a smaller number to target_frames, or set them aside.", f"{rate_ja}target_frames に小さい数を加えるか、よけてください。"),
        tuple(entries),
        "too_short",
    )  # fmt: skip
