"""Pictures and clips -> normalised VAE latents, one file per item."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from engine.config.language import say
from engine.config.problems import ConfigError, Problem
from engine.data.claims import Claims
from engine.data.clip_reading import clip_bytes, read_clips
from engine.data.contexts import latent_context, vae_dtype
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Item
from engine.data.media import UnreadableMedia
from engine.data.pixels import read_pixels, unreadable
from engine.data.provenance import (
    CacheContext,
    item_stamps,
    latent_metadata,
    latents_state,
)
from engine.dtypes import DTYPES
from engine.encode.encoders import Decoded, Encoders
from engine.encode.frames import LongClip, refuse_too_long
from engine.encode.pipeline import READ_AHEAD_BYTES, Pipeline, Room, readers_here
from engine.encode.stage import Waiting, announce, give_up, pause_or_stop
from engine.encode.store import latents_key, make_folders, restamp, set_aside, write_cache
from engine.encode.work import Unit, Work, Worklist, in_order_of, judge, units_by
from engine.families.family import FamilyModel
from engine.job import Job
from engine.ranks import ALONE, Share

MOST_HELD_BYTES = READ_AHEAD_BYTES  # of one clip; a longer one is decoded while it is encoded


def encode_latents(
    job: Job,
    family_model: FamilyModel,
    items: Sequence[Item],
    *,
    device: torch.device,
    datasets: Sequence[DatasetSpec] = (),
    share: Share = ALONE,
    call_helpers: Callable[[int], None] = lambda files: None,
) -> tuple[Item, ...]:
    """Encode every item whose latent cache is not current. The items that cannot be decoded and are to be skipped.

    ``datasets``: what the items are of; says which may be skipped, and what is noted in the headers. Raises ``UserError`` (bad
    items, all of them; unwritable folder, wrong VAE), and ``Interrupted`` between items when asked to stop.
    """
    with job.phase("latents") as progress:
        context = latent_context(job.config, job.spec, job.task, datasets)
        work = judge(items, lambda item: item.latent_cache, latents_state, context)
        announce(job, work, say("latent", "潜在"))
        progress.update(work.total - len(work.todo), work.total)
        with Claims() as claims:
            claims.sweep(work.folders)
            if share.rank == 0:
                _restamp(work.touched, context, claims)
            if not work.todo:
                return ()
            call_helpers(len(work.todo))
            vae = _load_vae(job, family_model, device)
            refuse_too_long([item for item, _ in work.todo], job.spec, DTYPES[vae_dtype(job.config, job.spec)], device)
            # A VAE on a GPU fills it by itself; on a CPU one thread fills one core.
            count = readers_here(share.world) if device.type == "cpu" else 1
            with Encoders(family_model, vae, device, DTYPES[job.spec.latents_dtype], count) as encoders:
                failures = _encode(
                    job,
                    _worklist(work, context, claims, share),
                    encoders,
                    write=lambda item, decoded, latents: _write(item, latents, decoded, context, claims),
                    update=lambda files, size: progress.update(work.total - len(work.todo) + files, work.total, size),
                    readers=readers_here(share.world),
                )
        skipped = {dataset.index for dataset in datasets if dataset.on_bad_item == "skip"}
        return give_up(job, failures, skipped)


def _encode(
    job: Job,
    worklist: Worklist,
    encoders: Encoders,
    *,
    write: Callable[[Item, Decoded, torch.Tensor], int],
    update: Callable[[int, int], None],
    readers: int,
) -> list[tuple[Item, Problem]]:
    """Read, encode and write what is on the list; the items that cannot be read, with why. ``update`` hears of files and bytes."""
    waiting = Waiting(job, say("latent", "潜在"))

    def check() -> None:
        encoders.keep_finished()
        waiting.tell(worklist.holders)
        pause_or_stop(job)

    def read(unit: Unit, room: Room) -> Iterator[tuple[Item, Decoded]]:
        return _read(unit, room, lambda: job.stop_requested is None)

    with Pipeline(worklist, read, size_of=_size, check=check, readers=readers) as flow:

        def tell() -> None:
            update(flow.files + worklist.made_elsewhere, flow.bytes)

        def before() -> None:
            tell()
            pause_or_stop(job)

        def keep(item: Item, decoded: Decoded, latents: torch.Tensor) -> None:
            flow.write(item, partial(write, item, decoded, latents), latents.nbytes)

        encoders.drive(flow, before, keep, flow.give_up)
        if encoders.abandoned:
            pause_or_stop(job)
    tell()
    return flow.failures


def _restamp(touched: Sequence[Item], context: CacheContext, claims: Claims) -> None:
    """Write into headers how sources look that were only touched: the next start need not hash them again."""
    for item in touched:
        claim = _claim_of(item, context)
        with contextlib.suppress(OSError):  # where nothing can be written, the next start hashes them again
            if claims.take(*claim) is not None:
                continue
            try:
                stamps = latents_state(item, context).stamps  # looked at again: its last holder may have made it anew
                if stamps is not None:
                    restamp(item.latent_cache, stamps, claims.temporary(item.latent_cache.parent))
            finally:
                claims.give_back(*claim)


def _worklist(work: Work, context: CacheContext, claims: Claims, share: Share) -> Worklist:
    """One unit per source and cache folder: the clips of a video are read in one pass."""
    units = units_by(lambda item: (item.latent_cache.parent, item.path), work.todo)
    make_folders(item.latent_cache for item, _ in work.todo)
    return Worklist(
        in_order_of(share, units),
        claims,
        claim_of=lambda item: _claim_of(item, context),
        file_of=lambda item: item.latent_cache,
        state_of=lambda item: latents_state(item, context),
    )


def _claim_of(item: Item, context: CacheContext) -> tuple[Path, str]:
    return item.latent_cache.parent, f"{item.name}_{context.task.cache_id}"


def _read(unit: Unit, room: Room, go_on: Callable[[], bool]) -> Iterator[tuple[Item, Decoded]]:
    """The pixels of one source's items. The stamp is taken first: a file that changes meanwhile is encoded again next time.

    A clip larger than all that may be read ahead is decoded while it is encoded, as long as ``go_on()``.
    """
    states = {item.latent_cache: state for item, state in unit.members}
    items = [item for item, _ in unit.members]
    try:
        stamps = item_stamps(items[0])
        if items[0].kind == "image":
            for item in items:
                room.reserve(2 * 3 * item.width * item.height + clip_bytes(item))
                yield item, Decoded(read_pixels(item), stamps, states[item.latent_cache])
            return
        for item in items:
            if clip_bytes(item) > MOST_HELD_BYTES:
                yield item, Decoded(LongClip(item, go_on), stamps, states[item.latent_cache])
        short = [item for item in items if clip_bytes(item) <= MOST_HELD_BYTES]
        clips = read_clips(short, room.wanted, room.reserve) if short else ()
        for item, pixels in clips:
            yield item, Decoded(pixels, stamps, states[item.latent_cache])
    except UnreadableMedia as error:
        raise unreadable(items[0], str(error)) from error
    except OSError as error:
        raise unreadable(
            items[0],
            say(
                f"the file cannot be read: {error.strerror or error}.",
                f"ファイルを読めません: {error.strerror or error}",
            ),
        ) from error


def _size(decoded: Decoded) -> int:
    return decoded.pixels.nbytes


def _write(item: Item, latents: torch.Tensor, decoded: Decoded, context: CacheContext, claims: Claims) -> int:
    set_aside(item.latent_cache, decoded.old)
    return write_cache(
        item.latent_cache,
        {latents_key(latents): latents},
        latent_metadata(item, context, decoded.stamps),
        source=item.path,
        temporary=claims.temporary(item.latent_cache.parent),
    )


def _load_vae(job: Job, family_model: FamilyModel, device: torch.device) -> nn.Module:
    path = job.config.get("vae")
    if not path:
        raise ConfigError.of(
            "missing_key",
            say("vae is not set, and is needed to encode pictures.", "vae が設定されていません（画像のエンコードに必要）。"),
            say('Add vae = "…" to the preset.', 'プリセットに vae = "…" を追加してください。'),
            key="vae",
        )  # fmt: skip
    dtype = DTYPES[vae_dtype(job.config, job.spec)]
    return family_model.load_vae(Path(path), device=device, dtype=dtype)
