"""Where a tokenizer comes from: the option, then beside the weights, then the hub's cache, then the hub.

Rented machines are often without internet, so the files may lie as a folder, as one ``tokenizer.json``, as the
``spiece.model`` of the T5 line, or as ``vocab.json`` with ``merges.txt``; an error names every place that was looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config.language import say
from engine.config.problems import CheckpointError

# Any one of these makes a folder a tokenizer, best first; the rest of its files are read beside it.
_FILES = ("tokenizer.json", "spiece.model", "vocab.json")


@dataclass(frozen=True)
class TokenizerSource:
    """Where people have a family's tokenizer."""

    hub: str  # repository on the hub
    subfolder: str  # folder in that repository ("" for its root)
    files: tuple[str, ...]  # what to fetch from there: all that are needed together
    beside: tuple[str, ...]  # names of folders or files beside the weights, best first
    end_mark: str = ""  # token that closes every text and survives cutting


class Tokenizer:
    """Text -> ids, with the family's end mark."""

    def __init__(self, split: Callable[[str], list[int]], end: int | None) -> None:
        """``split`` gives the ids of a text without marks around it; ``end`` closes every text."""
        self._split = split
        self._end = end

    def ids(self, text: str, limit: int | None = None) -> list[int]:
        """Ids of the text, at most ``limit`` of them; the end mark is always the last."""
        ids = self._split(text)
        if self._end is None:
            return ids[:limit]
        return [*(ids if limit is None else ids[: limit - 1]), self._end]


def load_tokenizer(source: TokenizerSource, *, option: Path | None, weights: Path) -> Tokenizer:
    """The tokenizer of a text encoder whose file is ``weights``. Raises ``CheckpointError``."""
    if option is not None:
        found = _usable(option, source)
        if found is None:
            raise _missing(source, [option], offline=False)
        return _open(found, source)
    looked = list(_beside(source, weights))
    for place in looked:
        found = _usable(place, source)
        if found is not None:
            return _open(found, source)
    found = _from_hub(source)
    if found is None:
        raise _missing(source, looked, offline=True)
    return _open(found, source)


def find_tokenizer(source: TokenizerSource, *, option: Path | None, weights: Path) -> list[Path]:
    """The files that ``load_tokenizer`` would read, without reading or downloading any; empty when none is here yet."""
    places = [option] if option is not None else list(_beside(source, weights))
    found = next((file for place in places if (file := _usable(place, source)) is not None), None)
    if found is None and option is None:
        found = _from_hub(source, download=False)
    if found is None:
        return []
    others = ("merges.txt", "tokenizer_config.json") if found.name == "vocab.json" else ()
    return [found, *(file for name in others if (file := found.with_name(name)).is_file())]


def _beside(source: TokenizerSource, weights: Path) -> Iterator[Path]:
    folder = weights if weights.is_dir() else weights.parent
    for name in source.beside:
        yield folder / name
    for name in source.beside:  # official downloads keep encoder and tokenizer in sibling folders
        if "." not in Path(name).name:
            yield folder.parent / name


def _usable(place: Path, source: TokenizerSource) -> Path | None:
    """The file to open at this place: itself, or the best of a folder (or of the repository's folder inside it)."""
    if place.is_file():
        return place if place.suffix in {".json", ".model"} else None
    folders = [place, *(place / name for name in source.beside if "." not in Path(name).name)]
    return next((folder / name for folder in folders for name in _FILES if (folder / name).is_file()), None)


def _open(file: Path, source: TokenizerSource) -> Tokenizer:
    try:
        if file.suffix == ".model":
            return _open_sentencepiece(file, source)
        return _open_json(file, source)
    except Exception as error:  # the tokenizers library raises bare Exception for damaged files
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise CheckpointError.of(
            "bad_tokenizer",
            say(f"{file.name} is not a tokenizer that can be read ({reason}).",
                f"{file.name} はトークナイザーとして読めません（{reason}）。"),
            say(f"Download it again from huggingface.co/{_where(source)}.",
                f"huggingface.co/{_where(source)} から再ダウンロードしてください。"),
            file=file, key="tokenizer",
        ) from error  # fmt: skip


def _open_sentencepiece(file: Path, source: TokenizerSource) -> Tokenizer:
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(file))
    return Tokenizer(pieces.encode, pieces.piece_to_id(source.end_mark) if source.end_mark else None)


def _open_json(file: Path, source: TokenizerSource) -> Tokenizer:
    from tokenizers import Tokenizer as JsonTokenizer

    if file.name == "vocab.json":
        from transformers import Qwen2Tokenizer

        words = Qwen2Tokenizer.from_pretrained(str(file.parent), local_files_only=True).backend_tokenizer
    else:
        words = JsonTokenizer.from_file(str(file))
    words.no_truncation()
    words.no_padding()
    end = words.token_to_id(source.end_mark) if source.end_mark else None
    if source.end_mark and end is None:
        raise ValueError(say(f"it has no token {source.end_mark}", f"{source.end_mark} がありません"))
    return Tokenizer(lambda text: list(words.encode(text, add_special_tokens=False).ids), end)


def _from_hub(source: TokenizerSource, *, download: bool = True) -> Path | None:
    """The first of the source's files in the hub's cache, else downloaded; None when it is not there and cannot be had."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    for local_only in (True, False) if download and not offline else (True,):
        try:
            files = [
                hf_hub_download(source.hub, name, subfolder=source.subfolder or None, local_files_only=local_only)
                for name in source.files
            ]
        except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError):
            continue
        return Path(files[0])
    return None


def _where(source: TokenizerSource) -> str:
    return f"{source.hub}/{source.subfolder}".rstrip("/")


def _missing(source: TokenizerSource, looked: list[Path], *, offline: bool) -> CheckpointError:
    files = say(" and ", " と ").join(source.files)
    places = ", ".join(str(place) for place in looked)
    message = say(f"No tokenizer found. Looked at: {places}", f"トークナイザーが見つかりません。探した場所: {places}")
    if offline:
        message += say("; the Hugging Face hub cannot be reached", "。Hugging Face hub にも接続できません")
    return CheckpointError.of(
        "missing_tokenizer",
        message + ".",
        say(f"Download {files} from huggingface.co/{_where(source)} into one of these places, or set tokenizer to their folder.",
            f"huggingface.co/{_where(source)} の {files} を上のいずれかに置くか、tokenizer にそのフォルダーを指定してください。"),
        file=looked[0] if len(looked) == 1 else "", key="tokenizer",
    )  # fmt: skip
