"""Our cache files, read as Musubi Tuner reads them: by names in a folder and tensor names in a file, and nothing else.

The reader below is written from the rules (what its loader lists, how it takes names apart, what it stacks) and shares no code with
the program; it reads safetensors files byte by byte. It has no idea which items there are: whatever the folder holds, it trains.
"""

from __future__ import annotations

import json
import os
import struct
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data import read_dataset_config, scan
from engine.data.items import Item
from engine.data.loader import load_batch
from engine.data.variants import with_variants
from engine.encode import encode_latents, encode_text
from engine.families import get_family
from engine.testing import make_tiny
from tests.golden.test_documentation_examples import bucket_of
from tests.unit.recording_job import RecordingJob
from tests.unit.test_data_scan import video

Array = np.ndarray[Any, Any]
KINDS = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I64": np.int64, "I32": np.int32, "BOOL": np.bool_}
TORCH_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "BOOL": "bool"}


# -- their reader


@dataclass(frozen=True)
class Entry:
    """A latent file and its text file, as they are found in a cache folder."""

    key: str
    latents: Path
    text: Path
    size: tuple[int, int]  # as the name says: of the original picture, or of the clip's bucket
    frames: int | None


def listed(folder: Path, arch: str, *, clips: bool) -> list[Entry]:
    """Every ``*_ARCH.safetensors`` of the folder that has a text file. Names are split at underscores, from the end."""
    found = []
    for path in sorted(folder.glob(f"*_{arch}.safetensors")):
        tokens = path.name.removesuffix(".safetensors").split("_")
        width, height = map(int, tokens[-2].split("x"))
        stem, frames = "_".join(tokens[:-2]), None
        if clips:
            stem, frames = "_".join(tokens[:-3]), int(tokens[-3].split("-")[1])
        text = folder / f"{stem}_{arch}_te.safetensors"
        if text.exists():  # else it is left out with a warning
            found.append(Entry(stem, path, text, (width, height), frames))
    return found


def read_file(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, Array]]]:
    """Metadata, and tensors with their dtypes; bfloat16 as float32."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[first:last], dtype=KINDS[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = (entry["dtype"], values)
    return metadata, tensors


def batched(entries: list[Entry]) -> dict[str, Any]:
    """One batch: names lose "varlen_", their dtype (masks have none) and, of latents, the shape. Ragged ones are not stacked."""
    rows: dict[str, list[Array]] = defaultdict(list)
    ragged = set()
    for entry in entries:
        for path in (entry.latents, entry.text):
            for name, (_, values) in read_file(path)[1].items():
                key = name.removeprefix("varlen_")
                if not key.endswith("_mask"):
                    key = key.rpartition("_")[0]
                if key.startswith("latents_"):
                    key = key.rpartition("_")[0]
                rows[key].append(values)
                if name.startswith("varlen_"):
                    ragged.add(key)
    return {key: values if key in ragged else np.stack(values) for key, values in rows.items()}


# -- what we wrote


@dataclass(frozen=True)
class Written:
    family: str
    arch: str
    full_name: str
    folder: Path
    items: tuple[Item, ...]

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item.kind == kind]


NAMES = {"under_score_0640x0480": (200, 100), "ねこ と 犬": (100, 200), "dots.in.it": (100, 200), "-1": (64, 64)}


@pytest.fixture(scope="module", params=["wan", "qwen_image"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A dataset with everything that makes files of its own: clips, further captions and cuts, dropped captions, another size."""
    family: str = request.param
    spec = get_family(family)
    root = tmp_path_factory.mktemp(family)
    tiny = make_tiny(family, root / "tiny")
    (root / "pictures").mkdir()
    for name, size in NAMES.items():
        Image.effect_noise(size, 60).convert("RGB").save(root / "pictures" / f"{name}.png")
        (root / "pictures" / f"{name}.txt").write_text(f"{name}, red, green\nanother caption", encoding="utf-8")
    extras = {"flip": True, "multiple_captions": True, "tag_shuffle": 2, "caption_dropout": 0.2}
    datasets: list[dict[str, Any]] = [{"image_directory": "pictures", "cache_directory": "cache/pictures", **extras}]
    if "clips" in spec.capabilities:
        (root / "clips").mkdir()
        video(root / "clips" / "a_film.mp4", 12)
        datasets.append({"video_directory": "clips", "cache_directory": "cache/clips", "target_frames": [1, 5, 9]})
    general = {"resolution": 64, "enable_bucket": True, "caption_extension": ".txt", "batch_size": 2}
    config = read_dataset_config({"general": general, "datasets": datasets}, base_dir=root, spec=spec)
    task = spec.task(None)
    items = scan(config, spec, task).items
    preset = tomllib.loads(tiny.preset.read_text(encoding="utf-8"))
    given = {
        **preset,
        **{key: value for part in preset.values() if isinstance(part, dict) for key, value in part.items()},
    }
    files = {slot.option: tiny.preset.parent / given[slot.option] for slot in spec.slots if slot.option in given}
    job = RecordingJob(spec, {**files, "vae_dtype": "fp32"})
    everything = list(with_variants(items))
    for _ in range(2):
        encode_latents(job, spec.load_model(), everything, device=torch.device("cpu"), datasets=config.datasets)
        encode_text(job, spec.load_model(), everything, device=torch.device("cpu"))
        os.utime(items[0].path)  # touched: the second pass renews the header of its files
    return Written(family, task.cache_id, task.header_architecture, root, items)


