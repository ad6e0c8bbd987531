"""What the stages of one run share, each made once when it is first needed: device, items, encodings to compare with.

A stage is a function of a ``Workplace``; this module knows where things are, ``engine.stages`` what is done with them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from engine.config import Config
from engine.config.language import say
from engine.config.problems import ConfigError, MissingRequirement
from engine.data import BatchPlan, DatasetConfig, Item, Scan, read_dataset_config, scan
from engine.data.fingerprints import caption_hash
from engine.data.index import INDEX_FOLDER, ScanIndex
from engine.data.reasons import look_command, told_together
from engine.data.task_needs import unmet_needs
from engine.data.variants import with_variants
from engine.dtypes import DTYPES
from engine.events.atomic import write_text_atomically
from engine.events.redaction import redact
from engine.families.family import FamilyModel
from engine.job import Job
from engine.ranks import Helpers, Share, local_rank, share_of_environment


class Workplace:
    """The shared things of one run."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.config: Config = job.config

    @cached_property
    def device(self) -> torch.device:
        """Where the work is done. Raises ``MissingRequirement`` when the chosen device is not there."""
        device = torch.device(_present(self.config.run.device))
        if device.type == "cuda" and device.index is None and local_rank():
            device = torch.device("cuda", local_rank() % torch.cuda.device_count())
        if device.type == "cpu":
            torch.set_num_threads(
                1
            )  # more threads on a shared machine spin against each other: measured 60 times slower
        return device

    @cached_property
    def share(self) -> Share:
        """Which of the processes that fill the caches this is."""
        started = share_of_environment()
        return started if started.world > 1 else Share(0, self.config.dataset.cache_processes)

    @cached_property
    def helpers(self) -> Helpers:
        """The processes that help this one; none where torchrun has started them."""
        return Helpers(self.job, 0 if share_of_environment().world > 1 else self.share.world - 1)

    @cached_property
    def family_model(self) -> FamilyModel:
        """The torch half of the run's family."""
        return self.job.spec.load_model()

    @cached_property
    def seed(self) -> int:
        """The run's seed; without one, a number that every attempt of this run derives from its name."""
        chosen = self.config.run.seed
        return zlib.crc32(self.job.run.id.encode()) if chosen is None else chosen

    @cached_property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of the frozen weights: ``dit_dtype``, else that of ``mixed_precision``, else fp32."""
        named = self.config.model.dit_dtype
        if named:
            return DTYPES[named]
        return DTYPES.get(self.config.training.mixed_precision, torch.float32)

    @cached_property
    def dataset(self) -> DatasetConfig:
        """The dataset tables of run.toml. Raises ``ConfigError``."""
        tables = {"general": self.config.dataset.general, "datasets": self.config.dataset.datasets}
        return read_dataset_config(
            tables,
            base_dir=self.job.run.path,
            spec=self.job.spec,
            file=str(self.job.run.run_toml),
            numerics=self.config.run.numerics,
        )

    @cached_property
    def scan(self) -> Scan:
        """What is trained and what is not, told once as events and written to items.jsonl. Raises ``UserError``."""
        memory = self.job.run.path.parents[1] / INDEX_FOLDER
        with self.job.phase("scan") as progress, ScanIndex(memory) as index:
            found = scan(self.dataset, self.job.spec, self.job.task, progress=progress.update, index=index)
        unmet = unmet_needs(self.dataset, found.cached, self.job.spec, self.job.task)
        if unmet:
            raise ConfigError(unmet)
        for warning in (*self.dataset.warnings, *found.warnings):
            self.job.warn(warning.code, _sentence(warning.location(), warning.message), warning.fix)
        if found.skipped:
            look = look_command(self.dataset.typed)
            self.job.warn(
                "items_skipped",
                told_together(self.dataset.datasets, found.skipped),
                say(f"`{look}` tells all of them, and what to do.", f"`{look}` で全件と対処を確認できます。"),
            )
        if not self.job.helps:
            self._write_items(found)
        return found

    @property
    def items(self) -> tuple[Item, ...]:
        """The items that are trained."""
        return self.scan.items

    def leave_out(self, broken: Iterable[Item]) -> None:
        """Do not train these: their files turned out to be broken. Raises ``ConfigError`` when nothing is left."""
        ids = {item.id for item in broken}
        items, held_out = (
            tuple(item for item in items if item.id not in ids) for items in (self.scan.items, self.scan.held_out)
        )
        if not items:
            message = say(
                "none of the files can be encoded: there is nothing to train.",
                "エンコードできるファイルがなく、学習できるものがありません。",
            )
            raise ConfigError.of("nothing_to_train", message)
        self.scan = replace(self.scan, items=items, held_out=held_out)
        self.encoded = tuple(with_variants(self.scan.cached))

    @cached_property
    def encoded(self) -> tuple[Item, ...]:
        """What is encoded: every caption and cut of the items that are trained, and of those held out."""
        return tuple(with_variants(self.scan.cached))

    @cached_property
    def plan(self) -> BatchPlan:
        """The order of training."""
        return BatchPlan(
            self.items,
            seed=self.seed,
            numerics=self.config.run.numerics,
            heaviest_first=self.config.memory.probe_heaviest,
            timestep_buckets=self.config.timesteps.num_timestep_buckets,
        )

    @property
    def output_dir(self) -> Path:
        """Where LoRA files and samples go."""
        return Path(self.config.run.output_dir or self.job.run.output)

    def model_file(self, option: str) -> Path | None:
        """The path of one model option, if the user gave one."""
        value = self.config.get(option)
        return Path(value) if value else None

    def required_file(self, option: str, purpose: str) -> Path:
        """The path of a model option that is needed now. Raises ``ConfigError`` that says for what."""
        path = self.model_file(option)
        if path is None:
            raise ConfigError.of(
                "missing_key",
                say(f"{option} is not set, and is needed {purpose}.", f"{option} が設定されていません（{purpose}）。"),
                say(f'Add {option} = "…" to the preset.', f'プリセットに {option} = "…" を追加してください。'),
                key=option,
            )
        return path

    def _write_items(self, found: Scan) -> None:
        lines = [
            json.dumps(
                {
                    "id": redact(item.id), "path": redact(str(item.path)), "kind": item.kind, "caption_sha256": caption_hash(item.caption),
                    "width": item.width, "height": item.height, "bucket": list(item.bucket), "start": item.start,
                    "repeats": item.repeats, "dataset": item.dataset,
                    **({"held_out": True} if number >= len(found.items) else {}),
                },
                ensure_ascii=False,
            )
            for number, item in enumerate(found.cached)
        ]  # fmt: skip
        text = "\n".join(lines) + "\n"
        try:
            before = self.job.run.items.read_text("utf-8") if self.job.attempt > 1 else text
        except (OSError, ValueError):
            before = text
        if before != text:
            self.job.warn(
                "dataset_changed",
                say("The dataset is not what it was in the attempt before: the run goes on with other pictures, captions or sizes, "
                    "not step for step as if it had never stopped.",
                    "データセットが前回から変わっています。画像・キャプション・サイズが異なるため、止めなかった場合と同じ結果にはなりません。"),
                say("If that was not meant, restore the files and resume again.", "意図しない変更なら、ファイルを元に戻して再開し直してください。"),
            )  # fmt: skip
        write_text_atomically(self.job.run.items, text)


def _present(choice: str) -> str:
    """The device that ``auto`` means, or the chosen one if it is there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if choice == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[choice.partition(":")[0]]:
        raise MissingRequirement.of(
            "no_device",
            say(f'device = "{choice}" is not available to this PyTorch ({torch.__version__}).',
                f'device = "{choice}" はこの PyTorch（{torch.__version__}）では使えません。'),
            say('Install a PyTorch built for your GPU, or set device = "auto".', 'GPU 対応の PyTorch を入れるか、device = "auto" にしてください。'),
            key="device",
        )  # fmt: skip
    return choice


def _sentence(where: str, message: str) -> str:
    return f"{where}: {message}" if where else message
