"""What the cache files of a preset are compared with: model files, dtypes, template, tokenizer; for whoever encodes and whoever looks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.problems import UserError
from engine.config.values import DTYPE_NAMES
from engine.data.dataset_spec import DatasetSpec
from engine.data.fingerprints import caption_hash, encoder_fingerprint, file_hash
from engine.data.provenance import CacheContext, noted_of
from engine.families.family import FamilySpec, TaskSpec

if TYPE_CHECKING:
    from engine.config import Config

ENCODER_DTYPE = "bfloat16"  # of the released text encoders, and of the reference's caches


def latent_context(
    config: Config | None,
    spec: FamilySpec,
    task: TaskSpec,
    datasets: Sequence[DatasetSpec] = (),
    *,
    needed: bool = True,
) -> CacheContext:
    """What latent caches are compared with: the VAE file, if it is named, and the dtypes; and what their headers note.

    Without a ``config``, of a dataset alone, what a preset decides is not compared. Raises ``UserError`` when the file is missing;
    not ``needed``, it is not compared.
    """
    path = config.get("vae") if config is not None else None
    return CacheContext(
        spec,
        task,
        encoder=_fingerprint([Path(path)] if path else [], needed),
        settings={"vae_dtype": vae_dtype(config, spec), "stored_dtype": spec.latents_dtype},
        unknown=frozenset() if config is not None else frozenset({"vae_dtype"}),
        noted={dataset.index: noted_of(dataset) for dataset in datasets},
    )


def text_context(
    config: Config | None,
    spec: FamilySpec,
    task: TaskSpec,
    tokenizer_files: Sequence[Path] = (),
    *,
    needed: bool = True,
) -> CacheContext:
    """What text caches are compared with: encoder and tokenizer files, as far as they are known, token limit, template, dtype.

    Raises ``UserError`` when an encoder's file is missing; not ``needed``, it is not compared.
    """
    settings: dict[str, Any] = {
        "token_limit": spec.token_limit,
        "template": caption_hash(spec.caption_template)[:16],
        "dtype": ENCODER_DTYPE,
    }
    if tokenizer_files:
        settings["tokenizer"] = hashlib.sha256("".join(map(file_hash, tokenizer_files)).encode()).hexdigest()
    paths = encoder_paths(config, spec) if config is not None else {}
    return CacheContext(
        spec,
        task,
        encoder=_fingerprint(list(paths.values()), needed),
        settings=settings,
        unknown=frozenset() if tokenizer_files else frozenset({"tokenizer"}),
    )


def _fingerprint(paths: Sequence[Path], needed: bool) -> dict[str, Any] | None:
    try:
        return encoder_fingerprint(paths) if paths else None
    except UserError:
        if needed:
            raise
        return None


def encoder_paths(config: Config, spec: FamilySpec) -> dict[str, Path]:
    """Option -> file of the text encoders that are named."""
    named = {slot.option: config.get(slot.option) for slot in spec.slots if slot.role == "text_encoder"}
    return {option: Path(path) for option, path in named.items() if path}


def vae_dtype(config: Config | None, spec: FamilySpec) -> str:
    """``vae_dtype`` spelt out; unset, the dtype the family stores."""
    chosen = config.get("vae_dtype") if config is not None else None
    return DTYPE_NAMES[chosen] if chosen else spec.latents_dtype
