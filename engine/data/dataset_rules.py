"""One dataset's values, judged together: what contradicts, what is missing, what has no effect; then the ``DatasetSpec``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.config.language import say
from engine.data.buckets import bucket_list
from engine.data.complaints import Complaints
from engine.data.dataset_spec import DEFAULT_FRAME_STRIDE, DEFAULT_STEP, DatasetSpec
from engine.data.items import Kind
from engine.data.positions import Address
from engine.data.schema import READ_ONLY_BY
from engine.families.family import FamilySpec


@dataclass(frozen=True)
class Written:
    """Which keys the user wrote: those of the dataset at ``address``, and those of [general]."""

    address: Address
    own: frozenset[str]
    general: frozenset[str]

    def place(self, name: str) -> Address:
        """Where the key stands; the dataset itself when it is nowhere."""
        if name not in self.own and name in self.general:
            return ("general", name)
        return (*self.address, name)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.general


def judge_dataset(
    values: dict[str, Any], kind: Kind, written: Written, spec: FamilySpec | None, complaints: Complaints
) -> DatasetSpec | None:
    """Complain about the values of one dataset and make its spec; None when they do not make one."""
    rules = _Rules(values, kind, written, spec, complaints)
    return rules.judge()


class _Rules:
    def __init__(
        self, values: dict[str, Any], kind: Kind, written: Written, spec: FamilySpec | None, complaints: Complaints
    ) -> None:
        self.values = values
        self.kind = kind
        self.written = written
        self.spec = spec
        self.complaints = complaints
        self.step = DEFAULT_STEP if spec is None else spec.pixel_step

    def judge(self) -> DatasetSpec | None:
        before = len(self.complaints.problems)
        checks: tuple[Callable[[], None], ...] = (
            self._source,
            self._family,
            self._captions,
            self._bucket_bounds,
            self._clips,
            self._controls,
            self._held_out,
            self._exact_sizes,
        )
        for check in checks:
            check()
        extensions = self._extensions()
        if self.complaints.errors_since(before):
            return None
        values, sizes = self.values, self._sizes()
        values |= {"resolution": sizes[0], "resolutions": sizes if len(sizes) > 1 else ()}
        values |= {
            "caption_extension": extensions[0] if extensions else None,
            "caption_extensions": extensions if len(extensions) > 1 else (),
        }
        if values["cache_directory"] is None:
            values["cache_directory"] = values.get("image_directory") or values.get("video_directory")
        return DatasetSpec(index=int(self.written.address[1]), kind=self.kind, **values)

    def _complain(self, name: str, code: str, message: str, fix: str = "") -> None:
        self.complaints.complain(self.written.place(name), code, message, fix)

    def _warn(self, name: str, code: str, message: str, fix: str = "") -> None:
        self.complaints.warn(self.written.place(name), code, message, fix)

    def _no_effect(self, name: str, needed: str) -> None:
        self.complaints.no_effect(self.written.place(name), name, needed)

    # -- where it comes from, whom it is for

    def _source(self) -> None:
        jsonl = self.values.get("image_jsonl_file") or self.values.get("video_jsonl_file")
        if jsonl is not None and self.values["cache_directory"] is None:
            self.complaints.complain(
                self.written.address,
                "missing_key",
                say(
                    "a dataset from a jsonl file needs cache_directory.",
                    "jsonlのデータセットには cache_directory が必要です。",
                ),
                say("Name a folder for the encoded files.", "キャッシュを置くフォルダを書いてください。"),
            )
        if jsonl is not None:
            for name in ("recursive", "control_directory", "mask_directory", "caption_extension"):
                if self.values.get(name) and name in self.written.own:
                    self._no_effect(name, say("a folder as source", "フォルダを元データにすること"))
        if self.values.get("mask_directory") and self.values.get("alpha_mask"):
            self._complain(
                "alpha_mask",
                "conflicting_keys",
                say(
                    "alpha_mask and mask_directory exclude each other.",
                    "alpha_mask と mask_directory は同時に使えません。",
                ),
            )
        if self.values["caption_extension"] is None and jsonl is None and not self.values["trigger_word"]:
            self.complaints.warn(
                self.written.address,
                "no_captions",
                say(
                    "caption_extension is not set: every item trains with an empty caption.",
                    "caption_extension が未設定のため、キャプションはすべて空になります。",
                ),
                say('Set caption_extension = ".txt".', 'caption_extension = ".txt" を書いてください。'),
            )

    def _family(self) -> None:
        if self.kind != "clip":
            return
        if self.spec is None:
            self.complaints.warn(
                self.written.address,
                "no_family",
                say(
                    "no family is named: clip lengths count as 4n+1 frames, and source_fps drops nothing.",
                    "モデルの指定がないため、クリップ長は4n+1とし、source_fps による間引きは行いません。",
                ),
                say("Name one with --family.", "--family で指定してください。"),
            )
        elif "clips" not in self.spec.capabilities:
            self.complaints.complain(
                self.written.address,
                "family_without_clips",
                say(f"{self.spec.title} trains on pictures only.", f"{self.spec.title} は画像専用です。"),
                say(
                    "Use image_directory, or another family.", "image_directory を使うか、別のモデルを選んでください。"
                ),
            )

    # -- captions

    def _captions(self) -> None:
        values = self.values
        encoding = values["caption_encoding"]
        if encoding is not None and not _is_encoding(encoding):
            self._complain(
                "caption_encoding",
                "bad_value",
                say(f"{encoding!r} is no encoding of texts.", f"{encoding!r} という文字コードはありません。"),
                say('Write one such as "utf-8", "cp932" or "latin-1".', '"utf-8"、"cp932"、"latin-1" などを書きます。'),
            )
        if (
            values["caption_extension"] is None
            and values.get("image_jsonl_file") is None
            and values.get("video_jsonl_file") is None
        ):
            for name in ("caption_encoding", "multiple_captions", "tag_shuffle"):
                if values[name] and name in self.written.own:
                    self._no_effect(name, "caption_extension")
        if values["keep_tags"] and not values["tag_shuffle"] and "keep_tags" in self.written:
            self._no_effect("keep_tags", "tag_shuffle")
        trigger = values["trigger_word"]
        if trigger is not None and not trigger.strip():
            self._complain("trigger_word", "bad_value", say("trigger_word is empty.", "trigger_word が空です。"))
        if values["is_reg"]:
            for name in ("trigger_word", "caption_dropout"):
                if values[name] and name in self.written.own:
                    self._no_effect(name, "is_reg = false")
        if values["caption_dropout"] == 1:
            self._warn(
                "caption_dropout",
                "no_captions",
                say(
                    "caption_dropout = 1 drops every caption.",
                    "caption_dropout = 1 ではすべてのキャプションが空になります。",
                ),
            )

    def _extensions(self) -> tuple[str, ...]:
        """The caption extensions, each with its dot."""
        written = self.values["caption_extension"]
        found: tuple[str, ...] = (written,) if isinstance(written, str) else written or ()
        for extension in found:
            if "." not in extension:
                self._warn(
                    "caption_extension",
                    "missing_dot",
                    say(
                        f'caption_extension is read as ".{extension}".',
                        f'caption_extension は ".{extension}" として読みます。',
                    ),
                )
        return tuple(extension if "." in extension else f".{extension}" for extension in found)

    # -- clips and controls

    def _clips(self) -> None:
        if self.kind != "clip":
            return
        self.values["target_frames"] = self._clip_lengths(self.values["target_frames"])
        if self.values["fps_from_file"] and self.values["source_fps"] is not None:
            self._complain(
                "source_fps",
                "conflicting_keys",
                say(
                    "source_fps and fps_from_file exclude each other.",
                    "source_fps と fps_from_file は同時に使えません。",
                ),
                say("Remove one of them.", "どちらかを外してください。"),
            )
        for name, mode in READ_ONLY_BY.items():
            if name in self.written and self.values["frame_extraction"] != mode:
                self._no_effect(name, f'frame_extraction = "{mode}"')

    def _clip_lengths(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        stride = DEFAULT_FRAME_STRIDE if self.spec is None else self.spec.frame_stride
        allowed = {length: (length - 1) // stride * stride + 1 for length in lengths}
        rounded = [f"{length} -> {allowed[length]}" for length in sorted(allowed) if allowed[length] != length]
        if rounded:
            self._warn(
                "target_frames",
                "rounded_frames",
                say(
                    f"clips have {stride}n+1 frames; rounded down: {', '.join(rounded)}.",
                    f"クリップは {stride}n+1 フレームです。切り下げました: {', '.join(rounded)}",
                ),
            )
        return tuple(sorted(set(allowed.values())))

    def _controls(self) -> None:
        values = self.values
        from_list = values.get("image_jsonl_file") is not None
        for name in ("no_resize_control", "control_resolution"):
            if name in self.written.own and values[name] and values["control_directory"] is None and not from_list:
                self._no_effect(name, "control_directory")
        window, sections = "fp_latent_window_size", {"sections", "one_frame"}
        if window in self.written.own and self.spec is not None and not sections & self.spec.capabilities:
            self._no_effect(window, say("a task that works in sections", "区間ごとに学習するタスク"))
        clean = values.get("fp_1f_clean_indices")
        if clean is not None and len(set(clean)) < len(clean):
            self._warn(
                "fp_1f_clean_indices",
                "repeated_index",
                say(
                    "fp_1f_clean_indices names one position twice.",
                    "fp_1f_clean_indices に同じ位置が2回書かれています。",
                ),
            )

    # -- sizes

    def _bucket_bounds(self) -> None:
        values, low, high = self.values, self.values["min_bucket_size"], self.values["max_bucket_size"]
        if values["bucket_no_upscale"] and not values["enable_bucket"]:
            values["bucket_no_upscale"] = False
            self._no_effect("bucket_no_upscale", "enable_bucket = true")
        for name in ("min_bucket_size", "max_bucket_size"):
            if values[name] is not None and not values["enable_bucket"]:
                values[name] = None
                self._no_effect(name, "enable_bucket = true")
        if (low is None and high is None) or not values["enable_bucket"]:
            return
        if low is not None and high is not None and low > high:
            self._complain(
                "min_bucket_size",
                "bad_value",
                say(
                    f"min_bucket_size {low} is above max_bucket_size {high}.",
                    f"min_bucket_size {low} が max_bucket_size {high} より大きくなっています。",
                ),
            )
            return
        for width, height in self._sizes():
            fitting = bucket_list(width, height, self.step, low or 0, high)
            if not fitting and min(width, height) >= self.step:
                self._complain(
                    "min_bucket_size" if low is not None else "max_bucket_size",
                    "bad_value",
                    say(
                        f"no bucket of {width}x{height} has all its sides from {low or self.step} to {high or '∞'}.",
                        f"{width}x{height} のバケットに、辺が {low or self.step}~{high or '∞'} に収まるものがありません。",
                    ),
                )

    def _sizes(self) -> tuple[tuple[int, int], ...]:
        written = self.values["resolution"]
        return written if isinstance(written[0], tuple) else (written,)

    def _exact_sizes(self) -> None:
        for width, height in self._sizes():
            self._exact_size(width, height)

    def _exact_size(self, width: int, height: int) -> None:
        """With buckets off the size is used as typed: it must give whole transformer tokens."""
        step = self.step
        if self.values["enable_bucket"]:
            if min(width, height) < step:
                self._complain(
                    "resolution",
                    "bad_value",
                    say(
                        f"resolution must be at least {step} pixels a side.",
                        f"resolution の一辺は {step} ピクセル以上です。",
                    ),
                )
            return
        nearest = f"[{max(step, round(width / step) * step)}, {max(step, round(height / step) * step)}]"
        fix = say(
            f"Use {nearest}, or enable_bucket = true.", f"{nearest} にするか、enable_bucket = true にしてください。"
        )
        if self.spec is not None:
            cells = self.spec.latent_shape(width, height)
            if cells[2] % self.spec.patch[1] or cells[3] % self.spec.patch[2]:
                message = say(
                    f"{self.spec.title} cannot use {width}x{height}: sides must be multiples of {step} pixels.",
                    f"{self.spec.title} は {width}x{height} を扱えません。一辺は {step} の倍数です。",
                )
                self._complain("resolution", "bad_value", message, fix)
                return
        if width % step or height % step:
            self._warn(
                "resolution",
                "odd_size",
                say(
                    f"{width}x{height} is no multiple of {step}: up to {step - 1} pixels at the edges are not seen.",
                    f"{width}x{height} は {step} の倍数ではなく、端の数ピクセルは使われません。",
                ),
                fix,
            )

    # -- what is held out

    def _held_out(self) -> None:
        if self.values["validation"] and self.values["validation_split"] and "validation_split" in self.written.own:
            self._no_effect("validation_split", "validation = false")
        if self.values["is_reg"] and self.values["validation"]:
            self._complain(
                "validation",
                "conflicting_keys",
                say(
                    "a regularisation set cannot be held out for validation.",
                    "正則化用のデータセットは検証用にできません。",
                ),
            )


def _is_encoding(name: str) -> bool:
    """Whether Python turns bytes into text by that name (it knows others, such as hex, that do not)."""
    try:
        return "a".encode(name).decode(name) == "a"
    except (LookupError, ValueError):
        return False
