"""``musubi-tui data frames``: which frames of a video its clips use, drawn along the video."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import counted, say
from engine.config.problems import UserError
from engine.config.spelling import named
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.data_words import FamilyOption, opened_dataset
from musubi_tui.cli.output import OK, narrate, print_json, print_line

if TYPE_CHECKING:
    from engine.data import Item
    from engine.data.dataset_spec import DatasetSpec
    from engine.data.timeline import Timeline

_CELLS, _FEWEST_CELLS = 48, 16
_BESIDE_THE_TRACK = 44  # cells of a line's other words
HELP = say(
    "Draw which frames of a video become which clip.\n\n"
    "FILE is a dataset file or preset; CLIP one of its videos (file name, its stem, or a path), all of them without it:\n\n"
    "  musubi-tui data frames dataset.toml street.mp4 --family wan\n\n"
    "FILE can also be one video or folder of frames, with the settings to try:\n\n"
    "  musubi-tui data frames street.mp4 --target-frames 1,25,45 --frame-extraction slide --frame-stride 10 --family wan\n\n"
    "# a used frame, : passed over for the frame rate, . not used by this clip.",
    "動画のどのフレームがどのクリップになるかを図示します。\n\n"
    "FILE はデータセットファイルかプリセット、CLIP はその動画 (ファイル名、拡張子なしの名前、パス)。省略時は全動画:\n\n"
    "  musubi-tui data frames dataset.toml street.mp4 --family wan\n\n"
    "FILE に動画 (またはフレームのフォルダ) 1 本と、試したい設定を指定することもできます:\n\n"
    "  musubi-tui data frames street.mp4 --target-frames 1,25,45 --frame-extraction slide --frame-stride 10 --family wan\n\n"
    "# 使うフレーム、: レート変換で飛ばすフレーム、. このクリップでは使わない。",
)
_TRIED = say("For a single video.", "動画 1 本を指定したときのみ。")


def frames(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=say(
                "Dataset file, preset, a video, or a folder of frames.",
                "データセットファイル、プリセット、動画、またはフレームのフォルダ。",
            ),
            show_default=False,
        ),
    ],
    clip: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLIP]", help=say("A video of the dataset.", "データセットの動画。"), show_default=False
        ),
    ] = None,
    family: FamilyOption = None,
    target_frames: Annotated[str | None, typer.Option(metavar="N,N,…", help=_TRIED)] = None,
    frame_extraction: Annotated[str | None, typer.Option(metavar="head|chunk|slide|uniform|full", help=_TRIED)] = None,
    frame_stride: Annotated[int | None, typer.Option(metavar="N", help=_TRIED)] = None,
    frame_sample: Annotated[int | None, typer.Option(metavar="N", help=_TRIED)] = None,
    max_frames: Annotated[int | None, typer.Option(metavar="N", help=_TRIED)] = None,
    source_fps: Annotated[float | None, typer.Option(metavar="FPS", help=_TRIED)] = None,
    resolution: Annotated[str | None, typer.Option(metavar="WxH", help=_TRIED)] = None,
    as_json: JsonOption = False,
) -> int:
    from engine.data.media import VIDEO_EXTENSIONS, frame_files, is_folder

    tried = {
        "target_frames": target_frames, "frame_extraction": frame_extraction, "frame_stride": frame_stride,
        "frame_sample": frame_sample, "max_frames": max_frames, "source_fps": source_fps, "resolution": resolution,
    }  # fmt: skip
    given = {name: value for name, value in tried.items() if value is not None}
    if file.suffix.lower() in VIDEO_EXTENSIONS or (is_folder(file) and frame_files(file)):
        if clip is not None:
            raise UserError.of(
                "usage",
                say(
                    f"{clip} is one word too many: FILE is a video already.",
                    f"余分な引数です: {clip} (FILE が動画です)。",
                ),
            )
        found: list[Timeline] = [_try(file, family, given)]
        left_out: list[dict[str, Any]] = []
    else:
        if given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UserError.of(
                "usage",
                say(f"{names}: the dataset says this itself.", f"{names} はデータセット側の設定に従います。"),
                say("Give a video as FILE to try settings.", "設定を試すには FILE に動画を指定してください。"),
            )
        found, left_out = _of_dataset(file, family, clip)
    if as_json:
        print_json({"videos": [line.as_json() for line in found], "skipped": left_out})
        return OK
    cells = _CELLS
    if sys.stdout.isatty():
        cells = max(_FEWEST_CELLS, min(_CELLS, shutil.get_terminal_size().columns - _BESIDE_THE_TRACK))
    for line in found:
        for text in timeline_lines(line, cells):
            print_line(text)
        print_line("")
    for entry in left_out:
        name, reason = named(entry["path"], entry.get("list", ""), entry.get("line", 0)), entry["reason"]
        narrate(say(f"{name} is not trained: {reason}", f"{name} は学習されません: {reason}"))
    return OK


def timeline_lines(line: Timeline, cells: int) -> Iterator[str]:
    """A video and its clips in text."""
    from engine.data.timeline import track

    info = line.info
    rate = f"{info.fps:g} fps" if info.fps else say("no rate of its own", "レート情報なし")
    if not info.fps and not line.source_fps:
        rate += say(": every frame is used", " (全フレームを使用)")
    length = line.seconds(info.frames)
    lasting = "" if length is None else say(f", {length:.1f} s", f"、{length:.1f} 秒")
    size = f"{info.width}x{info.height}"
    yield f"{line.path.name}  {size}  " + say(
        f"{counted(info.frames, 'frame')}, {rate}{lasting}", f"{info.frames} フレーム、{rate}{lasting}"
    )
    if line.by_time:
        yield say(
            f"  variable frame rate: frames are chosen by when they are shown, {line.target_fps:g} a second: {counted(len(line.kept), 'is', 'are')} left",
            f"  可変フレームレート: 表示時刻で毎秒 {line.target_fps:g} フレームを選択: {len(line.kept)} フレーム",
        )
    elif line.source_fps and line.target_fps:
        yield say(
            f"  source_fps {line.source_fps:g} to {line.target_fps:g} fps: {counted(len(line.kept), 'frame is', 'frames are')} left",
            f"  source_fps {line.source_fps:g} から {line.target_fps:g} fps へ: {len(line.kept)} フレーム",
        )
    yield say(
        f"  {counted(len(line.clips), 'clip uses', 'clips use')} {line.used} of {counted(info.frames, 'frame')}",
        f"  {len(line.clips)} クリップが {info.frames} 中 {line.used} フレームを使用",
    )
    if line.too_long:
        lengths = ", ".join(map(str, line.too_long))
        yield say(
            f"  no clip of {lengths} frames: there {'is' if len(line.kept) == 1 else 'are'} only {len(line.kept)}",
            f"  {lengths} フレームのクリップなし: {len(line.kept)} フレームしかありません",
        )
    for clip in line.clips:
        seconds = (line.seconds(clip.first), line.seconds(clip.last))
        time = (
            "" if seconds[0] is None or seconds[1] is None else f"  {seconds[0]:.2f}-{seconds[1]:.2f} {say('s', '秒')}"
        )
        bucket = f"{clip.bucket.width}x{clip.bucket.height}"
        yield (
            f"  @{clip.start:05d}-{clip.frames:03d} |{track(line, clip, cells)}| {clip.first}-{clip.last}{time}  {bucket}"
        )


def _of_dataset(file: Path, family: str | None, wanted: str | None) -> tuple[list[Timeline], list[dict[str, Any]]]:
    from engine.data.summary import skipped_entry
    from musubi_tui.datasets.item_facts import timeline_of
    from musubi_tui.datasets.opening import scan_index, scan_opened

    opened = opened_dataset(file, family)
    with scan_index() as known:
        found = scan_opened(opened, index=known)
    videos: dict[tuple[int, Path], list[Item]] = {}  # of each dataset: the same video may be cut otherwise by another
    for item in found.items:
        if item.kind == "clip" and not item.cached_only and _is(item.path, wanted):
            videos.setdefault((item.dataset, item.path), []).append(item)
    clips = {dataset.index for dataset in opened.config.datasets if dataset.kind == "clip"}
    left_out = [skipped_entry(entry) for entry in found.skipped if entry.dataset in clips and _is(entry.path, wanted)]
    if not videos and not left_out:
        raise _no_such_video(file, wanted, [item.path.name for item in found.items if item.kind == "clip"])
    datasets = opened.config.datasets
    found_lines = [
        timeline_of(dataset := datasets[index], path, items, _lengths(dataset))
        for (index, path), items in videos.items()
    ]
    return found_lines, left_out


def _lengths(dataset: DatasetSpec) -> tuple[int, ...]:
    """The clip lengths asked for; "full" asks for none."""
    return () if dataset.frame_extraction == "full" else dataset.target_frames


def _is(path: Path, wanted: str | None) -> bool:
    return wanted is None or wanted in (path.name, path.stem, str(path)) or Path(wanted).absolute() == path.absolute()


def _no_such_video(file: Path, wanted: str | None, names: list[str]) -> UserError:
    from difflib import get_close_matches

    if wanted is None:
        return UserError.of("no_clips", say("there are no clips in it.", "クリップがありません。"), file=file)
    near = get_close_matches(wanted, names, n=1)
    return UserError.of(
        "no_such_item",
        say(f"there is no video {wanted!r} in it.", f"{wanted!r} という動画はありません。"),
        say(f"Did you mean {near[0]}?", f"{near[0]} のことですか?") if near else "",
        file=file,
    )


def _try(video: Path, family: str | None, given: dict[str, Any]) -> Timeline:
    """The timeline of one video under settings that stand in no file. Raises ``UserError``."""
    from engine.data import read_dataset_config
    from engine.data.buckets import BucketRule
    from engine.data.dataset_spec import DEFAULT_FRAME_STRIDE, DEFAULT_STEP
    from engine.data.frames import count_kept, cut_clips, frames_by_time
    from engine.data.items import Bucket
    from engine.data.media import UnreadableMedia, clip_info, times_shown
    from engine.data.timeline import timeline
    from musubi_tui.datasets.opening import require_known

    spec = None if family is None else require_known(family)
    table = {"video_directory": str(video.absolute().parent), "enable_bucket": True, "caption_extension": ".txt"}
    config = read_dataset_config({"datasets": [{**table, **_values(given)}]}, base_dir=Path.cwd(), spec=spec)
    dataset = config.datasets[0]
    for problem in config.warnings:
        narrate(str(problem))
    try:
        info = clip_info(video)
    except UnreadableMedia as error:
        raise UserError.of("unreadable_clip", str(error), file=video) from error
    target = 0.0 if spec is None else spec.fps
    times = None if info.steady else times_shown(video)
    shown = frames_by_time(times, info.frames, dataset.source_fps, target)
    cuts = cut_clips(
        dataset.frame_extraction,
        len(shown) or count_kept(info.frames, dataset.source_fps, target),
        dataset.target_frames,
        stride=dataset.frame_stride,
        sample=dataset.frame_sample,
        longest=dataset.max_frames,
        frame_stride=DEFAULT_FRAME_STRIDE if spec is None else spec.frame_stride,
    )
    step = DEFAULT_STEP if spec is None else spec.pixel_step
    size = BucketRule(dataset.resolution, step, dataset.enable_bucket, False).choose(info.width, info.height)
    clips = [(start, Bucket(*size, length)) for start, length in cuts]
    if not clips:
        narrate(say("It is too short for every clip length.", "どのクリップ長にも足りません。"))
    return timeline(
        video, info, clips, source_fps=dataset.source_fps, target_fps=target, lengths=_lengths(dataset), times=times
    )


def _values(given: dict[str, Any]) -> dict[str, Any]:
    values = dict(given)
    for name, separator in (("target_frames", ","), ("resolution", "x")):
        if name not in values:
            continue
        try:
            values[name] = [int(part) for part in str(values[name]).replace(" ", "").split(separator)]
        except ValueError:
            option = "--" + name.replace("_", "-")
            raise UserError.of(
                "usage",
                say(f"{option} takes numbers like {'1,25,45' if separator == ',' else '960x544'}, not {given[name]!r}.",
                    f"{option} には {'1,25,45' if separator == ',' else '960x544'} のように書きます ({given[name]!r} は不可)。"),
                key=option,
            ) from None  # fmt: skip
        if name == "resolution" and len(values[name]) == 1:
            values[name] = values[name] * 2
    return values
