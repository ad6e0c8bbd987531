"""``models check``: what is here, told by contents, what is whole, and what any file is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from musubi_tui.cli.root import run
from tests.unit.test_planner import small_wan, write_header
from tests.unit.wizard_set import VAE_NAMES, write_models, write_pth


@pytest.fixture(autouse=True)
def _nothing_but_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("COMFYUI_PATH", "HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)


def checked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert run(["models", "check", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    (task,) = found["tasks"]
    return {one["option"]: one["state"] for one in task["files"]}


WAN = ("--family", "wan", "--task", "t2v-1.3B")


def test_a_whole_set_under_names_that_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"))
    found = checked(capsys, *WAN)
    assert states(found) == {"dit": "ok", "vae": "ok", "t5": "ok", "tokenizer": "later"}
    (task,) = found["tasks"]
    assert task["complete"]
    assert task["tiny"]
    assert {Path(one["path"]).name for one in task["files"] if one["path"]} == {"a.safetensors", "b.pth", "c.pth"}
    assert not any(
        task["complete"] for task in checked(capsys, "--task", "t2v-14B", code=3)["tasks"]
    )  # a toy is no 14B


def test_what_is_missing_is_named_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"), only=("dit",))
    assert run(["models", "check", *WAN]) == 3
    out, err = capsys.readouterr()
    assert "✓ dit" in out
    assert "– vae          missing: Wan2.1_VAE.pth, huggingface.co/Wan-AI/Wan2.1-T2V-14B, 0.5 GB" in out
    assert "models download --family wan --task t2v-1.3B" in err
    assert all(not task["complete"] for task in checked(capsys, code=3)["tasks"])  # every family and task


def test_a_file_that_is_cut_off_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"))
    whole = Path("models/a.safetensors")
    cut = Path("models/wan2.1_t2v_1.3B_bf16.safetensors")
    cut.write_bytes(whole.read_bytes()[:-10])
    whole.unlink()
    found = checked(capsys, *WAN, code=3)
    assert states(found)["dit"] == "damaged"
    told = next(one for one in found["tasks"][0]["files"] if one["option"] == "dit")
    assert told["path"].endswith(cut.name)
    assert "bytes" in told["wrong"]
    assert checked(capsys, str(cut), code=2)["files"][0]["wrong"]
    Path("models/x.pth").write_bytes(b"PK\3\4 half a download")
    assert "cut off" in checked(capsys, "models/x.pth", code=2)["files"][0]["wrong"]


def test_a_model_in_parts_needs_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"), only=("vae", "t5"))
    write_header(Path("models/dit-00001-of-00002.safetensors"), {"blocks.0.self_attn.q.weight": (256, 256), **small_wan()})  # fmt: skip
    found = checked(capsys, *WAN, code=3)
    assert states(found)["dit"] == "damaged"
    assert "1 of 2 parts are missing" in found["tasks"][0]["files"][0]["wrong"]
    write_header(Path("models/dit-00002-of-00002.safetensors"), {"head.modulation": (1, 2, 256)})
    assert states(checked(capsys, *WAN))["dit"] == "ok"
    Path("models/dit-00002-of-00002.safetensors").write_bytes(b"torn")
    assert states(checked(capsys, *WAN, code=3))["dit"] == "damaged"


def test_any_file_is_told_by_what_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    write_pth(Path("unknown.pth"), VAE_NAMES)
    write_pth(Path("lora.pth"), ("lora_unet_blocks_0.lora_down.weight",))
    (vae,) = checked(capsys, "unknown.pth")["files"]
    assert "VAE" in vae["what"]
    assert {(one["family"], one["option"]) for one in vae["serves"]} == {("wan", "vae"), ("qwen_image", "vae")}
    (lora,) = checked(capsys, "lora.pth", code=2)["files"]
    assert "LoRA" in lora["what"]
    assert lora["serves"] == []
    assert run(["models", "check", "unknown.pth"]) == 0
    assert "serves as vae of Wan 2.1" in capsys.readouterr().out


def test_a_toys_tokenizer_goes_with_the_toy_alone(capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"))
    Path("models/google/umt5-xxl").mkdir(parents=True)
    assert states(checked(capsys, *WAN))["tokenizer"] == "ok"
    assert states(checked(capsys, "--task", "t2v-14B", code=3))["tokenizer"] == "later"
    Path("notes.txt").write_text("x")
    assert "no model file" in checked(capsys, "notes.txt", code=2)["files"][0]["wrong"]


def test_a_folder_is_looked_in_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_models(Path("models"))
    write_models(tmp_path / "far", only=("vae",))
    assert states(checked(capsys, str(tmp_path / "far"), *WAN, code=3)) == {"dit": "missing", "vae": "missing", "t5": "missing", "tokenizer": "later"}  # fmt: skip
    write_models(tmp_path / "far")
    assert set(states(checked(capsys, str(tmp_path / "far"), *WAN)).values()) == {"ok", "later"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "no such file"),
        (("--family", "wann"), "Did you mean 'wan'"),
        (("--family", "wan", "--task", "t2v-900B"), "There are: t2v-1.3B"),
        (("--task", "i2v-14B"), "cannot be trained in this release"),
    ],
)
def test_wrong_words(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "check", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_list_parts_what_is_needed_from_what_serves_instead(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--family", "wan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("28.6 GB  wan2.1_t2v_14B_bf16.safetensors  for t2v-14B, t2i-14B" in line for line in lines)
    assert any("2.8 GB  wan2.1_t2v_1.3B_bf16.safetensors  for t2v-1.3B" in line for line in lines)
    assert any(line.strip() == "or wan_2.1_vae.safetensors" for line in lines)
    assert max(map(len, lines)) <= 80
