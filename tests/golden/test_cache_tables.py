"""Every cache file of the reference's runs: the same media through our scan give the same names, headers, sizes and batch keys.

The media are blank ones of the same names, sizes and lengths. What encoders put into the files is compared in
``test_cache_golden.py`` for the families that are built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.data import read_dataset_config, scan
from engine.data.cache_files import batch_key, read_header
from engine.data.items import Item
from engine.data.loader import load_batch
from engine.data.provenance import CacheContext, latent_metadata, latents_state, text_metadata, text_state
from engine.encode.store import latents_key, text_key
from engine.families import FamilySpec, TaskSpec
from tests.golden.architectures import UNBUILT, architecture
from tests.golden.recorded import Ledger, Recorded, recorded

VIDEOS = {"bikes": (640, 272, 250), "bigbuckbunny": (1280, 720, 132), "carphone_pristine": (176, 144, 120)}
_TWO_OF_EACH = {"target_frames": [1, 9, 17], "frame_extraction": "uniform", "frame_sample": 2, "source_fps": 25.0}
_HEAD = {"target_frames": [17], "source_fps": 25.0}
_PIECES = {"target_frames": [17], "frame_extraction": "chunk", "source_fps": 25.0}
_SECTIONS: dict[str, Any] = {"target_frames": [73]}
# Cache id and keys of the runs that wrote each group, and the batch keys of latents and text. True: a list of tensors.
WAN = {"latents": False, "t5": True}
HUNYUAN = {"latents": False, "llm": False, "llm_mask": False, "clipL": False, "clipL_mask": False}
QWEN = {"latents": False, "vl_embed": True}
FRAMEPACK = dict.fromkeys(
    ["latents", "latents_clean", "latents_clean_2x", "latents_clean_4x", "latent_indices", "clean_latent_indices",
     "clean_latent_2x_indices", "clean_latent_4x_indices", "image_embeddings", "llama_vec", "llama_attention_mask",
     "clip_l_pooler"],
    False,
)  # fmt: skip
GROUPS: dict[str, tuple[str, dict[str, Any], dict[str, bool]]] = {
    "wan_img": ("wan", {}, WAN),
    "wan_vid": ("wan", _TWO_OF_EACH, WAN),
    "wan_i2v": ("wan", _HEAD, {**WAN, "latents_image": False}),
    "qwen": ("qi", {}, QWEN),
    "qwen_edit": ("qie", {"control_directory": "."}, {**QWEN, "latents_control_0": False}),
    "flux": (
        "fk",
        {"control_directory": "."},
        dict.fromkeys(["latents", "latents_control", "t5_vec", "clip_l_pooler"], False),
    ),
    "hv_img": ("hv", {}, HUNYUAN),
    "hv_vid": ("hv", _PIECES, HUNYUAN),
    "fpack": ("fp", _SECTIONS, FRAMEPACK),
    "fpack32": ("fp", _SECTIONS, FRAMEPACK),
    "fpack_f1": ("fp", _SECTIONS, FRAMEPACK),
}
DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "BOOL": torch.bool,
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, (width, height, frames) in VIDEOS.items():
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            black = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
            for _ in range(frames):
                container.mux(stream.encode(black))
            container.mux(stream.encode())
    return folder


def test_every_recorded_cache_file(videos: Path, tmp_path: Path) -> None:
    with recorded("cache_files.json") as table:
        assert table["qwen_edit2511"] == {}
        assert set(GROUPS) | {"qwen_edit2511"} == set(table)
        for group, (cache_id, _, keys) in GROUPS.items():
            assert table.differs(f"encoders of {group}") == (cache_id in UNBUILT or group in ("qwen_edit", "wan_i2v"))
            spec, task = architecture(cache_id)
            folder = tmp_path / group
            items = scanned(group, table[group], folder, videos)
            latents = {name: entry for name, entry in table[group].items() if not name.endswith("_te.safetensors")}
            texts = {name: table[group][name] for name in table[group] if name not in latents}
            assert {item.text_cache.name for item in items} == set(texts)
            whole = {_without_section(name, table) for name in latents}
            stems = {item.name for item in items if item.latent_cache.name in whole}
            assert {item.latent_cache.name for item in items if item.name in stems} == whole, group
            for item in items:
                _same_text(item, texts[item.text_cache.name], spec, task)
                files = [
                    entry for name, entry in latents.items() if _without_section(name, table) == item.latent_cache.name
                ]
                for entry in files:
                    _same_latents(item, entry, spec, task, table)
                if files:
                    assert keys_of(item) == keys


def scanned(group: str, files: Recorded, folder: Path, videos: Path) -> tuple[Item, ...]:
    """The items of media of the names and sizes that the file names tell."""
    cache_id, keys, _ = GROUPS[group]
    spec, task = architecture(cache_id)
    folder.mkdir()
    clips = "target_frames" in keys
    for name in files:
        text = re.fullmatch(rf"(.+)_{cache_id}_te\.safetensors", name)
        picture = re.fullmatch(rf"(.+)_(\d{{4}})x(\d{{4}})_{cache_id}\.safetensors", name)
        if text:
            (folder / f"{text[1]}.txt").write_text(files[name]["metadata"]["caption1"] + "\n", encoding="utf-8")
            if clips:
                (folder / f"{text[1]}.mp4").symlink_to(videos / f"{text[1]}.mp4")
        elif picture and not clips:
            Image.new("RGB", (int(picture[2]), int(picture[3]))).save(folder / f"{picture[1]}.png")
    entry: dict[str, Any] = {"video_directory" if clips else "image_directory": ".", "cache_directory": "cache", **keys}
    general = {
        "resolution": [192, 128] if clips else [256, 256],
        "enable_bucket": True,
        "caption_extension": ".txt",
    }
    config = read_dataset_config({"general": general, "datasets": [entry]}, base_dir=folder, spec=spec)
    (folder / "cache").mkdir()
    return scan(config, spec, task).items


def _without_section(name: str, table: Ledger) -> str:
    """The name of a clip's file: FramePack writes one for each of its sections, with its number behind the frames."""
    found = re.fullmatch(r"(.+_\d{5}-\d{3})-\d{4}(_.+_fp\.safetensors)", name)
    assert (found is None) or table.differs("the section in FramePack's names")
    return name if found is None else found[1] + found[2]


