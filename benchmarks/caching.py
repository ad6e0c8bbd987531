"""Caching against the plain loop, the pass over what did not change against decoding it, and memory over a long clip.

    python benchmarks/caching.py [--pairs 10] [--items 12] [--side 1600] [--unchanged 1000 10000] [--minutes 10]

The loop decodes, encodes and writes one picture after the other with the same functions; pipeline and loop run in turns on the
tiny Wan VAE of the tests, in fp32 (many CPUs are slow at bfloat16) and with one torch thread for each encoder. The median and the best
of the ratios are printed: at least 1.5 and 20 are aimed at on two free cores; where other work shares the cores, the processor's time says
what either way costs. Each number of unchanged items is judged in a process of its own, whose growth is printed too. The long clip is a short
1080p loop repeated without encoding it again; the figure is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import numpy as np
import psutil
import torch
from PIL import Image

from engine.data import Item, read_dataset_config, read_pixels, scan
from engine.data.claims import Claims
from engine.data.provenance import latent_metadata, latents_state, text_metadata, text_state
from engine.encode import encode_latents, latent_context
from engine.encode.store import latents_key, write_cache
from engine.encode.work import judge
from engine.families import get_family
from engine.testing import make_tiny

SPEC = get_family("wan")
CPU = torch.device("cpu")


class QuietJob:
    """What a cache stage needs of a job."""

    paused, stop_requested = False, None

    def __init__(self, vae: Path) -> None:
        self.config: Any = {"vae": vae, "vae_dtype": "fp32"}
        self.spec, self.task = SPEC, SPEC.task(None)

    @contextmanager
    def phase(self, name: str) -> Any:
        yield self

    def update(self, *_: int) -> None:
        """Nobody looks."""

    def warn(self, *_: str) -> None:
        """Nobody listens."""


def photographs(folder: Path, count: int, side: int) -> tuple[Item, ...]:
    """JPEGs with detail, and their items."""
    folder.mkdir()
    dice = np.random.default_rng(0)
    for number in range(count):
        small = dice.integers(0, 255, (side // 8, side // 6, 3), np.uint8)
        Image.fromarray(small).resize((side * 4 // 3, side), Image.Resampling.BICUBIC).save(folder / f"{number:03}.jpg")
    return items_of({"image_directory": str(folder)}, folder)


def items_of(source: dict[str, Any], folder: Path) -> tuple[Item, ...]:
    tables = {
        "general": {"resolution": 256, "enable_bucket": True},
        "datasets": [{**source, "cache_directory": str(folder / "cache")}],
    }
    return scan(read_dataset_config(tables, base_dir=folder, spec=SPEC), SPEC, SPEC.task(None)).items


def by_hand(job: QuietJob, model: Any, vae: Any, items: tuple[Item, ...]) -> None:
    """One after the other."""
    context = latent_context(job.config, SPEC, job.task)  # type: ignore[arg-type]
    with Claims() as claims:
        for item in items:
            item.latent_cache.parent.mkdir(exist_ok=True)
            pixels = torch.from_numpy(read_pixels(item)).permute(3, 0, 1, 2)[None].to(torch.float32) / 127.5 - 1
            with torch.inference_mode():
                latents = model.encode_latents(vae, pixels)[0].to(torch.bfloat16)
            temporary = claims.temporary(item.latent_cache.parent)
            metadata = latent_metadata(item, context)
            write_cache(
                item.latent_cache, {latents_key(latents): latents}, metadata, source=item.path, temporary=temporary
            )


def throughput(folder: Path, vae_file: Path, pairs: int, count: int, side: int) -> None:
    """Pipeline and loop in turns."""
    items = photographs(folder / "pictures", count, side)
    job, model = QuietJob(vae_file), SPEC.load_model()
    vae = model.load_vae(vae_file, device=CPU, dtype=torch.float32)
    model.load_vae = lambda *_, **__: vae  # type: ignore[method-assign]

    def timed(work: Any) -> tuple[float, float]:
        """By the clock and of the processor, in seconds per picture."""
        shutil.rmtree(items[0].latent_cache.parent, ignore_errors=True)
        begin, cpu = time.perf_counter(), time.process_time()
        work()
        return (time.perf_counter() - begin) / count, (time.process_time() - cpu) / count

    pairs_of_times = []
    for number in range(pairs + 1):
        loop = timed(lambda: by_hand(job, model, vae, items))
        pipeline = timed(lambda: encode_latents(job, model, items, device=CPU))  # type: ignore[arg-type]
        if number:
            pairs_of_times.append((loop, pipeline))
    ratios = [loop[0] / pipeline[0] for loop, pipeline in pairs_of_times]
    loop, pipeline = (
        [statistics.median(column) * 1000 for column in zip(*one, strict=True)]
        for one in zip(*pairs_of_times, strict=True)
    )
    print(
        f"one {side * 4 // 3}x{side} JPEG: loop {loop[0]:.0f} ms (processor {loop[1]:.0f}), pipeline {pipeline[0]:.0f} ms "
        f"(processor {pipeline[1]:.0f}), ratio {statistics.median(ratios):.2f}, best {max(ratios):.2f} ({pairs} pairs, "
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f})"
    )


def unchanged(folder: Path, vae_file: Path, count: int) -> None:
    """All verdicts of a dataset that is cached, against decoding a sample of it; run in a process of its own."""
    folder.mkdir()
    first, *_ = photographs(folder / "one", 1, 768)
    job = QuietJob(vae_file)
    context = latent_context(job.config, SPEC, job.task)  # type: ignore[arg-type]
    first.latent_cache.parent.mkdir(exist_ok=True)
    latents = torch.zeros(SPEC.latent_shape(*first.bucket), dtype=torch.bfloat16)
    with Claims() as claims:
        for path, tensors, metadata in (
            (first.latent_cache, {latents_key(latents): latents}, latent_metadata(first, context)),
            (first.text_cache, {"varlen_t5_bfloat16": torch.zeros(30, 8)}, text_metadata(first, context)),
        ):
            temporary = claims.temporary(path.parent)
            write_cache(path, tensors, metadata, source=first.path, temporary=temporary)
    items = []
    for number in range(count):
        paths = {}
        for name in ("path", "latent_cache", "text_cache"):
            path = getattr(first, name)
            paths[name] = path.with_name(f"{number:05}_{path.name}")
            shutil.copy2(path, paths[name])
        items.append(replace(first, id=str(number), **paths))
    gc.collect()
    before = psutil.Process().memory_info().rss
    begin, cpu = time.perf_counter(), time.process_time()
    work = judge(items, lambda item: item.latent_cache, latents_state, context)
    spoken = judge(items, lambda item: item.text_cache, text_state, context)
    passed, passed_cpu = time.perf_counter() - begin, time.process_time() - cpu
    grown = psutil.Process().memory_info().rss - before
    peak = peak_kb()
    assert work.current == spoken.current == count
    sample = items[:: max(1, count // 200)]
    begin, cpu = time.perf_counter(), time.process_time()
    for item in sample:
        read_pixels(item)
    scale = count / len(sample)
    decoding, decoding_cpu = (time.perf_counter() - begin) * scale, (time.process_time() - cpu) * scale
    print(
        f"{count} items of 1024x768: nothing changed {passed:.2f} s (processor {passed_cpu:.2f}), decoding them {decoding:.0f} s (processor "
        f"{decoding_cpu:.0f}, from {len(sample)} of them), ratio {decoding / passed:.0f} ({decoding_cpu / passed_cpu:.0f}); peak memory "
        f"{peak / 1e3:.0f} MB, the pass added {grown / 1e6:.1f} MB"
    )


def film(path: Path, minutes: float) -> None:
    """A 1080p video: two seconds of moving noise, repeated packet by packet."""
    loop = path.with_name("loop.mp4")
    dice = np.random.default_rng(0)
    base = np.kron(dice.integers(0, 255, (68, 120, 3), np.uint8), np.ones((16, 16, 1), np.uint8))[:1080]
    with av.open(str(loop), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 1920, 1080, "yuv420p", 24
        for number in range(48):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(base, number * 8, 1), format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(loop)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        length = int(48 / 24 / packets[0].time_base)
        with av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            times = [(packet.pts, packet.dts) for packet in packets]
            for turn in range(round(minutes * 30)):
                for packet, (pts, dts) in zip(packets, times, strict=True):
                    packet.pts, packet.dts, packet.stream = pts + turn * length, dts + turn * length, stream
                    target.mux(packet)


class FramesOnly:
    """A family whose VAE takes frames four at a time, as Wan's does, and costs nothing: what remains is the bringing of frames."""

    def load_vae(self, *_: Any, **__: Any) -> torch.nn.Module:
        return torch.nn.Identity()

    def encode_latents(self, vae: torch.nn.Module, pixels: Any) -> torch.Tensor:
        count, height, width = pixels.shape[2:]
        for first in range(0, count, 4):
            _ = pixels[:, :, max(0, first - 3) : first + 1]
        return torch.zeros(1, *SPEC.latent_shape(width, height, count))


