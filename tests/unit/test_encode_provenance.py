"""What makes a cache stale: a table of changes, and exactly the files that each of them has encoded again. Nothing is decoded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from engine.data import Item, read_dataset_config, read_pixels, scan
from engine.data.cache_files import read_header
from engine.data.items import Item as ItemType
from engine.data.provenance import latents_state, text_state
from engine.encode import encode_latents, encode_text, latent_context, text_context
from engine.encode.work import judge
from engine.families import get_family
from engine.families.family import FamilySpec
from engine.testing import TinySet, make_tiny
from tests.unit.recording_job import Options, RecordingJob
from tests.unit.test_data_scan import picture, video
from tests.unit.test_encode_stages import CPU

SPEC = get_family("wan")
PICTURES, CLIPS = {"a", "b", "c"}, {"film@0-5", "film@0-9"}


@dataclass
class Bench:
    """A filled dataset in a folder of its own, and what is about to be compared with it."""

    folder: Path
    models: Path
    resolution: int = 64
    clips: dict[str, Any] = field(default_factory=lambda: {"target_frames": [5, 9]})
    changes: dict[str, Any] = field(default_factory=dict)
    spec: FamilySpec = SPEC
    change_item: Callable[[ItemType], ItemType] = lambda item: item

    def tables(self) -> dict[str, Any]:
        return {
            "general": {"resolution": self.resolution, "enable_bucket": True, "bucket_no_upscale": True, "caption_extension": ".txt"},
            "datasets": [
                {"image_directory": "pictures", "cache_directory": "cache/pictures"},
                {"video_directory": "clips", "cache_directory": "cache/clips", **self.clips},
            ],
        }  # fmt: skip

    def items(self) -> list[Item]:
        dataset = read_dataset_config(self.tables(), base_dir=self.folder, spec=SPEC)
        return [self.change_item(item) for item in scan(dataset, SPEC, SPEC.task(None)).items]

    def options(self) -> dict[str, Any]:
        files = {"vae": self.models / "Wan2.1_VAE.pth", "t5": self.models / "models_t5_umt5-xxl-enc-bf16.pth"}
        return {**files, "vae_dtype": "fp32", **self.changes}

    def fill(self) -> None:
        job, model = RecordingJob(SPEC, self.options()), SPEC.load_model()
        datasets = read_dataset_config(self.tables(), base_dir=self.folder, spec=SPEC).datasets
        encode_latents(job, model, self.items(), device=CPU, datasets=datasets)  # type: ignore[arg-type]
        encode_text(job, model, self.items(), device=CPU)  # type: ignore[arg-type]

    def stale(self) -> tuple[set[str], set[str]]:
        """Names of the items whose latents, and of those whose text would be encoded again."""
        config, items = Options(self.options()), self.items()
        model = SPEC.load_model()
        latents = latent_context(config, self.spec, SPEC.task(None))  # type: ignore[arg-type]
        text = text_context(config, self.spec, SPEC.task(None), model)  # type: ignore[arg-type]
        with nothing_is_opened():
            again = judge(items, lambda item: item.latent_cache, latents_state, latents)
            spoken = judge(items, lambda item: item.text_cache, text_state, text)
        return {_short(item) for item, _ in again.todo}, {item.name for item, _ in spoken.todo}


class Opened(BaseException):
    """No ``Exception``: what decoders raise is taken for a fault of the file."""


@contextmanager
def nothing_is_opened() -> Iterator[None]:
    """Opening a picture or a video is an error; reading a file's bytes, to hash them, is not."""

    def opened(file: object, *_: object, **__: object) -> None:
        raise Opened(f"{file} was opened")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "open", opened)
        patch.setattr(av, "open", opened)
        yield


def _short(item: Item) -> str:
    return item.name if item.kind == "image" else f"{item.name}@{item.start}-{item.bucket.frames}"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    tiny: TinySet = make_tiny("wan", tmp_path_factory.mktemp("tiny"))
    bench = Bench(tmp_path_factory.mktemp("data"), tiny.models)
    for folder in ("pictures", "clips"):
        (bench.folder / folder).mkdir()
    picture(bench.folder / "pictures/a.png", 48, 32, "a")  # smaller than the resolution: keeps its size
    picture(bench.folder / "pictures/b.png", 200, 100, "b")
    picture(bench.folder / "pictures/c.png", 200, 100, "b")
    video(bench.folder / "clips/film.mp4", 12)
    bench.fill()
    return bench


