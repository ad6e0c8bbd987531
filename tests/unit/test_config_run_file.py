"""run.toml: what is written is read back, whatever the values; no secrets; a damaged one is told."""

from __future__ import annotations

import datetime
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import read_run_toml, write_run_toml
from engine.config.option import Option
from engine.config.problems import ConfigError
from engine.config.run_file import run_toml_text
from engine.config.schema import OPTIONS, Config
from engine.config.toml_text import toml_key, toml_value

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.one_of(TEXTS, st.integers(-(2**63), 2**63 - 1), FLOATS, st.booleans(), st.dates(), st.just([]))
TABLES = st.dictionaries(
    TEXTS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(TEXTS, SCALARS)), max_size=4
)


def values_of(option: Option) -> st.SearchStrategy[Any]:
    """Valid values of one option."""
    low, high = option.minimum, option.maximum
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "yes/no": st.booleans(),
        "whole number": st.integers(
            int(low if low is not None else -(2**62)), int(high if high is not None else 2**62)
        ),
        "number": st.floats(low, high, allow_nan=False, allow_infinity=False),
        "steps or share": st.one_of(st.integers(0, 10**6), st.floats(0, 0.99)),
        "text": TEXTS,
        "path": TEXTS.map(lambda text: Path("/") / text.replace("\0", "")),
        "list of texts": st.lists(TEXTS, max_size=3),
        "list of numbers": st.lists(FLOATS, max_size=3),
        "list of paths": st.lists(TEXTS.map(lambda text: Path("/") / text.replace("\0", "")), max_size=3),
        "table": TABLES,
        "list of tables": st.lists(TABLES, max_size=2),
    }
    if option.kind == "choice":
        strategy = st.sampled_from(option.choices)
    elif option.kind == "list of choices":
        strategy = st.lists(st.sampled_from(option.choices), max_size=3)
    else:
        strategy = kinds[option.kind]
    return st.one_of(st.none(), strategy) if option.optional else strategy


CONFIGS = st.fixed_dictionaries(
    {}, optional={option.name: values_of(option) for option in OPTIONS.values() if not option.secret}
)


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_every_configuration_is_read_back(values: dict[str, Any]) -> None:
    config = Config.of(values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.toml"
        write_run_toml(config, path, kind="train", stages=["latents", "text", "train"])
        run = read_run_toml(path)
        assert path.stat().st_mode & 0o777 == 0o600
    assert run.config.values() == config.values()
    assert (run.kind, run.stages, run.schema_version) == ("train", ("latents", "text", "train"), 1)


@given(st.one_of(SCALARS, TABLES, st.lists(SCALARS)))
def test_values_are_written_as_toml(value: Any) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


@given(TEXTS)
def test_keys_are_written_as_toml(key: str) -> None:
    assert tomllib.loads(f"{toml_key(key)} = 1") == {key: 1}


def test_special_values_are_written_as_toml() -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    assert tomllib.loads(f"x = {toml_value(moment)}") == {"x": moment}
    assert [toml_value(value) for value in (float("inf"), float("-inf"), float("nan"))] == ["inf", "-inf", "nan"]
    assert toml_value(Path("/a b")) == '"/a b"'
    with pytest.raises(TypeError):
        toml_value(None)


def test_secrets_stay_out(tmp_path: Path) -> None:
    config = Config.of({"huggingface_token": "hf_secret", "wandb_api_key": "wb_secret"})
    write_run_toml(config, tmp_path / "run.toml", kind="train", stages=[])
    text = (tmp_path / "run.toml").read_text(encoding="utf-8")
    assert "secret" not in text
    assert 'huggingface_token = "<redacted>"' in text
    assert read_run_toml(tmp_path / "run.toml").config.huggingface.huggingface_token is None


def test_sources_stand_behind_the_values() -> None:
    text = run_toml_text(Config.of(), kind="train", stages=[], sources={"seed": "a\nb.toml:3"})
    assert "seed = 42  # a?b.toml:3" in text.splitlines()
    tomllib.loads(text)


def test_an_unset_value_with_a_default_stays_unset(tmp_path: Path) -> None:
    write_run_toml(Config.of({"seed": None}), tmp_path / "run.toml", kind="train", stages=[])
    assert 'unset = ["seed"]' in (tmp_path / "run.toml").read_text(encoding="utf-8")
    assert read_run_toml(tmp_path / "run.toml").config.run.seed is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('schema_version = 99\nkind = "train"\n', "schema_version"),
        ('kind = "train"\n', "schema_version"),
        ('schema_version = 1\nkind = "train"\n[run]\nseed = "x"\n', "damaged_run"),
        ("schema_version = 1\n[run]\nnonsense = 1\n", "damaged_run"),
        ("schema_version = ", "syntax"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_run_toml(tmp_path / "run.toml")
    assert caught.value.problems[0].code == code
