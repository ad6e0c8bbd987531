"""From a dataset file to the items that will be trained, and to the list of everything that will not.

Only headers are read. A dataset whose source is gone is listed from its cache files, as Musubi Tuner always does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from engine.config.language import say
from engine.config.problems import Problem, UserError
from engine.config.toml_source import similar_path
from engine.data.buckets import BucketRule
from engine.data.cache_files import clip_latent_name, image_latent_name, list_latent_names, parse_latent_name, text_name
from engine.data.cached_items import list_cached
from engine.data.dataset_spec import DEFAULT_FRAME_STRIDE, DEFAULT_STEP, DatasetConfig, DatasetSpec
from engine.data.document import positions_of
from engine.data.frames import count_kept, cut_clips
from engine.data.index import ScanIndex
from engine.data.items import Bucket, Item, Scan, Skipped
from engine.data.media import ClipInfo, UnreadableMedia
from engine.data.sources import Listing, Source, list_sources
from engine.families.family import FamilySpec, TaskSpec

Progress = Callable[[int, int], None]
_MOST_ERRORS = 20  # broken files that a check tells one by one


def scan(
    config: DatasetConfig,
    spec: FamilySpec | None,
    task: TaskSpec | None,
    *,
    progress: Progress | None = None,
    strict: bool = True,
    index: ScanIndex | None = None,
) -> Scan:
    """List what is trained. ``progress(done, total)`` counts files.

    Raises ``UserError`` with every reason when training must not start: a missing folder, a file that is broken and not to be
    skipped, two files with one cache name, nothing to train. With ``strict=False`` these stand in ``Scan.errors`` instead, with
    their line in the dataset file.
    Without a family sizes follow the step of 16 and cache files are not looked at. ``index`` spares opening unchanged files.
    """
    listings = [list_sources(dataset) for dataset in config.datasets]
    total = sum(len(listing.sources) for listing in listings)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    rooms = [
        _DatasetScan(dataset, spec, task, listing, count, "" if strict else config.file, index or ScanIndex(None))
        for dataset, listing in zip(config.datasets, listings, strict=True)
    ]
    for room in rooms:
        room.run()
    errors = [error for room in rooms for error in room.errors]
    if not errors and not any(room.items for room in rooms):
        errors.append(_nothing_to_train(rooms))
    result = Scan(
        tuple(item for room in rooms for item in room.items),
        tuple(skipped for room in rooms for skipped in room.skipped),
        tuple(warning for room in rooms for warning in room.warnings),
        tuple(errors),
    )
    if strict and errors:
        raise UserError(errors)
    return result


def content_problems(
    config: DatasetConfig, spec: FamilySpec, task: TaskSpec | None, *, models: Collection[str]
) -> list[Problem]:
    """What ``scan`` complains of, for a check of the whole preset. Of many broken files the first few are told one by one.

    ``models`` are the options that name a model file: those that encode must be among them unless everything is cached.
    """
    found = scan(config, spec, task, strict=False)
    errors = list(found.errors)
    rest = len(errors) - _MOST_ERRORS
    if rest > 0:
        message = say(f"{rest} more files cannot be trained.", f"他に {rest} 個のファイルが学習できません。")
        fix = say("musubi-tui data buckets lists them.", "musubi-tui data buckets で一覧できます。")
        errors = [*errors[:_MOST_ERRORS], Problem("more_problems", message, fix, file=config.file)]
    errors += _missing_encoders(found, spec, models)
    return [*errors, *found.warnings]


def _missing_encoders(found: Scan, spec: FamilySpec, models: Collection[str]) -> Iterator[Problem]:
    for slot in spec.slots:
        if slot.role == "tokenizer" or slot.option in models:
            continue
        caches = {item.latent_cache for item in found.items} if "latents" in slot.needed_for else set()
        caches |= {item.text_cache for item in found.items} if "text" in slot.needed_for else set()
        if all(cache.exists() for cache in caches):
            continue
        where = f" ({slot.files[0]}, {slot.repository})" if slot.files else ""
        yield Problem(
            "missing_value",
            say(
                f"{slot.option} is not set: the {slot.title}, which encodes what is not cached yet.",
                f"{slot.option} が未指定です: {slot.title}（未キャッシュのもののエンコードに必要）。",
            ),
            say(
                f'Add {slot.option} = "path/to/file"{where}.',
                f'{slot.option} = "ファイルのパス" を追加してください{where}。',
            ),
            key=slot.option,
        )


class _DatasetScan:
    """One dataset on its way to items."""

    def __init__(
        self,
        dataset: DatasetSpec,
        spec: FamilySpec | None,
        task: TaskSpec | None,
        listing: Listing,
        count: Callable[[], None],
        file: str,
        index: ScanIndex,
    ) -> None:
        self.dataset = dataset
        self.spec = spec
        self.cache_id = "" if task is None else task.cache_id
        self.step = DEFAULT_STEP if spec is None else spec.pixel_step
        self.rule = BucketRule(dataset.resolution, self.step, dataset.enable_bucket, dataset.bucket_no_upscale)
        self.listing = listing
        self.count = count
        self.file = file
        self.index = index
        self.items: list[Item] = []
        self.skipped = list(listing.skipped)
        self.warnings = list(listing.warnings)
        self.errors: list[Problem] = []
        self.short: Counter[int] = Counter()  # clip length -> videos too short for it that give other clips
        self.rates: Counter[float] = Counter()

    def run(self) -> None:
        """Fill ``items``, ``skipped``, ``warnings`` and ``errors``."""
        nothing_there = not self.listing.sources and not self.listing.skipped
        if self.cache_id and self.spec is not None and (self.listing.missing or nothing_there):
            cached = list_cached(self.dataset, self.spec, self.cache_id, self.rule)
            self.items, self.warnings = cached.items, [*self.warnings, *cached.warnings]
            self.skipped += cached.skipped
        if self.listing.missing and not self.items:
            self.errors.append(self._missing_source())
            return
        if not self.items:
            for source in self.listing.sources:
                self.items += self._measure(source)
                self.count()
            self._find_collisions()
            self._tell_leftovers()
        if self.dataset.on_bad_item == "stop":
            self.errors += [_stop(skipped) for skipped in self.skipped if skipped.broken]
        self._tell_clips()

    # -- one file

    def _measure(self, source: Source) -> Iterator[Item]:
        try:
            if self.dataset.kind == "image":
                yield from self._image(source, *self.index.image_size(source.path))
            else:
                yield from self._clips(source, self.index.clip_info(source.path))
        except UnreadableMedia as error:
            code = "unreadable_image" if self.dataset.kind == "image" else "unreadable_clip"
            self._skip(source.path, code, str(error), broken=True)

    def _image(self, source: Source, width: int, height: int) -> Iterator[Item]:
        bucket = Bucket(*self.rule.choose(width, height))
        if self._too_small(source.path, width, height, bucket):
            return
        name = image_latent_name(source.path.stem, width, height, self.cache_id)
        yield self._item(source, f"{self.dataset.index}:{source.path.stem}", width, height, 0, bucket, name)

    def _clips(self, source: Source, info: ClipInfo) -> Iterator[Item]:
        dataset = self.dataset
        target_fps = 0.0 if self.spec is None else self.spec.fps
        frames = count_kept(info.frames, dataset.source_fps, target_fps)
        size = self.rule.choose(info.width, info.height)
        self.rates[round(info.fps, 2)] += 1
        clips = cut_clips(
            dataset.frame_extraction,
            frames,
            dataset.target_frames,
            stride=dataset.frame_stride,
            sample=dataset.frame_sample,
            longest=dataset.max_frames,
            frame_stride=DEFAULT_FRAME_STRIDE if self.spec is None else self.spec.frame_stride,
        )
        if not clips:
            self._skip(source.path, "too_short", self._too_short(info, frames))
            return
        if self._too_small(source.path, info.width, info.height, Bucket(*size)):
            return
        if dataset.frame_extraction != "full":
            self.short.update(length for length in dataset.target_frames if length > frames)
        for start, length in clips:
            bucket = Bucket(*size, length)
            name = clip_latent_name(source.path.stem, start, bucket, self.cache_id)
            item_id = f"{dataset.index}:{source.path.stem}@{start:05d}-{length:03d}"
            yield self._item(source, item_id, info.width, info.height, start, bucket, name)

    def _item(
        self, source: Source, item_id: str, width: int, height: int, start: int, bucket: Bucket, latent_name: str
    ) -> Item:
        dataset = self.dataset
        stem = source.path.stem
        return Item(
            id=item_id,
            dataset=dataset.index,
            name=stem,
            path=source.path,
            caption=source.caption,
            width=width,
            height=height,
            kind=dataset.kind,
            start=start,
            bucket=bucket,
            latent_cache=dataset.cache_directory / latent_name,
            text_cache=dataset.cache_directory / text_name(stem, self.cache_id),
            repeats=dataset.num_repeats,
            batch_size=dataset.batch_size,
            source_fps=dataset.source_fps,
            target_fps=0.0 if self.spec is None else self.spec.fps,
        )

    # -- what is said

    def _skip(self, path: Path, code: str, reason: str, *, broken: bool = False) -> None:
        self.skipped.append(Skipped(path, code, reason, self.dataset.index, broken))

    def _too_small(self, path: Path, width: int, height: int, bucket: Bucket) -> bool:
        if min(bucket.width, bucket.height) >= self.step or not self.dataset.enable_bucket:
            return False
        reason = say(
            f"{width}x{height} is smaller than {self.step} pixels, and bucket_no_upscale forbids enlarging it.",
            f"{width}x{height} は {self.step} ピクセルより小さく、bucket_no_upscale のため拡大できません。",
        )
        self._skip(path, "too_small", reason)
        return True

    def _too_short(self, info: ClipInfo, frames: int) -> str:
        shortest = min(self.dataset.target_frames)
        if frames == info.frames:
            return say(
                f"it has {frames} frames, and the shortest clip needs {shortest}.",
                f"{frames} フレームしかありません (最短のクリップは {shortest})。",
            )
        return say(
            f"its {info.frames} frames are {frames} after source_fps, and the shortest clip needs {shortest}.",
            f"source_fps 適用後は {frames} フレーム (元は {info.frames}) で、最短のクリップ {shortest} に足りません。",
        )

    def _missing_source(self) -> Problem:
        keys = ("image_jsonl_file", "video_jsonl_file", "image_directory", "video_directory")
        key, source = next((key, path) for key in keys if (path := getattr(self.dataset, key)) is not None)
        en, ja = ("folder", "フォルダ") if self.dataset.jsonl is None else ("list", "リスト")
        places = positions_of(Path(self.file)) if self.file else {}
        line, column = places.get(("datasets", self.dataset.index, key), (0, 0))
        return Problem(
            "missing_file",
            say(f"the dataset's {en} is a file: {source}.", f"データセットの{ja}がファイルです: {source}")
            if source.is_file()
            else say(f"the dataset's {en} does not exist: {source}.", f"データセットの{ja}がありません: {source}"),
            "" if source.is_file() else similar_path(source) or say("Check the path.", "パスを確認してください。"),
            file=self.file,
            line=line,
            column=column,
            key=key,
        )

    def _find_collisions(self) -> None:
        """Two files of one stem would overwrite each other's cache files."""
        owners: dict[str, Item] = {}
        for item in self.items:
            owner = owners.setdefault(item.text_cache.name, item)
            if owner.path != item.path or owner.caption != item.caption:
                same = owner.path == item.path
                self.errors.append(
                    Problem(
                        "cache_name_collision",
                        say(
                            f"{item.path} stands twice with different captions."
                            if same
                            else f"{owner.path} and {item.path} would share one cache file.",
                            f"{item.path} が異なるキャプションで2回出てきます。"
                            if same
                            else f"{owner.path} と {item.path} のキャッシュ名が同じになります。",
                        ),
                        say("Rename or remove one of them.", "どちらかの名前を変えるか取り除いてください。"),
                        file=str(item.path),
                    )
                )

    def _tell_leftovers(self) -> None:
        """Musubi Tuner trains whatever lies in the cache folder; here only what belongs to an item is trained."""
        if not self.cache_id or not self.dataset.cache_directory.is_dir():
            return
        names = (path.name for path in self.dataset.cache_directory.iterdir())
        unused = set(list_latent_names(names, self.cache_id)) - {item.latent_cache.name for item in self.items}
        unused = {name for name in unused if parse_latent_name(name, self.cache_id, clip=self.dataset.kind == "clip")}
        if unused:
            self._warn(
                "unused_caches",
                say(
                    f"{len(unused)} latent files in {self.dataset.cache_directory} belong to no item and are not trained, "
                    f"such as {min(unused)}.",
                    f"{self.dataset.cache_directory} の潜在ファイル {len(unused)} 件はどの項目にも属さず、学習されません"
                    f" ({min(unused)} など)。",
                ),
            )

    def _tell_clips(self) -> None:
        for length, videos in sorted(self.short.items()):
            self._warn(
                "short_clips",
                say(
                    f"{videos} videos are too short for clips of {length} frames; their shorter clips are used.",
                    f"{length} フレームのクリップには短すぎる動画が {videos} 本あります。短い方だけ使います。",
                ),
            )
        if self.spec is None or not self.spec.fps or not self.rates:
            return
        stated = self.dataset.source_fps
        expected = stated or self.spec.fps
        off = {rate: n for rate, n in self.rates.items() if rate and abs(rate - expected) > 0.02 * expected}
        if not off:
            return
        rates = ", ".join(f"{rate:g} fps ({n})" for rate, n in sorted(off.items()))
        if stated is None:
            en = f"{self.spec.title} was trained at {self.spec.fps:g} fps, and these videos have {rates}: motion will be slower."
            ja = f"{self.spec.title} は {self.spec.fps:g} fps で学習されていますが、動画は {rates} です。動きが遅くなります。"
            fix = say("Set source_fps to their frame rate.", "source_fps に動画のフレームレートを書いてください。")
        else:
            en = f"source_fps is {stated:g}, but some videos have {rates}."
            ja = f"source_fps は {stated:g} ですが、{rates} の動画があります。"
            fix = say("Put videos of one rate into one dataset.", "レートごとにデータセットを分けてください。")
        self._warn("frame_rate", say(en, ja), fix)

    def _warn(self, code: str, message: str, fix: str = "") -> None:
        source = self.dataset.directory or self.dataset.jsonl
        self.warnings.append(Problem(code, message, fix, file=str(source), severity="warning"))


