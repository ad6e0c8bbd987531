"""The stages a run is made of, by the names that run.toml lists: tiny, cache_latents, cache_text, train.

They read top to bottom as a person would do the work; everything they use is built elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from accelerate.utils import set_seed

from engine.attempt import newest_state_step
from engine.checkpoints.load import check_transformer, load_transformer
from engine.config.language import say
from engine.config.network_args import parse_network_args
from engine.config.problems import ConfigError
from engine.data.cache_check import check_caches
from engine.data.loader import Loader, load_batch
from engine.encode import encode_latents, encode_text
from engine.forecast import foretell
from engine.job import Job
from engine.lean_imports import import_diffusers_alone, in_own_process
from engine.networks.build import build_network
from engine.planner.disk import (
    adapter_bytes,
    check_space,
    check_writable,
    latent_cache_bytes,
    loras_kept,
    state_bytes,
    text_cache_bytes,
)  # fmt: skip
from engine.ranks import CACHE_STAGES
from engine.sample.preview import Previewer
from engine.train.loop import steps_of, train
from engine.train.state import newest_state
from engine.train.validation import ValidationSet
from engine.workplace import Workplace

_MOST_VALIDATIONS = 64  # of held-out items, where validation_items does not say how many


def run_stages(job: Job, names: tuple[str, ...]) -> None:
    """Run the stages in order. What they raise is the run's end; the process frame turns it into state and exit code."""
    if in_own_process():
        import_diffusers_alone()
    place = Workplace(job)
    if "train" in names:
        look_ahead(place)
    try:
        for name in names:
            if name not in CACHE_STAGES:
                place.helpers.close()  # the model needs the memory they hold
            STAGES[name](place)
    finally:
        place.helpers.close()


def look_ahead(place: Workplace) -> None:
    """Find now what would otherwise end the run after hours of caching: no device, no output folder, a wrong model file."""
    _ = place.device
    check_writable("output_dir", [place.output_dir])
    check_transformer(place.family_model, place.required_file("dit", say("to train", "学習に必要")))
    parse_network_args(place.config.network.network_args)


def tiny(place: Workplace) -> None:
    """Write a tiny model, real photographs and a preset (``musubi-tui models tiny``)."""
    from engine.testing import make_tiny

    out = place.output_dir
    check_writable("output_dir", [out])
    with place.job.phase("tiny"):
        make_tiny(place.job.spec.name, out)


def cache_latents(place: Workplace) -> None:
    """Encode pictures and clips that have no current latents."""
    spec = place.job.spec
    missing = {item.latent_cache: item for item in place.encoded if not item.latent_cache.exists()}
    check_writable("cache_directory", (path.parent for path in missing))
    check_space(((path.parent, latent_cache_bytes(spec, *item.bucket)) for path, item in missing.items()), caches=True)
    broken = encode_latents(
        place.job,
        place.family_model,
        place.encoded,
        device=place.device,
        datasets=place.dataset.datasets,
        share=place.share,
        call_helpers=place.helpers.call,
    )
    if broken:
        place.leave_out(broken)


def cache_text(place: Workplace) -> None:
    """Encode captions that have no current embeddings."""
    job = place.job
    missing = {item.text_cache: item for item in place.encoded if not item.text_cache.exists()}
    check_writable("cache_directory", (path.parent for path in missing))
    check_space(
        ((path.parent, text_cache_bytes(job.spec, item.caption)) for path, item in missing.items()), caches=True
    )
    encode_text(
        job,
        place.family_model,
        place.encoded,
        device=place.device,
        share=place.share,
        call_helpers=place.helpers.call,
    )


def train_lora(place: Workplace) -> None:
    """Train the adapter: from the newest complete state when there is one, else from the beginning."""
    job, config, device = place.job, place.config, place.device
    problems = check_caches(place.encoded, job.spec)
    if problems:
        raise ConfigError(problems)
    foretell(place)
    set_seed(place.seed)
    previewer = Previewer(job, place.family_model, device=device, dtype=place.compute_dtype)
    previewer.prepare()
    dit = place.required_file("dit", say("to train", "学習に必要"))
    with job.phase("load") as progress:
        transformer = load_transformer(
            place.family_model, dit, device=device, dtype=place.compute_dtype, progress=progress.update
        )
    set_seed(place.seed)  # the adapter's first weights do not depend on whether previews were prepared
    network = build_network(config, transformer, place.family_model, device=device)
    previewer.attach(transformer, network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    save, steps = config.save, steps_of(config, place.plan)
    per_epoch = math.ceil(place.plan.batches_per_epoch / config.training.gradient_accumulation_steps)
    saves = loras_kept(vars(save), steps, per_epoch)
    one = adapter_bytes(parameters, 2 if save.save_precision in ("bf16", "fp16") else 4)
    check_space(
        [
            (place.output_dir, saves * one * max(1, len(config.network.lora_dialects))),
            (job.run.state, (config.save.keep_states + 1) * state_bytes(parameters)),
        ]
    )
    resume = newest_state(job.run.state)
    found = resume.position.step if resume else 0
    promised = newest_state_step(job.run) if job.attempt > 1 else 0
    if promised > found:
        job.warn("damaged_state", say(f"The state of step {promised} is damaged; the run goes on from step {found}.", f"ステップ {promised} の状態が壊れているため、ステップ {found} から再開します。"),
            say("Look at the disk that holds the run.", "run のあるディスクを確認してください。"))  # fmt: skip
    job.resumed_at(found)
    measured = place.scan.held_out or place.items  # a training picture tells less, but something
    count = config.validation.validation_items or min(_MOST_VALIDATIONS, len(place.scan.held_out))
    load = partial(load_batch, names=job.spec.batch_tensors)
    validation = ValidationSet(measured, count, seed=place.seed, load=load) if count else None
    set_seed((place.seed + 1) % 2**32)
    start = resume.position.batches if resume else 0
    with Loader(place.plan, job.spec.batch_tensors, start, pin=device.type == "cuda") as loader:
        train(
            job,
            place.family_model,
            transformer,
            network,
            loader,
            place.plan,
            device=device,
            sampler=previewer.make if previewer.prompts else None,
            validation=validation,
            resume=resume,
            datasets=place.dataset.datasets,
        )


STAGES: dict[str, Callable[[Workplace], None]] = {
    "tiny": tiny,
    "cache_latents": cache_latents,
    "cache_text": cache_text,
    "train": train_lora,
}
