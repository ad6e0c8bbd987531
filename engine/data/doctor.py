"""What is wrong with a dataset, found by looking closer than a scan does: every picture decoded, every caption counted, every cache
file read. Each finding says what it means and, where something can be done safely, the fix that does it.

Nothing is changed here; ``musubi_tui.datasets.mending`` applies fixes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.config.language import counted, say
from engine.data.cache_files import DamagedCache
from engine.data.dataset_spec import DatasetConfig
from engine.data.findings import Diagnosis, Entry, Finding, Questions
from engine.data.finite import not_finite
from engine.data.items import SOURCES_GONE, Item, Scan
from engine.data.likeness import Signature, alike, files_once
from engine.data.looking import Look, look_at_all
from engine.data.media import ClipInfo, UnreadableMedia, clip_info
from engine.data.summary import enlargement, printable
from engine.data.tokens import TokenCounter
from engine.data.variants import with_variants
from engine.families.family import FamilySpec

MUCH_ENLARGED = 1.5
FLAT = 8  # of 255: pictures that vary less have nothing to compare
_COMMON = 12  # words told
_UNREADABLE = ("broken_link", "unreadable_image", "unreadable_clip", "unreadable_mask", "unreadable_control")
Progress = Callable[[str, int, int], None]


@dataclass
class Examination:
    """One dataset under examination; ``run`` gives the diagnosis. ``progress(what, done, total)`` counts files."""

    config: DatasetConfig
    scan: Scan
    spec: FamilySpec | None
    questions: Questions = field(default_factory=Questions)
    progress: Progress | None = None

    def run(self) -> Diagnosis:
        """Look at everything."""
        first = {item.path: item for item in self.scan.cached if not item.cached_only}
        self.sources = list(first.values())
        looks = self._look() if self.questions.decode else []
        beside = list(self._look_beside()) if self.questions.decode else []
        caches = self._caches() if self.questions.decode else []
        videos = self._videos()
        found = [
            *self._sources_gone(),
            self._corrupt(looks, beside),
            self._damaged_caches(caches),
            self._not_finite(caches),
            *self._captions(),
            self._duplicates(looks),
            self._blank(looks),
            self._low_resolution(),
            self._frame_rates(videos),
            self._too_short(),
        ]
        findings = sorted(
            (entry for entry in found if entry.entries),
            key=lambda entry: (entry.code not in SOURCES_GONE, entry.severity != "error"),
        )
        return Diagnosis(
            tuple(findings),
            self._token_table(),
            tuple(_video_row(item, info) for item, info in videos),
            self._trigger_table(),
            len(looks),
            len(caches),
        )

    def _sources_gone(self) -> Iterator[Finding]:
        """Folders and lists that do not exist or hold nothing, which the scan told already: nothing else matters as much."""
        for problem in (*self.scan.errors, *self.scan.warnings):
            if problem.code in SOURCES_GONE:
                title = problem.message.rstrip(".")
                where = Path(problem.file or self.config.file)
                entry = Entry(where, problem.key or "")
                advice = problem.fix or say(
                    "Put the files back, unless the caches are all that shall be trained.",
                    "キャッシュだけで学習するのでなければ、ファイルを戻してください。",
                )
                yield Finding(problem.code, problem.severity, title, advice, (entry,))

    def _count(self, what: str, total: int) -> Callable[[], None]:
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            if self.progress is not None:
                self.progress(what, done, total)

        return one_more

    # -- pictures and videos

    def _look(self) -> list[Look]:
        files = [(item.path, item.kind) for item in self.sources]
        return list(look_at_all(files, self._count("decode", len(files))))

    def _look_beside(self) -> Iterator[Entry]:
        """What cannot be decoded of the pictures beside the sources: masks, controls, further targets; told at their source."""
        owner: dict[Path, Item] = {}
        for item in self.sources:
            pictures = [*item.targets, *([item.mask] if item.mask is not None and item.mask != item.path else [])]
            pictures += [control.path for control in item.controls if item.kind == "image"]
            for path in pictures:
                owner.setdefault(path, item)
        sources = {item.path for item in self.sources}
        files = [(path, "image") for path in owner if path not in sources]
        for look in look_at_all(files, self._count("decode", len(files))):
            if look.problem:
                item = owner[look.path]
                yield Entry(item.path, f"{look.path}: {look.problem}", item.dataset)

    def _corrupt(self, looks: Sequence[Look], beside: Sequence[Entry]) -> Finding:
        owner = {item.path: item.dataset for item in self.sources}
        entries = [Entry(s.path, s.reason, s.dataset) for s in self.scan.skipped if s.code in _UNREADABLE]  # fmt: skip
        entries += [Entry(look.path, look.problem, owner[look.path]) for look in looks if look.problem]
        entries += beside
        policies = {dataset.index: dataset.on_bad_item for dataset in self.config.datasets}
        stops = any(policies[entry.dataset] == "stop" for entry in entries)
        return Finding(
            "corrupt",
            "error" if stops else "warning",
            say(f"files that cannot be decoded: {len(entries)}", f"{len(entries)} ファイルをデコードできません"),
            say("Repair them, or set them aside.", "直すか、よけてください。"),
            tuple(entries),
            "corrupt",
        )

    def _duplicates(self, looks: Sequence[Look]) -> Finding:
        items = {item.path: item for item in self.sources}
        seen: list[tuple[Item, Signature]] = [(items[k.path], k.signature) for k in looks if k.signature and k.signature.spread >= FLAT]  # fmt: skip
        once, shared = files_once([item.path for item, _ in seen])
        seen = [seen[index] for index in once]
        entries = []
        groups = alike([mark for _, mark in seen])
        for number, members in enumerate(groups, 1):
            group = [seen[index][0] for index in members]
            best = max(group, key=lambda item: (item.width * item.height, len(item.caption), -group.index(item)))
            for item in group:
                other = next(name.path.name for name in (best, *group) if name is not item)
                size = f"{item.width}x{item.height}"
                entries.append(
                    Entry(
                        item.path,
                        size if item is best else say(f"{size}, like {other}", f"{size}、{other} と同様"),
                        item.dataset,
                        number,
                        item is best or item.path in shared,
                    )
                )
        extra = len(entries) - len(groups)
        return Finding(
            "duplicates",
            "warning",
            say(
                f"near-duplicates: {extra}, in {counted(len(groups), 'group')}",
                f"ほぼ同じ内容のファイルが {extra} 件 ({len(groups)} 組)",
            ),
            say(
                "What stands several times is learned more strongly. Keep the best of each group.",
                "重複したものは強く学習されます。各組で最良のものだけ残してください。",
            ),
            tuple(entries),
            "duplicates",
        )

    def _blank(self, looks: Sequence[Look]) -> Finding:
        owner = {item.path: item.dataset for item in self.sources if item.kind == "image"}  # a video may fade to black
        flat = [
            look for look in looks if look.path in owner and look.signature is not None and look.signature.spread < FLAT
        ]
        detail = say("one flat colour", "単色")
        return Finding(
            "blank",
            "warning",
            say(f"pictures of one flat colour: {len(flat)}", f"単色の画像が {len(flat)} 件"),
            say("There is nothing to learn from them. Set them aside.", "学習の役に立ちません。よけてください。"),
            tuple(Entry(look.path, detail, owner[look.path]) for look in flat),
            "blank",
        )

    def _low_resolution(self) -> Finding:
        entries = []
        for item in self.sources:
            times = enlargement(item)
            if times > MUCH_ENLARGED:
                bucket = f"{item.bucket.width}x{item.bucket.height}"
                size = f"{item.width}x{item.height}"
                entries.append(Entry(item.path, say(f"{size}, enlarged {times:.1f} times for {bucket}", f"{size} を {bucket} へ {times:.1f} 倍に拡大"), item.dataset))  # fmt: skip
        return Finding(
            "low_resolution",
            "warning",
            say(
                f"files enlarged more than {MUCH_ENLARGED} times: {len(entries)}",
                f"{MUCH_ENLARGED} 倍を超えて拡大されるファイルが {len(entries)} 件",
            ),
            say(
                "The model learns their blur. Find larger ones, set bucket_no_upscale = true, or set them aside.",
                "ぼけを学習します。大きなものに替えるか、bucket_no_upscale = true にするか、よけてください。",
            ),
            tuple(entries),
            "low_resolution",
        )

    # -- videos

    def _videos(self) -> list[tuple[Item, ClipInfo]]:
        found = []
        for item in self.sources:
            if item.kind == "clip":
                try:
                    found.append((item, clip_info(item.path)))
                except UnreadableMedia:  # stands among the corrupt ones
                    continue
        return found

    def _frame_rates(self, videos: Sequence[tuple[Item, ClipInfo]]) -> Finding:
        wanted = 0.0 if self.spec is None else self.spec.fps
        odd: list[Entry] = []
        right: list[Entry] = []
        for item, info in videos if wanted else ():
            expected = item.source_fps or wanted
            by_number = info.fps and not item.shown  # where times decide, the stated rate does not matter
            off = bool(by_number) and abs(info.fps - expected) > 0.02 * expected
            (odd if off else right).append(Entry(item.path, f"{info.fps:g} fps", item.dataset))
        touched = {entry.dataset for entry in odd}  # one source_fps would hold for all videos of such a dataset
        return Finding(
            "frame_rate",
            "warning",
            say(
                f"videos at another rate than {wanted:g} fps or source_fps: {len(odd)}",
                f"想定のレート ({wanted:g} fps、または source_fps) と異なる動画が {len(odd)} 本",
            ),
            say(
                "Motion is learned too slow or too fast. Write their rate as source_fps into the dataset, or fps_from_file = true.",
                "動きの速さがずれて学習されます。データセットの source_fps に実際のレートを書くか、fps_from_file = true にしてください。",
            ),
            tuple(odd),
            "frame_rate",
            tuple(entry for entry in right if entry.dataset in touched),
        )

    def _too_short(self) -> Finding:
        entries = [Entry(s.path, s.reason, s.dataset) for s in self.scan.skipped if s.code == "too_short"]
        return Finding(
            "too_short",
            "warning",
            say(f"videos shorter than every clip length: {len(entries)}", f"どのクリップ長にも足りない動画が {len(entries)} 本"),
            say("Add a smaller number to target_frames.", "target_frames に小さい数を加えてください。"),
            tuple(entries),
        )  # fmt: skip

    # -- captions

    def _captions(self) -> Iterator[Finding]:
        trigger, counter = self.questions.trigger, self.questions.counter
        empty = [item for item in self.sources if not item.caption and self._has_captions(item.dataset)]
        missing = [s for s in self.scan.skipped if s.code == "missing_caption"]
        writes = say(f"Write {trigger!r} into them.", f"{trigger!r} を書き込みます。") if trigger else say("Write them, or give --trigger WORD to fill them.", "書くか、--trigger WORD で埋めてください。")  # fmt: skip
        yield Finding(
            "empty_caption",
            "warning",
            say(f"empty captions: {len(empty)}", f"空のキャプションが {len(empty)} 件"),
            writes,
            tuple(Entry(item.path, say("empty", "空"), item.dataset) for item in empty),
            "empty_caption" if trigger else "",
        )
        yield Finding(
            "missing_caption",
            "warning",
            say(f"files without a caption, not trained: {len(missing)}", f"キャプションがなく学習されないファイルが {len(missing)} 件"),
            writes,
            tuple(Entry(s.path, s.reason, s.dataset) for s in missing),
            "missing_caption" if trigger and all(self._has_captions(s.dataset) for s in missing) else "",
        )  # fmt: skip
        yield self._long_captions(counter)
        if trigger:
            without = [item for item in self.sources if item.caption and not holds(item.caption, trigger)]
            yield Finding(
                "trigger_word",
                "warning",
                say(f"captions without {trigger!r}: {len(without)}", f"{trigger!r} を含まないキャプションが {len(without)} 件"),
                say("Put it in front of them.", "先頭に付けてください。"),
                tuple(Entry(item.path, shorten(item.caption), item.dataset) for item in without),
                "trigger_word",
            )  # fmt: skip

    def _has_captions(self, dataset: int) -> bool:
        spec = self.config.datasets[dataset]
        return spec.caption_extension is not None or spec.jsonl is not None

    def _long_captions(self, counter: TokenCounter) -> Finding:
        limit = 0 if self.spec is None else self.spec.token_limit
        entries = []
        for item in self.sources if limit else ():
            captions = [text.caption for text in item.texts] or [item.caption]
            long = [caption for caption in captions if len(caption) > limit]  # a token has at least a character
            count = max(map(counter.count, long), default=0)
            if count > limit:
                about = "" if counter.exact else say("about ", "約 ")
                entries.append(Entry(item.path, say(f"{about}{count} tokens of {limit}", f"{about}{count} トークン (上限 {limit})"), item.dataset))  # fmt: skip
        return Finding(
            "long_caption",
            "warning",
            say(f"captions longer than the encoder reads: {len(entries)}", f"エンコーダーの上限を超えるキャプションが {len(entries)} 件"),
            say("What is beyond is never seen. Shorten them.", "超えた部分は使われません。短くしてください。")
            if counter.exact
            else say("An estimate: --tokenizer counts exactly.", "推定値です。--tokenizer で正確に数えます。"),
            tuple(entries),
            "long_caption" if counter.exact else "",
        )  # fmt: skip

    def _token_table(self) -> dict[str, Any]:
        counter = self.questions.counter
        counts = sorted(counter.count(item.caption) for item in self.sources if item.caption)
        table: dict[str, Any] = {
            "exact": counter.exact,
            "limit": None if self.spec is None else self.spec.token_limit,
            "captions": len(counts),
        }
        if counts:
            table |= {"shortest": counts[0], "median": counts[len(counts) // 2], "longest": counts[-1]}
        return table

    def _trigger_table(self) -> dict[str, Any]:
        captions = [item.caption for item in self.sources if item.caption]
        words: Counter[str] = Counter()
        for caption in captions:
            words.update({word.casefold() for word in re.findall(r"[^\W_][\w'-]+", caption)})
        common = {
            word: count
            for word, count in sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))[:_COMMON]
            if count * 2 >= len(captions)
        }
        table: dict[str, Any] = {"captions": len(captions), "words_in_most": common}
        if self.questions.trigger:
            table |= {"word": self.questions.trigger, "held_by": sum(holds(caption, self.questions.trigger) for caption in captions)}  # fmt: skip
        return table

    # -- caches

    def _caches(self) -> list[tuple[Path, int, str, bool]]:
        """(file, dataset, what is wrong, whether it is damaged) of every cache file that is there, those of all cuts and captions."""
        files: dict[Path, int] = {}
        for item in with_variants(self.scan.cached):
            files.setdefault(item.latent_cache, item.dataset)
            files.setdefault(item.text_cache, item.dataset)
        there = [(path, dataset) for path, dataset in files.items() if path.is_file()]
        one_more = self._count("caches", len(there))
        found = []
        for path, dataset in there:
            found.append((path, dataset, *_cache_trouble(path)))
            one_more()
        return found

    def _damaged_caches(self, caches: Sequence[tuple[Path, int, str, bool]]) -> Finding:
        entries = [Entry(path, text, dataset) for path, dataset, text, damaged in caches if text and damaged]
        return Finding(
            "damaged_cache",
            "error",
            say(f"damaged cache files: {len(entries)}", f"壊れたキャッシュが {len(entries)} 件"),
            say("Set them aside; `cache` makes them again.", "よけてください。`cache` が作り直します。"),
            tuple(entries),
            "damaged_cache",
        )

    def _not_finite(self, caches: Sequence[tuple[Path, int, str, bool]]) -> Finding:
        entries = [Entry(path, text, dataset) for path, dataset, text, damaged in caches if text and not damaged]
        return Finding(
            "nan_cache",
            "error",
            say(f"cache files with NaN or infinity: {len(entries)}", f"NaN または無限大を含むキャッシュが {len(entries)} 件"),
            say(
                'One of them makes the loss NaN. Set them aside and cache again, with vae_dtype = "float32" if they come back.',
                'loss が NaN になります。よけてから再度キャッシュしてください (再発するなら vae_dtype = "float32")。',
            ),
            tuple(entries),
            "nan_cache",
        )  # fmt: skip


def holds(caption: str, word: str) -> bool:
    """Whether a caption holds a word as a word; in scripts without spaces, anywhere."""
    if not word.isascii():
        return word.casefold() in caption.casefold()
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption, re.IGNORECASE | re.ASCII) is not None


def shorten(text: str, most: int = 60) -> str:
    """A text on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _video_row(item: Item, info: ClipInfo) -> dict[str, Any]:
    return {
        "path": printable(item.path),
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
        "frames": info.frames,
        "seconds": round(info.frames / info.fps, 2) if info.fps else None,
    }


def _cache_trouble(path: Path) -> tuple[str, bool]:
    try:
        bad = not_finite(path)
    except (DamagedCache, OSError) as error:
        return str(error), True
    if not bad:
        return "", False
    return ", ".join(
        say(f"{name}: {counted(count, 'value')}", f"{name}: {count} 個") for name, count in bad.items()
    ), False
