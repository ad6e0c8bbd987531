"""Dataset files of the reference's own runs: they parse, and give the same cache files, buckets and control sizes.

``data/dataset_files.json`` holds each file with the names and latent tensors of the caches the reference wrote for it; all of it is
compared, but for what docs/golden.md lists. The pictures here are blank ones of the same sizes: only sizes, names and captions matter.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.data import Item, read_dataset_config, scan
from engine.families import FamilySpec, TaskSpec, get_family
from tests.golden.architectures import UNBUILT, architecture
from tests.golden.recorded import recorded

RECORDED = json.loads((Path(__file__).parent / "data" / "dataset_files.json").read_text(encoding="utf-8"))
SIZES = {
    "img1": (640, 427), "img2": (640, 427), "ctl1": (640, 427), "ctl2": (451, 300), "ctl_multi/china_0": (640, 427),
    "ctl_multi/china_1": (300, 400), "ctl_alpha": (640, 427), "layered": (640, 427),
}  # fmt: skip
FAMILIES = {
    "wan": ("wan", None),
    "qwen_bs2": ("qwen_image", None),
    "qwen_edit": ("qwen_image", "edit-2509"),
    "qwen_layered": ("qwen_image", "layered"),
    "hv": ("hv", None),
    "flux": ("fk", None),
    "fp": ("fp", None),
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    for name in RECORDED["media"]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        key = f"{path.parent.name}/{path.stem}"
        if path.suffix == ".png" and path.parent.parent.name == "data2":
            Image.new("RGB", SIZES.get(key) or SIZES[path.parent.name]).save(path)
        elif path.suffix == ".mp4" and path.parent.parent.name == "data2":
            _video(path, 640, 272, 81)
        elif name in RECORDED["captions"]:
            path.write_text(RECORDED["captions"][name], encoding="utf-8")
    return root


def _video(path: Path, width: int, height: int, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        black = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
        for _ in range(frames):
            container.mux(stream.encode(black))
        container.mux(stream.encode())


def _family(case: str) -> tuple[FamilySpec, TaskSpec]:
    found = next((FAMILIES[start] for start in sorted(FAMILIES, reverse=True) if case.startswith(start)), None)
    assert found is not None
    if found[0] in UNBUILT:
        return architecture(found[0])
    spec = get_family(found[0])
    return spec, spec.task(found[1])


def test_files_of_the_reference_give_its_caches(media: Path) -> None:
    captions = {}
    with recorded("dataset_files.json") as table:
        assert len(table["media"]) > len(table["captions"])
        for case in table["cases"]:
            spec, task = _family(case)
            file = media / f"{case}.toml"
            file.write_text(table["cases"][case]["toml"].replace("MEDIA", str(media)), encoding="utf-8")
            found = scan(read_dataset_config(file, base_dir=media, spec=spec), spec, task)
            assert not found.skipped
            assert found.items
            captions |= {str(item.path.relative_to(media).with_suffix(".txt")): item.caption for item in found.items}
            files = table["cases"][case]["files"]
            if not files or table.differs(case):
                continue
            latents = {name: files[name] for name in files if not name.endswith("_te.safetensors")}
            assert {item.latent_cache.name for item in found.items} == set(latents), case
            assert {item.text_cache.name for item in found.items} == {
                name for name in files if not latents.get(name)
            }, case
            assert not any(files[name] for name in files if name not in latents)  # no latents in a text cache
            for item in found.items:
                _same_sizes(
                    item, next(tensors for name, tensors in latents.items() if name.startswith(f"{item.name}_"))
                )
        written = {name: text.strip() for name, text in table["captions"].items()}
        assert written == captions


def _same_sizes(item: Item, tensors: list[str]) -> None:
    """The recorded latents are an eighth of the bucket's sides, and so are those of the controls."""
    main = [name for name in tensors if not name.startswith("latents_control")]
    controls = [name for name in tensors if name.startswith("latents_control")]
    assert [_cells(name) for name in main] == [(item.bucket.height // 8, item.bucket.width // 8)]
    if controls:
        assert [_cells(name) for name in controls] == [(c.bucket[1] // 8, c.bucket[0] // 8) for c in item.controls]
    frames = re.search(r"_(\d+)x\d+x\d+_", main[0])
    assert frames is not None
    counted = int(frames[1])
    one_frame = 1 + len(item.controls)  # Wan's one-frame caches hold the controls and the target
    assert counted in ((item.bucket.frames - 1) // 4 + 1, 1 + len(item.targets), one_frame)


def _cells(name: str) -> tuple[int, int]:
    found = re.search(r"(\d+)x(\d+)_[a-z0-9]+$", name)
    assert found is not None
    return int(found[1]), int(found[2])
