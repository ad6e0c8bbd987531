"""The pipeline around the encoder: order, bounds, errors by name, and a clean end wherever it stops."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from engine.config.problems import UserError
from engine.data import Bucket, Item
from engine.data.claims import Claims, Holder
from engine.data.provenance import CacheState
from engine.encode.encoders import Decoded, Encoders
from engine.encode.pipeline import Pipeline, Room
from engine.encode.stage import Waiting
from engine.encode.work import Unit, Worklist, in_order_of, units_by
from engine.events.process import ProcessIdentity
from engine.families import get_family
from engine.job import Job
from engine.ranks import ALONE, Share
from tests.unit.recording_job import RecordingJob
from tests.unit.test_data_pixels import item_of

MISSING = CacheState("missing")
Read = Callable[[Unit, Room], Iterator[tuple[Item, Any]]]


def make_items(folder: Path, count: int, clips: int = 1) -> list[Item]:
    base = item_of(folder / "a.mp4", Bucket(32, 32, 5))
    return [
        replace(base, id=f"0:{n:03}@{clip}", name=f"{n:03}", path=folder / f"{n:03}.mp4", start=clip, latent_cache=folder / f"{n:03}-{clip}.out")
        for n in range(count)
        for clip in range(clips)
    ]  # fmt: skip


def worklist(folder: Path, items: list[Item], claims: Claims, share: Share = ALONE) -> Worklist:
    units = units_by(lambda item: item.path, [(item, MISSING) for item in items])
    return Worklist(
        in_order_of(share, units),
        claims,
        claim_of=lambda item: (folder, item.name),
        file_of=lambda item: item.latent_cache,
        state_of=lambda item: CacheState("current") if item.latent_cache.exists() else MISSING,
    )


def put(item: Item) -> int:
    item.latent_cache.write_bytes(b"done")
    return 4


def plain(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
    for item, _ in unit.members:
        room.reserve(10)
        yield item, b"x" * 10


def run(
    folder: Path,
    items: list[Item],
    read: Read = plain,
    encode: Callable[[Item], None] = lambda item: None,
    write: Callable[[Item], int] = put,
    **options: Any,
) -> tuple[list[str], Pipeline]:
    order: list[str] = []
    with Claims() as claims:
        listed = worklist(folder, items, claims)
        with Pipeline(listed, read, size_of=len, check=options.pop("check", lambda: None), **options) as flow:
            for item, _ in flow:
                encode(item)
                order.append(item.id)
                flow.write(item, partial(write, item), 4)
    return order, flow


def test_the_encoder_sees_items_in_order_however_readers_race(tmp_path: Path) -> None:
    items = make_items(tmp_path, 30)

    def uneven(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
        time.sleep(0.004 if int(unit.members[0][0].name) % 3 == 0 else 0)
        yield from plain(unit, room)

    order, flow = run(tmp_path, items, uneven, readers=4)
    assert order == [item.id for item in items]
    assert (flow.files, flow.bytes) == (30, 120)
    assert all(item.latent_cache.exists() for item in items)
    assert not list(tmp_path.glob(".mtui-*"))


@pytest.mark.parametrize("readers", [1, 3])
def test_bytes_read_ahead_are_bounded_and_nothing_waits_for_itself(tmp_path: Path, readers: int) -> None:
    items = make_items(tmp_path, 12, clips=4)
    lock, alive, most = threading.Lock(), [0], [0]

    def counting(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
        for item, _ in unit.members:
            room.reserve(100)
            with lock:
                alive[0] += 100
                most[0] = max(most[0], alive[0])
            yield item, b"x" * 100

    def encode(item: Item) -> None:
        time.sleep(0.001)
        with lock:
            alive[0] -= 100

    order, _ = run(tmp_path, items, counting, encode, readers=readers, read_ahead_bytes=350)
    assert len(order) == 48
    assert most[0] <= 350 + 200  # the limit; the front may always have one with the encoder and one being read


def test_an_item_larger_than_the_limit_still_goes_through(tmp_path: Path) -> None:
    order, _ = run(tmp_path, make_items(tmp_path, 5), readers=2, read_ahead_bytes=1)
    assert len(order) == 5


def test_a_slow_writer_holds_the_encoder_back(tmp_path: Path) -> None:
    items, ahead, written = make_items(tmp_path, 10), list[int](), list[str]()

    def slow(item: Item) -> int:
        time.sleep(0.01)
        written.append(item.id)
        return put(item)

    run(tmp_path, items, encode=lambda _: ahead.append(len(ahead) - len(written)), write=slow, write_behind_bytes=8)
    assert len(written) == 10
    assert max(ahead) <= 4


def test_files_that_cannot_be_read_are_listed_and_stop_nobody_else(tmp_path: Path) -> None:
    items = make_items(tmp_path, 6, clips=2)

    def breaking(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
        for item, _ in unit.members:
            if item.name in ("002", "004") and item.start:
                raise UserError.of("unreadable_clip", "cut off", file=item.path)
            room.reserve(10)
            yield item, b"x"

    order, flow = run(tmp_path, items, breaking, readers=2)
    assert len(order) == 10
    assert sorted(problem.file for _, problem in flow.failures) == [
        str(tmp_path / "002.mp4"),
        str(tmp_path / "004.mp4"),
    ]
    assert not list(tmp_path.glob(".mtui-*"))


def test_a_readers_own_error_is_raised_and_names_the_file(tmp_path: Path) -> None:
    def failing(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
        if unit.members[0][0].name == "003":
            raise RuntimeError("decoder bug")
        yield from plain(unit, room)

    with pytest.raises(RuntimeError, match="decoder bug") as raised:
        run(tmp_path, make_items(tmp_path, 8), failing, readers=2)
    assert str(tmp_path / "003.mp4") in raised.value.__notes__


def test_the_writers_error_ends_the_work(tmp_path: Path) -> None:
    items, encoded = make_items(tmp_path, 50), list[Item]()

    def full(item: Item) -> int:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        run(tmp_path, items, write=full, encode=encoded.append, write_behind_bytes=8)
    assert len(encoded) < 10


def test_what_is_encoded_is_written_when_the_work_is_stopped(tmp_path: Path) -> None:
    items = make_items(tmp_path, 20)

    def slow(item: Item) -> int:
        time.sleep(0.005)
        return put(item)

    def encode(item: Item) -> None:
        if item is items[7]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, items, encode=encode, write=slow)
    assert [item.latent_cache.exists() for item in items] == [True] * 7 + [False] * 13
    assert not list(tmp_path.glob(".mtui-*"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reader-", "cache-writer"))]


def test_a_stop_is_heard_while_the_reader_is_slow(tmp_path: Path) -> None:
    def endless(unit: Unit, room: Room) -> Iterator[tuple[Item, bytes]]:
        while room.wanted():
            time.sleep(0.01)
        yield from ()

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, make_items(tmp_path, 2), endless, check=check)


def test_what_another_process_holds_is_left_to_it_and_looked_at_again(tmp_path: Path) -> None:
    items = make_items(tmp_path, 6)
    with Claims() as other:
        other.take(tmp_path, "000")
        other.take(tmp_path, "001")
        asked: list[int] = []

        def check() -> None:  # called while nothing else can be done: the other process ends now
            asked.append(1)
            put(items[0])
            other.give_back(tmp_path, "000")  # made by the other
            other.give_back(tmp_path, "001")  # given up by it

        order, flow = run(tmp_path, items, check=check)
    assert asked
    assert order == [items[n].id for n in (2, 3, 4, 5, 1)]
    assert flow.files == 5


def test_who_is_waited_for_is_told_once_and_when_it_was_last_heard_of() -> None:
    job = RecordingJob(get_family("wan"), {})
    waiting = Waiting(cast(Job, job), "latent")
    process = ProcessIdentity("pod-7", "its boot", 7, "1")
    for age in (42, 43, 44):
        holder = Holder("a" * 16, process, time.time_ns() - age * 10**9)
        waiting.tell([holder, holder])
    ((code, message),) = job.warnings
    assert code == "cache_shared"
    assert message == "pid 7 on pod-7 (last sign of life 42 s ago) is encoding 2 of the latent files, waited for until it is done or silent for 60 s."  # fmt: skip


def test_ranks_begin_with_their_share_and_help_from_the_end() -> None:
    units = [Unit(((item, MISSING),)) for item in make_items(Path("/x"), 7)]
    names = [[unit.members[0][0].name for unit in in_order_of(Share(rank, 3), units)] for rank in range(3)]
    assert names[0][:3] == ["000", "003", "006"]
    assert names[1][:2] == ["001", "004"]
    assert names[0][3:] == ["005", "004", "002", "001"]
    assert all(sorted(order) == sorted(names[0]) for order in names)


def flow_lost(item: Item, problem: object) -> None:
    raise AssertionError(f"{item.id} was lost: {problem}")


class Doubling:
    """A model whose encoder doubles."""

    def encode_latents(self, vae: Any, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :, :] * 2


def test_what_is_encoded_is_kept_while_the_next_item_is_waited_for(tmp_path: Path) -> None:
    """Two processes that each hold a file back until they get the other's would wait for ever."""
    first, second = make_items(tmp_path, 2)
    kept: list[Item] = []
    decoded = Decoded(np.zeros((1, 2, 2, 3), np.uint8), {}, MISSING)
    with Encoders(Doubling(), torch.nn.Linear(1, 1), torch.device("cpu"), torch.float32, 2) as encoders:  # type: ignore[arg-type]

        def flow() -> Iterator[tuple[Item, Decoded]]:
            yield first, decoded
            deadline = time.monotonic() + 20
            while not kept and time.monotonic() < deadline:
                encoders.keep_finished()
                time.sleep(0.01)
            assert kept == [first]
            yield second, decoded

        encoders.drive(flow(), lambda: None, lambda item, given, latents: kept.append(item), flow_lost)
    assert kept == [first, second]


