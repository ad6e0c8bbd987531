"""Cache files: what is current, stale, foreign or damaged; the reference's own files train here without their pictures."""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.config import language
from engine.config.problems import UserError
from engine.data import BatchPlan, Item, fingerprints, read_dataset_config, scan
from engine.data.cache_check import check_caches
from engine.data.cache_files import DamagedCache, read_header
from engine.data.fingerprints import encoder_fingerprint, file_hash
from engine.data.items import Control, Scan
from engine.data.loader import Loader, load_batch
from engine.data.provenance import (
    CacheContext,
    latent_metadata,
    latents_state,
    text_metadata,
    text_state,
)
from engine.data.variants import with_variants
from engine.encode.store import restamp
from engine.families import get_family
from musubi_tui.cli.root import run as command_line
from tests.unit.test_data_scan import picture, turn_in_header, video

WAN = get_family("wan")
GOLDEN = Path(__file__).parent.parent / "golden" / "data" / "cache"
CONTEXT = CacheContext(WAN, WAN.task(None), {"size": 1, "sha256": "ab"}, {"dtype": "bfloat16"})


def items_in(folder: Path, resolution: int = 64, batch_size: int = 1) -> Scan:
    tables = {
        "general": {
            "resolution": resolution,
            "enable_bucket": True,
            "caption_extension": ".txt",
            "batch_size": batch_size,
        },
        "datasets": [{"image_directory": str(folder), "cache_directory": str(folder / "cache")}],
    }
    return scan(read_dataset_config(tables, base_dir=folder, spec=WAN), WAN, WAN.task(None))


def write_caches(item: Item, context: CacheContext = CONTEXT, tokens: int = 3) -> None:
    item.latent_cache.parent.mkdir(parents=True, exist_ok=True)
    item.text_cache.parent.mkdir(parents=True, exist_ok=True)
    channels, frames, height, width = WAN.latent_shape(*item.bucket)
    latents = torch.full((channels, frames, height, width), 1.0, dtype=torch.bfloat16)
    save_file(
        {f"latents_{frames}x{height}x{width}_bfloat16": latents}, item.latent_cache, latent_metadata(item, context)
    )
    text = torch.zeros(tokens, 8, dtype=torch.bfloat16)
    save_file({"varlen_t5_bfloat16": text}, item.text_cache, text_metadata(item, context))


@pytest.fixture
def item(tmp_path: Path) -> Item:
    picture(tmp_path / "a.png")
    (found,) = items_in(tmp_path).items
    return found


def test_headers_carry_the_keys_of_both(item: Item) -> None:
    write_caches(item)
    header = read_header(item.latent_cache).metadata
    assert {k: v for k, v in header.items() if not k.startswith("mtui")} == {
        "architecture": "wan",
        "width": "64",
        "height": "48",
        "format_version": "1.0.1",
    }
    assert set(json.loads(header["mtui_source"])) == {"size", "mtime_ns", "sha256"}
    assert header["mtui_encoder"] == '{"sha256":"ab","size":1}'
    assert read_header(item.text_cache).metadata["caption1"] == "a picture"


def test_missing_then_current(item: Item) -> None:
    assert (latents_state(item, CONTEXT).state, text_state(item, CONTEXT).state) == ("missing", "missing")
    write_caches(item)
    assert (latents_state(item, CONTEXT).state, text_state(item, CONTEXT).state) == ("current", "current")
    assert latents_state(item, replace(CONTEXT, encoder=None)).usable


def test_only_what_changed_is_stale(item: Item) -> None:
    write_caches(item)
    other = replace(item, caption="another")
    assert latents_state(other, CONTEXT).state == "current"
    assert "caption" in text_state(other, CONTEXT).reason

    resized = replace(item, bucket=item.bucket._replace(width=128))
    assert latents_state(resized, CONTEXT).state == "stale"
    assert text_state(resized, CONTEXT).state == "current"

    other_vae = replace(CONTEXT, encoder={"size": 2, "sha256": "cd"})
    assert latents_state(item, other_vae).reason == "made with another VAE file"
    assert text_state(item, other_vae).reason == "made with another text encoder file"
    assert "dtype" in latents_state(item, replace(CONTEXT, settings={"dtype": "float32"})).reason
    assert latents_state(item, replace(CONTEXT, settings={"dtype": "float32"})).ours


