"""The recorded runs: written by their generators as they lie there, small, and between them every field of every event."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from engine.events.reader import read_events
from engine.events.types import EVENT_TYPES, Unknown
from tests.data.replay import record, record_swap

FOLDER = Path(record.__file__).parent
# Of these the recordings have no use: a run without errors or hooks, and an engine that names who asks.
_NOT_RECORDED = {"error": {"code", "message", "fix"}, "hook": {"name", "state", "seconds", "message"}}


@pytest.mark.parametrize("module", [record, record_swap], ids=["interrupted", "swap"])
def test_a_recording_is_what_its_generator_writes(module, tmp_path):
    assert module.TARGET.read_bytes() == module.record(tmp_path)


def test_the_recordings_are_small_and_readable():
    for name in ("interrupted", "swap"):
        path = FOLDER / f"{name}.jsonl"
        assert path.stat().st_size < 600_000
        assert not [record for record in read_events(path) if isinstance(record.event, Unknown)]


def test_between_them_they_show_every_field_of_every_event():
    shown: dict[str, set[str]] = {name: set() for name in EVENT_TYPES}
    for path in FOLDER.glob("*.jsonl"):
        if path.name.endswith(".items.jsonl"):
            continue
        for record_ in read_events(path):
            event, plain = record_.event, type(record_.event)()
            shown[event.type] |= {
                item.name for item in fields(event) if getattr(event, item.name) != getattr(plain, item.name)
            }
    for name, kind in EVENT_TYPES.items():
        missing = {item.name for item in fields(kind)} - shown[name] - _NOT_RECORDED.get(name, set())
        assert not missing, (name, missing)
