"""What a saved adapter says about its training: ``ss_*`` and ``modelspec.*`` as Musubi Tuner writes them, all strings."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.config.network_args import network_args_as_written
from engine.data.batches import BatchPlan
from engine.data.dataset_config import DatasetSpec
from engine.events.redaction import redact
from engine.families.family import FamilySpec, TaskSpec

_MINIMUM = ("ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args")


@dataclass(frozen=True)
class RunMetadata:
    """The facts of one attempt; ``at`` adds what changes while it runs."""

    config: Any
    spec: FamilySpec
    task: TaskSpec
    plan: BatchPlan
    max_steps: int
    optimizer_name: str
    datasets: Sequence[DatasetSpec] = ()
    name: str = ""
    started: float = field(default_factory=time.time)
    # Not drawn from the generators that training uses: an id must not move the noise.
    session_id: int = field(default_factory=lambda: random.SystemRandom().getrandbits(32))

    def at(self, step: int, epoch: int) -> dict[str, str]:
        """The header of a file saved after ``step`` optimizer steps, in ``epoch``."""
        training = {f"ss_{key}": str(value) for key, value in self._training(step, epoch).items()}
        if self.config.save.no_metadata:
            training = {key: training[key] for key in _MINIMUM if key in training}
        return {key: redact(value) for key, value in {**training, **self._model_spec()}.items()}

    def _training(self, step: int, epoch: int) -> dict[str, Any]:
        run, network, training = self.config.run, self.config.network, self.config.training
        optimizer, noise = self.config.optimizer, self.config.timesteps
        per_epoch = math.ceil(self.plan.batches_per_epoch / training.gradient_accumulation_steps)
        values: dict[str, Any] = {
            "session_id": self.session_id,
            "training_started_at": self.started,
            "training_finished_at": time.time(),
            "output_name": self.name,
            "learning_rate": optimizer.learning_rate,
            "num_train_items": sum(item.repeats for item in self.plan.items),
            "num_batches_per_epoch": self.plan.batches_per_epoch,
            "num_epochs": math.ceil(self.max_steps / per_epoch),
            "gradient_checkpointing": bool(training.gradient_checkpointing),
            "gradient_checkpointing_cpu_offload": bool(training.gradient_checkpointing_cpu_offload),
            "gradient_accumulation_steps": training.gradient_accumulation_steps,
            "max_train_steps": self.max_steps,
            "lr_warmup_steps": optimizer.lr_warmup_steps,
            "lr_scheduler": optimizer.lr_scheduler,
            "base_model_version": self.task.architecture,
            "network_module": network.network_module or self.spec.network_module,
            "network_dim": network.network_dim,
            "network_alpha": network.network_alpha,
            "network_dropout": network.network_dropout,
            "mixed_precision": training.mixed_precision,
            "seed": run.seed,
            "training_comment": run.training_comment,
            "optimizer": self.optimizer_name,
            "max_grad_norm": training.max_grad_norm,
            "fp8_base": bool(self.config.memory.fp8_base),
            "full_fp16": bool(training.full_fp16),
            "full_bf16": bool(training.full_bf16),
            "weighting_scheme": noise.weighting_scheme,
            "logit_mean": noise.logit_mean,
            "logit_std": noise.logit_std,
            "mode_scale": noise.mode_scale,
            "guidance_scale": training.guidance_scale,
            "timestep_sampling": noise.timestep_sampling,
            "sigmoid_scale": noise.sigmoid_scale,
            "discrete_flow_shift": noise.discrete_flow_shift,
            "datasets": json.dumps([dataset_entry(dataset) for dataset in self.datasets]),
            "steps": step,
            "epoch": epoch,
        }
        if network.network_args:
            values["network_args"] = json.dumps(network_args_as_written(network.network_args))
        for key, path in (("sd_model_name", self.config.model.dit), ("vae_name", self.config.model.vae)):
            if path:
                values[key] = Path(path).name
        return values

    def _model_spec(self) -> dict[str, str]:
        texts, noise = self.config.metadata, self.config.timesteps
        values = {
            "sai_model_spec": "1.0.0",
            "architecture": texts.metadata_arch or self.task.modelspec_architecture,
            "implementation": self.spec.modelspec_implementation,
            "title": texts.metadata_title or self.name,
            "date": datetime.now().isoformat(timespec="seconds"),
            "resolution": texts.metadata_reso or self.task.modelspec_resolution,
            "author": texts.metadata_author,
            "description": texts.metadata_description,
            "license": texts.metadata_license,
            "tags": texts.metadata_tags,
        }
        if noise.min_timestep is not None or noise.max_timestep is not None:
            low, high = noise.min_timestep or 0, 1000 if noise.max_timestep is None else noise.max_timestep
            values["timestep_range"] = f"{low},{high}"
        return {f"modelspec.{key}": value for key, value in values.items() if value}


def dataset_entry(dataset: DatasetSpec) -> dict[str, Any]:
    """One dataset for ``ss_datasets``: folders and lists by their last name only."""
    entry: dict[str, Any] = {
        "resolution": list(dataset.resolution),
        "caption_extension": dataset.caption_extension,
        "batch_size_per_device": dataset.batch_size,
        "num_repeats": dataset.num_repeats,
        "enable_bucket": dataset.enable_bucket,
        "bucket_no_upscale": dataset.bucket_no_upscale,
    }
    for key in ("image_directory", "image_jsonl_file", "video_directory", "video_jsonl_file", "control_directory"):
        path = getattr(dataset, key)
        if path is not None:
            entry[key] = path.name
    if dataset.kind == "clip":
        entry |= {
            "frame_extraction": dataset.frame_extraction,
            "frame_stride": dataset.frame_stride,
            "frame_sample": dataset.frame_sample,
            "target_frames": list(dataset.target_frames),
            "max_frames": dataset.max_frames,
            "source_fps": dataset.source_fps,
        }
    entry["has_control"] = dataset.control_directory is not None
    return entry
