"""The schema itself: nothing undocumented, both languages, honest states; and the documents made from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import json_schema, reference
from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS, SECTIONS, Config
from engine.config.values import parse_arguments, parse_override, steps_or_share
from engine.data.schema import BY_NAME
from engine.families import family_names, get_family


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_documented_in_both_languages(name: str) -> None:
    option = OPTIONS[name]
    for text in (option.help, option.lower, option.higher, option.consequence):
        assert text is None or (text.en.strip() and text.ja.strip())
    assert option.help.en.endswith(".")
    assert option.help.ja.endswith("。")
    assert any(ord(character) > 0x3000 for character in option.help.ja), "the Japanese sentence is not Japanese"
    assert len(option.help.en) > 15


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_not_built_says_what_happens_instead(name: str) -> None:
    option = OPTIONS[name]
    if option.status != "built" or option.facts.value_status:
        assert option.consequence is not None


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_are_valid_and_switch_nothing_on_that_is_not_built(name: str) -> None:
    option = OPTIONS[name]
    assert option.status_of(option.default) == "built"
    if option.musubi:
        assert option.status_of(option.musubi_default) == "built"
    for other in option.only_with:
        assert other.option in OPTIONS
        choices = OPTIONS[other.option].choices
        assert not choices or set(other.values) <= set(choices)


def test_our_defaults_make_a_configuration() -> None:
    config = Config.of()
    assert config.training.max_train_steps == config.get("max_train_steps") == 1600
    assert config.network.lora_dialects == ["musubi"]
    assert set(config.values()) == set(OPTIONS)
    assert sum(len(model.model_fields) for model in SECTIONS.values()) == len(OPTIONS), (
        "names are unique across sections"
    )


@pytest.mark.parametrize("family", family_names())
def test_family_defaults_are_options_with_built_values(family: str) -> None:
    spec = get_family(family)
    config = Config.of(spec.defaults)
    for name in spec.defaults:
        assert OPTIONS[name].status_of(config.get(name)) == "built", name
    assert spec.musubi_keys <= set(OPTIONS)
    assert {slot.option for slot in spec.slots} <= set(OPTIONS)


def test_a_changed_copy_is_validated() -> None:
    config = Config.of()
    assert config.with_values({"max_train_steps": 5}).training.max_train_steps == 5
    assert config.training.max_train_steps == 1600
    with pytest.raises(ConfigError, match="max_train_steps must be a whole number, at least 1, not 0"):
        config.with_values({"max_train_steps": 0})
    with pytest.raises(ConfigError, match="there is no option nonsense"):
        config.with_values({"nonsense": 0})


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("vae_dtype", "fp16", "float16"),
        ("vae_dtype", "BF16", "bfloat16"),
        ("save_precision", "float", "fp32"),
        ("optimizer_type", "AdamW8bit", "adamw8bit"),
        ("optimizer_type", "torch.optim.AdamW", "adamw"),
        ("optimizer_type", "schedulefree.AdamWScheduleFree", "schedulefree.AdamWScheduleFree"),
        ("lr_warmup_steps", "10%", 0.1),
        ("lr_warmup_steps", 100.0, 100),
        ("lr_warmup_steps", 0.25, 0.25),
        ("trainable_modules", "blocks", ["blocks"]),
        ("network_alpha", 16, 16.0),
    ],
)
def test_spellings_people_use(name: str, written: object, value: object) -> None:
    assert Config.of({name: written}).get(name) == value


@pytest.mark.parametrize("value", ["ten", -1, 2.5, True, "-5%"])
def test_warm_up_that_is_neither_steps_nor_a_share(value: object) -> None:
    with pytest.raises(ConfigError, match="a share below 1"):
        Config.of({"lr_warmup_steps": value})


def test_warm_up_numbers_read_as_in_musubi_tuner() -> None:
    assert [steps_or_share(text) for text in ("1", "0.1", "10%", "200", 5.0)] == [1, 0.1, 0.1, 200, 5]
    assert isinstance(steps_or_share("1"), int)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_train_steps", "20", 20),
        ("learning_rate", "1e-4", 1e-4),
        ("sdpa", "false", False),
        ("sdpa", "Yes", True),
        ("seed", "none", None),
        ("network_args", '["a=1", "b=[1, 2]"]', ["a=1", "b=[1, 2]"]),
        ("network_args", "a=1 'b=x y'", ["a=1", "b=x y"]),
        ("base_weights_multiplier", "0.5 1", [0.5, 1.0]),
        ("output_name", "none of it", "none of it"),
        ("max_train_steps", "many", "many"),
    ],
)
def test_overrides_are_parsed_by_type(name: str, text: str, value: object) -> None:
    assert parse_override(OPTIONS[name], text) == value


def test_argument_words() -> None:
    words = ["weight_decay=0.01", "betas=(0.9,0.95)", "name=a=b", "patterns=[r'.*a.*']"]
    assert parse_arguments(words) == {
        "weight_decay": 0.01,
        "betas": (0.9, 0.95),
        "name": "a=b",
        "patterns": [".*a.*"],
    }
    with pytest.raises(ValueError, match="lonely"):
        parse_arguments(["lonely"])


def test_options_document_is_current(repository: Path) -> None:
    written = (repository / "docs" / "options.md").read_text(encoding="utf-8")
    assert written == reference.markdown(), "run: make docs"


def test_options_document_does_not_depend_on_the_language(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.config.reference"],
        cwd=repository,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={"MUSUBI_TUI_LANG": "ja", "PYTHONUTF8": "1"},
        timeout=60,
    )
    assert done.stdout == reference.markdown()


def test_options_are_chosen_by_word_and_family() -> None:
    assert {option.name for option in reference.choose(word="sampling")} >= {"sample_prompts", "sample_at_first"}
    assert "blocks_to_swap" in {option.name for option in reference.choose(word="swap")}
    one, other = ({option.name for option in reference.choose(family=name)} for name in ("wan", "qwen_image"))
    assert "t5" in one - other
    assert "text_encoder" in other - one
    with pytest.raises(ConfigError, match="Did you mean qwen_image"):
        reference.choose(family="qwen-image")


def test_a_described_option_says_what_matters() -> None:
    text = reference.describe(OPTIONS["timestep_sampling"])
    assert (
        "built for sigma, uniform, sigmoid, shift, flux_shift, flux2_shift, qwen_shift, krea2_shift, logsnr; others"
        in text
    )
    assert 'Musubi Tuner: "sigma"' in text


def test_records_are_json() -> None:
    for option in OPTIONS.values():
        record = json.loads(json.dumps(reference.as_json(option)))
        assert record["name"] == option.name
        assert set(record["help"]) == {"en", "ja"}


def test_json_schema_names_every_option() -> None:
    schema = json.loads(json.dumps(json_schema.preset_schema()))
    assert set(schema["$defs"]) == set(OPTIONS)
    assert schema["$defs"]["timestep_sampling"]["enum"][0] == "sigma"
    assert schema["$defs"]["family"]["enum"] == list(family_names())
    assert schema["$defs"]["max_train_steps"] == {
        "type": "integer",
        "minimum": 1,
        "default": 1600,
        "description": OPTIONS["max_train_steps"].help.en,
    }
    assert schema["additionalProperties"]["additionalProperties"] is False
    dataset = schema["properties"]["datasets"]["items"]
    assert set(dataset["properties"]) == set(BY_NAME)
    assert dataset["additionalProperties"] is False
    assert "image_directory" not in schema["properties"]["general"]["properties"]
    assert dataset["properties"]["frame_extraction"]["enum"][0] == "head"


def test_the_shipped_presets_name_the_shipped_schema(repository: Path) -> None:
    folder = repository / "presets"
    written = (folder / "schema.json").read_text(encoding="utf-8")
    assert written == json_schema.schema_text(), "run: make docs"
    for preset in folder.glob("*.toml"):
        assert "\n#:schema ./schema.json\n" in preset.read_text(encoding="utf-8")


def test_problems_alone_cost_nothing() -> None:
    code = "import sys; import engine.config.problems; print('pydantic' in sys.modules, 'tomlkit' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["False", "False"]
