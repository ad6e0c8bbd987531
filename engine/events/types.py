"""What a run says: one frozen dataclass per event, with JSON both ways.

A new event is one class here: its name on the wire is ``type``, its fields are the JSON fields. Readers live with files of
older and newer engines: missing fields take their defaults, unknown fields are ignored, and an event of an unknown type (or
with fields of the wrong kind) becomes ``Unknown``, which keeps what was read. JSON has no NaN: a number that is not finite is
written as null and read as ``None``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, cast, get_args, get_origin, get_type_hints

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events. ``essential`` events are never dropped, however full the queue is."""

    type: ClassVar[str] = ""
    essential: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class RunStart(Event):
    """An attempt begins. ``from_step`` is the step it resumes from (0 for the first): later steps of earlier attempts are void."""

    type: ClassVar[str] = "run_start"
    essential: ClassVar[bool] = True
    attempt: int = 1
    from_step: int = 0
    config: dict[str, Any] = field(default_factory=dict)  # the few values a viewer shows; run.toml has all
    gpu: str = ""
    price: float | None = None  # money per hour


@dataclass(frozen=True, slots=True)
class Phase(Event):
    """A part of the work starts or ends; ``state`` is "start", "done", "interrupted" or "failed"."""

    type: ClassVar[str] = "phase"
    essential: ClassVar[bool] = True
    name: str = ""
    state: str = "start"


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """How far a phase is. ``total`` is 0 when unknown. ``bytes``: written so far, where the phase writes files."""

    type: ClassVar[str] = "progress"
    phase: str = ""
    done: int = 0
    total: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Plan(Event):
    """The memory plan: how many blocks stay on the GPU, how many are streamed through how many slots, and why.

    The rest is what was planned, in bytes, as ``memory`` tells what came of it; None where nothing was planned.
    """

    type: ClassVar[str] = "plan"
    resident: int = 0
    streamed: int = 0
    slots: int = 0
    stash: str = ""  # where activations are kept
    reason: str = ""
    weights: int | None = None
    adapter: int | None = None
    optimizer: int | None = None
    activations: int | None = None
    other: int | None = None
    peak: int | None = None  # of everything at once
    budget: int | None = None  # what the plan had to fit into
    pinned: int | None = None  # host memory that streamed weights are read from


@dataclass(frozen=True, slots=True)
class NoiseLevels(Event):
    """How noise levels are drawn: the share of each of equally wide ranges of the timestep from 0 to 1000."""

    type: ClassVar[str] = "noise_levels"
    target: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Step(Event):
    """One optimizer step. Times are seconds; ``items`` are ids of items.jsonl; ``merged`` counts the steps this line stands for."""

    type: ClassVar[str] = "step"
    step: int = 0
    epoch: int = 0
    loss: float | None = None
    lr: tuple[float | None, ...] = ()  # one per parameter group
    grad_norm: float | None = None
    timesteps: tuple[float | None, ...] = ()
    items: tuple[str, ...] = ()
    step_s: float | None = None
    data_s: float | None = None
    forward_s: float | None = None
    backward_s: float | None = None
    optimizer_s: float | None = None
    stall_s: float | None = None  # waiting for weights on their way to the GPU
    merged: int = 1


@dataclass(frozen=True, slots=True)
class Memory(Event):
    """Bytes on the GPU by what they are for."""

    type: ClassVar[str] = "memory"
    weights: int | None = None
    adapter: int | None = None
    optimizer: int | None = None
    activations: int | None = None
    other: int | None = None
    allocated: int | None = None
    reserved: int | None = None
    peak: int | None = None


@dataclass(frozen=True, slots=True)
class Swap(Event):
    """Weight streaming since the last such event: means of one streamed block, waiting per step, bytes host to device."""

    type: ClassVar[str] = "swap"
    resident: int = 0
    streamed: int = 0
    slots: int = 0
    copy_ms: float | None = None  # of one block
    compute_ms: float | None = None  # of one block
    stall_ms: float | None = None  # of one step
    bytes_h2d: int = 0
    not_ready: int = 0  # blocks that were needed before they had arrived
    hidden: float | None = None  # share of the copying that nobody waited for


@dataclass(frozen=True, slots=True)
class Block(Event):
    """A transformer block changed its state; sent only while a viewer looks (``engine.events.viewers``).

    ``state``: "resident" (stays on the GPU), "computing", "ready" (arrived), "loading", "cpu" (in host memory).
    """

    type: ClassVar[str] = "block"
    index: int = 0
    state: str = ""
    slot: int | None = None  # of the ring, for a block that is in one
    loaded: float | None = None  # share that has arrived
    copy_ms: float | None = None  # of its last copy, computation and waiting
    compute_ms: float | None = None
    stall_ms: float | None = None
    direction: str = ""  # "forward" or "backward": the pass it was seen in


