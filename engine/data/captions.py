"""What stands beside a picture in words: caption files of any encoding, and the captions that are trained from them.

A caption file is UTF-8, or UTF-16 or UTF-32 with a byte-order mark. Anything else is recognised as far as that is possible and always told:
Japanese (cp932, euc_jp) and Chinese (gb18030) by what kind of characters come out, the rest as cp1252.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import random
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.data.dataset_spec import DatasetSpec

_BOMS = (  # that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BOM_STARTS = b"\0\xef\xfe\xff"
ASIAN = ("cp932", "euc_jp", "gb18030")
_KANA = re.compile("[\u3041-\u30ff]")
_WORDS_OF_HAN = re.compile("[\u3005\u4e00-\u9fff]{2}")
# One character of cp932 among blanks, commas and ASCII words, such as 猫: in cp1252 it would be a sign that stands there in no text, such
# as a closing quote before a letter. Opening quotes, dashes and apostrophes may stand so (“Hello, cat’s): they are left to cp1252.
_LONE_HAN = re.compile(
    rb"(?<![A-Za-z\x80-\xff])(?:[\x88-\x90\x94\x95\x98-\x9f][\x40-\x7e\x80-\xfc]|[\x92\x96\x97][\x80-\xfc])(?![a-z\x80-\xff])"
)
_ONE_HAN = re.compile(rb"[\x88-\x9f][\x40-\x7e\x80-\xfc]")  # all there is: in cp1252 a quote or dash and one sign more
NEVER_WRITTEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\uff61-\uff9f]")
_LONGEST = 1024 * 1024
_PLACEHOLDER = "[trigger]"


class WrongCaption(Exception):
    """A caption file that is not text; the reason is the text. ``code`` is that of ``Skipped``."""

    code = "caption_not_utf8"


class NoCaptionFile(WrongCaption):
    """Something that is no file stands where the caption should."""

    code = "unreadable_caption"


@dataclass(frozen=True)
class CaptionFile:
    """A caption as read: outer whitespace removed. ``notice`` says what was unusual: ``bom`` or the encoding's name."""

    text: str
    notice: str = ""


def read_caption(path: Path | str, encoding: str | None = None) -> CaptionFile:
    """Read a caption file, in ``encoding`` if one is named.

    Raises ``WrongCaption`` when it is no text in that encoding or in any that is recognised, ``OSError`` when it cannot be read.
    """
    name = os.path.basename(path)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe is not waited for
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            folder = stat.S_ISDIR(status.st_mode)
            raise NoCaptionFile(
                say(f"its caption {name} is {'a folder' if folder else 'a pipe or a device'}: a text file must stand there.",
                    f"キャプション {name} が{'フォルダ' if folder else 'パイプまたはデバイス'}です。テキストファイルを置いてください。")
            )  # fmt: skip
        data = _read(file, status.st_size)
    finally:
        os.close(file)
    if len(data) > _LONGEST:
        raise WrongCaption(
            say(f"{name} is no caption: it is larger than 1 MB.", f"{name} は1MBを超えており、キャプションではありません。")
        )  # fmt: skip
    marked = next((known for mark, known in _BOMS if data.startswith(mark)), None) if data[:1] in _BOM_STARTS else None
    stated = marked or encoding
    if stated is None and b"\0" in data:  # UTF-8 has it as a character, but nobody writes it
        return _without_mark(name, data)
    try:
        text = data.decode(stated or "utf-8")
        if "\0" in text:
            raise WrongCaption(_holds_nul(name))
        return CaptionFile(_clean(text), "bom" if marked else "")
    except UnicodeError as error:
        guessed = None if stated else guessed_encoding(data)
        if guessed is None:
            raise WrongCaption(_not_text(name, stated or "utf-8")) from error
    return CaptionFile(_clean(data.decode(guessed)), guessed)


def _read(file: int, size: int) -> bytes:
    """All of a file of that size, or of a larger one a byte more than a caption may have; most are a line and read at once."""
    data = os.read(file, min(size, _LONGEST) + 1)
    while len(data) != size and len(data) <= _LONGEST and (more := os.read(file, _LONGEST)):
        data += more
    return data


def _without_mark(name: str, data: bytes) -> CaptionFile:
    """UTF-16 that lacks its byte-order mark: in most texts every other byte is zero. Raises ``WrongCaption``."""
    encoding = unmarked_utf16(data)
    if encoding is None:
        raise WrongCaption(_not_text(name, "utf-8"))
    return CaptionFile(_clean(data.decode(encoding)), encoding)


