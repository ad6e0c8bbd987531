"""What an edit costs: milliseconds of ``make_plan`` for the released models, with and without suggestions.

    python benchmarks/plan.py

Medians of 30 plans of a request that was asked before (headers and patterns are remembered, as in a form). Gates nothing.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from engine.config.schema import Config
from engine.families import get_family
from engine.planner.facts import DataSummary, Machine, SizeGroup
from engine.planner.lines import GIB
from engine.planner.plan import make_plan
from engine.planner.request import PlanRequest
from engine.planner.transformer import find_transformer

CASES = (("wan", "t2v-1.3B", 81), ("wan", "t2v-14B", 81), ("qwen_image", "t2i", 1))


def ask(family: str, task: str, frames: int, gib: float) -> PlanRequest:
    """A request with forty buckets."""
    spec = get_family(family)
    values = Config.of({**spec.defaults, "family": family, "task": task}).values()
    sizes = [(width, height) for width in range(512, 1024, 64) for height in range(512, 832, 64)]
    data = DataSummary(tuple(SizeGroup(*size, frames, 40, 4) for size in sizes), caption_bytes=300)
    return PlanRequest(
        values, spec, spec.task(task), find_transformer(spec, task, None), data, Machine(None, int(gib * GIB))
    )


def milliseconds(request: PlanRequest) -> float:
    """Median over edits of the rank."""
    taken = []
    for rank in range(30):
        edited = request.but(network_dim=8 + rank)
        begin = time.perf_counter()
        make_plan(edited)
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken)


if __name__ == "__main__":
    for family, task, frames in CASES:
        fits = ask(family, task, frames, 1000)
        size = fits.transformer.weight_bytes(2) / GIB
        tight = replace(fits, machine=Machine(None, int((size + 3) * GIB)))
        print(f"{family} {task}: fits {milliseconds(fits):.1f} ms, does not fit {milliseconds(tight):.1f} ms")
