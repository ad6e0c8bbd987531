"""``data show``: every cut and caption of an item, and what would become of its cache files, judged as the cache stage judges them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.data import Item
from engine.data.cache_files import read_header
from engine.data.contexts import latent_context, text_context
from engine.data.provenance import latent_metadata, text_metadata
from engine.data.variants import cuts, with_variants
from engine.families import get_family
from musubi_tui.cli.root import run
from musubi_tui.datasets.board import MISSING, PRESENT, make_rows
from musubi_tui.datasets.cells import crop_of, draw_item
from musubi_tui.datasets.opening import open_dataset, scan_opened
from tests.unit.test_data_scan import picture

WAN = get_family("wan")
LATENTS, TEXT = latent_context(None, WAN, WAN.task(None)), text_context(None, WAN, WAN.task(None))


def write(item: Item) -> None:
    """The cache files of every cut and caption, as the cache stages write them."""
    for one in with_variants([item]):
        one.latent_cache.parent.mkdir(exist_ok=True)
        channels, *sides = WAN.latent_shape(*one.bucket)
        key = "latents_" + "x".join(map(str, sides)) + "_bfloat16"
        latents = torch.zeros(channels, *sides, dtype=torch.bfloat16)
        save_file({key: latents}, one.latent_cache, latent_metadata(one, LATENTS))
        save_file({"varlen_t5_bfloat16": torch.zeros(2, 8)}, one.text_cache, text_metadata(one, TEXT))


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    picture(tmp_path / "pics/a.png", 320, 120, "one\ntwo")
    path = tmp_path / "dataset.toml"
    path.write_text(
        '[general]\nresolution = 96\ncaption_extension = ".txt"\n'
        '[[datasets]]\nimage_directory = "pics"\ncache_directory = "cache"\n'
    )
    return path


def vary(dataset: Path) -> None:
    keys = "multiple_captions = true\ncaption_dropout = 0.1\nflip = true\nrandom_crop = 2\n"
    dataset.write_text(dataset.read_text().replace("[[datasets]]", keys + "[[datasets]]"))


def only_item(dataset: Path) -> Item:
    (item,) = scan_opened(open_dataset(dataset, "wan")).items
    return item


def shown(dataset: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["data", "show", str(dataset), "a", "--family", "wan", "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def told(dataset: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert run(["data", "show", str(dataset), "a", "--family", "wan", "--width", "40"]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_cut_and_caption_is_listed_with_its_state(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vary(dataset)
    item = only_item(dataset)
    write(item)
    facts = shown(dataset, capsys)
    assert [part["latent_cache"] for part in facts["parts"]] == [str(view.cache) for view in item.views]
    assert [part["mirrored"] for part in facts["parts"]] == [False, True, False, True]
    assert {part["latents"] for part in facts["parts"]} == {text["text"] for text in facts["texts"]} == {"current"}
    assert [text["caption"] for text in facts["texts"]] == ["one", "two", ""]

    item.views[1].cache.unlink()
    item.texts[1].cache.unlink()
    lines = told(dataset, capsys)
    cut = [line for line in lines if line.startswith("cut  ")]
    assert [line.endswith("latents current") for line in cut] == [True, False, True, True]
    assert cut[1].endswith("mirrored: latents missing")
    assert any(line.startswith("or ") and "two" in line and "text missing" in line for line in lines)
    assert any("no caption, in 10% of the draws  (text current)" in line for line in lines)


def test_what_is_drawn_is_a_cut_that_is_trained(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vary(dataset)
    item = only_item(dataset)
    (first, *_) = item.views
    part = shown(dataset, capsys)["parts"][0]
    crop = crop_of((320, 120), item.bucket[:2], first.crop)
    assert part["crop"]["left"] == pytest.approx(crop.left, abs=1e-4)
    drawn = draw_item(cuts(item)[0], 40, 14, colour=False)
    assert drawn != draw_item(item, 40, 14, colour=False)  # the centre is not among them
    lines = told(dataset, capsys)
    assert "".join(cell.text for cell in drawn.rows[3]).rstrip() in [line.rstrip() for line in lines]


def test_a_verdict_is_the_one_of_the_cache_stage(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = only_item(dataset)
    assert any("latents missing, text missing" in line for line in told(dataset, capsys))
    write(item)
    assert any("latents current, text current" in line for line in told(dataset, capsys))
    os.utime(item.path, (5, 5))
    assert shown(dataset, capsys)["parts"][0]["latents"] == "current"
    picture(item.path, 320, 120, "one\nthree")
    assert any(
        "latents stale (the source changed), text stale (the caption changed)" in line for line in told(dataset, capsys)
    )
    write(only_item(dataset))
    foreign = {key: value for key, value in read_header(item.latent_cache).metadata.items() if key[:4] != "mtui"}
    save_file(load_file(item.latent_cache), item.latent_cache, foreign)
    assert any("latents made by another tool, used as it is, text current" in line for line in told(dataset, capsys))
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(item.path).save(item.path, exif=exif)
    assert "upright" in shown(dataset, capsys)["parts"][0]["latents_reason"]
    item.text_cache.write_bytes(item.text_cache.read_bytes()[:-1])
    assert shown(dataset, capsys)["texts"][0]["text"] == "stale"


def test_a_preset_is_judged_by_its_own_model_files(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vae = dataset.with_name("vae.safetensors")
    save_file({"a": torch.zeros(8)}, vae)
    write(only_item(dataset))
    preset = dataset.with_name("preset.toml")
    preset.write_text(
        f'family = "wan"\ndataset_config = "dataset.toml"\ndit = "none.safetensors"\nvae = "{vae}"\nvae_dtype = "bfloat16"\n'
    )
    assert run(["data", "show", str(preset), "a", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parts"][0]["latents_reason"] == "made with another VAE file"
    assert facts["texts"][0]["text"] == "current"
    vae.unlink()  # not on this machine: it is not compared
    assert run(["data", "show", str(preset), "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"][0]["latents"] == "current"


def test_rows_of_the_app_have_every_cut_and_caption(dataset: Path) -> None:
    vary(dataset)
    item, opened = only_item(dataset), open_dataset(dataset, "wan")
    write(item)
    rows = make_rows(opened, scan_opened(opened))
    again = rows.item(0, opened)
    assert again is not None
    assert (again.views, again.texts, again.no_text) == (item.views, item.texts, item.no_text)
    assert (rows.latents[0], rows.texts[0]) == (PRESENT, PRESENT)
    item.views[3].cache.unlink()
    item.texts[1].cache.unlink()
    rows = make_rows(opened, scan_opened(opened))
    assert (rows.latents[0], rows.texts[0]) == (MISSING, MISSING)


def test_an_item_of_two_datasets_is_told_of_each_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pics").mkdir()
    picture(tmp_path / "pics" / "a.png", 90, 60)
    (tmp_path / "list.jsonl").write_text(json.dumps({"image_path": str(tmp_path / "pics" / "a.png"), "caption": "one"}))
    file = tmp_path / "set.toml"
    file.write_text(
        '[general]\ncaption_extension = ".txt"\n[[datasets]]\nimage_directory = "pics"\nresolution = [96, 64]\n'
        '[[datasets]]\nimage_jsonl_file = "list.jsonl"\ncache_directory = "c"\nresolution = [64, 64]\n'
    )
    assert run(["data", "show", str(file), "a", "--family", "wan", "--width", "8"]) == 0
    out = capsys.readouterr().out
    assert "trained   pics: 90x60 -> 96x64, 24 tokens" in out
    assert "trained   list.jsonl: 90x60 -> 64x64, 16 tokens" in out
    assert run(["data", "show", str(file), "b.png", "--family", "wan"]) == 2
    assert "Did you mean a.png?" in capsys.readouterr().err
