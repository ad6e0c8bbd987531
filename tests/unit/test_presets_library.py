"""The library and its commands: found in every kind of install, listed in a blink, shipped presets without a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from engine.config import check_config, load_config, preset_folders
from engine.config.problems import UserError
from engine.config.schema import OPTIONS
from musubi_tui.cli.root import run
from musubi_tui.presets import library
from musubi_tui.presets.comparing import differences, resolve
from musubi_tui.presets.copying import copy_preset

SHIPPED = sorted(preset_folders.presets_root().glob("*.toml"))
OURS = 'family = "wan"\ndit = "d"\ndataset_config = "x.toml"\n'


def test_presets_ship_for_every_family() -> None:
    from engine.families import family_names

    assert {preset.family for preset in library.list_presets()} == set(family_names())
    assert all(preset.title and preset.task for preset in library.list_presets())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_presets_have_no_fault_but_files_that_are_not_here(path: Path) -> None:
    found = check_config(path)
    assert [problem for problem in found if problem.code != "missing_file"] == []
    assert load_config(path).warnings == ()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_line_of_a_shipped_preset_is_explained(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if " = " in line and not line.startswith("#"):
            assert len(line.partition("# ")[2]) > 8, line
        assert len(line) <= 140


def test_presets_are_found_beside_the_package_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "engine" / "config").mkdir(parents=True)
    monkeypatch.setattr(preset_folders, "__file__", str(site / "engine" / "config" / "preset_folders.py"))
    assert preset_folders.presets_root() == site / "presets"
    (site / "musubi_tui" / "_presets").mkdir(parents=True)
    assert preset_folders.presets_root() == site / "musubi_tui" / "_presets"


def test_own_presets_come_first_and_hide_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "musubi-tui" / "presets"
    own.mkdir(parents=True)
    (own / f"{SHIPPED[0].stem}.toml").write_text("# Mine\n" + OURS)
    (own / "broken.toml").write_bytes(b"\xff = ")
    listed = library.list_presets()
    assert [(p.name, p.origin, p.readable) for p in listed[:2]] == [
        ("broken", "own", False),
        (SHIPPED[0].stem, "own", True),
    ]
    assert sum(preset.name == SHIPPED[0].stem for preset in listed) == 1
    assert library.find_preset(SHIPPED[0].stem) == own / f"{SHIPPED[0].stem}.toml"


def test_names_and_paths_are_found(tmp_path: Path) -> None:
    name = SHIPPED[0].stem
    assert library.find_preset(name) == library.find_preset(f"{name}.toml") == SHIPPED[0]
    assert library.find_preset(str(tmp_path / "new.toml")) == tmp_path / "new.toml", "checking says that it is missing"
    with pytest.raises(UserError, match=f"Did you mean {name}"):
        library.find_preset(name[:-1])


def test_listing_loads_no_schema() -> None:
    code = (
        "import sys; from musubi_tui.cli.root import run; run(['presets', 'list', '--json'])\n"
        "heavy = [m for m in ('engine.config.schema', 'engine.config.sections', 'torch', 'tomlkit', 'tree_sitter') if m in sys.modules]\n"
        "print(heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"
    assert {entry["name"] for entry in json.loads(done.stdout)} >= {path.stem for path in SHIPPED}


def test_check_prints_what_programs_rely_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text(OURS + "learning_rat = 1\nfp8_base = true\n")
    assert run(["presets", "check", str(path), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"ok", "errors", "warnings"}
    assert report["ok"] is False
    unknown = next(entry for entry in report["errors"] if entry["key"] == "learning_rat")
    assert {"file", "line", "column", "key", "message", "fix"} <= set(unknown)
    assert (unknown["file"], unknown["line"], unknown["column"]) == (str(path), 4, 1)
    assert unknown["fix"] == "Did you mean learning_rate?"
    assert [entry["key"] for entry in report["warnings"]] == ["fp8_base"]


def test_check_of_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "check", "nothing-like-it", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert report["errors"][0]["code"] == "missing_file"
    assert run(["presets", "check", "/no/such/file.toml"]) == 2
    assert "error: /no/such/file.toml: there is no such file." in capsys.readouterr().err


def test_check_of_a_good_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("d", "v", "t"):
        (tmp_path / name).touch()
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "pictures" / "a.txt").write_text("a picture")
    path = tmp_path / "p.toml"
    path.write_text(
        'family = "wan"\ndit = "d"\nvae = "v"\nt5 = "t"\n[general]\ncaption_extension = ".txt"\n[[datasets]]\nimage_directory = "pictures"\n'
    )
    assert run(["presets", "check", str(path)]) == 0
    assert "ok: nothing to complain about." in capsys.readouterr().err
    path.write_text(path.read_text().replace('vae = "v"\n', ""))
    assert run(["presets", "check", str(path)]) == 2
    assert (
        f"error: {path}: vae is not set: the Wan 2.1 VAE, which encodes what is not cached yet."
        in capsys.readouterr().err
    )


def test_check_looks_into_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("d", "v", "t"):
        (tmp_path / name).touch()
    path = tmp_path / "p.toml"
    path.write_text(
        'family = "wan"\ndit = "d"\nvae = "v"\nt5 = "t"\n[general]\ncaption_extension = ".txt"\n[[datasets]]\nimage_directory = "pictures"\n'
    )
    assert run(["presets", "check", str(path)]) == 2
    assert (
        f"error: {path}:8:1: the dataset's folder does not exist: {tmp_path / 'pictures'}." in capsys.readouterr().err
    )
    (tmp_path / "pictures").mkdir()
    assert run(["presets", "check", str(path)]) == 2
    assert "there is nothing to train" in capsys.readouterr().err
    for number in range(25):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(b"no picture")
        (tmp_path / "pictures" / f"{number}.txt").write_text("a picture")
    assert run(["presets", "check", str(path), "--json"]) == 2
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert [error["code"] for error in errors].count("unreadable_image") == 20
    assert "5 more files" in next(error["message"] for error in errors if error["code"] == "more_problems")


def test_what_is_no_text_is_not_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.toml").write_bytes(b"\xff\xfe\x00\x80")
    assert run(["presets", "copy", str(tmp_path / "p.toml"), str(tmp_path / "q.toml")]) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err
    assert not (tmp_path / "q.toml").exists()


def test_train_takes_the_names_that_check_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "wan-2.1-1.3b-t2v-16gb", "--dry-run"]) == 2
    assert "wan-2.1-1.3b-t2v-16gb.toml:19:1: dit: there is no" in capsys.readouterr().err
    assert run(["train", "no-such-preset"]) == 2
    assert "See: musubi-tui presets list" in capsys.readouterr().err


def test_set_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text(OURS)
    assert run(["presets", "set", str(path), "seed=7", "dit=e"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{path}:2: seed: (unset) -> 7", f'{path}:3: dit: "d" -> "e"']
    assert run(["presets", "set", str(path), "seed=7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(path), "changes": []}
    assert run(["presets", "set", str(path), "seed"]) == 2
    assert "'seed' is not of the form key=value." in capsys.readouterr().err
    assert run(["presets", "show", str(path)]) == 0
    assert capsys.readouterr().out == path.read_text()
    assert run(["presets", "show", str(path), "--resolved", "--json"]) == 0
    values = {entry["key"]: entry for entry in json.loads(capsys.readouterr().out)["values"]}
    assert set(values) == set(OPTIONS)
    assert values["seed"]["value"] == 7
    assert values["seed"]["source"].startswith("p.toml:")
    assert values["network_dim"]["source"] == "family default"


def test_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = SHIPPED[0].stem
    assert run(["presets", "copy", name, "mine"]) == 0
    assert capsys.readouterr().out == "mine.toml\n"
    copied = (tmp_path / "mine.toml").read_text().splitlines()
    differing = [line for line in copied if line not in SHIPPED[0].read_text().splitlines()]
    assert differing == [f"#:schema {SHIPPED[0].parent / 'schema.json'}"], "an editor still finds the schema"
    assert run(["presets", "copy", name, "mine.toml"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert run(["presets", "copy", name, "mine.toml", "--force"]) == 0
    assert copy_preset(SHIPPED[0], tmp_path) == tmp_path / SHIPPED[0].name
    assert copy_preset(SHIPPED[0], None) == preset_folders.own_presets_folder() / SHIPPED[0].name


def test_diff(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text(OURS + "seed = 1\nhuggingface_token = 'secret'\n")
    other.write_text("# the same with another seed, spelled otherwise\n[a]\n" + OURS + "seed = 0x2\n")
    found = {entry.key: (entry.left, entry.right) for entry in differences(one, other)}
    assert found == {"seed": (1, 2), "output_name": ("one", "other"), "huggingface_token": ("<redacted>", None)}
    assert {entry.key for entry in differences(other, None)} == {"dit", "dataset_config", "seed"}
    assert "secret" not in str(resolve(one))


def test_a_terminal_is_shown_no_secret_and_a_pipe_gets_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.toml"
    path.write_text(OURS + "huggingface_token = 'hf_abcdefghijklmnopqrstuvwxyz123456'\n# \x1b[31m\n")
    assert run(["presets", "show", str(path)]) == 0
    assert capsys.readouterr().out == path.read_text()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["presets", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "hf_abc" not in shown
    assert "\x1b" not in shown


def test_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "options", "learning_rate"]) == 0
    assert "Size of each step of the weights" in capsys.readouterr().out
    assert run(["presets", "options", "--family", "wan", "--json"]) == 0
    names = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert "t5" in names
    assert "fp8_vl" not in names
    assert run(["presets", "options", "learning_rat"]) == 0
    assert run(["presets", "options", "lerning_rate"]) == 2
    assert "Did you mean learning_rate?" in capsys.readouterr().err
    assert run(["presets", "options", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "musubi-tui preset"


def test_other_programs_files_are_no_presets(tmp_path: Path) -> None:
    texts = {
        "pyproject.toml": "[project]\nname = 'x'\n",
        "dataset.toml": "[general]\nresolution = [64, 64]\n[[datasets]]\nimage_directory = 'x'\n",
        "answers.toml": "goal = 'style'\n",
        "musubi.toml": "dit = 'x.safetensors'\n",
        "ours.toml": "[run]\nfamily = 'wan'\n",
        "broken.toml": "family = \n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert {name for name in texts if library.may_be_preset(tmp_path / name)} == {"musubi.toml", "ours.toml", "broken.toml"}  # fmt: skip


def test_presets_of_the_wizard_and_of_folders_are_found_near_by(tmp_path: Path) -> None:
    for name in ("a.toml", "my-lora/preset.toml", "bella/v1/preset.toml", ".hidden/preset.toml", "x/y/z/preset.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('family = "wan"\n')
    (tmp_path / "my-lora" / "dataset.toml").write_text("[general]\n")
    found = [str(path.relative_to(tmp_path)) for path in library.presets_near(tmp_path)]
    assert found == ["a.toml", "my-lora/preset.toml", "bella/v1/preset.toml"]
