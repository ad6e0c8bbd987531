"""No option is accepted and ignored: not built, no effect, contradictions, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import check_config, load_config, redacted_source, secrets_environment
from engine.config.problems import Problem
from engine.config.schema import OPTIONS, Config
from engine.families import get_family

BASE = {
    "wan": 'family = "wan"\ndit = "d"\ndataset_config = "x.toml"\n',
    "qwen_image": 'family = "qwen_image"\ndit = "d"\ndataset_config = "x.toml"\n',
}


def complaints(folder: Path, lines: str, family: str = "wan") -> list[Problem]:
    path = folder / "preset.toml"
    path.write_text(BASE[family] + lines + "\n", encoding="utf-8")
    return check_config(path, check_files=False)


def summary(found: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.code, problem.key) for problem in found]


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ("fp8_base = true", "fp8_base", "The weights stay in 16 bits"),
        ("blocks_to_swap = 20", "blocks_to_swap", "All blocks stay on the GPU"),
        ("compile = true", "compile", "runs uncompiled"),
        ("flash_attn = true", "flash_attn", "computes the same"),
        ("split_attn = true", "split_attn", "with masks"),
        ("fp8_t5 = true", "fp8_t5", "stays in 16 bits"),
        ('log_with = "tensorboard"', "log_with", "no tracker is written"),
        ("max_data_loader_n_workers = 2", "max_data_loader_n_workers", "One background thread"),
        ('huggingface_repo_id = "a/b"', "huggingface_repo_id", "Nothing is uploaded"),
        ("save_every_n_steps = 5\nsave_last_n_steps_state = 10", "save_last_n_steps_state", "keep_states"),
    ],
)
def test_what_only_costs_is_a_warning(tmp_path: Path, lines: str, key: str, words: str) -> None:
    found = complaints(tmp_path, lines)
    assert summary(found) == [("warning", "not_built_yet", key)]
    assert words in found[0].message


@pytest.mark.parametrize(
    ("lines", "key", "words"),
    [
        ('mixed_precision = "fp16"', "mixed_precision", 'Choose one of "no", "bf16".'),
        ('optimizer_type = "Prodigy"', "optimizer_type", 'Choose one of "adamw", "adamw8bit".'),
        ('lr_scheduler = "rex"', "lr_scheduler", "cosine"),
        ('timestep_sampling = "qinglong_qwen"', "timestep_sampling", "qwen_shift"),
        ('resume = "state"', "resume", "musubi-tui train --resume RUN"),
        ("scale_weight_norms = 1.0", "scale_weight_norms", "Remove the line"),
        ("full_bf16 = true", "full_bf16", "Only LoRA training is built"),
        ("sage_attn = true", "sage_attn", "no backward pass"),
        ('dit_high_noise = "h"', "dit_high_noise", "two experts"),
        ('config_file = "other.toml"', "config_file", "second file"),
    ],
)
def test_what_would_change_the_result_is_an_error(tmp_path: Path, lines: str, key: str, words: str) -> None:
    found = complaints(tmp_path, lines)
    assert summary(found) == [("error", "not_built_yet", key)]
    assert words in found[0].message + found[0].fix


@pytest.mark.parametrize(
    ("family", "lines", "words"),
    [
        ("wan", 'text_encoder = "t"', "it is not for Wan 2.1"),
        ("qwen_image", 't5 = "t"', "it is not for Qwen-Image"),
        ("wan", "guidance_scale = 3.0", "it is not for Wan 2.1"),
        ("wan", 'clip = "c"', "it is not for t2v-14B"),
        ("wan", "fp8_scaled = true", "fp8_base is not set"),
        ("wan", "sigmoid_scale = 2.0\ntimestep_sampling = 'uniform'", "it needs timestep_sampling = sigmoid / shift"),
        ("qwen_image", "discrete_flow_shift = 3.0", "it needs timestep_sampling = shift, and that is qwen_shift"),
        ("wan", 'weighting_scheme = "logit_normal"', "logit_normal shapes only the sigma mode"),
        ("wan", "logit_mean = 1.0", "it needs weighting_scheme = logit_normal"),
        ("wan", "dim_from_weights = true", "network_weights is not set"),
        ("wan", "sdpa = false", "there is no other attention to use"),
        ("wan", "preserve_distribution_shape = true", "min_timestep is not set"),
        ("wan", "lr_scheduler_num_cycles = 3", "it needs lr_scheduler = cosine_with_restarts"),
        ("wan", "save_last_n_steps = 3", "save_every_n_steps is not set"),
        ("wan", "max_train_epochs = 3\nmax_train_steps = 9", "max_train_epochs counts instead"),
        ("wan", "validate_every_n_steps = 5", "validation_items is not set"),
        (
            "wan",
            'num_timestep_buckets = 4\nnumerics = "musubi"\ntimestep_sampling = "sigma"',
            'as in Musubi Tuner with timestep_sampling = "sigma", numerics = "musubi"',
        ),
    ],
)
def test_what_cannot_matter_is_a_warning(tmp_path: Path, family: str, lines: str, words: str) -> None:
    found = complaints(tmp_path, lines, family)
    assert [(problem.severity, problem.code) for problem in found] == [("warning", "no_effect")]
    assert words in found[0].message


@pytest.mark.parametrize("lines", ["num_timestep_buckets = 0", "num_timestep_buckets = 1", "num_timestep_buckets = 4"])
def test_spread_timesteps_are_built(tmp_path: Path, lines: str) -> None:
    assert complaints(tmp_path, lines, "wan") == []


@pytest.mark.parametrize("family", BASE)
def test_defaults_never_complain(tmp_path: Path, family: str) -> None:
    """Every option written out at its inactive value passes in silence."""
    from engine.config.toml_text import toml_value

    spec = get_family(family)
    lines = [
        f"{option.name} = {toml_value(option.musubi_default)}"
        for option in OPTIONS.values()
        if option.musubi_default is not None and option.name not in ("task", "sdpa", *spec.defaults)
    ]
    assert complaints(tmp_path, "\n".join(lines), family) == []


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ("lr_warmup_steps = 100", "lr_warmup_steps", 'lr_scheduler = "constant" has no warm-up.'),
        (
            "min_timestep = 500\nmax_timestep = 400",
            "min_timestep",
            "min_timestep (500) must be below max_timestep (400).",
        ),
    ],
)
def test_contradictions(tmp_path: Path, lines: str, key: str, message: str) -> None:
    found = complaints(tmp_path, lines)
    assert summary(found) == [("error", "contradiction", key)]
    assert found[0].message == message


@pytest.mark.parametrize("name", ["../mine", "a/b", "..", "/tmp/x"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    assert summary(complaints(tmp_path, f'output_name = "{name}"')) == [("error", "wrong_value", "output_name")]


@pytest.mark.parametrize("name", ["a\\nb", "a\\tb", "a\\u0000b", "a\\u0085b", "a\\u2028b", 208 * "x", 70 * "墨"])
def test_a_name_fits_into_a_file_name(tmp_path: Path, name: str) -> None:
    assert summary(complaints(tmp_path, f'output_name = "{name}"')) == [("error", "wrong_value", "output_name")]


@pytest.mark.parametrize("name", ["墨 絵　v1", 207 * "x", 69 * "墨"])
def test_the_longest_name_is_one_that_can_be_saved(tmp_path: Path, name: str) -> None:
    assert not complaints(tmp_path, f'output_name = "{name}"')
    (tmp_path / f".{name}-step00000020.safetensors.{16 * '0'}.part").write_text("")


def test_another_dialect_needs_room_in_the_name(tmp_path: Path) -> None:
    lines = 'lora_dialects = ["musubi", "diffusers"]\noutput_name = '
    assert not complaints(tmp_path, lines + f'"{197 * "x"}"')
    assert summary(complaints(tmp_path, lines + f'"{198 * "x"}"')) == [("error", "wrong_value", "output_name")]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("rank_dropot=0.1", "unknown_key", "Did you mean rank_dropout?"),
        ("conv_dim=4", "not_built_yet", "conv_dim is not built yet"),
        ("rank_dropout", "wrong_value", 'holds "rank_dropout", which has no "="'),
    ],
)
def test_network_args(tmp_path: Path, words: str, code: str, message: str) -> None:
    found = complaints(tmp_path, f'network_args = ["{words}"]')
    assert summary(found) == [("error", code, "network_args")]
    assert message in str(found[0])


def test_the_size_of_the_model_is_measured_where_it_is_there(tmp_path: Path) -> None:
    with (tmp_path / "d").open("wb") as file:
        file.truncate(29_000_000_000)  # sparse: takes no space
    assert "(about 29 GB)" in complaints(tmp_path, "blocks_to_swap = 4")[0].message
    assert "saved about 14 GB" in complaints(tmp_path, "fp8_base = true")[0].message


def test_secrets_are_used_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = complaints(tmp_path, 'huggingface_token = "hf_abc"')
    assert summary(found) == [("warning", "secret_in_file", "huggingface_token")]
    assert "hf_abc" not in str(found[0])
    config = load_config(tmp_path / "preset.toml").config
    assert secrets_environment(config) == {"HF_TOKEN": "hf_abc"}
    assert secrets_environment(Config.of()) == {}


def test_copies_of_a_file_hold_no_secret() -> None:
    text = (
        '# wandb_api_key is below\nwandb_api_key=\'w 1\'# mine\n  "huggingface_token" = "hf_\\"x"\nseed = 1\r\n'
        'a.huggingface_token = """hf\nlong"""\nother = { huggingface_token = "z", b = 1 }\n'
    )
    assert redacted_source(text) == (
        '# wandb_api_key is below\nwandb_api_key="<redacted>"# mine\n  "huggingface_token" = "<redacted>"\nseed = 1\r\n'
        'a.huggingface_token = "<redacted>"\nother = { huggingface_token = "<redacted>", b = 1 }\n'
    )


@pytest.mark.parametrize(
    ("weights", "mixed", "fits"),
    [
        ("bfloat16", "bf16", True),
        ("float32", "bf16", True),
        ("float32", "no", True),
        ("bfloat16", "no", False),
        ("float16", "bf16", False),
    ],
)
def test_weights_that_cannot_be_computed_with_are_refused(tmp_path: Path, weights: str, mixed: str, fits: bool) -> None:
    found = complaints(tmp_path, f'dit_dtype = "{weights}"\nmixed_precision = "{mixed}"')
    assert summary(found) == ([] if fits else [("error", "contradiction", "dit_dtype")])
