"""The cache stages on a tiny set-up: what is encoded, what is left alone, and what happens when it goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from engine.config.problems import ConfigError, MissingRequirement, UserError
from engine.data import Item, fingerprints, read_dataset_config, read_pixels, scan
from engine.data.cache_files import read_header
from engine.encode import encode_latents, encode_text, latents, store
from engine.families import get_family
from engine.job import Interrupted
from engine.testing import TinySet, make_tiny
from tests.unit.recording_job import RecordingJob

CPU = torch.device("cpu")
SPEC = get_family("wan")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    return make_tiny("wan", tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny(made: TinySet, tmp_path: Path) -> Path:
    """A copy whose pictures, captions and caches may be changed: four pictures and a clip."""
    for folder in ("pictures", "clips"):
        kept = sorted((made.data / folder).iterdir())[: 8 if folder == "pictures" else 2]
        (tmp_path / "data" / folder).mkdir(parents=True)
        for file in kept:
            shutil.copyfile(file, tmp_path / "data" / folder / file.name)
    shutil.copyfile(made.dataset, tmp_path / "dataset.toml")
    return tmp_path


def options(made: TinySet, **changes: Any) -> dict[str, Any]:
    models = {"vae": made.models / "Wan2.1_VAE.pth", "t5": made.models / "models_t5_umt5-xxl-enc-bf16.pth"}
    return {**models, "vae_dtype": "fp32", **changes}  # a CPU convolves in bf16 at an eighth of the speed


def items_of(folder: Path) -> tuple[Item, ...]:
    dataset = read_dataset_config(folder / "dataset.toml", base_dir=folder, spec=SPEC)
    return scan(dataset, SPEC, SPEC.task(None)).items


class CountingModel:
    """The family's model, counting what it is asked to encode; may be told to give NaN."""

    def __init__(self, *, broken: bool = False) -> None:
        self.model: Any = SPEC.load_model()
        self.latents: list[tuple[int, ...]] = []
        self.captions: list[str] = []
        self.loaded: list[str] = []
        self.broken = broken

    def tokenizer_files(self, paths: dict[str, Path], **how: Any) -> list[Path]:
        files: list[Path] = self.model.tokenizer_files(paths, **how)
        return files

    def load_vae(self, path: Path, **how: Any) -> Any:
        self.loaded.append(path.name)
        return self.model.load_vae(path, **how)

    def load_text_encoder(self, paths: dict[str, Path], **how: Any) -> Any:
        self.loaded += [path.name for path in paths.values()]
        encoder, captions = self.model.load_text_encoder(paths, **how), self.captions

        class Counting:
            ragged = encoder.ragged
            token_count = staticmethod(encoder.token_count)

            @staticmethod
            def encode(texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
                captions.extend(texts)
                encoded: list[dict[str, torch.Tensor]] = encoder.encode(texts)
                return encoded

        return Counting()

    def encode_latents(self, vae: Any, pixels: torch.Tensor) -> torch.Tensor:
        self.latents.append(tuple(pixels.shape))
        latents: torch.Tensor = self.model.encode_latents(vae, pixels)
        return latents * float("nan") if self.broken else latents


def run(folder: Path, made: TinySet, **changes: Any) -> tuple[CountingModel, RecordingJob]:
    model, job = CountingModel(), RecordingJob(SPEC, options(made, **changes))
    encode_latents(job, model, items_of(folder), device=CPU)
    encode_text(job, model, items_of(folder), device=CPU)
    return model, job


def test_each_item_is_encoded_once_and_only_once(tiny: Path, made: TinySet) -> None:
    model, job = run(tiny, made)
    assert len(model.latents) == 5
    assert len(model.captions) == 5
    assert job.progress[-1] == (5, 5)
    assert job.warnings == []
    for item in items_of(tiny):
        ((name, latents),) = load_file(item.latent_cache).items()
        assert latents.shape == SPEC.latent_shape(*item.bucket)
        assert latents.dtype == torch.bfloat16
        assert name == "latents_{}x{}x{}_bfloat16".format(*latents.shape[1:])
        assert list(load_file(item.text_cache)) == ["varlen_t5_bfloat16"]
    assert not left_behind(tiny)

    again, job = run(tiny, made)
    assert again.loaded == []  # not even the encoders were read
    assert [code for code, _ in job.warnings] == ["cache_current", "cache_current"]
    assert "5 of 5" in job.warnings[0][1]


def test_only_what_changed_is_encoded_again(tiny: Path, made: TinySet) -> None:
    run(tiny, made)
    (tiny / "data/pictures/brick.txt").write_text("another description\n")
    shutil.copyfile(tiny / "data/pictures/astronaut.png", tiny / "data/pictures/chelsea.png")
    shutil.copyfile(tiny / "data/pictures/chelsea.png", tiny / "data/pictures/new.png")
    (tiny / "data/pictures/new.txt").write_text("a new picture\n")
    model, _ = run(tiny, made)
    assert len(model.latents) == 2
    assert sorted(model.captions) == ["a new picture", "another description"]


def test_a_touched_picture_is_hashed_once_and_not_at_every_start(
    tiny: Path, made: TinySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny, made)
    item = items_of(tiny)[0]
    before, others = load_file(item.latent_cache), [i.latent_cache.stat().st_ino for i in items_of(tiny)[1:]]
    os.utime(item.path, (5, 5))
    model, _ = run(tiny, made)
    assert model.latents == []
    after = load_file(item.latent_cache)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [i.latent_cache.stat().st_ino for i in items_of(tiny)[1:]] == others
    assert left_behind(tiny) == []

    def hashed(path: Path) -> str:
        raise AssertionError(f"{path} was read again")

    fingerprints.hash_of.cache_clear()
    monkeypatch.setattr(fingerprints, "file_hash", hashed)
    items, job = items_of(tiny), RecordingJob(SPEC, options(made))
    assert encode_latents(job, CountingModel(), items, device=CPU) == ()  # type: ignore[arg-type]
    monkeypatch.undo()
    shutil.copyfile(items_of(tiny)[1].path, item.path)  # and a picture that did change is seen all the same
    assert len(run(tiny, made)[0].latents) == 1


def test_a_header_that_cannot_be_renewed_stops_nothing(
    tiny: Path, made: TinySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny, made)
    os.utime(items_of(tiny)[0].path, (5, 5))

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(store, "_write_whole", refused)
    model, job = run(tiny, made)
    assert model.latents == []
    assert [code for code, _ in job.warnings] == ["cache_current", "cache_current"]


def test_encoders_side_by_side_give_what_the_plain_loop_gives(
    tiny: Path, made: TinySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for count in (1, 4):
        monkeypatch.setattr(latents, "readers_here", lambda *_, count=count: count)
        items, job = items_of(tiny), RecordingJob(SPEC, options(made))
        encode_latents(job, CountingModel(), items, device=CPU)  # type: ignore[arg-type]
        told = [read_header(item.latent_cache).metadata for item in items]
        files.append(([load_file(item.latent_cache) for item in items], told))
        for item in items:
            item.latent_cache.unlink()
    (one, one_told), (four, four_told) = files
    assert one_told == four_told
    vae = SPEC.load_model().load_vae(made.models / "Wan2.1_VAE.pth", device=CPU, dtype=torch.float32)
    for item, a, b in zip(items, one, four, strict=True):
        pixels = torch.from_numpy(read_pixels(item)).permute(3, 0, 1, 2)[None].to(torch.float32) / 127.5 - 1
        with torch.inference_mode():
            plain = SPEC.load_model().encode_latents(vae, pixels)[0].to(torch.bfloat16)
        assert [torch.equal(tensor, plain) for cached in (a, b) for tensor in cached.values()] == [True, True]


def test_another_tokenizer_makes_text_stale(tiny: Path, made: TinySet) -> None:
    words = tiny / "words"
    shutil.copytree(
        made.models, words, ignore=lambda _, names: [n for n in names if n.endswith((".pth", ".safetensors"))]
    )
    run(tiny, made, tokenizer=words)
    model, _ = run(tiny, made, tokenizer=words)
    assert model.captions == []
    (file,) = [path for path in words.rglob("*") if path.name in ("tokenizer.json", "spiece.model")]
    stamp = file.stat()
    content = file.read_bytes()
    file.write_bytes(content + (b" " if file.suffix == ".json" else b"\x00\x00"))
    assert file.stat().st_size != stamp.st_size
    model, _ = run(tiny, made, tokenizer=words)
    assert model.captions
    assert model.latents == []


def test_equal_captions_are_encoded_once(tiny: Path, made: TinySet) -> None:
    for caption in (tiny / "data/pictures").glob("*.txt"):
        caption.write_text("the same words\n")
    model, _ = run(tiny, made)
    assert model.captions.count("the same words") == 1
    assert all(item.text_cache.exists() for item in items_of(tiny))


def test_a_request_to_stop_is_heard_between_items(tiny: Path, made: TinySet) -> None:
    items, job, model = items_of(tiny), RecordingJob(SPEC, options(made)), CountingModel()
    job.stop_when = lambda: len(model.latents) >= 2
    with pytest.raises(Interrupted):
        encode_latents(job, model, items, device=CPU)
    written = len([item for item in items if item.latent_cache.exists()])
    assert written == len(model.latents)  # what was encoded is on disk
    assert 2 <= written < 5
    assert not left_behind(tiny)
    model, _ = run(tiny, made)
    assert len(model.latents) == 5 - written  # the next run goes on where this one stopped


def left_behind(folder: Path) -> list[str]:
    """Claims and half files that should be gone."""
    return [path.name for path in folder.rglob(".mtui-*")]


def test_nan_names_the_item_and_leaves_nothing(tiny: Path, made: TinySet) -> None:
    items = items_of(tiny)
    with pytest.raises(UserError) as raised:
        encode_latents(RecordingJob(SPEC, options(made)), CountingModel(broken=True), items, device=CPU)
    assert raised.value.problems[0].code == "not_finite"
    assert raised.value.problems[0].file == str(items[0].path)
    assert not list(tiny.rglob("*.safetensors"))


def test_a_damaged_picture_names_itself(tiny: Path, made: TinySet) -> None:
    items = items_of(tiny)
    damaged = items[1].path
    damaged.write_bytes(damaged.read_bytes()[:3000])
    with pytest.raises(UserError) as raised:
        encode_latents(RecordingJob(SPEC, options(made)), CountingModel(), items, device=CPU)
    assert raised.value.problems[0].file == str(damaged)
    assert not items[1].latent_cache.exists()


def test_a_cut_off_cache_file_is_made_again(tiny: Path, made: TinySet) -> None:
    run(tiny, made)
    item = items_of(tiny)[0]
    item.latent_cache.write_bytes(item.latent_cache.read_bytes()[:-10])
    model, _ = run(tiny, made)
    assert len(model.latents) == 1


def test_another_tools_file_that_no_longer_fits_is_set_aside(tiny: Path, made: TinySet) -> None:
    item = items_of(tiny)[0]
    item.latent_cache.parent.mkdir(parents=True)
    foreign = {"latents_1x2x2_bfloat16": torch.zeros(16, 1, 2, 2, dtype=torch.bfloat16)}
    save_file(foreign, item.latent_cache, metadata={"architecture": "wan", "format_version": "1.0.1"})
    _, job = run(tiny, made)
    assert "cache_set_aside" in [code for code, _ in job.warnings]
    kept = item.latent_cache.with_name(item.latent_cache.name + ".old")
    assert list(load_file(kept)) == list(foreign)
    with safe_open(item.latent_cache, "pt") as file:
        assert "mtui_version" in file.metadata()


def test_what_was_set_aside_before_is_never_overwritten(tiny: Path, made: TinySet) -> None:
    item = items_of(tiny)[0]
    item.latent_cache.parent.mkdir(parents=True)
    for value in (1.0, 2.0, 3.0):
        foreign = {"latents_1x2x2_bfloat16": torch.full((16, 1, 2, 2), value, dtype=torch.bfloat16)}
        save_file(foreign, item.latent_cache, metadata={"architecture": "wan", "format_version": "1.0.1"})
        run(tiny, made)
    kept = [item.latent_cache.with_name(item.latent_cache.name + ending) for ending in (".old", ".old-2", ".old-3")]
    assert [load_file(path)["latents_1x2x2_bfloat16"].max().item() for path in kept] == [1.0, 2.0, 3.0]


def test_a_torn_file_is_kept_and_not_called_another_tools(tiny: Path, made: TinySet) -> None:
    run(tiny, made)
    item = items_of(tiny)[0]
    torn = item.latent_cache.read_bytes()[:-10]
    item.latent_cache.write_bytes(torn)
    _, job = run(tiny, made)
    (said,) = [text for code, text in job.warnings if code == "cache_set_aside"]
    assert "1 latent file is damaged" in said
    assert "another tool" not in said
    assert item.latent_cache.with_name(item.latent_cache.name + ".old").read_bytes() == torn


def test_captions_beyond_the_limit_are_told(tiny: Path, made: TinySet) -> None:
    (tiny / "data/pictures/brick.txt").write_text("bricks and more bricks " * 200)
    _, job = run(tiny, made)
    assert [code for code, _ in job.warnings] == ["caption_cut"]
    item = next(item for item in items_of(tiny) if item.name == "brick")
    assert load_file(item.text_cache)["varlen_t5_bfloat16"].shape[0] == SPEC.token_limit


@pytest.mark.parametrize(("stage", "option"), [(encode_latents, "vae"), (encode_text, "t5")])
def test_a_missing_option_is_named_when_it_is_needed(stage: Any, option: str, tiny: Path, made: TinySet) -> None:
    job = RecordingJob(SPEC, options(made, **{option: None}))
    with pytest.raises(ConfigError) as raised:
        stage(job, CountingModel(), items_of(tiny), device=CPU)
    assert raised.value.problems[0].key == option


def test_a_disk_that_fills_in_the_middle_says_so_and_leaves_no_half_file(
    tiny: Path, made: TinySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [6000]
    write = os.write

    def filling(handle: int, data: bytes | memoryview) -> int:
        if "/cache" not in os.readlink(f"/proc/self/fd/{handle}"):
            return write(handle, data)
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(handle, data[: room[0]])  # a disk takes what fits
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(MissingRequirement) as raised:
        run(tiny, made)
    assert raised.value.problems[0].code == "no_space"
    assert raised.value.exit_code == 3
    monkeypatch.undo()
    files = list(tiny.rglob("*.safetensors"))
    for file in files:
        load_file(file)
    assert not left_behind(tiny)
    model, _ = run(tiny, made)
    assert len(model.latents) == 5 - len(files)  # the interrupted job continues
    assert len(files) > 0
