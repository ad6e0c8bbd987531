"""Presets that build on others: what is inherited, replaced and unset, and every way a base can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import check_config, load_config
from engine.config.problems import ConfigError
from musubi_tui.cli.root import run
from musubi_tui.presets.copying import copy_preset
from musubi_tui.presets.library import list_presets

COMMON = """# What all my runs share
[run]
family = "wan"
task = "t2v-1.3B"
[model]
dit = "models/dit.safetensors"
[training]
max_train_steps = 1000
max_train_epochs = 3
[network]
network_dim = 16
[general]
resolution = [512, 512]
batch_size = 2
[[datasets]]
image_directory = "pictures"
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_preset_holds_only_what_differs(tmp_path: Path) -> None:
    write(tmp_path, "common/base.toml", COMMON)
    path = write(tmp_path, "mine/cat.toml", 'base = "../common/base.toml"\nnetwork_dim = 32\ndit = "own.safetensors"\n')
    loaded = load_config(path)
    config = loaded.config
    assert (config.network.network_dim, config.training.max_train_steps, config.run.task) == (32, 1000, "t2v-1.3B")
    assert config.model.dit == tmp_path / "mine" / "own.safetensors", "a path counts from the file it stands in"
    assert loaded.sources["network_dim"] == "cat.toml:2"
    assert loaded.sources["max_train_steps"] == "base.toml:8"
    assert config.run.output_name == "cat"
    assert loaded.dataset_base == tmp_path / "common"
    assert loaded.bases == (tmp_path / "common" / "base.toml",)
    assert loaded.inherited["network_dim"] == 16


def test_inherited_paths_count_from_the_base(tmp_path: Path) -> None:
    write(tmp_path, "common/base.toml", COMMON)
    path = write(tmp_path, "cat.toml", 'base = "common/base.toml"\n')
    assert load_config(path).config.model.dit == tmp_path / "common" / "models" / "dit.safetensors"


def test_a_name_of_the_library_is_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    write(tmp_path, "musubi-tui/presets/mine.toml", COMMON)
    path = write(tmp_path, "cat.toml", 'base = "mine"\nmax_train_steps = 7\n')
    assert load_config(path).config.training.max_train_steps == 7
    shipped = write(tmp_path, "dog.toml", 'base = "wan-2.1-1.3b-t2v-16gb"\n')
    assert load_config(shipped).config.optimizer.optimizer_type == "adamw8bit"


def test_bases_go_back_to_defaults_where_they_are_unset(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", COMMON)
    path = write(tmp_path, "cat.toml", 'base = "base.toml"\nbase_unset = ["max_train_epochs", "network_dim"]\n')
    loaded = load_config(path)
    assert loaded.config.training.max_train_epochs is None
    assert loaded.sources["network_dim"] == "family default"
    path.write_text('base = "base.toml"\nbase_unset = ["max_train_epoch"]\n')
    [problem] = [p for p in check_config(path, check_files=False) if p.key == "base_unset"]
    assert (problem.line, problem.fix) == (2, "Did you mean max_train_epochs?")


def test_the_dataset_is_replaced_as_a_whole_or_changed_by_key(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", COMMON)
    own = write(tmp_path, "own.toml", 'base = "base.toml"\ndataset_config = "x.toml"\n')
    assert load_config(own).config.dataset.datasets == []
    general = write(tmp_path, "general.toml", 'base = "base.toml"\n[general]\nbatch_size = 1\n')
    dataset = load_config(general).config.dataset
    assert dataset.general == {"resolution": [512, 512], "batch_size": 1}
    assert dataset.datasets == [{"image_directory": "pictures"}]


def test_a_base_may_have_a_base(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", COMMON)
    write(tmp_path, "b.toml", 'base = "a.toml"\nnetwork_dim = 8\n')
    path = write(tmp_path, "c.toml", '[run]\nbase = "b.toml"\n[training]\nmax_train_steps = 5\n')
    config = load_config(path).config
    assert (config.network.network_dim, config.training.max_train_steps) == (8, 5)


@pytest.mark.parametrize(
    ("base", "code", "told"),
    [
        ("nowhere.toml", "missing_file", "there is no file"),
        ("wan-2.1-1.3b-t2v-16g", "missing_file", 'Did you mean "wan-2.1-1.3b-t2v-16gb"'),
        ("cat.toml", "base_cycle", "leads back"),
        ("loop.toml", "base_cycle", "leads back"),
        ("broken.toml", "broken_base", "builds on a file that cannot be used"),
        ("", None, ""),
    ],
)
def test_a_wrong_base_is_told_with_its_line(tmp_path: Path, base: str, code: str | None, told: str) -> None:
    write(tmp_path, "loop.toml", 'base = "cat.toml"\n')
    write(tmp_path, "broken.toml", "family = \n")
    path = write(tmp_path, "cat.toml", f'seed = 1\nbase = "{base}"\n')
    found = check_config(path, check_files=False)
    if code is None:
        assert not any(problem.key == "base" for problem in found)
        return
    [problem] = [p for p in found if p.code == code]
    assert told in f"{problem.message} {problem.fix}"
    assert (problem.file, problem.line) == (str(path), 2) or base == "loop.toml"
    assert len(found) == (2 if code == "broken_base" else 1), "nothing is said that only the missing base would explain"


def test_a_mistake_in_the_base_is_told_where_it_stands(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", COMMON.replace("network_dim = 16", "network_dim = 'x'"))
    path = write(tmp_path, "cat.toml", 'base = "base.toml"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    [problem] = [p for p in caught.value.problems if p.key == "network_dim"]
    assert (problem.file, problem.line) == (str(base), 11)


def test_a_copy_still_finds_its_base(tmp_path: Path) -> None:
    write(tmp_path, "a/base.toml", COMMON)
    path = write(tmp_path, "a/cat.toml", '# mine\nbase   =  "base.toml"   # shared\n')
    copied = copy_preset(path, tmp_path / "b" / "dog.toml")
    assert copied.read_text() == f'# mine\nbase   =  "{tmp_path}/a/base.toml"   # shared\n'
    assert load_config(copied).config.network.network_dim == 16


def test_the_library_lists_family_and_task_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    write(tmp_path, "musubi-tui/presets/cat.toml", '# Cats\nbase = "wan-2.1-1.3b-t2v-16gb"\n')
    assert (list_presets()[0].family, list_presets()[0].task) == ("wan", "t2v-1.3B")


def test_diff_against_the_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "base.toml", 'lr_scheduler = "constant_with_warmup"\nlr_warmup_steps = "5%"\n' + COMMON)
    path = write(tmp_path, "cat.toml", 'base = "base.toml"\nnetwork_dim = 32\nlr_warmup_steps = 0.05\n')
    assert run(["presets", "diff", str(path), "--base", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == [{"section": "network", "key": "network_dim", "left": 32, "right": 16}]
    assert run(["presets", "diff", str(tmp_path / "base.toml"), "--base"]) == 2
    assert "builds on no other preset" in capsys.readouterr().err
