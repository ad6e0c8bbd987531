"""What changed since a cache file was made, in the words of the dataset file and the preset: why it is made again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from engine.config.language import counted, say
from engine.families.family import FamilySpec


def changed_settings(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], noted: Mapping[str, Any], names: Collection[str]
) -> str:
    """Why a file with the settings ``stored`` is not what ``wanted`` gives: they differ in ``names``, of which there is at least one.

    ``noted`` is what is known of the dataset now, as ``stored`` holds it of the dataset then: the key a person changed is named
    rather than all that came of it.
    """
    left = set(names)
    reasons = [*_keys(stored, noted, left)]
    reasons += [_WORDS[name](stored.get(name), wanted.get(name)) for name in _WORDS if name in left]
    reasons += [
        say(f"the setting {name} changed", f"設定 {name} が変わった") for name in sorted(left) if name not in _WORDS
    ]
    return say(" and ", "、").join(dict.fromkeys(reasons))


def another_size(found: tuple[int, ...] | None, spec: FamilySpec, width: int, height: int, frames: int) -> str:
    """How latents of the shape ``found`` differ from those of ``width`` x ``height`` pixels and so many frames."""
    if found is None:
        return say("it holds no latents", "潜在が入っていない")
    channels, latent_frames, rows, columns = spec.latent_shape(width, height, frames)
    if len(found) not in (3, 4) or found[0] != channels:
        return say("it was made by the VAE of another model", "別のモデルの VAE で作られた")
    if found[-2:] != (rows, columns):
        before = f"{found[-1] * spec.spatial_stride}x{found[-2] * spec.spatial_stride}"
        now = f"{width}x{height}"
        return say(f"it was made for {before}, and {now} is trained now", f"{before} 用に作られたが、現在は {now}")
    found_frames = found[1] if len(found) == 4 else 1
    if found_frames != latent_frames:
        then = (found_frames - 1) * spec.temporal_stride + 1
        return say(
            f"it was made for {counted(then, 'frame')}, and clips of {counted(frames, 'frame')} are trained now",
            f"{then} フレーム用に作られたが、現在は {frames} フレーム",
        )
    return say("it lacks the axis of the frames", "フレームの軸がない")


def _keys(stored: Mapping[str, Any], noted: Mapping[str, Any], left: set[str]) -> Iterator[str]:
    """Keys of the dataset that were changed and explain what differs, which is taken out of ``left``."""
    for key, title, explained in _KEYS:
        before, now = stored.get(key), noted.get(key)
        if None not in (before, now) and before != now and left & explained:
            left -= explained
            yield _from_to(title, _size(before), _size(now))


def _from_to(name: str, before: object, now: object) -> str:
    was, becomes, blank = _shown(before), _shown(now), " " if name.isascii() else ""
    return say(f"{name} changed from {was} to {becomes}", f"{name}{blank}が {was} から {becomes} に変わった")


def _shown(value: object) -> str:
    if value is None:
        return say("unset", "未指定")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _size(sides: Any) -> str:
    return "x".join(map(str, sides[:2])) if isinstance(sides, list) and len(sides) > 1 else _shown(sides)


def _bucket(before: Any, now: Any) -> str:
    if isinstance(before, list) and isinstance(now, list) and before[:2] == now[:2] and len(before) == len(now) == 3:
        return _from_to(say("the number of frames in a clip", "クリップのフレーム数"), before[2], now[2])
    return _from_to(say("the size that is trained", "学習する寸法"), _size(before), _size(now))


def _flip(_: Any, now: Any) -> str:
    return (
        say("it is mirrored now", "左右反転になった")
        if now
        else say("it is not mirrored any more", "左右反転ではなくなった")
    )


def _named(en: str, ja: str) -> Callable[[Any, Any], str]:
    return lambda before, now: _from_to(say(en, ja), before, now)


def _plain(en: str, ja: str) -> Callable[[Any, Any], str]:
    return lambda before, now: say(en, ja)


_KEYS = (  # key of the dataset -> how it is called -> settings that follow from it
    ("resolution", "resolution", frozenset({"bucket", "crop", "controls"})),
    ("extraction", "frame_extraction", frozenset({"bucket", "start", "frames"})),
)
_WORDS: dict[str, Callable[[Any, Any], str]] = {
    "bucket": _bucket,
    "crop": _plain("another part of the picture is cut out", "切り抜く位置が変わった"),
    "flip": _flip,
    "resize": _plain("pictures are resized in another way now", "縮小・拡大の方法が変わった"),
    "start": _named("the first frame", "最初のフレーム"),
    "source_fps": _named("the frame rate the video is read with", "動画を読むフレームレート"),
    "fps": _named("the frame rate that is trained", "学習するフレームレート"),
    "frames": _plain("other frames of the video are chosen", "動画から選ぶフレームが変わった"),
    "controls": _plain("the control pictures are trained at another size", "制御画像の寸法が変わった"),
    "vae_dtype": _named("vae_dtype", "vae_dtype"),
    "stored_dtype": _named("the number format of latents", "潜在の数値形式"),
    "dtype": _named("the number format (dtype)", "数値形式 (dtype)"),
    "token_limit": _named("the longest caption in tokens", "キャプションの最大トークン数"),
    "template": _plain("the model's template around captions changed", "キャプションを囲むテンプレートが変わった"),
    "tokenizer": _plain("another tokenizer file is used", "トークナイザーのファイルが変わった"),
}  # fmt: skip