CUTS = {
    "short clips": {"target_frames": [17], "frame_extraction": "uniform", "frame_sample": 3},
    "the whole film": {"frame_extraction": "full", "max_frames": 100_001},
}


def long_clip(vae_file: Path, path: Path, cut: str) -> None:
    """Cache three clips spread over the film, or all of it as one and without a VAE; run in a process of its own."""
    source = {"video_directory": str(path.parent), "source_fps": 24.0, **CUTS[cut]}
    items = items_of(source, path.parent / cut)
    before = peak_kb()
    begin = time.perf_counter()
    model = FramesOnly() if cut == "the whole film" else SPEC.load_model()
    encode_latents(QuietJob(vae_file), model, items, device=CPU)  # type: ignore[arg-type]
    seconds = time.perf_counter() - begin
    peak = peak_kb()
    print(
        f"{cut} ({sum(item.bucket.frames for item in items)} frames) of {path.name}: {seconds:.1f} s, peak memory {peak / 1e6:.2f} GB "
        f"({before / 1e6:.2f} before)"
    )


def peak_kb() -> int:
    """The most memory this process had, in kB. Not ``ru_maxrss``: a program that was started begins with the peak of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--items", type=int, default=12)
    parser.add_argument("--side", type=int, default=1600)
    parser.add_argument("--unchanged", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--judge", nargs=3, metavar=("VAE", "FOLDER", "COUNT"), help=argparse.SUPPRESS)
    parser.add_argument("--long-clip", nargs=3, metavar=("VAE", "FILM", "CUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.long_clip:
        vae, film_file, cut = arguments.long_clip
        long_clip(Path(vae), Path(film_file), cut)
        return
    if arguments.judge:
        vae, place, count = arguments.judge
        unchanged(Path(place), Path(vae), int(count))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        vae_file = make_tiny("wan", folder / "tiny").models / "Wan2.1_VAE.pth"
        if arguments.pairs:
            throughput(folder, vae_file, arguments.pairs, arguments.items, arguments.side)
        for count in arguments.unchanged:
            command = [sys.executable, __file__, "--judge", str(vae_file), str(folder / str(count)), str(count)]
            subprocess.run(command, check=True)
        for minutes in (arguments.minutes / 10, arguments.minutes) if arguments.minutes else ():
            path = folder / f"{minutes:g}min" / f"{minutes:g} minutes of 1080p.mp4"
            path.parent.mkdir()
            film(path, minutes)
            path.with_name("loop.mp4").unlink()
            for cut in CUTS:
                subprocess.run([sys.executable, __file__, "--long-clip", str(vae_file), str(path), cut], check=True)


if __name__ == "__main__":
    main()