def _stop(skipped: Skipped) -> Problem:
    fix = say(
        'Repair or remove it, or set on_bad_item = "skip" in the dataset.',
        '直すか取り除くか、データセットに on_bad_item = "skip" を書いてください。',
    )
    return Problem(skipped.code, skipped.reason, fix, file=str(skipped.path))


def _nothing_to_train(rooms: list[_DatasetScan]) -> Problem:
    parts = []
    for room in rooms:
        source = room.dataset.directory or room.dataset.jsonl
        reasons = Counter(skipped.code for skipped in room.skipped)
        counted = ", ".join(f"{count} {code}" for code, count in sorted(reasons.items()))
        if not counted:
            counted = say("empty", "空")
            if room.listing.subfolders:
                counted += say(
                    f", {room.listing.subfolders} subfolders are not read",
                    f"、サブフォルダ {room.listing.subfolders} 個は読みません",
                )
        parts.append(f"{source}: {counted}")
    return Problem(
        "nothing_to_train",
        say(f"there is nothing to train. {'; '.join(parts)}.", f"学習できるものがありません。{'; '.join(parts)}"),
        say(
            "Put pictures with captions into the folder; musubi-tui data buckets shows what is found.",
            "画像とキャプションをフォルダに置いてください。musubi-tui data buckets で確認できます。",
        ),
    )
