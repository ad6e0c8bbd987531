"""What ``data doctor`` finds about captions: those that are missing, empty, too long for the encoder, without the trigger word, or of
nothing; and how long they are and which words they share. Every caption of an item counts, not its first alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from engine.config.language import say
from engine.data.dataset_spec import DatasetConfig
from engine.data.findings import Entry, Finding, Questions, told_at
from engine.data.items import Item, Scan
from engine.families.family import FamilySpec

_COMMON = 12  # words told


class CaptionChecks:
    """``sources``: one item of each file of each dataset."""

    def __init__(
        self,
        config: DatasetConfig,
        scan: Scan,
        spec: FamilySpec | None,
        questions: Questions,
        sources: Sequence[Item],
    ) -> None:
        self.config = config
        self.scan = scan
        self.limit = 0 if spec is None else spec.token_limit
        self.trigger = questions.trigger
        self.counter = questions.counter
        self.sources = sources
        self.captions = [[text.caption for text in item.texts] or [item.caption] for item in sources]
        self.counts = [[self.counter.count(caption) for caption in captions if caption] for captions in self.captions]

    def findings(self) -> Iterator[Finding]:
        """Each kind of trouble, also where there is none of it."""
        yield self._empty()
        yield self._missing()
        yield self._in_another_case()
        yield self._unused()
        yield self._without_trigger()
        yield self._long()

    def _word(self, dataset: int) -> str:
        """The word that captions of a dataset should hold: the one that is asked for, else the dataset's own; those of a regularisation set hold none."""
        spec = self.config.datasets[dataset]
        return "" if spec.is_reg else self.trigger or (spec.trigger_word or "").strip()

    def _way_out(self, datasets: set[int]) -> str:
        """What the fix does with captions that are not there."""
        words = {self._word(dataset) for dataset in datasets}
        lists = {self.config.datasets[dataset].jsonl is not None for dataset in datasets}
        if "" not in words and all(self.config.datasets[dataset].has_captions for dataset in datasets):
            word = ", ".join(sorted(words))
            return say(f"Write them; the fix writes {word!r} into them.", f"書いてください。修正では {word!r} を書き込みます。")  # fmt: skip
        if lists == {True}:
            return say(
                'Write "caption" into these lines. The fix takes the lines out of the list, or with --trigger WORD writes the word into them.',
                'これらの行に "caption" を書いてください。修正ではリストから行を取り除きます。--trigger WORD を付けるとその語を書き込みます。',
            )
        what_en = "sets the files aside" + (" (takes lines out of lists)" if True in lists else "")
        what_ja = "ファイルをよけます" + (" (リストでは行を取り除きます)" if True in lists else "")
        return say(
            f"Write them. The fix {what_en}, or with --trigger WORD writes the word into them.",
            f"書いてください。修正では{what_ja}。--trigger WORD を付けるとその語を書き込みます。",
        )

    def _empty(self) -> Finding:
        empty = {(path, dataset) for path, dataset in self.scan.empty_captions}
        items = [item for item in self.sources if (str(item.path), item.dataset) in empty]
        return Finding(
            "empty_caption",
            "warning",
            say(f"empty captions: {len(items)}", f"空のキャプションが {len(items)} 件"),
            self._way_out({item.dataset for item in items}),
            tuple(Entry(item.path, say("empty", "空"), item.dataset) for item in items),
            "empty_caption",
        )

    def _missing(self) -> Finding:
        missing = [skipped for skipped in self.scan.skipped if skipped.code == "missing_caption"]
        return Finding(
            "missing_caption",
            "warning",
            say(f"files without a caption, not trained: {len(missing)}", f"キャプションがなく学習されないファイルが {len(missing)} 件"),
            self._way_out({skipped.dataset for skipped in missing}),
            tuple(told_at(skipped) for skipped in missing),
            "missing_caption",
        )  # fmt: skip

    def _in_another_case(self) -> Finding:
        found = [skipped for skipped in self.scan.skipped if skipped.code == "caption_case"]
        return Finding(
            "caption_case",
            "warning",
            say(f"captions whose ending is written otherwise, their files not trained: {len(found)}", f"拡張子の大文字・小文字が違うキャプションのため学習されないファイルが {len(found)} 件"),
            say("Rename the captions, or write caption_extension as their names have it.", "キャプションの名前を変えるか、caption_extension を実際の表記に合わせてください。"),
            tuple(told_at(skipped) for skipped in found),
        )  # fmt: skip

    def _unused(self) -> Finding:
        found = self.scan.unused_captions
        detail = say("no picture or video of its name", "同名の画像・動画なし")
        return Finding(
            "unused_caption",
            "warning",
            say(f"caption files that belong to nothing: {len(found)}", f"どのファイルにも対応しないキャプションが {len(found)} 件"),
            say("A name may be mistyped: name them as their pictures, or set them aside.", "名前の誤りかもしれません。画像と同じ名前にするか、よけてください。"),
            tuple(Entry(path, detail, dataset) for path, dataset in found),
            "unused_caption",
        )  # fmt: skip

    def _long(self) -> Finding:
        entries = []
        for item, counts in zip(self.sources, self.counts, strict=True):
            count = max(counts, default=0)
            if self.limit and count > self.limit:
                about = "" if self.counter.exact else say("about ", "約 ")
                told = say(f"{about}{count} tokens of {self.limit}", f"{about}{count} トークン (上限 {self.limit})")
                entries.append(Entry(item.path, told, item.dataset))
        return Finding(
            "long_caption",
            "warning",
            say(f"captions longer than the encoder reads: {len(entries)}", f"エンコーダーの上限を超えるキャプションが {len(entries)} 件"),
            say("What is beyond is never seen. Shorten them.", "超えた部分は使われません。短くしてください。")
            if self.counter.exact
            else say(
                "An estimate: --tokenizer counts exactly; without it the fix leaves an eighth of the limit free.",
                "推定値です。--tokenizer で正確に数えます。なければ、修正では上限の 1/8 を余らせて切ります。",
            ),
            tuple(entries),
            "long_caption",
        )  # fmt: skip

    def _without_trigger(self) -> Finding:
        entries = []
        for item, captions in zip(self.sources, self.captions, strict=True):
            word = self._word(item.dataset)
            without = [caption for caption in captions if word and caption and not holds(caption, word)]
            if without:
                entries.append(Entry(item.path, shorten(without[0]), item.dataset))
        named = {self._word(entry.dataset) for entry in entries}
        words = ", ".join(sorted(named))
        return Finding(
            "trigger_word",
            "warning",
            say(f"captions without {words!r}: {len(entries)}", f"{words!r} を含まないキャプションが {len(entries)} 件"),
            say("Put it in front of them.", "先頭に付けてください。"),
            tuple(entries),
            "trigger_word",
        )

    # -- tables

    def token_table(self) -> dict[str, Any]:
        """How long the captions are."""
        counts = sorted(count for counts in self.counts for count in counts)
        table: dict[str, Any] = {
            "exact": self.counter.exact,
            "limit": self.limit or None,
            "captions": len(counts),
        }
        if counts:
            table |= {"shortest": counts[0], "median": counts[len(counts) // 2], "longest": counts[-1]}
        return table

    def trigger_table(self) -> dict[str, Any]:
        """Which words most captions share, and how many hold the trigger word."""
        words: Counter[str] = Counter()
        held = expected = captions = 0
        triggers: dict[str, None] = {}
        for item, texts in zip(self.sources, self.captions, strict=True):
            trigger = self._word(item.dataset)
            triggers |= {trigger: None} if trigger else {}
            for caption in filter(None, texts):
                captions += 1
                expected += bool(trigger)
                held += bool(trigger) and holds(caption, trigger)
                words.update({word.casefold() for word in re.findall(r"[^\W_][\w'-]+", caption)})
        common = {
            word: count
            for word, count in sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))[:_COMMON]
            if count * 2 >= captions
        }
        table: dict[str, Any] = {"captions": captions, "words_in_most": common}
        if triggers or self.trigger:
            table |= {"word": self.trigger or ", ".join(triggers), "held_by": held, "expected": expected}
        return table


def holds(caption: str, word: str) -> bool:
    """Whether a caption holds a word as a word; in scripts without spaces, anywhere."""
    if not word.isascii():
        return word.casefold() in caption.casefold()
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", caption, re.IGNORECASE | re.ASCII) is not None


def shorten(text: str, most: int = 60) -> str:
    """A text on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
