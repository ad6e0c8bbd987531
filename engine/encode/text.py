"""Captions -> embeddings, one file per source; equal captions are encoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from engine.config import Config
from engine.config.language import counted, say
from engine.config.problems import ConfigError
from engine.data import contexts
from engine.data.claims import Claims
from engine.data.contexts import encoder_paths
from engine.data.items import Item
from engine.data.provenance import CacheContext, CacheState, text_metadata, text_state
from engine.dtypes import DTYPES
from engine.encode.pipeline import LOOK_AGAIN_SECONDS
from engine.encode.stage import Waiting, announce, pause_or_stop
from engine.encode.store import make_folders, set_aside, text_key, write_cache
from engine.encode.work import Unit, Work, Worklist, in_order_of, judge, units_by
from engine.families.family import FamilyModel, FamilySpec, TaskSpec, TextEncoder
from engine.job import Job
from engine.ranks import ALONE, Share


def encode_text(
    job: Job,
    family_model: FamilyModel,
    items: Sequence[Item],
    *,
    device: torch.device,
    share: Share = ALONE,
    call_helpers: Callable[[int], None] = lambda files: None,
) -> None:
    """Encode every caption whose text cache is not current.

    Raises ``UserError`` (wrong encoder, missing tokenizer, unwritable folder), and ``Interrupted`` between captions.
    """
    with job.phase("text") as progress:
        context = text_context(job.config, job.spec, job.task, family_model)
        work = judge(items, lambda item: item.text_cache, text_state, context)
        announce(job, work, say("text", "テキスト"))
        progress.update(work.total - len(work.todo), work.total)
        with Claims() as claims:
            claims.sweep(work.folders)
            if not work.todo:
                return
            call_helpers(len(work.todo))
            encoder = _load_encoder(job, family_model, device)
            if context.unknown:  # the tokenizer may have come from the hub just now
                context = text_context(job.config, job.spec, job.task, family_model)
            if share.rank == 0:
                _warn_of_cut_captions(job, encoder, list(dict.fromkeys(item.caption for item, _ in work.todo)))
            _encode(
                job,
                _worklist(work, context, claims, share),
                encoder,
                write=lambda item, old, tensors: _write(item, old, tensors, context, claims),
                update=lambda files, size: progress.update(work.total - len(work.todo) + files, work.total, size),
            )


def _encode(
    job: Job,
    worklist: Worklist,
    encoder: TextEncoder,
    *,
    write: Callable[[Item, CacheState, dict[str, torch.Tensor]], int],
    update: Callable[[int, int], None],
) -> None:
    """Encode and write what is on the list. ``update`` hears of files and bytes."""
    files = size = 0
    for unit in _free_units(job, worklist):
        pause_or_stop(job)
        encoded = encoder.encode([unit.members[0][0].caption])[0]
        tensors = {text_key(key, value, ragged=key in encoder.ragged): value for key, value in encoded.items()}
        size += sum(write(item, old, tensors) for item, old in unit.members)
        worklist.done(unit)
        files += len(unit.members)
        update(files + worklist.made_elsewhere, size)
    update(files + worklist.made_elsewhere, size)


def _write(item: Item, old: CacheState, tensors: dict[str, torch.Tensor], context: CacheContext, claims: Claims) -> int:
    set_aside(item.text_cache, old)
    temporary = claims.temporary(item.text_cache.parent)
    return write_cache(item.text_cache, tensors, text_metadata(item, context), source=item.path, temporary=temporary)


def _worklist(work: Work, context: CacheContext, claims: Claims, share: Share) -> Worklist:
    """One unit per caption: equal ones are encoded once."""
    make_folders(item.text_cache for item, _ in work.todo)
    return Worklist(
        in_order_of(share, units_by(lambda item: item.caption, work.todo)),
        claims,
        claim_of=lambda item: (item.text_cache.parent, item.text_cache.name),
        file_of=lambda item: item.text_cache,
        state_of=lambda item: text_state(item, context),
    )


def _free_units(job: Job, worklist: Worklist) -> Iterator[Unit]:
    """Units to be encoded here, until nothing is left anywhere."""
    waiting = Waiting(job, say("text", "テキスト"))
    while True:
        unit = worklist.take()
        if unit is not None:
            yield unit
            continue
        holders = worklist.holders
        if not holders:
            return
        waiting.tell(holders)
        pause_or_stop(job)
        time.sleep(LOOK_AGAIN_SECONDS)
        worklist.look_again()


def text_context(config: Config, spec: FamilySpec, task: TaskSpec, family_model: FamilyModel) -> CacheContext:
    """What text caches are compared with, the tokenizer as far as it is on this machine."""
    paths = encoder_paths(config, spec)
    option = config.get("tokenizer")
    files = family_model.tokenizer_files(paths, tokenizer=Path(option) if option else None) if paths else []
    return contexts.text_context(config, spec, task, files)


def _load_encoder(job: Job, family_model: FamilyModel, device: torch.device) -> TextEncoder:
    paths = encoder_paths(job.config, job.spec)
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
        paths, tokenizer=Path(tokenizer) if tokenizer else None, device=device, dtype=DTYPES[contexts.ENCODER_DTYPE]
    )


def _warn_of_cut_captions(job: Job, encoder: TextEncoder, captions: Sequence[str]) -> None:
    limit = job.spec.token_limit
    cut = [caption for caption in captions if encoder.token_count(caption) > limit]
    if cut:
        job.warn(
            "caption_cut",
            say(f"{counted(len(cut), 'caption is', 'captions are')} longer than the {limit} tokens the text encoder reads; the end is not seen. "
                f"The first begins: {cut[0][:60]!r}",
                f"{len(cut)} 件のキャプションがテキストエンコーダーの上限 {limit} トークンを超え、末尾は使われません。先頭の例: {cut[0][:60]!r}"),
            say("Shorten them, or put what matters first.", "短くするか、大事なことを先に書いてください。"),
        )  # fmt: skip