def entries_of(written: Written, kind: str) -> list[Entry]:
    folder = written.folder / "cache" / ("clips" if kind == "clip" else "pictures")
    return listed(folder, written.arch, clips=kind == "clip")


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_it_finds_every_item_once_and_nothing_else(written: Written, kind: str) -> None:
    """Further captions and cuts bear names that it does not list; nothing else of ours lies in the folder."""
    entries = entries_of(written, kind)
    items = written.of(kind)
    assert {entry.latents for entry in entries} == {item.latent_cache for item in items}
    assert {entry.text for entry in entries} == {item.text_cache for item in items}
    assert sorted(entry.key for entry in entries) == sorted(item.name for item in items)
    if kind == "image":
        assert {entry.key: entry.size for entry in entries} == NAMES
        folder = written.folder / "cache" / "pictures"
        others = [path for path in folder.glob("*.safetensors") if path not in {entry.latents for entry in entries}]
        assert len(others) > 2 * len(NAMES)  # so there was something to be taken for an item


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_it_groups_and_stacks_them(written: Written, kind: str) -> None:
    """Pictures by the bucket of the size in their name, clips by size and frames; each group makes one batch as ours does."""
    groups: dict[Any, list[Entry]] = defaultdict(list)
    for entry in entries_of(written, kind):
        size = bucket_of(entry.size, (64, 64)) if entry.frames is None else entry.size
        groups[(*size, entry.frames or 1)].append(entry)
    by_file = {item.latent_cache: item for item in written.items}
    assert len(groups) == (3 if written.of(kind) else 0)
    for (width, height, frames), entries in groups.items():
        batch = batched(entries)
        assert batch["latents"].shape == (len(entries), 16, (frames - 1) // 4 + 1, height // 8, width // 8)
        items = [by_file[entry.latents] for entry in entries]
        assert {item.bucket for item in items} == {(width, height, frames)}
        ours = load_batch(items, list(batch))
        assert set(batch) == {"latents", "t5" if written.family == "wan" else "vl_embed"}
        for key, theirs in batch.items():
            ragged = isinstance(theirs, list)
            assert ragged == (key != "latents")
            for mine, other in zip(ours[key], theirs, strict=True):
                np.testing.assert_array_equal(mine.float().numpy(), other)


@pytest.mark.parametrize("kind", ["image", "clip"])
def test_headers_and_tensor_names_are_as_it_writes_them(written: Written, kind: str) -> None:
    for entry in entries_of(written, kind):
        metadata, tensors = read_file(entry.latents)
        assert all(isinstance(value, str) for value in metadata.values())
        assert (metadata["architecture"], metadata["format_version"]) == (written.full_name, "1.0.1")
        assert (int(metadata["width"]), int(metadata["height"])) == entry.size
        assert metadata.get("frame_count") == (None if entry.frames is None else str(entry.frames))
        ((name, (dtype, values)),) = tensors.items()
        assert name == f"latents_{'x'.join(map(str, values.shape[1:]))}_{TORCH_NAMES[dtype]}"
        assert np.isfinite(values).all()
        metadata, tensors = read_file(entry.text)
        assert (metadata["architecture"], metadata["format_version"]) == (written.full_name, "1.0.1")
        assert metadata["caption1"] == next(item.caption for item in written.items if item.text_cache == entry.text)
        ((name, (dtype, values)),) = tensors.items()
        assert name.startswith("varlen_")
        assert name.endswith(f"_{TORCH_NAMES[dtype]}")
        assert values.ndim == 2
        assert len(values) > 0


def test_the_header_of_a_touched_source_was_renewed_and_still_reads(written: Written) -> None:
    """Renewing copies the tensors and pads the header; the file is read like any other."""
    item = written.items[0]
    metadata, tensors = read_file(item.latent_cache)
    first_pass = json.loads(metadata["mtui_source"])["mtime_ns"]
    assert first_pass < item.path.stat().st_mtime_ns  # touched once more after the second pass
    assert first_pass > written.items[1].path.stat().st_mtime_ns
    assert len(tensors) == 1
