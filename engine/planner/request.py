"""One question to the planner: everything a plan is made from, frozen, and the small sums that its parts share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from engine.config.network_args import parse_network_args
from engine.families.family import FamilySpec, TaskSpec
from engine.families.transformer_facts import SavedBytes, TransformerFacts
from engine.planner.facts import DataSummary, Machine, PastRun, SizeGroup
from engine.planner.transformer import Adapted, Transformer

DTYPE_BYTES = {"fp32": 4, "float32": 4, "float": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2}
_BYTES_PER_TOKEN = 3  # of a caption: English has four letters to a token, Japanese one character of three bytes


@dataclass(frozen=True)
class PlanRequest:
    """``values``: every option by name, resolved. ``files``: role -> (parameters or 0, bytes) of the model files at hand.

    ``unbuilt``: options that are set and have no effect in this release, so that they save nothing. ``price``: money per
    hour. ``prompts``: how many sample prompts, ``preview``: width, height and frames of the largest (None: the task's own). ``start``: parameters of the LoRA whose shape ``dim_from_weights`` copies.
    """

    values: Mapping[str, Any]
    spec: FamilySpec
    task: TaskSpec
    transformer: Transformer
    data: DataSummary
    machine: Machine = field(default_factory=Machine)
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unbuilt: frozenset[str] = frozenset()
    past: tuple[PastRun, ...] = ()
    price: float | None = None
    prompts: int = 0
    preview: tuple[int, int, int] | None = None
    start: int | None = None

    def but(self, **changes: Any) -> PlanRequest:
        """The same question with some options changed."""
        return replace(self, values={**self.values, **changes})

    def on(self, data: DataSummary) -> PlanRequest:
        """The same question with another dataset."""
        return replace(self, data=data)

    def active(self, option: str) -> Any:
        """The value of an option that has an effect today, else None."""
        return None if option in self.unbuilt else self.values.get(option)

    @cached_property
    def facts(self) -> TransformerFacts:
        """What the family says of its transformer."""
        assert self.spec.transformer is not None
        return self.spec.transformer

    @property
    def half(self) -> bool:
        """Whether the model computes in 16 bits."""
        return self.values["mixed_precision"] in ("bf16", "fp16")

    @property
    def saved(self) -> SavedBytes:
        """What a block keeps per token in this precision."""
        return self.facts.half if self.half else self.facts.full

    @property
    def checkpointing(self) -> bool:
        """Whether blocks are computed twice instead of kept."""
        return bool(self.values["gradient_checkpointing"])

    @property
    def weight_dtype_bytes(self) -> int:
        """Bytes of most frozen weights: ``dit_dtype``, else as the model computes."""
        named = self.values.get("dit_dtype")
        return DTYPE_BYTES.get(str(named), 2) if named else (2 if self.half else 4)

    @cached_property
    def adapted(self) -> Adapted:
        """The Linears that get an adapter."""
        return self.transformer.adapted(self.facts, parse_network_args(self.values.get("network_args")))

    @property
    def rank(self) -> int:
        """Rank of the adapter."""
        return int(self.values["network_dim"] or 4)

    @property
    def adapter_parameters(self) -> int:
        """Parameters of the adapter: rank x (inputs + outputs) of every adapted Linear."""
        if self.start is not None:
            return self.start
        return self.rank * self.adapted.sides

    @property
    def learning_parameters(self) -> int:
        """Parameters of the adapter that get a gradient."""
        if self.start is not None:
            return self.start
        return self.rank * self.adapted.learning_sides

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        epochs = self.values.get("max_train_epochs")
        if epochs:
            return int(epochs) * self.steps_per_epoch
        return int(self.values["max_train_steps"] or 0)

    @property
    def accumulation(self) -> int:
        """Batches per optimizer step."""
        return max(1, int(self.values["gradient_accumulation_steps"] or 1))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return math.ceil(max(1, self.data.batches) / self.accumulation)

    @property
    def text_tokens(self) -> int:
        """Text tokens beside one picture: the limit where captions are padded to it, else the longest caption's."""
        limit = self.spec.token_limit
        return limit if self.facts.text_padded else min(limit, self.data.caption_bytes // _BYTES_PER_TOKEN + 8)

    @property
    def shown(self) -> tuple[int, int, int]:
        """Width, height and frames of the previews."""
        sample = self.task.sample
        return self.preview or (sample.width, sample.height, sample.frames)

    def tokens(self, group: SizeGroup) -> int:
        """Tokens of one item that go through the blocks."""
        text = self.text_tokens if self.facts.text_joins else 0
        return self.spec.tokens(group.width, group.height, group.frames) + text

    @cached_property
    def largest(self) -> SizeGroup:
        """The bucket whose fullest batch has most tokens."""
        return max(self.data.groups, key=lambda group: group.largest_batch * self.tokens(group))
