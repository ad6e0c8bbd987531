"""Where tokenizers are looked for, and what is said when there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from engine.config.problems import CheckpointError
from engine.data.tokens import open_counter
from engine.families import tokenizers
from engine.families.qwen_image.encoders import TOKENIZER as QWEN
from engine.families.tokenizers import load_tokenizer
from engine.families.wan.cleaning import clean
from engine.families.wan.encoders import TOKENIZER as UMT5
from engine.families.wan.encoders import Umt5
from engine.families.wan.spec import SPEC
from engine.testing.photographs import captions
from engine.testing.tiny_tokenizers import write_qwen_tokenizer, write_umt5_tokenizer
from musubi_tui.datasets.mending import shortened
from tests.golden.tiny_encoders import DATA


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_umt5_tokenizer(tmp_path / "umt5", captions(), size=200)
    write_qwen_tokenizer(tmp_path / "qwen", captions(), size=300)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty-hub"))


@pytest.mark.parametrize("place", ["google/umt5-xxl", "umt5-xxl", "tokenizer", "."])
def test_found_beside_the_weights(place: str, folder: Path, tmp_path: Path) -> None:
    weights = tmp_path / "models" / "t5.pth"
    target = weights.parent / place
    target.mkdir(parents=True)
    shutil.copyfile(folder / "umt5" / "tokenizer.json", target / "tokenizer.json")
    assert load_tokenizer(UMT5, option=None, weights=weights).ids("a cat")


def test_found_in_a_sibling_folder_of_an_official_download(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "repo" / "text_encoder").mkdir(parents=True)
    shutil.copytree(folder / "qwen", tmp_path / "repo" / "tokenizer")
    weights = tmp_path / "repo" / "text_encoder" / "model.safetensors"
    assert load_tokenizer(QWEN, option=None, weights=weights).ids("a cat")


@pytest.mark.parametrize("option", ["umt5", "umt5/tokenizer.json"])
def test_the_option_may_be_a_folder_or_a_file(option: str, folder: Path) -> None:
    assert load_tokenizer(UMT5, option=folder / option, weights=Path("t5.pth")).ids("a cat")


def test_sentencepiece_file_alone_is_enough() -> None:
    words = load_tokenizer(UMT5, option=DATA / "umt5" / "spiece.model", weights=Path("t5.pth"))
    assert words.ids("a cat")[-1] == 1  # </s>


def test_long_texts_are_cut_before_the_end_mark(folder: Path) -> None:
    words = load_tokenizer(UMT5, option=folder / "umt5", weights=Path("t5.pth"))
    whole, cut = words.ids("a cat on a table " * 50), words.ids("a cat on a table " * 50, 20)
    assert len(cut) == 20
    assert cut == [*whole[:19], whole[-1]]


@pytest.mark.parametrize("file", ["tokenizer.json", "spiece.model"])
def test_doctor_and_encoder_count_alike(file: str, folder: Path) -> None:
    place = DATA / "umt5" / file if file == "spiece.model" else folder / "umt5" / file
    words = load_tokenizer(UMT5, option=place, weights=Path("t5.pth"))
    encoder = Umt5(torch.nn.Identity(), words)
    count = open_counter(place, SPEC).count
    for caption in ("", "a cat", "a  cat &amp;\n\n a\tdog", "L&#39;\u00c3\u00a9t\u00c3\u00a9", "雪の上の狐 ㍍ " * 40):
        assert count(caption) == encoder.token_count(caption)
    cut = shortened("a cat on a table, and a dog " * 200, SPEC.token_limit, count)
    assert SPEC.token_limit - 30 < encoder.token_count(cut) <= SPEC.token_limit


def test_special_tokens_of_the_template_are_single_ids(folder: Path) -> None:
    words = load_tokenizer(QWEN, option=folder / "qwen", weights=Path("vl.safetensors"))
    assert len(words.ids("<|im_start|><|im_end|>")) == 2


def test_without_network_the_error_names_files_and_places(tmp_path: Path) -> None:
    weights = tmp_path / "models" / "t5.pth"
    with pytest.raises(CheckpointError) as raised:
        load_tokenizer(UMT5, option=None, weights=weights)
    problem = raised.value.problems[0]
    assert problem.code == "missing_tokenizer"
    assert str(weights.parent / "google/umt5-xxl") in problem.message
    assert "tokenizer.json" in problem.fix
    assert "google/umt5-xxl" in problem.fix


def test_a_wrong_option_is_not_replaced_by_something_else(folder: Path, tmp_path: Path) -> None:
    """The user said where: what lies elsewhere is not taken in silence."""
    shutil.copytree(folder / "umt5", tmp_path / "models" / "tokenizer")
    with pytest.raises(CheckpointError) as raised:
        load_tokenizer(UMT5, option=tmp_path / "nowhere", weights=tmp_path / "models" / "t5.pth")
    assert raised.value.problems[0].file == str(tmp_path / "nowhere")


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": ')
    with pytest.raises(CheckpointError) as raised:
        load_tokenizer(UMT5, option=tmp_path, weights=Path("t5.pth"))
    assert raised.value.problems[0].code == "bad_tokenizer"


def test_the_hub_cache_is_asked_before_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def download(repository: str, name: str, *, subfolder: str | None, local_files_only: bool) -> str:
        asked.append(local_files_only)
        if local_files_only:
            raise OSError("not cached")
        return str(folder / "umt5" / name)

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert tokenizers.load_tokenizer(UMT5, option=None, weights=Path("nowhere/t5.pth")).ids("a cat")
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  two\n lines\t here ", "two lines here"),
        ("it&amp;#39;s", "it's"),
        ("cafÃ©", "café"),
        ("日本語 の 猫", "日本語 の 猫"),
    ],
)
def test_wan_captions_are_cleaned_as_its_encoder_was_trained(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