def unmarked_utf16(data: bytes) -> str | None:
    """Which UTF-16 it is, by where its zero bytes stand; None when it is none."""
    encoding = "utf-16-le" if data[1::2].count(0) > data[0::2].count(0) else "utf-16-be"
    try:
        return None if NEVER_WRITTEN.search(data.decode(encoding)) else encoding
    except UnicodeError:
        return None


def _clean(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def guessed_encoding(data: bytes) -> str | None:
    """The encoding that gives plausible text. Half-width kana, private and control characters are a sign of a wrong one."""
    for name in ASIAN:
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        plausible = (
            _KANA.search(text)
            or (_WORDS_OF_HAN.search(text) and name != "euc_jp")
            or (name == "cp932" and (_LONE_HAN.search(data) or _ONE_HAN.fullmatch(data.strip())))
        )
        if plausible and not NEVER_WRITTEN.search(text):
            return name
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    return None if NEVER_WRITTEN.search(text) else "cp1252"


def _not_text(name: str, encoding: str) -> str:
    return say(
        f"the caption {name} is not text in {encoding}. Save it as UTF-8.",
        f"キャプション {name} を {encoding} の文字列として読めません。UTF-8で保存してください。",
    )


def _holds_nul(name: str) -> str:
    return say(
        f"the caption {name} holds a NUL character. Save it as UTF-8 text.",
        f"キャプション {name} に NUL 文字が含まれています。UTF-8のテキストとして保存してください。",
    )


# -- from what is written to what is trained


def captions_of(dataset: DatasetSpec, written: tuple[str, ...]) -> tuple[str, ...]:
    """Every caption that may be trained for one item, without repetition, from those ``written`` for it.

    Lines are parted, the trigger word is put in, and other orders of the tags are added; the first is the first as written.
    """
    if not (dataset.multiple_captions or dataset.trigger_word or dataset.tag_shuffle):
        return written if len(written) == 1 else tuple(dict.fromkeys(written))
    if dataset.multiple_captions:
        written = tuple(line.strip() for text in written for line in text.splitlines() if line.strip()) or ("",)
    captions = []
    for text in written:
        trigger = None if dataset.is_reg or dataset.trigger_word is None else dataset.trigger_word.strip()
        caption = with_trigger(text, trigger)
        captions.append(caption)
        captions += shuffled_tags(caption, dataset.tag_shuffle, dataset.keep_tags, trigger)
    return tuple(dict.fromkeys(captions))


def lacks_text(dataset: DatasetSpec, written: Sequence[str]) -> bool:
    """Whether a caption of one item is empty as ``written``, whatever is put in afterwards."""
    return not any(written) if dataset.multiple_captions else "" in written


def with_trigger(caption: str, trigger: str | None) -> str:
    """The caption with the trigger word: in place of ``[trigger]``, else in front, unless it stands there as a word already."""
    if trigger is None:
        return caption
    if _PLACEHOLDER in caption:
        return caption.replace(_PLACEHOLDER, trigger)
    if _trigger_in(caption, trigger):
        return caption
    return f"{trigger}, {caption}" if caption else trigger


def _trigger_in(caption: str, trigger: str) -> re.Match[str] | None:
    """Where the caption holds the trigger word as a word, in any case."""
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", caption, re.IGNORECASE)


def shuffled_tags(caption: str, count: int, keep: int, trigger: str | None = None) -> list[str]:
    """Up to ``count`` other orders of the comma-separated tags: always the same for one caption.

    The tag that holds the trigger word (the tags, when it holds a comma) stands first in all of them, then come the rest of the
    first ``keep`` in their order.
    """
    place = _trigger_in(caption, trigger) if trigger else None
    tags, leading, kept, rest, end = list[str](), list[str](), list[str](), list[str](), -1
    for written in caption.split(","):
        start, end = end + 1, end + 1 + len(written)
        tag = written.strip()
        if not tag:
            continue
        leads = place is not None and start < place.end() and place.start() < end
        (leading if leads else kept if len(tags) < keep else rest).append(tag)
        tags.append(tag)
    head = leading + kept
    if len(rest) < 2:
        return []
    seed = hashlib.blake2b(caption.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()
    generator, found = random.Random(seed), dict[str, None]()
    for _ in range(4 * count):  # few tags have few orders: a repetition is drawn again, but not for ever
        if len(found) == count:
            break
        generator.shuffle(rest)
        order = ", ".join([*head, *rest])
        if order != ", ".join(tags):
            found[order] = None
    return list(found)