@pytest.fixture
def bench(filled: Bench, tmp_path: Path) -> Bench:
    """A copy that may be changed."""
    shutil.copytree(filled.folder, tmp_path / "data")
    models = tmp_path / "models"
    shutil.copytree(filled.models, models, copy_function=os.link)
    return Bench(tmp_path / "data", models)


def nothing(bench: Bench) -> None:
    pass


def touched(bench: Bench) -> None:
    os.utime(bench.folder / "pictures/a.png", (5, 5))


def caption(bench: Bench) -> None:
    (bench.folder / "pictures/b.txt").write_text("another")


def repainted(bench: Bench) -> None:
    picture(bench.folder / "pictures/b.png", 200, 100, "b")


def larger(bench: Bench) -> None:
    bench.resolution = 80


def longer(bench: Bench) -> None:
    bench.clips = {"target_frames": [5, 9], "frame_extraction": "chunk"}


def slower(bench: Bench) -> None:
    bench.clips = {"target_frames": [5, 9], "source_fps": 18.0}


def cropped(bench: Bench) -> None:
    bench.change_item = lambda item: replace(item, crop=(0.0, 0.5)) if item.name == "b" else item


def mirrored(bench: Bench) -> None:
    bench.change_item = lambda item: replace(item, flip=True) if item.name == "c" else item


def other_vae(bench: Bench) -> None:
    file = bench.models / "Wan2.1_VAE.pth"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.unlink()  # the original is linked here
    file.write_bytes(data)


def other_precision(bench: Bench) -> None:
    bench.changes["vae_dtype"] = "bf16"


def other_text_encoder(bench: Bench) -> None:
    file = bench.models / "models_t5_umt5-xxl-enc-bf16.pth"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(data)


def other_tokenizer_beside_the_weights(bench: Bench) -> None:
    (file,) = [path for path in bench.models.rglob("*") if path.name in ("tokenizer.json", "spiece.model")]
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data + b" ")


def the_same_tokenizer_by_option(bench: Bench) -> None:
    (file,) = [path for path in bench.models.rglob("*") if path.name in ("tokenizer.json", "spiece.model")]
    bench.changes["tokenizer"] = file.parent


def other_template(bench: Bench) -> None:
    bench.spec = replace(SPEC, caption_template="A picture of {}")


def no_models_at_hand(bench: Bench) -> None:
    bench.changes |= {"vae": None, "t5": None}


ALL_TEXT = {"a", "b", "c", "film"}


@pytest.mark.parametrize(
    ("change", "latents", "text"),
    [
        (nothing, set(), set()),
        (touched, set(), set()),
        (no_models_at_hand, set(), set()),
        (the_same_tokenizer_by_option, set(), set()),
        (caption, set(), {"b"}),
        (repainted, {"b"}, set()),
        (larger, {"b", "c"}, set()),  # the others keep their own size
        (longer, {"film@5-5"}, set()),
        (slower, CLIPS, set()),
        (cropped, {"b"}, set()),
        (mirrored, {"c"}, set()),
        (other_vae, PICTURES | CLIPS, set()),
        (other_precision, PICTURES | CLIPS, set()),
        (other_text_encoder, set(), ALL_TEXT),
        (other_tokenizer_beside_the_weights, set(), ALL_TEXT),
        (other_template, set(), ALL_TEXT),
    ],
)
def test_a_change_re_encodes_exactly_what_it_touches(
    bench: Bench, change: Callable[[Bench], None], latents: set[str], text: set[str]
) -> None:
    change(bench)
    assert bench.stale() == (latents, text)


def test_whoever_decodes_is_caught(filled: Bench) -> None:
    """The guard of the table above can fail."""
    for item in filled.items():
        with nothing_is_opened(), pytest.raises(Opened):
            read_pixels(item)


def test_the_header_says_what_a_file_was_made_for(filled: Bench) -> None:
    settings = {}
    for item in filled.items():
        settings[_short(item)] = json.loads(read_header(item.latent_cache).metadata["mtui_settings"])
    assert settings["b"] == {
        "bucket": [80, 48, 1], "crop": [0.5, 0.5], "flip": False, "resize": "lanczos-up area-down", "resolution": [64, 64],
        "stored_dtype": "bfloat16", "vae_dtype": "float32",
    }  # fmt: skip
    assert settings["film@0-5"].items() >= {"extraction": "head", "fps": 16.0, "source_fps": None, "start": 0}.items()
    text = json.loads(read_header(filled.items()[0].text_cache).metadata["mtui_settings"])
    assert text.keys() == {"dtype", "template", "token_limit", "tokenizer"}