def test_encoders_share_the_weights_and_keep_the_order(tmp_path: Path) -> None:
    items = [replace(item, bucket=Bucket(32, 32, 1)) for item in make_items(tmp_path, 9)]
    vae = torch.nn.Linear(4, 4)
    kept: list[tuple[str, float]] = []

    class Slow:
        def encode_latents(self, given: torch.nn.Linear, pixels: torch.Tensor) -> torch.Tensor:
            assert given.weight.data_ptr() == vae.weight.data_ptr()
            floats = pixels[:, :, :]
            time.sleep(0.003 * (5 - float(floats.max()) * 5))
            return floats

    with Encoders(Slow(), vae, torch.device("cpu"), torch.float32, 3) as encoders:  # type: ignore[arg-type]
        flow = ((item, Decoded(np.full((1, 1, 1, 3), 28 * n, np.uint8), {}, MISSING)) for n, item in enumerate(items))
        encoders.drive(
            flow, lambda: None, lambda item, _, latents: kept.append((item.id, float(latents[0, 0, 0, 0]))), flow_lost
        )
    assert [name for name, _ in kept] == [item.id for item in items]
    assert [value for _, value in kept] == pytest.approx([28 * n / 127.5 - 1 for n in range(9)])


@pytest.mark.parametrize(("frames", "at_once"), [(1, 3), (5, 1)], ids=["pictures", "clips"])
def test_pictures_are_encoded_side_by_side_and_clips_one_after_the_other(
    tmp_path: Path, frames: int, at_once: int
) -> None:
    """What a VAE holds of all frames of a clip is the peak of caching: two of them at once would double it."""
    items = [replace(item, bucket=Bucket(32, 32, frames)) for item in make_items(tmp_path, 9)]
    meeting = threading.Barrier(3)
    working, most = 0, 0
    count = threading.Lock()

    class Meeting:
        def encode_latents(self, given: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
            nonlocal working, most
            with count:
                working += 1
                most = max(most, working)
            if at_once > 1:
                meeting.wait(20)  # only as many as meet here go on
            else:
                time.sleep(0.01)
            with count:
                working -= 1
            return pixels[:, :, :]

    with Encoders(Meeting(), torch.nn.Linear(1, 1), torch.device("cpu"), torch.float32, 3) as encoders:  # type: ignore[arg-type]
        flow = ((item, Decoded(np.zeros((1, 1, 1, 3), np.uint8), {}, MISSING)) for item in items)
        encoders.drive(flow, lambda: None, lambda *_: None, flow_lost)
    assert most == at_once


def test_a_full_disk_is_told_by_the_file_that_was_to_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = make_items(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Claims() as claims:
        monkeypatch.setattr(claims, "take", full)
        with pytest.raises(UserError, match=r"disk is full: 000-0\.out was not written"):
            worklist(tmp_path, items, claims).take()
