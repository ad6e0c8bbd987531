"""Reading presets of both dialects: families, tasks, defaults, paths, overrides, and every complaint with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import LoadedConfig, check_config, load_config
from engine.config.problems import ConfigError, Problem

OURS = 'family = "wan"\ntask = "t2v-1.3B"\ndit = "models/dit.safetensors"\ndataset_config = "dataset.toml"\n'
MUSUBI = 'network_module = "networks.lora_wan"\ndit = "dit.safetensors"\ndataset_config = "dataset.toml"\nsdpa = true\n'


def load(folder: Path, text: str, **overrides: str) -> LoadedConfig:
    path = folder / "preset.toml"
    path.write_bytes(text.encode("utf-8"))
    return load_config(path, overrides)


def complaints(folder: Path, text: str | bytes, **overrides: str) -> list[Problem]:
    path = folder / "preset.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return check_config(path, overrides, check_files=False)


def only(found: list[Problem], code: str) -> Problem:
    matching = [problem for problem in found if problem.code == code]
    assert len(matching) == 1, found
    return matching[0]


def test_our_preset_gets_the_familys_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path, OURS)
    config = loaded.config
    assert loaded.dialect == "musubi-tui"
    assert (config.run.family, config.run.task, config.run.output_name) == ("wan", "t2v-1.3B", "preset")
    assert (config.network.network_dim, config.network.network_alpha) == (32, 32.0)
    assert (config.timesteps.timestep_sampling, config.timesteps.discrete_flow_shift) == ("shift", 3.0)
    assert config.network.network_module == "networks.lora_wan"
    assert config.model.dit == tmp_path / "models" / "dit.safetensors"
    assert loaded.sources["task"] == "preset.toml:2"
    assert loaded.sources["network_dim"] == "family default"
    assert loaded.sources["max_train_steps"] == "default"
    assert loaded.warnings == ()


def test_a_musubi_file_gets_musubis_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load(tmp_path, MUSUBI)
    config = loaded.config
    assert loaded.dialect == "musubi"
    assert (config.run.family, config.run.task) == ("wan", "t2v-14B")
    assert (config.network.network_dim, config.network.network_alpha) == (4, 1.0)
    assert (config.optimizer.learning_rate, config.training.max_train_steps) == (2e-6, 1600)
    assert config.timesteps.timestep_sampling == "sigma"
    assert config.training.gradient_checkpointing is False
    assert (config.model.vae_dtype, config.training.mixed_precision) == ("bfloat16", "bf16")
    assert config.run.numerics == "exact"
    assert config.run.seed is None
    assert config.model.dit == tmp_path / "elsewhere" / "dit.safetensors"
    assert loaded.dataset_base == tmp_path / "elsewhere"
    assert loaded.sources["network_alpha"] == "musubi default"


def test_sections_carry_no_meaning(tmp_path: Path) -> None:
    text = '[anything]\nfamily = "wan"\ndit = "d"\n[general]\ndataset_config = "x.toml"\nseed = 7\n'
    assert load(tmp_path, text).config.run.seed == 7


@pytest.mark.parametrize(
    ("lines", "family", "task"),
    [
        ('t5 = "t5.pth"', "wan", "t2v-14B"),
        ('task = "t2v-1.3B"\nclip = "c.pth"', "wan", "t2v-1.3B"),
        ('text_encoder = "te"', "qwen_image", "t2i"),
        ('model_version = "original"', "qwen_image", "t2i"),
        ('network_module = "networks.lora_qwen_image"', "qwen_image", "t2i"),
    ],
)
def test_the_family_follows_from_the_keys(tmp_path: Path, lines: str, family: str, task: str) -> None:
    loaded = load(tmp_path, f'{lines}\ndit = "d"\ndataset_config = "x.toml"\n')
    assert (loaded.config.run.family, loaded.config.run.task) == (family, task)


@pytest.mark.parametrize(
    ("lines", "task"),
    [
        ("edit_plus = true", "Qwen-Image-Edit-2509"),
        ("edit = true", "Qwen-Image-Edit"),
        ('model_version = "edit-2511"', "Qwen-Image-Edit-2511"),
        ('model_version = "layered"', "Qwen-Image-Layered"),
    ],
)
def test_qwens_versions_are_tasks(tmp_path: Path, lines: str, task: str) -> None:
    found = only(complaints(tmp_path, f'{lines}\ndit = "d"\ndataset_config = "x.toml"\n'), "not_built_yet")
    assert task in found.message
    assert found.fix == "Built so far for Qwen-Image: t2i."
    assert (found.line, found.column) == (1, 1)


def test_an_unclear_family_lists_the_candidates(tmp_path: Path) -> None:
    found = only(complaints(tmp_path, 'dit = "d"\nsdpa = true\n'), "unclear_family")
    assert '"wan", "qwen_image"' in found.fix
    both = only(complaints(tmp_path, 't5 = "a"\ntext_encoder = "b"\n'), "unclear_family")
    assert "wan: t5; qwen_image: text_encoder" in both.message
    assert load(tmp_path, 't5 = "a"\ndit = "d"\ndataset_config = "d.toml"\n', family="wan").dialect == "musubi"


def test_an_unknown_family_and_task(tmp_path: Path) -> None:
    found = only(complaints(tmp_path, 'family = "qwen-image"\n'), "unknown_family")
    assert found.fix == 'Did you mean "qwen_image"?'
    found = only(complaints(tmp_path, OURS.replace("t2v-1.3B", "t2v-1.3b")), "unknown_task")
    assert (found.fix, found.line) == ('Did you mean "t2v-1.3B"?', 2)


def test_a_family_of_musubi_tuner_that_is_not_built(tmp_path: Path) -> None:
    found = complaints(tmp_path, 'network_module = "networks.lora_zimage"\nuse_32bit_attention = true\n')
    assert [problem.code for problem in found] == ["not_built_yet"]
    assert found[0].message == "this file trains Z-Image (networks.lora_zimage), which is not built yet."


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("networks.lokr", "LoKr adapters are not built yet."),
        ("networks.lora_qwen_image", "networks.lora_qwen_image is not an adapter of Wan 2.1."),
    ],
)
def test_other_adapters(tmp_path: Path, module: str, message: str) -> None:
    found = complaints(tmp_path, f'{OURS}network_module = "{module}"\n')
    assert [problem.message for problem in found] == [message]
    assert found[0].fix == 'Use "networks.lora_wan".'


def test_overrides_win_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path.parent)
    loaded = load(tmp_path, OURS, max_train_steps="20", vae="v.pth", seed="none")
    assert loaded.config.training.max_train_steps == 20
    assert loaded.config.run.seed is None
    assert loaded.config.model.vae == tmp_path.parent / "v.pth", "typed paths count from the working directory"
    assert loaded.sources["max_train_steps"] == "--set"
    assert loaded.defaults["max_train_steps"] == 1600


def test_wrong_overrides(tmp_path: Path) -> None:
    found = complaints(tmp_path, OURS, max_train_step="20", learning_rate="fast", datasets="[]")
    assert {problem.key for problem in found} == {"learning_rate", "datasets", "max_train_step"}
    assert all(problem.file == "--set" for problem in found)


def test_all_errors_come_at_once_with_their_places(tmp_path: Path) -> None:
    text = f'{OURS}[training]\nmax_train_steps = "1600"\n  mixed_precison = "bf16"\nlearning_rate = true\n"日本" = 1\n'
    found = complaints(tmp_path, text)
    assert [(p.line, p.column, p.code, p.key) for p in found] == [
        (6, 1, "wrong_type", "max_train_steps"),
        (7, 3, "unknown_key", "mixed_precison"),
        (8, 1, "wrong_type", "learning_rate"),
        (9, 1, "unknown_key", "日本"),
    ]
    assert found[0].fix == "Write it without quotes: max_train_steps = 1600"
    assert found[1].fix == "Did you mean mixed_precision?"
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "preset.toml")
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("batch_size = 2", "It belongs into the dataset file, or under [general] or [[datasets]] of this file."),
        ("unet_lr = 1e-4", "Here it is called learning_rate."),
        ("Seed = 1", "Did you mean seed?"),
        ("zzzzzz = 1", ""),
    ],
)
def test_hints_for_unknown_keys(tmp_path: Path, key: str, hint: str) -> None:
    assert only(complaints(tmp_path, f"{OURS}{key}\n"), "unknown_key").fix == hint


def test_ten_thousand_unknown_keys(tmp_path: Path) -> None:
    found = complaints(tmp_path, OURS + "".join(f"key_{index} = {index}\n" for index in range(10_000)))
    assert len(found) == 101
    assert any("9900 more keys are unknown" in problem.message for problem in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed = -1", "seed must be a whole number from 0 to 4294967295, not -1."),
        ("max_train_steps = 1.5", "max_train_steps must be a whole number, at least 1, not 1.5."),
        ("learning_rate = nan", "learning_rate must be a number, at least 0, not nan."),
        ("sdpa = 1", "sdpa must be true or false, not 1."),
        ("seed = 2024-01-01", "seed must be a whole number from 0 to 4294967295, not 2024-01-01."),
        ('network_args = "a=1"', 'network_args must be a list of texts such as ["a=1", "b=2"], not "a=1".'),
        ('mixed_precision = "bf8"', 'mixed_precision must be one of "no", "fp16", "bf16", not "bf8".'),
        ("log_prefix = { a = 0.1 }", "log_prefix must be text in quotes, not { a = 0.1 }."),
    ],
)
def test_wrong_values(tmp_path: Path, line: str, message: str) -> None:
    found = complaints(tmp_path, f"{OURS}{line}\n")
    assert [problem.message for problem in found] == [message]
    assert found[0].line == 5


def test_a_key_set_twice_in_two_sections(tmp_path: Path) -> None:
    found = complaints(tmp_path, f"{OURS}[a]\nseed = 1\n[b]\nseed = 2\n")
    assert [(p.severity, p.code, p.line) for p in found] == [("warning", "duplicate_key", 8)]
    assert "preset.toml:6 is overruled" in found[0].message
    assert load_config(tmp_path / "preset.toml").config.run.seed == 2


def test_nested_sections(tmp_path: Path) -> None:
    found = only(complaints(tmp_path, f"{OURS}[a.b]\nseed = 1\n"), "nested_section")
    assert "one level deep" in found.message


def test_embedded_dataset(tmp_path: Path) -> None:
    text = (
        'family = "wan"\ndit = "d"\n[general]\nresolution = [64, 64]\nseed = 3\n[[datasets]]\nimage_directory = "p"\n'
    )
    loaded = load(tmp_path, text)
    assert loaded.config.dataset.datasets == [{"image_directory": "p"}]
    assert loaded.config.dataset.general == {"resolution": [64, 64], "seed": 3}
    assert loaded.config.run.seed == 42, "[general] belongs to the dataset"
    assert loaded.dataset_base == tmp_path


def test_the_dataset_is_needed_once(tmp_path: Path) -> None:
    none = only(complaints(tmp_path, 'family = "wan"\ndit = "d"\n'), "missing_value")
    assert none.key == "dataset_config"
    both = only(complaints(tmp_path, f'{OURS}[[datasets]]\nimage_directory = "p"\n'), "contradiction")
    assert both.message == "both dataset_config and [[datasets]] are given."
    assert both.line == 4


def test_a_missing_model_says_where_to_get_it(tmp_path: Path) -> None:
    found = only(complaints(tmp_path, 'family = "wan"\ndataset_config = "d.toml"\n'), "missing_value")
    assert found.message == "dit is not set: the Wan diffusion model."
    assert "Comfy-Org/Wan_2.1_ComfyUI_repackaged" in found.fix


def test_samples_need_what_makes_them(tmp_path: Path) -> None:
    found = complaints(tmp_path, f'{OURS}sample_prompts = "p.txt"\nsample_at_first = true\n')
    assert {problem.key for problem in found} == {"vae", "t5"}
    found = complaints(tmp_path, f"{OURS}sample_every_n_steps = 5\n")
    assert [(p.severity, p.code) for p in found] == [("warning", "no_effect")]
    found = complaints(tmp_path, f'{OURS}sample_prompts = "p.txt"\n')
    assert "nothing says when to make samples" in found[0].message


def test_files_are_looked_for_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "dit-bf16.safetensors").touch()
    load(tmp_path, OURS)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "preset.toml", check_files=True)
    dit, dataset = caught.value.problems
    assert dit.message == f"dit: there is no {tmp_path}/models/dit.safetensors."
    assert dit.fix == f"Did you mean {tmp_path}/models/dit-bf16.safetensors?"
    assert (dit.line, dit.column, dataset.key) == (3, 1, "dataset_config")


def test_dataset_complaints_are_part_of_the_check(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "dit.safetensors").touch()
    (tmp_path / "dataset.toml").write_text('[[datasets]]\nimage_directory = "."\nresolutio = [64, 64]\n')
    (tmp_path / "preset.toml").write_text(OURS)
    errors = [problem for problem in check_config(tmp_path / "preset.toml") if problem.severity == "error"]
    assert [(Path(p.file).name, p.line, p.key) for p in errors] == [("dataset.toml", 3, "resolutio")]
    text = 'family = "wan"\ndit = "models/dit.safetensors"\n[[datasets]]\nimage_directory = "."\nresolutio = 1\n'
    (tmp_path / "preset.toml").write_text(text)
    errors = [problem for problem in check_config(tmp_path / "preset.toml") if problem.severity == "error"]
    assert [(Path(p.file).name, p.line, p.key) for p in errors] == [("preset.toml", 5, "resolutio")]


def test_a_wrong_value_does_not_hide_the_other_complaints(tmp_path: Path) -> None:
    found = complaints(tmp_path, OURS + 'network_dim = "many"\nmin_timestep = 900\nmax_timestep = 100\ndit_dtype = 5\n')
    assert [(problem.code, problem.line) for problem in found] == [
        ("wrong_type", 5),
        ("contradiction", 6),
        ("wrong_type", 8),
    ]