def test_what_changed_is_said_in_the_words_of_the_dataset_from_what_to_what(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = {"resolution": [64, 64], "extraction": "head"}
    context = replace(CONTEXT, noted={0: noted})
    clip = replace(item, kind="clip", bucket=item.bucket._replace(frames=9), target_fps=16.0)
    write_caches(clip, context=context)

    def reason(changed: Item = clip, **now: object) -> str:
        state = latents_state(changed, replace(context, noted={0: {**noted, **now}}))
        assert state.state == ("stale" if state.reason else "current")
        return state.reason

    wide = clip.bucket._replace(width=96)
    assert reason() == ""
    assert reason(replace(clip, bucket=wide), resolution=[96, 96]) == "resolution changed from 64x64 to 96x96"
    assert reason(replace(clip, bucket=wide)) == "the size that is trained changed from 64x64 to 96x64"
    assert reason(resolution=[96, 96]) == ""  # the item is trained as before
    longer = replace(clip, bucket=clip.bucket._replace(frames=13))
    assert reason(longer) == "the number of frames in a clip changed from 9 to 13"
    later = replace(clip, start=4, source_fps=30.0)
    assert reason(later, extraction="uniform") == (
        "frame_extraction changed from head to uniform and "
        "the frame rate the video is read with changed from unset to 30"
    )
    assert reason(replace(clip, flip=True)) == "it is mirrored now"
    monkeypatch.setattr(language, "language", lambda: "ja")
    assert reason(replace(clip, target_fps=24.0)) == "学習するフレームレートが 16 から 24 に変わった"


def test_latents_of_another_size_that_do_not_say_what_they_were_made_from(item: Item) -> None:
    write_caches(item)
    larger = replace(item, bucket=item.bucket._replace(width=128), cached_only=True)
    assert latents_state(larger, CONTEXT).reason == "it was made for 64x64, and 128x64 is trained now"
    clip = replace(item, kind="clip", bucket=item.bucket._replace(frames=9), cached_only=True)
    assert latents_state(clip, CONTEXT).reason == "it was made for 1 frame, and clips of 9 frames are trained now"


def test_a_touched_picture_is_hashed_and_a_changed_one_is_stale(item: Item) -> None:
    write_caches(item)
    os.utime(item.path, ns=(1, 1))
    assert latents_state(item, CONTEXT).state == "current"
    picture(item.path)
    assert "source" in latents_state(item, CONTEXT).reason


@pytest.mark.parametrize("cut", [0, 5, 30, -1])
def test_a_cut_off_cache_is_stale_and_not_ours_to_delete(item: Item, cut: int) -> None:
    write_caches(item)
    data = item.latent_cache.read_bytes()
    item.latent_cache.write_bytes(data[:cut])
    state = latents_state(item, CONTEXT)
    assert state.state == "stale"
    assert not state.ours
    with pytest.raises(DamagedCache):
        read_header(item.latent_cache)
    assert [problem.code for problem in check_caches([item], WAN)] == ["damaged_cache"]
    with pytest.raises(UserError, match="cannot be read"):
        load_batch([item], WAN.batch_tensors)


def test_the_reference_s_files_are_foreign_and_used_when_they_fit(tmp_path: Path) -> None:
    picture(tmp_path / "china.png", 640, 427, "a chinese temple roof with trees and a blue sky")
    copy_golden(tmp_path / "cache")
    (found,) = items_in(tmp_path, 256).items
    assert found.latent_cache.name == "china_0640x0427_wan.safetensors"
    assert latents_state(found, CONTEXT).state == "foreign"
    assert text_state(found, CONTEXT).state == "foreign"
    assert text_state(replace(found, caption="else"), CONTEXT).state == "stale"
    assert latents_state(items_in(tmp_path, 512).items[0], CONTEXT).state == "stale"


def copy_golden(folder: Path) -> None:
    folder.mkdir()
    for path in GOLDEN.glob("wan_*.safetensors"):
        shutil.copy(path, folder / path.name.split("__")[1])


def test_a_folder_that_does_not_exist_is_said_first_when_old_caches_would_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_golden(tmp_path / "cache")
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(
        '[general]\nresolution = 256\nenable_bucket = true\ncaption_extension = ".txt"\n'
        '[[datasets]]\nimage_directory = "pcis"\ncache_directory = "cache"\n'
    )
    for command in ("doctor", "scan", "buckets"):
        assert command_line(["data", command, str(dataset), "--family", "wan"]) == 0  # allowed, as in Musubi Tuner
        captured = capsys.readouterr()
        told = captured.out if command == "doctor" else captured.err
        assert f"folder does not exist: {tmp_path / 'pcis'}. 1 old item from the cache files" in told
        assert "Nothing wrong" not in captured.out


def test_the_reference_s_files_train_without_their_pictures(tmp_path: Path) -> None:
    copy_golden(tmp_path / "cache")
    found = items_in(tmp_path, 256)
    (only,) = found.items
    assert only.cached_only
    assert only.caption == "a chinese temple roof with trees and a blue sky"
    assert [warning.code for warning in found.warnings] == ["from_caches"]
    assert {skipped.code for skipped in found.skipped} == {"missing_text_cache"}  # the clip, whose text is not there
    assert check_caches(found.items, WAN) == []
    batch = load_batch([only], WAN.batch_tensors)
    latents, text = batch["latents"], batch["t5"]
    assert isinstance(latents, torch.Tensor)
    assert latents.shape == (1, 16, 1, 26, 38)
    assert latents.dtype == torch.bfloat16
    assert isinstance(text, list)
    assert text[0].shape == (27, 4096)
    assert torch.equal(latents[0], load_file(only.latent_cache)["latents_1x26x38_bfloat16"])
    with pytest.raises(UserError, match=r"without a text cache \(1\), cached at another size \(1\)"):
        items_in(tmp_path, 512)


def test_leftovers_are_named_and_not_trained(tmp_path: Path) -> None:
    copy_golden(tmp_path / "cache")
    picture(tmp_path / "a.png")
    found = items_in(tmp_path)
    assert [item.name for item in found.items] == ["a"]
    assert "unused_caches" in {warning.code for warning in found.warnings}


def test_caches_that_do_not_fit_are_found_by_name_before_the_first_step(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    items = items_in(tmp_path, batch_size=3).items
    for item in items:
        write_caches(item)
    assert check_caches(items, WAN) == []
    odd = replace(items[1], bucket=items[1].bucket._replace(width=96))
    write_caches(odd)
    (problem,) = check_caches(items, WAN)
    assert problem.code == "wrong_cache_size"
    assert problem.file == str(items[1].latent_cache)
    assert "it was made for 96x64, and 64x64 is trained now." in problem.message
    with pytest.raises(UserError, match="a, b, c do not fit"):
        load_batch(items, WAN.batch_tensors)
    items[0].text_cache.unlink()
    assert {p.code for p in check_caches(items, WAN)} == {"missing_cache", "wrong_cache_size"}


def test_pictures_stored_without_the_frame_axis_train_beside_the_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    items = items_in(tmp_path, batch_size=2).items
    for item in items:
        write_caches(item)
    (name, latents), *_ = load_file(items[0].latent_cache).items()
    save_file({name: latents[:, 0]}, items[0].latent_cache, dict(read_header(items[0].latent_cache).metadata))
    assert latents_state(items[0], CONTEXT).state == "current"
    assert check_caches(items, WAN) == []
    assert load_batch(items, WAN.batch_tensors)["latents"].shape == (2, *WAN.latent_shape(*items[0].bucket))


def rewrite(path: Path, extra: dict[str, torch.Tensor], *, without: str = "", **metadata: str) -> None:
    """The same file with more or fewer tensors and other words in its header."""
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != without}
    save_file({**tensors, **extra}, path, {**read_header(path).metadata, **metadata})


def foreign(path: Path) -> None:
    """As if Musubi Tuner had made it."""
    kept = {key: value for key, value in read_header(path).metadata.items() if not key.startswith("mtui")}
    save_file(load_file(path), path, kept)


def test_tensors_that_the_model_is_not_given_stop_no_batch(tmp_path: Path) -> None:
    """Musubi Tuner's latents for image to video beside those of text to video, which share their names."""
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    items = items_in(tmp_path, batch_size=3).items
    for item in items:
        write_caches(item)
    more = {"latents_image_1x6x8_bfloat16": torch.zeros(20, 1, 6, 8), "clip_bfloat16": torch.zeros(257, 1280)}
    rewrite(items[0].latent_cache, more)
    rewrite(items[1].latent_cache, {"clip_bfloat16": torch.zeros(1, 7)})
    assert check_caches(items, WAN) == []
    assert load_batch(items, WAN.batch_tensors).keys() == {"latents", "t5"}
    with Loader(BatchPlan(items, seed=1), WAN.batch_tensors) as loader:
        assert next(loader).tensors.keys() == {"latents", "t5"}


def test_a_cache_that_lacks_what_the_model_is_given_is_encoded_again_and_found_before_the_first_step(
    tmp_path: Path,
) -> None:
    for name in ("a", "b", "c", "d"):
        picture(tmp_path / f"{name}.png", caption=name)
    items = items_in(tmp_path, batch_size=4).items
    for item in items:
        write_caches(item)
    others = {"varlen_vl_embed_bfloat16": torch.zeros(3, 8)}
    for number in (0, 1):
        rewrite(items[number].text_cache, others, without="varlen_t5_bfloat16")
    foreign(items[1].text_cache)
    rewrite(
        items[2].latent_cache,
        {"clip_bfloat16": torch.zeros(1, 7)},
        without=next(iter(load_file(items[2].latent_cache))),
    )
    rewrite(items[3].text_cache, {"varlen_t5_bfloat16": torch.zeros(3, 16)})  # of an encoder of another width
    for number in (0, 1):
        state = text_state(items[number], CONTEXT)
        assert (state.state, state.reason) == ("stale", "it holds no t5")
    assert latents_state(items[2], CONTEXT).state == "stale"
    told = {(problem.code, Path(problem.file or "")) for problem in check_caches(items, WAN)}
    assert told == {
        ("incomplete_cache", items[0].text_cache),
        ("incomplete_cache", items[1].text_cache),
        ("incomplete_cache", items[2].latent_cache),
        ("mixed_caches", items[3].text_cache),
    }
    with pytest.raises(UserError, match="t5 differs"):
        load_batch(items[:2], ["t5"])


def test_a_file_of_another_version_is_not_believed_and_not_called_ours(item: Item) -> None:
    write_caches(item)
    for path, state_of in ((item.latent_cache, latents_state), (item.text_cache, text_state)):
        assert state_of(item, CONTEXT).state == "current"
        rewrite(path, {}, mtui_version="2")
        state = state_of(item, CONTEXT)
        assert (state.state, state.ours, state.reason) == ("stale", False, "made by another version of musubi-tui")


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_reference_s_caches_of_turned_pictures_are_made_again(tmp_path: Path, turn: int) -> None:
    """It does not look at the orientation; of a half turn, a mirrored or a square picture no size tells that."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "a.txt").write_text("a picture")
    (item,) = items_in(tmp_path).items
    write_caches(item)
    assert latents_state(item, CONTEXT).state == "current"  # ours were turned
    foreign(item.latent_cache)
    state = latents_state(item, CONTEXT)
    assert state.state == ("foreign" if turn == 1 else "stale")
    assert not state.ours


def test_the_reference_s_caches_of_turned_videos_are_made_again(tmp_path: Path) -> None:
    for name in ("plain", "turned"):
        video(tmp_path / f"{name}.mp4", 5, width=64, height=64)
    turn_in_header(tmp_path / "turned.mp4")
    entry = {"video_directory": ".", "cache_directory": "cache", "target_frames": [5]}
    tables = {"general": {"resolution": 64, "caption_extension": ".txt"}, "datasets": [entry]}
    clips = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None)).items
    for clip in clips:
        write_caches(clip)
        foreign(clip.latent_cache)
    assert [(clip.name, latents_state(clip, CONTEXT).state) for clip in clips] == [
        ("plain", "foreign"),
        ("turned", "stale"),
    ]


def test_controls_and_further_targets_belong_to_what_a_cache_is_made_of(item: Item, tmp_path: Path) -> None:
    before = latent_metadata(item, CONTEXT), text_metadata(item, CONTEXT)
    control, layer = picture(tmp_path / "control.png", caption=None), picture(tmp_path / "layer.png", caption=None)
    edit = replace(item, controls=(Control(control, 64, 48, (64, 48)),), targets=(layer,))
    assert {key: latent_metadata(edit, CONTEXT)[key] for key in before[0] if key != "mtui_settings"}.items() <= before[
        0
    ].items()
    write_caches(edit)

    def states() -> tuple[str, str]:
        return latents_state(edit, CONTEXT).state, text_state(edit, CONTEXT).state

    assert states() == ("current", "current")
    assert latents_state(item, CONTEXT).state == "stale"  # the same picture without them
    os.utime(control, (5, 5))
    touched = latents_state(edit, CONTEXT)
    assert (touched.state, set(touched.stamps or ())) == ("current", {"mtui_controls"})
    restamp(edit.latent_cache, touched.stamps or {}, tmp_path / "temporary")
    assert latents_state(edit, CONTEXT).stamps is None
    resized = replace(edit, controls=(edit.controls[0]._replace(bucket=(32, 32)),))
    assert latents_state(resized, CONTEXT).reason == "the control pictures are trained at another size"
    picture(layer, caption=None)
    assert states() == ("stale", "current")
    write_caches(edit)
    picture(control, caption=None)
    assert states() == ("stale", "stale")  # text encoders of edit models look at the controls
    write_caches(edit)
    control.unlink()
    assert latents_state(edit, CONTEXT).reason.startswith("control.png cannot be read")
    write_caches(item)
    assert (read_header(item.latent_cache).metadata, read_header(item.text_cache).metadata) == before


def test_latents_of_a_clip_need_their_frames(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (item,) = items_in(tmp_path).items
    write_caches(item)
    (name, latents), *_ = load_file(item.latent_cache).items()
    save_file({name: latents[:, 0]}, item.latent_cache)
    clip = replace(item, kind="clip", bucket=item.bucket._replace(frames=5))
    assert [problem.code for problem in check_caches([clip], WAN)] == ["wrong_cache_size"]


def test_fingerprints_of_encoders(tmp_path: Path) -> None:
    shards = [tmp_path / f"te-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, shard in enumerate(shards):
        save_file({"w": torch.full((64, 1024), float(number))}, shard)
    both = encoder_fingerprint([shards[0]])
    assert both == encoder_fingerprint([shards[1]]) == encoder_fingerprint([tmp_path])
    assert both["size"] == sum(shard.stat().st_size for shard in shards)
    save_file({"w": torch.full((64, 1024), 5.0)}, shards[1])
    assert encoder_fingerprint([shards[0]])["sha256"] != both["sha256"]
    with pytest.raises(UserError, match="not there"):
        encoder_fingerprint([tmp_path / "none.safetensors"])


# -- the loader


def loaded(tmp_path: Path) -> BatchPlan:
    for name in "abcde":
        picture(tmp_path / f"{name}.png")
    items = items_in(tmp_path, batch_size=2).items
    for number, item in enumerate(items):
        write_caches(item, tokens=number + 1)
    return BatchPlan(items, seed=3)


def test_the_loader_follows_the_plan_from_any_step(tmp_path: Path) -> None:
    plan = loaded(tmp_path)
    for start in (0, 4):
        with Loader(plan, WAN.batch_tensors, start) as loader:
            for step in range(start, start + 7):
                batch = next(loader)
                epoch, position, indices = plan.at(step)
                assert (batch.epoch, batch.position) == (epoch, position)
                assert batch.items == tuple(plan.items[index] for index in indices)
                text = batch.tensors["t5"]
                assert [len(rows) for rows in text] == [index + 1 for index in indices]
    assert "batch-loader" not in {thread.name for thread in threading.enumerate()}


def test_an_error_while_reading_comes_out_at_its_batch(tmp_path: Path) -> None:
    plan = loaded(tmp_path)
    plan.items[plan.at(1)[2][0]].latent_cache.unlink()
    with Loader(plan, WAN.batch_tensors) as loader:
        next(loader)
        with pytest.raises(UserError, match="cannot be read"):
            next(loader)
    assert "batch-loader" not in {thread.name for thread in threading.enumerate()}


def test_keys_that_cache_files_alone_cannot_serve_are_refused(tmp_path: Path) -> None:
    copy_golden(tmp_path / "cache")
    entry = {"image_directory": ".", "cache_directory": "cache"}

    def codes(**keys: object) -> list[str]:
        tables = {
            "general": {"resolution": 256, "enable_bucket": True, "caption_extension": ".txt"},
            "datasets": [{**entry, **keys}],
        }
        found = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None), strict=False)
        return [problem.code for problem in found.errors]

    assert codes() == codes(trigger_word="temple") == codes(loss_weight=0.5) == []
    for keys in (
        {"trigger_word": "ohwx"},
        {"flip": True},
        {"caption_dropout": 0.1},
        {"alpha_mask": True},
        {"tag_shuffle": 2},
    ):
        assert codes(**keys) == ["sources_gone"], keys


def test_frames_that_change_places_are_noticed(tmp_path: Path) -> None:
    frames = tmp_path / "clips/shot"
    frames.mkdir(parents=True)
    for number in range(5):
        picture(frames / f"{number}.png", 64, 64, None)
        os.utime(frames / f"{number}.png", (number, number))
    (tmp_path / "clips/shot.txt").write_text("a shot")
    entry = {"video_directory": "clips", "cache_directory": "cache", "target_frames": [5]}
    tables = {"general": {"resolution": 64, "caption_extension": ".txt"}, "datasets": [entry]}
    (clip,) = scan(read_dataset_config(tables, base_dir=tmp_path, spec=WAN), WAN, WAN.task(None)).items
    write_caches(clip)
    assert latents_state(clip, CONTEXT).state == "current"
    for frame in frames.iterdir():
        os.utime(frame, (9, 9))
    assert latents_state(clip, CONTEXT).state == "current"  # touched, and the same
    (frames / "0.png").rename(frames / "aside")
    (frames / "1.png").rename(frames / "0.png")
    (frames / "aside").rename(frames / "1.png")
    assert latents_state(clip, CONTEXT).state == "stale"


def test_a_touched_source_is_read_once_for_all_its_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    entry = {"image_directory": ".", "cache_directory": "cache", "flip": True, "resolution": [[64, 64], [96, 96]]}
    tables = {"general": {"caption_extension": ".txt"}, "datasets": [entry]}
    config = read_dataset_config(tables, base_dir=tmp_path, spec=WAN)
    cuts = list(with_variants(scan(config, WAN, WAN.task(None)).items))
    assert len(cuts) == 4
    for cut in cuts:
        write_caches(cut)
    os.utime(tmp_path / "a.png", (5, 5))
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_hash(path)

    monkeypatch.setattr(fingerprints, "file_hash", counted)
    assert {latents_state(cut, CONTEXT).state for cut in cuts} == {"current"}
    assert read == [tmp_path / "a.png"]
