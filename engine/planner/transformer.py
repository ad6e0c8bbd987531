"""What a plan needs to know of a transformer: parameters, blocks, widths, and the Linears an adapter may stand beside.

Read from the header of the user's own file where it is safetensors, else from the released model's shapes. A header is
read once per file and change (looked up by path, size and time).
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from engine.config.network_args import NetworkArguments
from engine.data.cache_files import DamagedCache, read_header
from engine.families.family import FamilySpec
from engine.families.transformer_facts import Shapes, TransformerFacts

SEES = ("tokens", "text", "item")  # what passes through a Linear: all tokens, text tokens only, one vector per picture
_WRAPPERS = ("model.diffusion_model.", "diffusion_model.", "module.")
_SCALES = (".scale_weight", ".scale_input", ".weight_scale", ".input_scale")
_SHARD = re.compile(r"(?P<stem>.*)-\d{5}-of-(?P<count>\d{5})\.safetensors")


@dataclass(frozen=True)
class Linear:
    """A Linear inside the blocks, by its original name. ``sees``: one of ``SEES``."""

    name: str
    inputs: int
    outputs: int
    sees: str
    idle: bool = False  # its output is read by nobody: an adapter beside it gets no gradient


@dataclass(frozen=True)
class Transformer:
    """Sizes of one transformer."""

    source: str  # the file's name, or "" for the released model's shapes
    parameters: int
    kept: int  # of them, those that are held in fp32
    blocks: int
    block_parameters: int  # in all blocks together
    width: int
    feed_forward: int
    linears: tuple[Linear, ...]

    @cached_property
    def weights_seen(self) -> Mapping[str, int]:
        """Weights of the Linears inside the blocks by what passes through them: "tokens", "text", "item"."""
        seen = dict.fromkeys(SEES, 0)
        for linear in self.linears:
            seen[linear.sees] += linear.inputs * linear.outputs
        return seen

    def weight_bytes(self, dtype_bytes: int) -> int:
        """All weights, most of them in ``dtype_bytes`` each."""
        return (self.parameters - self.kept) * dtype_bytes + self.kept * max(4, dtype_bytes)

    def adapted(self, facts: TransformerFacts, arguments: NetworkArguments) -> Adapted:
        """The Linears that get an adapter: as ``engine.networks.targets.find_targets`` chooses them. Remembered."""
        patterns = ((*arguments.exclude_patterns, *facts.lora_exclude), arguments.include_patterns)
        if patterns not in self._chosen:
            self._chosen[patterns] = _choose(self.linears, *patterns)
        return self._chosen[patterns]

    @cached_property
    def _chosen(self) -> dict[tuple[tuple[str, ...], tuple[str, ...]], Adapted]:
        return {}


@dataclass(frozen=True)
class Adapted:
    """The Linears with an adapter, in sums. ``sides`` are inputs + outputs: parameters per rank."""

    modules: int
    sides_seen: Mapping[str, int]  # by what passes through
    learning_sides: int  # of those that get a gradient
    learning_shapes: Mapping[tuple[int, int], int]  # (inputs, outputs) -> how many of those that get a gradient

    @property
    def sides(self) -> int:
        """Of all of them."""
        return sum(self.sides_seen.values())

    @property
    def learning_modules(self) -> int:
        """How many get a gradient."""
        return sum(self.learning_shapes.values())


def _choose(linears: Iterable[Linear], exclude: tuple[str, ...], include: tuple[str, ...]) -> Adapted:
    excluded, included = [[re.compile(pattern) for pattern in patterns] for patterns in (exclude, include)]
    seen = dict.fromkeys(SEES, 0)
    shapes: Counter[tuple[int, int]] = Counter()
    modules = 0
    for linear in linears:
        name = linear.name.removesuffix(".weight")
        caught = any(pattern.fullmatch(name) for pattern in excluded)
        if caught and not any(pattern.fullmatch(name) for pattern in included):
            continue
        modules += 1
        seen[linear.sees] += linear.inputs + linear.outputs
        if not linear.idle:
            shapes[linear.inputs, linear.outputs] += 1
    return Adapted(modules, seen, sum((i + o) * count for (i, o), count in shapes.items()), shapes)


def find_transformer(spec: FamilySpec, task: str, path: Path | None) -> Transformer:
    """The transformer of ``path`` when its header can be read and is this family's, else the released one of the task.

    Raises ``LookupError`` for a family without ``TransformerFacts``.
    """
    if spec.transformer is None:
        raise LookupError(spec.name)
    if path is not None:
        stamp = _stamp(path)
        if stamp:
            found = _from_file(spec.name, spec.transformer, path, stamp)
            if found is not None:
                return found
    return _released(spec.transformer, task)


@lru_cache(maxsize=32)
def _from_file(family: str, facts: TransformerFacts, path: Path, stamp: str) -> Transformer | None:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        for file in _files(path):
            shapes |= {name: shape for name, (_, shape) in read_header(file).tensors.items()}
    except (DamagedCache, OSError, ValueError):
        return None
    shapes = {_strip(name): shape for name, shape in shapes.items() if not _is_scale(name)}
    if facts.width not in shapes or facts.feed_forward not in shapes:
        return None
    return measure(facts, shapes, path.name)


@lru_cache(maxsize=32)
def _released(facts: TransformerFacts, task: str) -> Transformer:
    return measure(facts, facts.released(task), "")


def measure(facts: TransformerFacts, shapes: Shapes, source: str) -> Transformer:
    """Count a transformer from its original names and shapes."""
    kept = [re.compile(pattern) for pattern in facts.keep_fp32]
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    inside = [name for name in shapes if name.startswith(facts.blocks)]
    return Transformer(
        source=source,
        parameters=sum(sizes.values()),
        kept=sum(size for name, size in sizes.items() if any(pattern.fullmatch(name) for pattern in kept)),
        blocks=len({name[len(facts.blocks) :].partition(".")[0] for name in inside}),
        block_parameters=sum(sizes[name] for name in inside),
        width=shapes[facts.width][0],
        feed_forward=shapes[facts.feed_forward][0],
        linears=tuple(_linears(facts, {name: shapes[name] for name in inside})),
    )


def _linears(facts: TransformerFacts, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[Linear]:
    text, item, idle = (re.compile(word) for word in (facts.text_weights, facts.item_weights, facts.idle_at_end))
    last = f"{facts.blocks}{len({name[len(facts.blocks) :].partition('.')[0] for name in shapes}) - 1}."
    for name, shape in shapes.items():
        if len(shape) == 2 and name.endswith(".weight"):
            sees = "text" if text.fullmatch(name) else "item" if item.fullmatch(name) else "tokens"
            inside = name.removeprefix(last).removesuffix(".weight")
            yield Linear(name, shape[1], shape[0], sees, name.startswith(last) and bool(idle.fullmatch(inside)))


def file_parameters(path: Path | None) -> tuple[int, int] | None:
    """(parameters, bytes) of a safetensors file by its header; (0, bytes) for other files; None when it is not there."""
    stamp = _stamp(path) if path is not None else ""
    return _counted(path, stamp) if path is not None and stamp else None


@lru_cache(maxsize=32)
def _counted(path: Path, stamp: str) -> tuple[int, int]:
    files = _files(path)
    total = sum(file.stat().st_size for file in files)
    try:
        headers = [read_header(file) for file in files if file.suffix == ".safetensors"]
    except (DamagedCache, OSError, ValueError):
        headers = []
    return sum(math.prod(shape) for header in headers for _, shape in header.tensors.values()), total


def _stamp(path: Path) -> str:
    """What changes when a model file (any of its shards) is replaced; empty when it is not there."""
    try:
        stats = [os.stat(file) for file in _files(path)]
    except (OSError, ValueError):
        return ""
    return ";".join(f"{found.st_size}:{found.st_mtime_ns}" for found in stats)


def _files(path: Path) -> list[Path]:
    """The file, all shards of it, or the safetensors of a folder."""
    if path.is_dir():
        return sorted(path.glob("*.safetensors"))
    match = _SHARD.fullmatch(path.name)
    if match:
        count = match["count"]
        return [path.with_name(f"{match['stem']}-{n:05d}-of-{count}.safetensors") for n in range(1, int(count) + 1)]
    return [path]


def _strip(name: str) -> str:
    for wrapper in _WRAPPERS:
        if name.startswith(wrapper):
            return _strip(name[len(wrapper) :])
    return name


def _is_scale(name: str) -> bool:
    return name.endswith("scaled_fp8") or name.endswith(_SCALES)
