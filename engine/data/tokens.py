"""How many tokens a caption has: by the encoder's own tokenizer file where there is one, else about.

Only the light libraries are used (``tokenizers``, ``sentencepiece``): counting needs no encoder and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError
from engine.families.family import FamilySpec

_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WORDS = re.compile(r"\w+|[^\w\s]")
_FILES = ("tokenizer.json", "spiece.model", "vocab.json")


@dataclass(frozen=True)
class TokenCounter:
    """``count(text)``; ``exact`` is False for an estimate."""

    count: Callable[[str], int]
    exact: bool


def estimate(text: str) -> int:
    """About how many tokens: one per word and sign, one more per twenty characters, 0.8 per Japanese, Chinese or Korean character."""
    wide = 0
    if not text.isascii():
        text, wide = _WIDE.subn(" ", text)
    return round(0.8 * wide + len(_WORDS.findall(text)) + (len(text) - wide) / 20)


ESTIMATE = TokenCounter(estimate, exact=False)


def open_counter(place: Path, spec: FamilySpec | None = None) -> TokenCounter:
    """The counter of a tokenizer's file or folder (also one with a folder ``tokenizer`` in it). Raises ``UserError``.

    With ``spec`` it counts what the family's encoder reads: the cleaned caption, and the mark at its end.
    """
    folders = [place, place / "tokenizer"] if place.is_dir() else []
    file = place if place.is_file() else next((f / n for f in folders for n in _FILES if (f / n).is_file()), None)
    if file is None:
        message = say("there is no tokenizer here.", "トークナイザーがありません。")
        raise UserError.of("missing_tokenizer", message, _wanted(), file=place, key="tokenizer")
    try:
        count = _open(file)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        message = say(
            f"it is not a tokenizer that can be read ({reason}).", f"トークナイザーとして読めません ({reason})。"
        )
        raise UserError.of("bad_tokenizer", message, _wanted(), file=file, key="tokenizer") from error
    if spec is None:
        return TokenCounter(count, exact=True)
    return TokenCounter(lambda text: count(spec.cleaned(text)) + spec.end_tokens, exact=True)


def _wanted() -> str:
    names = ", ".join(_FILES)
    return say(
        f"Name one of {names}, or a folder that holds it.",
        f"{names} のいずれか、またはそれを含むフォルダを指定してください。",
    )


def _open(file: Path) -> Callable[[str], int]:
    if file.suffix == ".model":
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(file))
        return lambda text: len(pieces.encode(text))
    if file.name == "vocab.json":
        from tokenizers import ByteLevelBPETokenizer

        words = ByteLevelBPETokenizer(str(file), str(file.with_name("merges.txt")))
        return lambda text: len(words.encode(text).ids)
    from tokenizers import Tokenizer

    known = Tokenizer.from_file(str(file))
    known.no_truncation()
    known.no_padding()
    return lambda text: len(known.encode(text, add_special_tokens=False).ids)
