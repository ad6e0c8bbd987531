"""What is said about the videos of a dataset after they were measured: their rates, lengths, and what their headers promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.dataset_spec import DatasetSpec
from engine.data.frames import rate_trouble
from engine.data.notes import about, few
from engine.families.family import FamilySpec

Rates = Mapping[tuple[float, float | None], int]  # (rate of the file, rate that frames are dropped from) -> videos


def clip_notes(
    dataset: DatasetSpec, spec: FamilySpec | None, short: Mapping[int, int], rates: Rates
) -> Iterator[Problem]:
    """``short``: clip length -> videos too short for it that give other clips."""
    for length, videos in sorted(short.items()):
        yield about(
            dataset,
            "short_clips",
            say(
                f"{counted(videos, 'video is', 'videos are')} too short for clips of {counted(length, 'frame')}; shorter clips are used there.",
                f"{length} フレームのクリップには短すぎる動画が {videos} 本あります。短い方だけ使います。",
            ),
        )
    if spec is not None and spec.fps and dataset.shows_motion:
        yield from _rate_notes(dataset, spec, rates)


def _rate_notes(dataset: DatasetSpec, spec: FamilySpec, rates: Rates) -> Iterator[Problem]:
    """Videos whose motion is learned too slow or too fast: those that the dataset file can mend, and those it cannot."""
    stated = dataset.source_fps
    found: dict[str, Counter[float]] = {"wrong": Counter(), "slow": Counter(), "": Counter()}
    for (rate, dropped_from), videos in rates.items():
        found[rate_trouble(rate, dropped_from, spec.fps)][rate or dropped_from or 0.0] += videos
    listed = {kind: ", ".join(f"{rate:g} fps ({n})" for rate, n in sorted(of.items())) for kind, of in found.items()}
    trained_en = f"{spec.title} was trained at {spec.fps:g} fps, and these videos have"
    trained_ja = f"{spec.title} は {spec.fps:g} fps で学習されていますが、動画は"
    if listed["wrong"] and stated is None:
        yield about(
            dataset,
            "frame_rate",
            say(
                f"{trained_en} {listed['wrong']}: motion will be slower.",
                f"{trained_ja} {listed['wrong']} です。動きが遅くなります。",
            ),
            _rate_fix(found["wrong"], len(rates)),
        )
    elif listed["wrong"]:
        yield about(
            dataset,
            "frame_rate",
            say(
                f"source_fps is {stated:g}, but {'some' if len(rates) > len(found['wrong']) else 'the'} videos have {listed['wrong']}.",
                f"source_fps は {stated:g} ですが、{listed['wrong']} の動画があります。",
            ),
            _rate_fix(found["wrong"], len(rates)),
        )
    if listed["slow"]:
        times = spec.fps / min(found["slow"])
        yield about(
            dataset,
            "slow_video",
            say(
                f"{trained_en} {listed['slow']}. No frame is repeated, so motion will be up to {times:.3g} times too fast.",
                f"{trained_ja} {listed['slow']} です。フレームは補わないため、動きが最大 {times:.3g} 倍速くなります。",
            ),
            say(
                f"Train them as stills (target_frames = [1]), or give them more frames: ffmpeg -i IN -vf minterpolate=fps={spec.fps:g} OUT.",
                f"静止画として使う (target_frames = [1]) か、フレームを補ってください: ffmpeg -i 入力 -vf minterpolate=fps={spec.fps:g} 出力",
            ),
        )


def _rate_fix(wrong: Mapping[float, int], rates: int) -> str:
    """What is to be done where ``source_fps`` is not written, or is not the rate of the videos; ``rates``: how many there are."""
    if len(wrong) == rates == 1:
        rate = next(iter(wrong))
        return say(
            f"Write source_fps = {rate:g}, or fps_from_file = true instead.",
            f"source_fps = {rate:g} と書くか、代わりに fps_from_file = true にしてください。",
        )
    return say(
        "Write fps_from_file = true and no source_fps: each video then counts with its own rate.",
        "source_fps は書かず、fps_from_file = true にしてください。動画ごとに自身のレートで扱います。",
    )


def damage_notes(
    dataset: DatasetSpec, cut_off: Sequence[str], unsteady: Sequence[str], by_time: Sequence[str]
) -> Iterator[Problem]:
    """Videos that can be trained, but not as their headers say. Named by the first few.

    Of a variable frame rate are ``unsteady``, taken frame by frame, and ``by_time``, whose frames are chosen by when they are shown.
    """
    if cut_off:
        yield about(
            dataset,
            "cut_off",
            say(
                f"{counted(len(cut_off), 'video ends', 'videos end')} before the header says, and what is there is used: {few(cut_off)}.",
                f"途中で切れている動画が {len(cut_off)} 本あり、ある分だけ使います: {few(cut_off)}",
            ),
            say("Fetch them again if the rest matters.", "残りも必要なら、取得し直してください。"),
        )
    if unsteady:
        convert = say(
            "Where motion matters, convert them to a constant rate: ffmpeg -i IN -vf fps=RATE OUT.",
            "動きが大事なら固定レートに変換してください: ffmpeg -i 入力 -vf fps=レート 出力",
        )
        choose = say(
            "Where motion matters, set fps_from_file = true: frames are then chosen by when they are shown.",
            "動きが大事なら fps_from_file = true にしてください。表示時刻でフレームを選びます。",
        )
        asked = dataset.fps_from_file or dataset.source_fps or dataset.frames_by_number
        yield about(
            dataset,
            "variable_frame_rate",
            say(
                f"{counted(len(unsteady), 'video has', 'videos have')} a variable frame rate, and every frame counts as equally long: {few(unsteady)}.",
                f"可変フレームレートの動画が {len(unsteady)} 本あります。どのフレームも同じ長さとして扱います: {few(unsteady)}",
            ),
            convert if asked else choose,
        )
    if by_time:
        yield about(
            dataset,
            "frames_by_time",
            say(
                f"{counted(len(by_time), 'video has', 'videos have')} a variable frame rate; frames are chosen by when they are shown: {few(by_time)}.",
                f"可変フレームレートの動画が {len(by_time)} 本あり、表示時刻でフレームを選びます: {few(by_time)}",
            ),
        )
