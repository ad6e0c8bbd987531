"""The reference's cache files, made again: same names, headers and numbers from the same weights and the same picture.

Recorded: the picture of a temple (scikit-learn's china.jpg) through tiny random encoders in the released layouts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.data.cache_files import clip_latent_name, image_latent_name, parse_latent_name
from engine.data.items import Bucket, Item
from engine.data.provenance import CacheContext, latent_metadata, latents_state
from engine.encode import encode_latents, encode_text
from engine.encode.store import latents_key
from engine.families import get_family
from engine.families.family import FamilySpec
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


def test_the_references_own_files_are_used_as_they_are(made: tuple[str, Item], tmp_path: Path) -> None:
    """A cache without our header: adopted with a notice, not encoded again, not touched."""
    family, item = made
    prefix = CASES[family][0]
    latent = tmp_path / item.latent_cache.name
    latent.write_bytes((CACHES / f"{prefix}__{latent.name}").read_bytes())
    before = latent.stat().st_mtime_ns
    from dataclasses import replace

    job = RecordingJob(get_family(family), {"vae": item.path.parent / f"{CASES[family][1]}.safetensors"})
    encode_latents(job, job.spec.load_model(), [replace(item, latent_cache=latent)], device=torch.device("cpu"))
    assert [code for code, _ in job.warnings] == ["foreign_cache"]
    assert latent.stat().st_mtime_ns == before


def _assert_close(ours: torch.Tensor, recorded: torch.Tensor, *, relative: float) -> None:
    a, b = ours.float().flatten().numpy(), recorded.float().flatten().numpy()
    assert a.shape == b.shape
    assert float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)) > 0.9995
    assert float(np.linalg.norm(a - b) / np.linalg.norm(b)) < relative


RECORDED = json.loads((DATA / "cache_files.json").read_text())


@pytest.mark.parametrize(("group", "family"), [("wan_img", "wan"), ("wan_vid", "wan"), ("qwen", "qwen_image")])
def test_every_recorded_file_is_named_keyed_and_headed_alike_and_adopted(
    group: str, family: str, tmp_path: Path
) -> None:
    """Pictures and clips: what the reference wrote, we would write so, and would use as it is."""
    spec = get_family(family)
    context = CacheContext(spec, spec.task(None))
    for name, entry in RECORDED[group].items():
        if name.endswith("_te.safetensors"):
            continue
        item = recorded_item(name, spec, tmp_path)
        ((key, (dtype, shape)),) = entry["tensors"].items()
        expected = spec.latent_shape(*item.bucket)
        assert list(expected) == shape
        latents = torch.zeros(expected, dtype=getattr(torch, spec.latents_dtype))
        assert latents_key(latents) == key
        metadata = latent_metadata(item, context, {"size": 0})
        assert {field: value for field, value in metadata.items() if not field.startswith("mtui_")} == entry["metadata"]
        save_file({key: latents}, item.latent_cache, entry["metadata"])
        assert latents_state(item, context).state == "foreign", dtype


def recorded_item(name: str, spec: FamilySpec, folder: Path) -> Item:
    """The item of a recorded latent file; sizes of pictures follow from the recorded latents."""
    cache_id = spec.task(None).cache_id
    clip = parse_latent_name(name, cache_id, clip=True)
    found = clip or parse_latent_name(name, cache_id, clip=False)
    assert found is not None
    group = next(entries for entries in RECORDED.values() if name in entries)
    ((_, (_, shape)),) = group[name]["tensors"].items()
    size = (shape[-1] * spec.spatial_stride, shape[-2] * spec.spatial_stride)
    bucket = Bucket(found.width, found.height, clip.frames) if clip else Bucket(*size)
    assert (bucket.width, bucket.height) == size
    made = clip_latent_name(found.stem, found.start, bucket, cache_id) if clip else image_latent_name(found.stem, found.width, found.height, cache_id)  # fmt: skip
    assert made == name
    return Item(
        id=name, dataset=0, name=found.stem, path=folder / found.stem, caption="", width=found.width, height=found.height,
        kind="clip" if clip else "image", start=found.start, bucket=bucket, latent_cache=folder / name,
        text_cache=folder / "t", repeats=1, batch_size=1,
    )  # fmt: skip
