"""Events as JSON: round trips, numbers that are not finite, strangers from other versions, the line limit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.lines import LINE_LIMIT, decode_line, encode_line
from engine.events.types import EVENT_TYPES, Event, Failed, Host, RunStart, Sample, Step, Unknown, from_json, to_json

_DESIGN = {
    "run_start": {"attempt", "from_step", "config", "gpu", "price"},
    "phase": {"name", "state"},
    "progress": {"phase", "done", "total"},
    "plan": {"resident", "streamed", "slots", "stash", "reason"},
    "noise_levels": {"target"},
    "step": {"step", "epoch", "loss", "lr", "grad_norm", "timesteps", "items", "step_s", "data_s", "forward_s", "backward_s", "optimizer_s", "stall_s"},
    "memory": {"weights", "adapter", "optimizer", "activations", "other", "allocated", "reserved", "peak"},
    "swap": {"resident", "streamed", "slots", "copy_ms", "compute_ms", "stall_ms", "bytes_h2d", "not_ready"},
    "block": {"index", "state"},
    "host": {"gpus", "ram", "pinned", "disk_free"},
    "validation": {"step", "loss", "by_t", "base"},
    "sample": {"path", "prompt", "seed", "step"},
    "checkpoint": {"path", "kind", "bytes", "seconds"},
    "control": {"id", "command", "result"},
    "warning": {"code", "message", "fix"},
    "error": {"code", "message", "fix"},
    "hook": {"name", "state", "seconds", "message"},
    "run_end": {"state", "reason"},
}  # fmt: skip

_FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_VALUES = {
    "int": st.integers(-(2**40), 2**40), "int | None": st.none() | st.integers(0, 2**50), "str": _TEXT,
    "float | None": st.none() | _FINITE, "tuple[float | None, ...]": st.lists(st.none() | _FINITE, max_size=4).map(tuple),
    "tuple[str, ...]": st.lists(_TEXT, max_size=4).map(tuple), "dict[str, Any]": st.dictionaries(_TEXT, st.integers() | _TEXT, max_size=3),
    "tuple[dict[str, Any], ...]": st.lists(st.dictionaries(_TEXT, st.integers(), max_size=2), max_size=2).map(tuple),
}  # fmt: skip


def any_event() -> st.SearchStrategy[Event]:
    def of(kind: type[Event]) -> st.SearchStrategy[Event]:
        hints = {name: hint for name, hint in kind.__annotations__.items() if "ClassVar" not in hint}
        return st.builds(kind, **{name: _VALUES[hint] for name, hint in hints.items()})

    return st.one_of([of(kind) for kind in EVENT_TYPES.values()])


def test_every_event_of_the_design_has_its_fields() -> None:
    assert set(EVENT_TYPES) == set(_DESIGN)
    for name, kind in EVENT_TYPES.items():
        assert _DESIGN[name] <= set(to_json(kind())), name
        assert get_type_hints(kind)


@given(any_event())
def test_events_survive_json(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event), allow_nan=False))) == event


@given(any_event(), st.integers(0, 2**60), st.floats(0, 4e9))
def test_lines_survive_and_say_when(event: Event, seq: int, t: float) -> None:
    line = encode_line(seq, t, event)
    record = decode_line(line)
    assert record is not None
    assert (record.seq, record.event, record.length) == (seq, event, len(line))
    assert abs(record.t - t) < 0.002


def test_numbers_that_are_not_finite_become_null() -> None:
    line = encode_line(1, 0.0, Step(step=3, loss=math.nan, lr=(math.inf, 1e-4), grad_norm=-math.inf))
    values = json.loads(line, parse_constant=pytest.fail)
    assert (values["loss"], values["lr"], values["grad_norm"]) == (None, [None, 1e-4], None)
    assert from_json(values) == Step(step=3, loss=None, lr=(None, 1e-4))


def test_numbers_of_other_libraries_and_paths_are_written_plainly() -> None:
    class Scalar:
        def __float__(self) -> float:
            return 0.25

    values = to_json(RunStart(config={"loss": Scalar(), "path": Path("a/b"), "set": {1}}))
    assert values["config"] == {"loss": 0.25, "path": "a/b", "set": [1]}


@pytest.mark.parametrize(
    "values",
    [{"type": "telepathy", "x": 1}, {"type": "step", "step": "many"}, {"type": "step", "lr": 5}, {"type": "sample", "seed": True}, {"type": 7}, {}],
)  # fmt: skip
def test_strangers_are_kept_as_unknown(values: dict[str, Any]) -> None:
    event = from_json({"v": 9, "seq": 1, "t": "x", **values})
    assert isinstance(event, Unknown)
    assert to_json(event) == {"type": str(values.get("type", "")), **{k: v for k, v in values.items() if k != "type"}}


def test_a_newer_engine_adds_fields_and_an_older_one_lacks_them() -> None:
    assert from_json({"type": "error", "code": "x", "mood": "bad"}) == Failed(code="x")


@settings(max_examples=20, deadline=None)
@given(any_event(), st.text(min_size=1, max_size=8), st.integers(1, 2000))
def test_no_line_is_longer_than_four_kibibytes(event: Event, piece: str, times: int) -> None:
    long = piece * times
    for big in (
        event,
        Sample(path=long, prompt=long),
        Step(items=(long,) * 30, lr=(1e-4,) * 900, timesteps=(0.123456789,) * 500),
        Host(gpus=({"name": long},) * 9),
        RunStart(config={long + str(n): long for n in range(20)}),
    ):
        line = encode_line(7, 1.0, big)
        assert len(line) <= LINE_LIMIT
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        record = decode_line(line)
        assert record is not None
        assert record.event.type == big.type


def test_a_long_line_keeps_its_numbers() -> None:
    record = decode_line(encode_line(1, 0.0, Step(step=12, loss=0.5, items=("an/item/with/a/long/name",) * 500)))
    assert record is not None
    assert isinstance(record.event, Step)
    assert (record.event.step, record.event.loss) == (12, 0.5)
    assert 0 < len(record.event.items) < 500


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(data: bytes) -> None:
    decode_line(data)
