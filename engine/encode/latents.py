"""Pictures and clips -> normalised VAE latents, one file per item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from engine.config import Config
from engine.config.language import say
from engine.config.problems import ConfigError
from engine.data.items import Item
from engine.data.pixels import read_pixels
from engine.data.provenance import CacheContext, encoder_fingerprint, latent_metadata, latents_state
from engine.dtypes import DTYPES
from engine.encode.stage import announce, foreign_and_stale, judge, one_ahead, pause_or_stop
from engine.encode.store import latents_key, set_aside, write_cache
from engine.families.family import FamilyModel, FamilySpec, TaskSpec
from engine.job import Job


def encode_latents(job: Job, family_model: FamilyModel, items: Sequence[Item], *, device: torch.device) -> None:
    """Encode every item whose latent cache is not current.

    Raises ``UserError`` (bad item, unwritable folder, wrong VAE), and ``Interrupted`` between items when asked to stop.
    """
    with job.phase("latents") as progress:
        context = latent_context(job.config, job.spec, job.task)
        work = judge(items, lambda item: item.latent_cache, latents_state, context)
        announce(job, work, say("latent", "潜在"), replaced=foreign_and_stale(work))
        done = work.total - len(work.todo)
        progress.update(done, work.total)
        if not work.todo:
            return
        vae = _load_vae(job, family_model, device)
        stored = DTYPES[job.spec.latents_dtype]
        states = {item.latent_cache: state for item, state in work.todo}
        for item, pixels in one_ahead((item for item, _ in work.todo), _read):
            pause_or_stop(job)
            with torch.inference_mode():
                latents = family_model.encode_latents(vae, pixels.to(device))[0].to("cpu", stored)
            set_aside(item.latent_cache, states[item.latent_cache])
            metadata = latent_metadata(item, context)
            write_cache(item.latent_cache, {latents_key(latents): latents}, metadata, source=item.path)
            done += 1
            progress.update(done, work.total)


def latent_context(config: Config, spec: FamilySpec, task: TaskSpec) -> CacheContext:
    """What latent caches are compared with: the VAE file, if it is named, and the dtypes."""
    path = config.get("vae")
    return CacheContext(
        spec,
        task,
        encoder=encoder_fingerprint([Path(path)]) if path else None,
        settings={"vae_dtype": _vae_dtype_name(config, spec), "stored_dtype": spec.latents_dtype},
    )


def _vae_dtype_name(config: Config, spec: FamilySpec) -> str:
    """``vae_dtype`` spelt out; unset, the dtype the family stores."""
    chosen = config.get("vae_dtype")
    return str(DTYPES[chosen]).removeprefix("torch.") if chosen else spec.latents_dtype


def _load_vae(job: Job, family_model: FamilyModel, device: torch.device) -> nn.Module:
    path = job.config.get("vae")
    if not path:
        raise ConfigError.of(
            "missing_key",
            say("vae is not set, and is needed to encode pictures.", "vae が設定されていません（画像のエンコードに必要）。"),
            say('Add vae = "…" to the preset.', 'プリセットに vae = "…" を追加してください。'),
            key="vae",
        )  # fmt: skip
    dtype = DTYPES[_vae_dtype_name(job.config, job.spec)]
    return family_model.load_vae(Path(path), device=device, dtype=dtype)


def _read(item: Item) -> torch.Tensor:
    """Pixels (1, 3, F, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(read_pixels(item))
    return pixels.permute(3, 0, 1, 2)[None].to(torch.float32) / 127.5 - 1