@dataclass(frozen=True, slots=True)
class Host(Event):
    """The machine. Sizes are bytes; what a card cannot tell is None.

    Per GPU: ``util`` (percent), ``temperature`` (C), ``watts``, ``used``, ``total``, ``ours`` (of this process),
    ``processes`` (how many use the card), ``throttle`` (why it runs slower than it could: "heat", "power", "brake"),
    ``pcie_in`` and ``pcie_out`` (bytes per second).
    """

    type: ClassVar[str] = "host"
    gpus: tuple[dict[str, Any], ...] = ()
    ram: int | None = None  # resident set of the engine process
    ram_used: int | None = None
    ram_total: int | None = None
    pinned: int | None = None
    disk_free: int | None = None


@dataclass(frozen=True, slots=True)
class Validation(Event):
    """Mean loss over the fixed validation set; ``by_t`` by timestep bin, ``base`` the loss of predicting zero."""

    type: ClassVar[str] = "validation"
    essential: ClassVar[bool] = True
    step: int = 0
    loss: float | None = None
    by_t: dict[str, Any] = field(default_factory=dict)
    base: float | None = None


@dataclass(frozen=True, slots=True)
class Sample(Event):
    """A preview was written."""

    type: ClassVar[str] = "sample"
    essential: ClassVar[bool] = True
    path: str = ""
    prompt: str = ""
    seed: int | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint(Event):
    """A file (``kind`` "lora") or a resume state (``kind`` "state") is complete on disk; ``seconds`` it took."""

    type: ClassVar[str] = "checkpoint"
    essential: ClassVar[bool] = True
    path: str = ""
    kind: str = ""
    bytes: int = 0
    seconds: float | None = None
    step: int = 0


@dataclass(frozen=True, slots=True)
class Control(Event):
    """A viewer's command and what became of it: ``result`` is "done", "accepted" or "refused"."""

    type: ClassVar[str] = "control"
    essential: ClassVar[bool] = True
    id: str = ""
    command: str = ""
    result: str = ""
    message: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something a person should know; the run goes on."""

    type: ClassVar[str] = "warning"
    code: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """Why the run cannot go on, and what to do about it."""

    type: ClassVar[str] = "error"
    essential: ClassVar[bool] = True
    code: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Hook(Event):
    """A command after the run's end: ``state`` is waiting, started, done, failed, timeout or cancelled.

    ``seconds`` are those it waits, may take, or took; they come after ``run_end``.
    """

    type: ClassVar[str] = "hook"
    essential: ClassVar[bool] = True
    name: str = ""
    state: str = ""
    seconds: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd(Event):
    """An attempt ended in ``state`` (done, stopped, preempted, failed)."""

    type: ClassVar[str] = "run_end"
    essential: ClassVar[bool] = True
    state: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event this version does not know, or whose fields are of the wrong kind: kept as it was read."""

    name: str = ""
    values: dict[str, Any] = field(default_factory=dict)


EVENT_TYPES: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        RunStart, Phase, Progress, Plan, NoiseLevels, Step, Memory, Swap, Block, Host,
        Validation, Sample, Checkpoint, Control, Warned, Failed, Hook, RunEnd,
    )
}  # fmt: skip


def to_json(event: Event) -> dict[str, Any]:
    """``type`` and all fields, as JSON values."""
    if isinstance(event, Unknown):
        return {"type": event.name, **cast(dict[str, Any], plain(event.values))}
    return {"type": event.type, **{name: plain(getattr(event, name)) for name in _FIELDS[type(event)]}}


def from_json(values: Mapping[str, Any]) -> Event:
    """The event in a JSON object (its ``v``, ``seq`` and ``t`` are not looked at)."""
    name = values.get("type")
    kind = EVENT_TYPES.get(name) if isinstance(name, str) else None
    if kind is not None:
        try:
            return kind(
                **{key: read(values[key]) for key, read in _FIELDS[kind].items() if values.get(key) is not None}
            )
        except (TypeError, ValueError, OverflowError):
            pass  # a known name with foreign fields: kept as Unknown below
    rest = {key: value for key, value in values.items() if key not in ("v", "seq", "t", "type")}
    return Unknown(name=str(name or ""), values=rest)


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numbers finite or None, tuples as lists, paths and other objects as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if hasattr(value, "__index__"):
        return int(value)
    return plain(float(value)) if hasattr(value, "__float__") else str(value)


def _reader(hint: Any) -> Callable[[Any], Any]:
    """A function that turns a JSON value (not null) into a field of type ``hint``, or raises ``TypeError``."""
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) is tuple:
        entry = _entry_reader(options[0])
        return lambda value: tuple([entry(item) for item in _expect(value, list)])
    if get_origin(hint) is dict:
        return lambda value: _expect(value, dict)
    return _SCALARS[options[0] if options else hint]


def _entry_reader(hint: Any) -> Callable[[Any], Any]:
    if type(None) in get_args(hint):
        read = _reader(hint)
        return lambda value: None if value is None else read(value)
    return _reader(hint)


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _read_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _read_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    float: _read_float,
    int: _read_int,
    str: lambda value: _expect(value, str),
    bool: lambda value: _expect(value, bool),
}

_FIELDS: dict[type[Event], dict[str, Callable[[Any], Any]]] = {
    kind: {item.name: _reader(hints[item.name]) for item in fields(kind)}
    for kind, hints in ((kind, get_type_hints(kind)) for kind in EVENT_TYPES.values())
}
