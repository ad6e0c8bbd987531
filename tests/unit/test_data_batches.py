"""Batch order: complete, deterministic, independent of listing order, and found for any step by arithmetic."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import BatchPlan, Bucket, Item
from engine.data.items import Control, Text, View


def make(dataset: int, name: str, width: int, repeats: int, batch_size: int) -> Item:
    path, bucket = Path(f"/{name}.png"), Bucket(width, 64)
    return Item(
        f"{dataset}:{name}", dataset, name, path, "", width, 64, "image", 0, bucket, path, path, repeats, batch_size
    )


@st.composite
def item_lists(draw: st.DrawFn) -> list[Item]:
    items = []
    for dataset in range(draw(st.integers(1, 2))):
        repeats, batch_size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        for number in range(draw(st.integers(1, 9))):
            width = draw(st.sampled_from([32, 64, 96]))
            items.append(make(dataset, f"i{number}", width, repeats, batch_size))
    return items


@settings(max_examples=80, deadline=None)
@given(items=item_lists(), seed=st.integers(0, 2**40), numerics=st.sampled_from(["exact", "musubi"]))
def test_an_epoch_holds_everything_once_per_repeat_in_pure_batches(
    items: list[Item], seed: int, numerics: Literal["exact", "musubi"]
) -> None:
    plan = BatchPlan(items, seed=seed, numerics=numerics)
    epoch = plan.epoch(1)
    assert len(epoch) == plan.batches_per_epoch
    assert Counter(index for batch in epoch for index in batch) == {i: item.repeats for i, item in enumerate(items)}
    for batch in epoch:
        members = [items[index] for index in batch]
        assert len({(item.dataset, item.bucket) for item in members}) == 1
        assert len(batch) <= members[0].batch_size
    firsts = [items[batch[0]] for batch in epoch if len(batch) < items[batch[0]].batch_size]
    short = Counter((first.dataset, first.bucket) for first in firsts)
    assert max(short.values(), default=0) <= 1  # only the rest of a bucket makes a short batch


@settings(max_examples=50, deadline=None)
@given(items=item_lists(), seed=st.integers(0, 1000), step=st.integers(0, 200))
def test_any_step_is_found_without_the_ones_before(items: list[Item], seed: int, step: int) -> None:
    plan, other = BatchPlan(items, seed=seed), BatchPlan(items, seed=seed)
    walked = [batch for number in range(1, step // plan.batches_per_epoch + 2) for batch in plan.epoch(number)]
    epoch, position, batch = other.at(step)
    assert batch == walked[step]
    assert (epoch - 1) * plan.batches_per_epoch + position == step


def test_order_depends_on_seed_and_epoch_and_not_on_the_listing() -> None:
    items = [make(0, f"i{n}", 64, 2, 2) for n in range(10)]
    by_name = [[items[index].id for index in batch] for batch in BatchPlan(items, seed=1).epoch(3)]
    backwards = items[::-1]
    assert [[backwards[i].id for i in batch] for batch in BatchPlan(backwards, seed=1).epoch(3)] == by_name
    assert BatchPlan(items, seed=1).epoch(1) != BatchPlan(items, seed=1).epoch(2)
    assert BatchPlan(items, seed=1).epoch(1) != BatchPlan(items, seed=2).epoch(1)


def test_the_order_is_fixed_for_ever() -> None:
    """A resumed run must see the order its first half was trained in, whatever version resumes it."""
    items = [make(0, f"i{n}", 64 if n < 4 else 96, 1, 2) for n in range(7)]
    assert BatchPlan(items, seed=42).epoch(1) == [(5,), (1, 3), (0, 2), (4, 6)]


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BatchPlan([], seed=0)
    with pytest.raises(ValueError, match="from 1"):
        BatchPlan([make(0, "a", 64, 1, 1)], seed=0).epoch(0)


@settings(max_examples=60, deadline=None)
@given(items=item_lists(), seed=st.integers(0, 1000), numerics=st.sampled_from(["exact", "musubi"]))
def test_the_heaviest_batch_comes_first_and_only_once(
    items: list[Item], seed: int, numerics: Literal["exact", "musubi"]
) -> None:
    usual = BatchPlan(items, seed=seed, numerics=numerics)
    probing = BatchPlan(items, seed=seed, numerics=numerics, heaviest_first=True)

    def pixels(batch: tuple[int, ...]) -> int:
        return sum(items[index].bucket.width * items[index].bucket.height for index in batch)

    first, *rest = probing.epoch(1)
    assert pixels(first) == max(map(pixels, usual.epoch(1)))
    left = list(usual.epoch(1))
    left.remove(first)
    assert rest == left  # everything else in its usual order
    assert probing.epoch(2) == usual.epoch(2)


def test_captions_and_cuts_are_drawn_anew_and_found_again() -> None:
    text, cut = Path("/a_te"), Path("/a")
    item = replace(
        make(0, "a", 64, 8, 4),
        texts=tuple(Text(f"caption {n}", text.with_name(f"{n}")) for n in range(3)),
        no_text=Text("", Path("/nothing")),
        caption_dropout=0.25,
        views=tuple(View((x, 0.5), flip, cut.with_name(f"{x}{flip}")) for x in (0.0, 1.0) for flip in (False, True)),
    )
    plan = BatchPlan([item], seed=3)
    drawn = [one for step in range(200) for one in plan.take(step)[2]]
    assert all(one.texts == one.views == () for one in drawn)
    counts = Counter(one.caption for one in drawn)
    assert set(counts) == {"caption 0", "caption 1", "caption 2", ""}
    assert 0.2 < counts[""] / len(drawn) < 0.3
    assert all(count > 150 for count in counts.values())
    assert {one.latent_cache for one in drawn} == {view.cache for view in item.views}
    assert {one.latent_cache.name for one in drawn if one.flip} == {"0.0True", "1.0True"}
    assert BatchPlan([item], seed=3).take(150) == plan.take(150)
    assert [BatchPlan([item], seed=4).take(step) for step in range(4)] != [plan.take(step) for step in range(4)]


def test_items_with_controls_of_other_sizes_do_not_mix() -> None:
    sizes = [(64, 64), (32, 32), (64, 64), (32, 32)]
    items = [
        replace(make(0, f"i{n}", 64, 1, 4), controls=(Control(Path("c"), 9, 9, size),)) for n, size in enumerate(sizes)
    ]
    for numerics in ("exact", "musubi"):
        plan = BatchPlan(items, seed=0, numerics=numerics)  # type: ignore[arg-type]
        assert sorted(sorted(batch) for batch in plan.epoch(1)) == [[0, 2], [1, 3]]