def _same_text(item: Item, entry: Recorded, spec: FamilySpec, task: TaskSpec) -> None:
    context = CacheContext(spec, task)
    assert _theirs(text_metadata(item, context)) == entry["metadata"]
    tensors = dict(_zeros(entry["tensors"]))
    for name, tensor in tensors.items():
        key, ragged = batch_key(name)
        assert text_key(key, tensor, ragged=ragged) == name
    save_file(tensors, item.text_cache, entry["metadata"].plain())
    assert text_state(item, context).state == "foreign"


def _same_latents(item: Item, entry: Recorded, spec: FamilySpec, task: TaskSpec, table: Ledger) -> None:
    context = CacheContext(spec, task)
    assert _theirs(latent_metadata(item, context, {"mtui_source": {"size": 0}})) == entry["metadata"]
    tensors = dict(_zeros(entry["tensors"]))
    expected = spec.latent_shape(*item.bucket)
    cells = "{}x{}x{}".format(*((9, *expected[2:]) if task.cache_id == "fp" else expected[1:]))
    for name, tensor in tensors.items():
        key, ragged = batch_key(name)
        if key == "latents":
            assert name.split("_")[1] == cells
            frames = tensor if tensor.dim() == 4 else tensor[:, None]
            assert latents_key(frames) == name
            assert (tensor.dim() == 3) == (task.cache_id == "fk" and table.differs("pictures of FLUX without frames"))
        elif key.startswith("latents"):
            assert name == f"{key}_{cells}_{str(tensor.dtype).removeprefix('torch.')}"
        else:
            made = text_key(key, tensor, ragged=ragged)
            assert made == name or table.differs(f"the dtype in {name}")
    assert [control.bucket for control in item.controls] == [item.bucket[:2] for key in tensors if "control" in key]
    save_file(tensors, item.latent_cache, entry["metadata"].plain())
    if task.cache_id == "fp":
        assert table.differs("the section in FramePack's names")
    else:
        assert latents_state(item, context).state == "foreign"


def _theirs(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if not name.startswith("mtui_")}


def _zeros(tensors: Recorded) -> Iterator[tuple[str, torch.Tensor]]:
    for name in tensors:
        dtype, shape = tensors[name]
        yield name, torch.zeros(shape, dtype=DTYPES[dtype])


def keys_of(item: Item) -> dict[str, bool]:
    """The batch keys of an item's two files, as training reads them, and whether each is a list of tensors."""
    names = [name for path in (item.latent_cache, item.text_cache) for name in read_header(path).tensors]
    batch = load_batch([item], [batch_key(name)[0] for name in names])
    return {key: isinstance(value, list) for key, value in batch.items()}
