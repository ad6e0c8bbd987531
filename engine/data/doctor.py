"""What is wrong with a dataset, found by looking closer than a scan does: every picture decoded, every caption counted, every cache
file read. Each finding says what it means and, where something can be done safely, the fix that does it.

Nothing is changed here; ``musubi_tui.datasets.mending`` applies fixes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from engine.config.language import counted, say
from engine.data.cache_files import DamagedCache
from engine.data.caption_checks import CaptionChecks
from engine.data.dataset_spec import DatasetConfig
from engine.data.findings import Diagnosis, Entry, Finding, Questions, told_at
from engine.data.finite import not_finite
from engine.data.items import SOURCES_GONE, Item, Scan
from engine.data.likeness import Signature, alike, files_once
from engine.data.looking import Look, look_at_all
from engine.data.masks import brightest
from engine.data.media import UnreadableMedia
from engine.data.summary import enlargement
from engine.data.variants import with_variants
from engine.data.video_checks import measured, video_findings, video_row
from engine.families.family import FamilySpec

MUCH_ENLARGED = 1.5
FLAT = 8  # of 255: pictures that vary less have nothing to compare
_UNREADABLE = ("broken_link", "unreadable_image", "unreadable_clip", "unreadable_mask", "unreadable_control")
_BY_HAND = (
    "no_such_file",
    "unreadable_folder",
    "unreadable_list",
    "not_a_list",
    "bad_line",
    "list_not_utf8",
)  # nothing there could be set aside
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
        first: dict[tuple[Path, int], Item] = {}
        for item in self.scan.cached:
            if not item.cached_only:
                first.setdefault((item.path, item.dataset), item)
        self.sources = list(first.values())
        looks = self._look() if self.questions.decode else []
        beside = list(self._look_beside()) if self.questions.decode else []
        caches = self._caches() if self.questions.decode else []
        videos = measured(self.sources)
        captions = CaptionChecks(self.config, self.scan, self.spec, self.questions, self.sources)
        found = [
            *self._sources_gone(),
            self._corrupt(looks, beside),
            self._empty_masks(),
            *self._unusable(),
            self._collisions(),
            self._damaged_caches(caches),
            self._not_finite(caches),
            *captions.findings(),
            self._duplicates(looks),
            self._blank(looks),
            self._low_resolution(),
            *video_findings(self.config, self.scan, self.spec, videos),
        ]
        findings = sorted(
            (self._with_lines(entry, first) for entry in found if entry.entries),
            key=lambda entry: (entry.code not in SOURCES_GONE, entry.severity != "error"),
        )
        return Diagnosis(
            tuple(findings),
            captions.token_table(),
            tuple(video_row(item, info) for item, info in videos),
            captions.trigger_table(),
            len(looks),
            len(caches),
        )

    def _with_lines(self, finding: Finding, items: Mapping[tuple[Path, int], Item]) -> Finding:
        """With the lines of what stands in a list."""

        def placed(entry: Entry) -> Entry:
            item = None if entry.line else items.get((entry.path, entry.dataset))
            if item is None or not item.line:
                return entry
            return replace(entry, line=item.line, source=self.config.datasets[entry.dataset].jsonl)

        return replace(finding, entries=tuple(map(placed, finding.entries)))

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
        files = list({item.path: item.kind for item in self.sources}.items())
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

    def _empty_masks(self) -> Finding:
        masked = [item for item in self.sources if item.mask is not None] if self.questions.decode else []
        one_more = self._count("masks", len(masked))
        entries = []
        for item in masked:
            mask = item.mask or item.path
            with contextlib.suppress(UnreadableMedia, OSError):  # told as corrupt
                if not brightest(mask, alpha=mask == item.path)[2]:
                    detail = (
                        say("all transparent", "すべて透明")
                        if mask == item.path
                        else say(f"its mask {mask.name} is all black", f"マスク {mask.name} がすべて黒")
                    )
                    entries.append(Entry(item.path, detail, item.dataset))
            one_more()
        return Finding(
            "empty_mask",
            "warning",
            say(f"files that train nothing, since their mask is empty: {len(entries)}", f"マスクが空で何も学習しないファイルが {len(entries)} 件"),
            say("Make white what shall be learned, or set the files aside.", "学習する部分を白くするか、ファイルをよけてください。"),
            tuple(entries),
            "empty_mask",
        )  # fmt: skip

    def _corrupt(self, looks: Sequence[Look], beside: Sequence[Entry]) -> Finding:
        owner = {item.path: item.dataset for item in self.sources}
        entries = [told_at(s) for s in self.scan.skipped if s.code in _UNREADABLE]
        entries += [Entry(look.path, look.problem, owner[look.path]) for look in looks if look.problem]
        entries += beside
        return Finding(
            "corrupt",
            self._severity(entries),
            say(f"files that cannot be decoded: {len(entries)}", f"{len(entries)} ファイルをデコードできません"),
            say("Repair them, or set them aside.", "直すか、よけてください。"),
            tuple(entries),
            "corrupt",
        )

    def _unusable(self) -> Iterator[Finding]:
        """What else stops training: told by the scan already, but nobody should have to ask twice."""
        left = [s for s in self.scan.skipped if s.broken and s.code not in _UNREADABLE]
        alone = [told_at(s) for s in left if s.code not in _BY_HAND]
        yield Finding(
            "unusable",
            self._severity(alone),
            say(f"files that cannot be trained as they are: {len(alone)}", f"このままでは学習できないファイルが {len(alone)} 件"),
            say("Put right what is said of each, or set them aside.", "それぞれの理由に従って直すか、よけてください。"),
            tuple(alone),
            "unusable",
        )  # fmt: skip
        by_hand = [told_at(s) for s in left if s.code in _BY_HAND]
        lines, folders = [e for e in by_hand if e.line], [e for e in by_hand if not e.line]
        yield Finding(
            "list_line",
            self._severity(lines),
            say(f"lines of lists that cannot be read, or lead to nothing: {len(lines)}", f"読めない、またはファイルのないリストの行が {len(lines)} 件"),
            say("Correct them. The fix takes them out of the list.", "直してください。修正ではリストから取り除きます。"),
            tuple(lines),
            "list_line",
        )  # fmt: skip
        yield Finding(
            "unreadable_source",
            self._severity(folders),
            say(
                f"folders and lists that cannot be read: {len(folders)}",
                f"読めないフォルダやリストが {len(folders)} 件",
            ),
            say(
                "Put right what is said of each; where reading is denied, check the permissions.",
                "それぞれの理由に従って直してください。読み取りを拒否されたものは権限を確認してください。",
            ),
            tuple(folders),
        )

    def _collisions(self) -> Finding:
        """Files of which one would overwrite the other's cache files: training does not start with them."""
        owner = {str(item.path): item for item in self.sources}
        lists = {str(dataset.jsonl): dataset.index for dataset in self.config.datasets if dataset.jsonl is not None}
        entries = []
        for problem in self.scan.errors:
            if problem.code != "cache_name_collision":
                continue
            if problem.line:
                path, dataset = Path(problem.file), lists[problem.file]
                entries.append(Entry(path, problem.message, dataset, line=problem.line, source=path))
            elif problem.file in owner:
                item = owner[problem.file]
                entries.append(Entry(item.path, problem.message, item.dataset))
        return Finding(
            "cache_name_collision",
            "error",
            say(f"files of the same name, or lines of the same file: {len(entries)}", f"同名のファイル、または同じファイルの行が {len(entries)} 件"),
            say("Rename them, or give both captions to one. The fix takes these out and leaves the first of each name.",
                "名前を変えるか、キャプションを1つにまとめてください。修正では最初のものを残してこれらを取り除きます。"),
            tuple(entries),
            "cache_name_collision",
        )  # fmt: skip

    def _severity(self, entries: Sequence[Entry]) -> Literal["error", "warning"]:
        """Whether one of these files stops a run."""
        policies = {dataset.index: dataset.on_bad_item for dataset in self.config.datasets}
        return "error" if any(policies[entry.dataset] == "stop" for entry in entries) else "warning"

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
        most: dict[tuple[Path, int], Item] = {}  # of several resolutions the one that enlarges most
        for item in self.scan.cached:
            if not item.cached_only:
                known = most.setdefault((item.path, item.dataset), item)
                if enlargement(item) > enlargement(known):
                    most[item.path, item.dataset] = item
        for item in most.values():
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
