"""Captions -> embeddings, one file per source; equal captions are encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from engine.config import Config
from engine.config.language import say
from engine.config.problems import ConfigError
from engine.data.items import Item
from engine.data.provenance import (
    CacheContext,
    CacheState,
    encoder_fingerprint,
    file_hash,
    text_metadata,
    text_state,
)
from engine.encode.stage import announce, foreign_and_stale, judge, pause_or_stop
from engine.encode.store import set_aside, text_key, write_cache
from engine.families.family import FamilyModel, FamilySpec, TaskSpec, TextEncoder
from engine.job import Job

_TOKENIZER_FILES = {"tokenizer.json", "spiece.model", "vocab.json", "merges.txt", "tokenizer_config.json"}
ENCODER_DTYPE = torch.bfloat16  # of the released encoders, and of the reference's caches


def encode_text(job: Job, family_model: FamilyModel, items: Sequence[Item], *, device: torch.device) -> None:
    """Encode every caption whose text cache is not current.

    Raises ``UserError`` (wrong encoder, missing tokenizer, unwritable folder), and ``Interrupted`` between captions.
    """
    with job.phase("text") as progress:
        context = text_context(job.config, job.spec, job.task)
        work = judge(items, lambda item: item.text_cache, text_state, context)
        announce(job, work, say("text", "テキスト"), replaced=foreign_and_stale(work))
        done = work.total - len(work.todo)
        progress.update(done, work.total)
        if not work.todo:
            return
        encoder = _load_encoder(job, family_model, device)
        groups: dict[str, list[tuple[Item, CacheState]]] = {}
        for item, state in work.todo:
            groups.setdefault(item.caption, []).append((item, state))
        _warn_of_cut_captions(job, encoder, list(groups))
        for caption, members in groups.items():
            pause_or_stop(job)
            encoded = encoder.encode([caption])[0]
            tensors = {text_key(key, value, ragged=key in encoder.ragged): value for key, value in encoded.items()}
            for item, state in members:
                set_aside(item.text_cache, state)
                write_cache(item.text_cache, tensors, text_metadata(item, context), source=item.path)
            done += len(members)
            progress.update(done, work.total)


def text_context(config: Config, spec: FamilySpec, task: TaskSpec) -> CacheContext:
    """What text caches are compared with: the encoder files and the tokenizer, if they are named, the token limit, the dtype."""
    paths = _encoder_paths(config, spec)
    settings: dict[str, Any] = {"token_limit": spec.token_limit, "dtype": str(ENCODER_DTYPE).removeprefix("torch.")}
    tokenizer = config.get("tokenizer")
    if tokenizer:
        settings["tokenizer"] = tokenizer_hash(Path(tokenizer))
    return CacheContext(
        spec,
        task,
        encoder=encoder_fingerprint(list(paths.values())) if paths else None,
        settings=settings,
    )


def tokenizer_hash(path: Path) -> str:
    """SHA-256 of a tokenizer's file, or of those in its folder that decide how a text is cut into tokens."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.name in _TOKENIZER_FILES)
    return hashlib.sha256("".join(file_hash(file) for file in files).encode()).hexdigest()


def _encoder_paths(config: Config, spec: FamilySpec) -> dict[str, Path]:
    named = {slot.option: config.get(slot.option) for slot in spec.slots if slot.role == "text_encoder"}
    return {option: Path(path) for option, path in named.items() if path}


def _load_encoder(job: Job, family_model: FamilyModel, device: torch.device) -> TextEncoder:
    paths = _encoder_paths(job.config, job.spec)
    for slot in job.spec.slots:
        if slot.role == "text_encoder" and slot.option not in paths:
            raise ConfigError.of(
                "missing_key",
                say(f"{slot.option} is not set, and is needed to encode captions ({slot.title}).",
                    f"{slot.option} が設定されていません（キャプションのエンコードに必要、{slot.title}）。"),
                say(f'Add {slot.option} = "…" to the preset.', f'プリセットに {slot.option} = "…" を追加してください。'),
                key=slot.option,
            )  # fmt: skip
    tokenizer = job.config.get("tokenizer")
    return family_model.load_text_encoder(
        paths, tokenizer=Path(tokenizer) if tokenizer else None, device=device, dtype=ENCODER_DTYPE
    )


def _warn_of_cut_captions(job: Job, encoder: TextEncoder, captions: Sequence[str]) -> None:
    limit = job.spec.token_limit
    cut = [caption for caption in captions if encoder.token_count(caption) > limit]
    if cut:
        job.warn(
            "caption_cut",
            say(f"{len(cut)} captions are longer than the {limit} tokens the text encoder reads; their ends are not seen. "
                f"The first begins: {cut[0][:60]!r}",
                f"{len(cut)} 件のキャプションがテキストエンコーダーの上限 {limit} トークンを超え、末尾は使われません。先頭の例: {cut[0][:60]!r}"),
            say("Shorten them, or put what matters first.", "短くするか、大事なことを先に書いてください。"),
        )  # fmt: skip
