"""What a run says and where it says it: typed events, the sink that writes them, the readers, the run directory and its truth.

[no torch, no pydantic]: the engine writes here, ``musubi_tui`` reads, and nothing else passes between them.

    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Step(step=1, loss=0.4))
    for record in story(run.events): ...

Names are imported when first used: a command that lists runs needs a folder's layout, not the machinery that writes events.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.events.lines import Record
    from engine.events.reader import Follower, follow, read_events, story
    from engine.events.rundir import RunDirectory
    from engine.events.sink import EventSink
    from engine.events.status import Lease, Status, true_state
    from engine.events.steps_index import StepsIndex
    from engine.events.types import (
        Block,
        Checkpoint,
        Control,
        Event,
        Failed,
        Hook,
        Host,
        Memory,
        NoiseLevels,
        Phase,
        Plan,
        Progress,
        RunEnd,
        RunStart,
        Sample,
        Step,
        Swap,
        Unknown,
        Validation,
        Warned,
    )

__all__ = [
    "Block",
    "Checkpoint",
    "Control",
    "Event",
    "EventSink",
    "Failed",
    "Follower",
    "Hook",
    "Host",
    "Lease",
    "Memory",
    "NoiseLevels",
    "Phase",
    "Plan",
    "Progress",
    "Record",
    "RunDirectory",
    "RunEnd",
    "RunStart",
    "Sample",
    "Status",
    "Step",
    "StepsIndex",
    "Swap",
    "Unknown",
    "Validation",
    "Warned",
    "follow",
    "read_events",
    "story",
    "true_state",
]

_HOMES = {
    "Block": "types",
    "Checkpoint": "types",
    "Control": "types",
    "Event": "types",
    "EventSink": "sink",
    "Failed": "types",
    "Follower": "reader",
    "Hook": "types",
    "Host": "types",
    "Lease": "status",
    "Memory": "types",
    "NoiseLevels": "types",
    "Phase": "types",
    "Plan": "types",
    "Progress": "types",
    "Record": "lines",
    "RunDirectory": "rundir",
    "RunEnd": "types",
    "RunStart": "types",
    "Sample": "types",
    "Status": "status",
    "Step": "types",
    "StepsIndex": "steps_index",
    "Swap": "types",
    "Unknown": "types",
    "Validation": "types",
    "Warned": "types",
    "follow": "reader",
    "read_events": "reader",
    "story": "reader",
    "true_state": "status",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"engine.events.{_HOMES[name]}"), name)
