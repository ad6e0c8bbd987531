"""One dataset on its way from files to items: sizes and lengths are read from headers, buckets and cache names follow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.config.problems import Problem
from engine.data.buckets import BucketRule
from engine.data.cache_files import clip_latent_name, image_latent_name, text_name
from engine.data.cached_items import list_cached
from engine.data.control_pictures import control_bucket, controls_wanted
from engine.data.dataset_spec import DEFAULT_FRAME_STRIDE, DEFAULT_STEP, DatasetSpec
from engine.data.frames import count_kept, cut_clips, frames_by_time
from engine.data.held_out import hold_out
from engine.data.index import ScanIndex
from engine.data.items import Bucket, Control, Item, Skipped, path_text
from engine.data.left_out import too_short, why_unreadable
from engine.data.listing import Listing, Source
from engine.data.masks import fits, has_alpha
from engine.data.media import ClipInfo, UnreadableMedia, clip_info, is_folder
from engine.data.notes import about
from engine.data.picture_rows import PictureRows, holds_plain_pictures
from engine.data.read_ahead import read_each
from engine.data.scan_notes import (
    collisions,
    dark_masks,
    keys_without_sources,
    leftovers,
    missing_source,
    split_notes,
    stops,
    unreadable_folders,
)
from engine.data.variants import add_variants, too_long_name
from engine.data.video_notes import clip_notes, damage_notes
from engine.families.family import FamilySpec, TaskSpec


class DatasetScan:
    """``run`` fills ``items``, ``held_out``, ``skipped``, ``warnings`` and ``errors``."""

    def __init__(
        self,
        dataset: DatasetSpec,
        spec: FamilySpec | None,
        task: TaskSpec | None,
        listing: Listing,
        count: Callable[[int], None],
        file: str,
        index: ScanIndex,
        *,
        decode_masks: bool,
    ) -> None:
        self.dataset = dataset
        self.spec = spec
        self.task = task
        self.cache_id = "" if task is None else task.cache_id
        self.step = DEFAULT_STEP if spec is None else spec.pixel_step
        self.rules = [self._rule(size) for size in dataset.resolutions or (dataset.resolution,)]
        self.listing = listing
        self.count = count
        self.file = file
        self.index = index
        self.decode_masks = decode_masks
        self.folders: dict[tuple[str, str], tuple[Path, Path]] = {}
        self.items: list[Item] = []
        self.latent_files: Iterable[str] = ()  # where the latents of the items are cached
        self.held_out: list[Item] = []
        self.skipped = list(listing.skipped)
        self.warnings = list(listing.warnings)
        self.errors: list[Problem] = []
        self.short: Counter[int] = Counter()  # clip length -> videos too short for it that give other clips
        self.rates: Counter[tuple[float, float | None]] = (
            Counter()
        )  # (of the file, that frames are dropped from) -> videos
        self.same_size = 0  # items that come out at one size for two resolutions
        self.surplus = 0  # items with more control pictures than are taken
        self.cut_off: list[str] = []  # videos whose end is missing, with the frames that are there
        self.unsteady: list[str] = []  # videos of variable frame rate whose frames are taken as stored
        self.by_time: list[str] = []  # and those whose frames are chosen by the time they are shown
        self.dark: list[str] = []  # items whose mask is all black
        self.opaque = 0  # items without an alpha channel where one is the mask

    def run(self) -> None:
        """Look at every file."""
        if self.listing.unreadable:
            self.errors += unreadable_folders(self.dataset, self.listing.unreadable, self.file)
            return
        nothing_there = not self.listing.sources and not self.listing.skipped
        if self.cache_id and self.spec is not None and (self.listing.missing or nothing_there):
            missing = missing_source(self.dataset, self.file) if self.listing.missing else None
            cached = list_cached(self.dataset, self.spec, self.cache_id, self.rules[0], missing)
            weight, is_reg = self.dataset.loss_weight, self.dataset.is_reg
            self.items = [replace(item, loss_weight=weight, is_reg=is_reg) for item in cached.items]
            self.warnings = [*cached.warnings, *self.warnings]
            self.skipped += cached.skipped
            if self.items:
                self.errors += keys_without_sources(self.dataset, self.items)
        if self.listing.missing and not self.items:
            self.errors.append(missing_source(self.dataset, self.file))
            return
        if not self.items:
            if holds_plain_pictures(self.dataset, self.task, self.listing.sources):
                self.items = self._measure_all(self.listing.sources)
            else:
                for source in self.listing.sources:
                    self.items += self._measure(source)
                    self.count(1)
                self.latent_files = (str(item.latent_cache) for item in self.items)
            if len({source.name for source in self.listing.sources}) < len(self.listing.sources):
                self.errors += collisions(self.dataset, self.items)
            if self.cache_id:
                self.warnings += leftovers(self.dataset, self.latent_files, self.cache_id)
        if self.dataset.jsonl is not None:
            self.skipped.sort(key=lambda skipped: skipped.line)  # as a person goes through the list
        if self.dataset.on_bad_item == "stop":
            self.errors += [stops(self.dataset, skipped) for skipped in self.skipped if skipped.broken]
        self.warnings += clip_notes(self.dataset, self.spec, self.short, self.rates)
        self.warnings += damage_notes(self.dataset, self.cut_off, self.unsteady, self.by_time)
        self.warnings += dark_masks(self.dataset, self.dark, self.listing.typed)
        self._tell_counts()
        self.items, self.held_out = hold_out(self.items, self.dataset)
        self.warnings += split_notes(self.dataset, self.items, self.held_out)

    def trains_nothing(self) -> bool:
        """Whether the mask of every file that is trained is empty."""
        return bool(self.dark) and len(self.dark) >= len({path_text(item, "path") for item in self.items})

    def cache_folders(self) -> set[str]:
        """Every folder that cache files of this dataset go into."""
        return {str(folder) for pair in self.folders.values() for folder in pair} or {str(self.dataset.cache_directory)}

    def _rule(self, resolution: tuple[int, int]) -> BucketRule:
        dataset = self.dataset
        return BucketRule(
            resolution,
            self.step,
            dataset.enable_bucket,
            dataset.bucket_no_upscale,
            dataset.min_bucket_size or 0,
            dataset.max_bucket_size,
        )

    # -- many files

    def _measure_all(self, sources: Sequence[Source]) -> list[Item]:
        """What ``_measure`` gives for plain pictures, in one go: fields of the items are made when they are looked at."""
        sizes: list[Any] = [source.size for source in sources]
        unknown, unreadable = [row for row, size in enumerate(sizes) if size is None], []
        if len(unknown) < len(sizes):
            self.count(len(sizes) - len(unknown))
        for row, size in zip(unknown, read_each(self._size, [sources[row].file for row in unknown]), strict=True):
            sizes[row] = size or (self.step, self.step)
            if size is None:
                unreadable.append(row)
            self.count(1)
        for folder in {source.name.rpartition("/")[0] for source in sources}:
            self._folders("", folder)
        rows = PictureRows(
            self.dataset,
            self.spec,
            self.cache_id,
            sources,
            sizes,
            self.rules[0],
            lambda folder: self._folders("", folder),
        )
        items = rows.items()
        apart = {row: list(self._measure(sources[row])) for row in sorted({*unreadable, *rows.doubtful()})}
        self.latent_files = chain(
            rows.latent_files(apart), (str(item.latent_cache) for found in apart.values() for item in found)
        )
        return [one for row, item in enumerate(items) for one in apart.get(row, (item,))] if apart else items

    def _size(self, path: str) -> tuple[int, int] | None:
        """Width and height of a picture; None when it cannot be read. May be called on any thread."""
        try:
            return self.index.image_size(path)
        except UnreadableMedia:
            return None

    # -- one file

    def _measure(self, source: Source) -> Iterator[Item]:
        image = self.dataset.kind == "image"
        try:
            if image:
                facts = ClipInfo(*self.index.image_size(source.path), 1, 0.0)
                if not self._targets_read(source):
                    return
            else:
                facts = self._clip_info(source.path)
            if not self._mask_fits(source, facts):
                return
            controls = self._controls(source)
            if image and self.dataset.alpha_mask:
                source = source._replace(mask=self._alpha(source))
        except UnreadableMedia as error:
            self._skip_unreadable(source, source.path, "unreadable_image" if image else "unreadable_clip", str(error))
            return
        if controls is not None:
            items = list(self._images(source, facts, controls) if image else self._clips(source, facts, controls))
            if self._names_fit(source, items):
                yield from items

    def _targets_read(self, source: Source) -> bool:
        for target in source.targets:
            try:
                self.index.image_size(target)
            except UnreadableMedia as error:
                reason = say(f"its target {target}: {error}", f"目標画像 {target}: {error}")
                self._skip_unreadable(source, target, "unreadable_image", reason, say("its target ", "目標画像 "))
                return False
        return True

    def _names_fit(self, source: Source, items: Sequence[Item]) -> bool:
        long = next(filter(None, map(too_long_name, items)), "")
        if long:
            size = len(os.fsencode(long))
            reason = say(
                f"its cache file would have a name of {size} bytes, and 255 are possible; give it a shorter name.",
                f"キャッシュのファイル名が {size} バイトになり、上限の 255 を超えます。短い名前にしてください。",
            )
            self._skip(source, "name_too_long", reason, broken=True)
        return not long

    def _mask_fits(self, source: Source, facts: ClipInfo) -> bool:
        if source.mask is None:
            return True
        try:
            size = self._mask_size(source, source.mask)
        except UnreadableMedia as error:
            reason = say(f"its mask {source.mask}: {error}", f"マスク {source.mask}: {error}")
            self._skip_unreadable(source, source.mask, "unreadable_mask", reason, say("its mask ", "マスク "))
            return False
        if fits(size, (facts.width, facts.height)):
            return True
        reason = say(
            f"its mask is {size[0]}x{size[1]}, which does not lie on {facts.width}x{facts.height}.",
            f"マスクの寸法 {size[0]}x{size[1]} が {facts.width}x{facts.height} と合いません。",
        )
        self._skip(source, "mask_size", reason, broken=True)
        return False

    def _mask_size(self, source: Source, mask: Path) -> tuple[int, int]:
        if not self.decode_masks:
            return self.index.image_size(mask)
        width, height, weight = self.index.mask_facts(mask)
        if not weight:
            self.dark.append(source.path.name)
        return width, height

    def _alpha(self, source: Source) -> Path | None:
        """The picture itself as its mask, when it has an alpha channel."""
        if has_alpha(source.path):
            if self.decode_masks and not self.index.mask_facts(source.path, alpha=True)[2]:
                self.dark.append(source.path.name)
            return source.path
        self.opaque += 1
        return None

    def _clip_info(self, path: Path) -> ClipInfo:
        return clip_info(path) if is_folder(path) else self.index.clip_info(path)

    def _controls(self, source: Source) -> list[Control] | None:
        """The controls with their sizes, buckets not chosen yet; None when the item cannot be used without what is missing."""
        wanted = controls_wanted(self.dataset, self.task) if self.dataset.kind == "image" else None
        paths = source.controls
        if wanted is not None and len(paths) < wanted:
            reason = say(
                f"it has {counted(len(paths), 'control picture')}, and {wanted} are needed.",
                f"制御画像が {len(paths)} 枚しかありません ({wanted} 枚必要)。",
            )
            self._skip(source, "missing_control", reason, broken=True)
            return None
        if wanted is not None and len(paths) > wanted:
            self.surplus += 1
        found = []
        for path in paths[:wanted]:
            try:
                if self.dataset.kind == "image":
                    width, height = self.index.image_size(path)
                else:
                    info = self._clip_info(path)
                    width, height = info.width, info.height
            except UnreadableMedia as error:
                reason = say(f"its control {path}: {error}", f"制御画像・動画 {path}: {error}")
                self._skip_unreadable(
                    source, path, "unreadable_control", reason, say("its control ", "制御画像・動画 ")
                )
                return None
            found.append(Control(path, width, height, (0, 0)))
        return found

    def _images(self, source: Source, facts: ClipInfo, controls: list[Control]) -> Iterator[Item]:
        for rule, bucket in self._sizes(source, facts):
            sized = []
            for control in controls:
                size = control_bucket(self.dataset, bucket, (control.width, control.height), self.step)
                sized.append(control._replace(bucket=size))
            too_small = [control.path.name for control in sized if min(control.bucket) < 1]
            if too_small:
                reason = say(
                    f"its control {too_small[0]} is smaller than {self.step} pixels.",
                    f"制御画像 {too_small[0]} が {self.step} ピクセルより小さいです。",
                )
                self._skip(source, "too_small", reason)
                return
            name = image_latent_name(source.stem, facts.width, facts.height, self.cache_id)
            yield self._item(source, rule, facts, 0, Bucket(*bucket), name, tuple(sized))

    def _clips(self, source: Source, facts: ClipInfo, controls: list[Control]) -> Iterator[Item]:
        dataset = self.dataset
        target_fps = 0.0 if self.spec is None else self.spec.fps
        shown = self._by_time(source.path, facts, target_fps)
        frames = len(shown) or count_kept(facts.frames, self._source_fps(facts), target_fps)
        stated = facts.fps if shown else self._source_fps(facts)  # where times decide, what is stated does not matter
        if facts.frames > 1:
            self.rates[round(facts.fps, 2), stated and round(stated, 2)] += 1
        if facts.promised:
            self.cut_off.append(f"{source.path.name} ({facts.frames} / {facts.promised})")
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
            stated = None if dataset.fps_from_file else dataset.source_fps
            wrong = stated is not None and (not facts.fps or abs(stated / facts.fps - 1) > 0.02)
            by_rate = wrong and frames < min(dataset.target_frames) <= facts.frames
            self._skip(
                source,
                "too_short_after_fps" if by_rate else "too_short",
                too_short(dataset, self.spec, source.path, facts, frames),
            )
            return
        sizes = list(self._sizes(source, facts))
        if sizes and dataset.frame_extraction != "full":
            self.short.update(length for length in dataset.target_frames if length > frames)
        for rule, size in sizes:
            sized = tuple(control._replace(bucket=size) for control in controls)
            for start, length in clips:
                bucket = Bucket(*size, length)
                name = clip_latent_name(source.stem, start, bucket, self.cache_id)
                item = self._item(source, rule, facts, start, bucket, name, sized)
                yield replace(item, shown=shown) if shown else item

    def _by_time(self, path: Path, facts: ClipInfo, target_fps: float) -> tuple[int, ...]:
        """The frames that are used of a video of variable rate; empty where numbers decide, or all frames are used."""
        if facts.steady:
            return ()
        times, source_fps = None, self._source_fps(facts)
        if source_fps and target_fps and not self.dataset.frames_by_number:
            times = self.index.times_shown(path)
            if times is not None and not times.vary:  # only its header looks like it
                return ()
        shown = frames_by_time(times, facts.frames, source_fps, target_fps)
        (self.by_time if shown else self.unsteady).append(path.name)
        return shown

    def _source_fps(self, facts: ClipInfo) -> float | None:
        """The rate that frames are dropped from; None: none are dropped."""
        return facts.fps or None if self.dataset.fps_from_file else self.dataset.source_fps

    def _sizes(self, source: Source, facts: ClipInfo) -> Iterator[tuple[BucketRule, tuple[int, int]]]:
        """The size at each resolution of the dataset, equal ones once; none when the file is too small."""
        seen: set[tuple[int, int]] = set()
        for rule in self.rules:
            size = rule.choose(facts.width, facts.height)
            if size in seen:
                self.same_size += 1
            elif min(size) >= self.step or not self.dataset.enable_bucket:
                seen.add(size)
                yield rule, size
        if not seen:
            reason = say(
                f"{facts.width}x{facts.height} is smaller than {self.step} pixels, and bucket_no_upscale forbids enlarging it.",
                f"{facts.width}x{facts.height} は {self.step} ピクセルより小さく、bucket_no_upscale のため拡大できません。",
            )
            self._skip(source, "too_small", reason)

    def _item(
        self,
        source: Source,
        rule: BucketRule,
        facts: ClipInfo,
        start: int,
        bucket: Bucket,
        latent_name: str,
        controls: tuple[Control, ...],
    ) -> Item:
        dataset = self.dataset
        subfolder = source.name.rpartition("/")[0]
        size = "{}x{}".format(*rule.resolution) if len(self.rules) > 1 else ""
        latents, texts = self._folders(size, subfolder)
        clip = f"@{start:05d}-{bucket.frames:03d}" if dataset.kind == "clip" else ""
        item = Item(
            id=f"{dataset.index}:{source.name}{clip}{'~' + size if size else ''}",
            dataset=dataset.index,
            name=source.name,
            path=source.path,
            caption=source.caption,
            width=facts.width,
            height=facts.height,
            kind=dataset.kind,
            start=start,
            bucket=bucket,
            latent_cache=latents / latent_name,
            text_cache=texts / text_name(source.stem, self.cache_id),
            repeats=dataset.num_repeats,
            batch_size=dataset.batch_size,
            source_fps=self._source_fps(facts),
            target_fps=0.0 if self.spec is None else self.spec.fps,
            controls=controls,
            targets=source.targets,
            mask=source.mask,
            loss_weight=dataset.loss_weight,
            is_reg=dataset.is_reg,
            line=source.line,
        )
        return add_variants(item, source.captions, dataset, self.cache_id)

    def _folders(self, size: str, subfolder: str) -> tuple[Path, Path]:
        """Where latents and texts of files in ``subfolder`` are cached; a size has a folder of its own where there are several."""
        found = self.folders.get((size, subfolder))
        if found is None:
            base = self.dataset.cache_directory
            found = self.folders[size, subfolder] = base / size / subfolder, base / subfolder
        return found

    # -- what is said

    def _skip(self, source: Source, code: str, reason: str, *, broken: bool = False) -> None:
        dataset = self.dataset
        self.skipped.append(Skipped(source.path, code, reason, dataset.index, broken, source.line, dataset.jsonl))

    def _skip_unreadable(self, source: Source, path: Path, code: str, reason: str, whose: str = "") -> None:
        """Something that cannot be read, or is not there at all: ``whose`` if it is not the source itself."""
        better = why_unreadable(self.dataset, path, whose)
        self._skip(source, *(better or (code, reason)), broken=True)

    def _tell_counts(self) -> None:
        if self.same_size:
            message = say(
                f"{counted(self.same_size, 'time', 'times')} an item has the same size at two resolutions; it is trained once there.",
                f"2つの解像度で同じ寸法になるものが {self.same_size} 件あり、一度だけ学習します。",
            )
            self.warnings.append(about(self.dataset, "same_size", message))
        if self.opaque:
            message = say(
                f"{counted(self.opaque, 'picture has', 'pictures have')} no alpha channel and counts whole in the loss.",
                f"アルファチャンネルのない画像が {self.opaque} 枚あり、全体が損失に数えられます。",
            )
            self.warnings.append(about(self.dataset, "no_alpha", message))
        if self.surplus:
            message = say(
                f"{counted(self.surplus, 'item has', 'items have')} more control pictures than are taken; the last ones are left out.",
                f"{self.surplus} 件の項目で制御画像が多すぎるため、後ろのものは使いません。",
            )
            self.warnings.append(about(self.dataset, "surplus_controls", message))
