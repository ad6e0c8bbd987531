"""Configs of other trainers: what they become, and that no key of them is passed over."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.problems import UserError
from musubi_tui.cli.root import run
from musubi_tui.presets.importing.account import Account
from musubi_tui.presets.importing.formats import import_text
from musubi_tui.presets.importing.preset_text import preset_text, settle

FOREIGN = Path(__file__).parent.parent / "data" / "foreign"
FILES = {
    "ai_toolkit.yaml": "ai-toolkit",
    "diffusion_pipe.toml": "diffusion-pipe",
    "kohya.toml": "kohya",
    "musubi.sh": "musubi",
    "onetrainer.json": "onetrainer",
    "simpletuner.json": "simpletuner",
}


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the foreign configs, as the working directory."""
    for file in FOREIGN.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "sets" / "10_dog").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """The report, the flat options of the preset, and its datasets."""
    assert run(["presets", "import", *words, "--json"]) in (0, 2)
    report = json.loads(capsys.readouterr().out)
    preset = tomllib.loads(report["preset"])
    datasets = preset.pop("datasets", [])
    general = preset.pop("general", {})
    options = {name: value for table in preset.values() for name, value in table.items()}
    return report, options, [{**general, **table} for table in datasets]


def lost(report: dict[str, Any]) -> set[str]:
    return {entry["key"] for entry in report["keys"] if entry["fate"] in ("lost", "unknown")}


@pytest.mark.parametrize(("name", "format"), FILES.items())
def test_the_trainer_is_recognised(there: Path, capsys: pytest.CaptureFixture[str], name: str, format: str) -> None:
    report, _, _ = imported(capsys, name)
    assert report["from"] == format


def test_diffusion_pipe(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, options, datasets = imported(capsys, "diffusion_pipe.toml")
    assert (options["family"], options["network_dim"], options["network_alpha"]) == ("wan", 32, 32.0)
    assert options["dit"] == "/m/wan2.1_t2v_1.3B_bf16.safetensors"
    assert options["vae"] == "/m/Wan2.1-T2V-1.3B/Wan2.1_VAE.pth", "the official folder's own VAE"
    assert (options["optimizer_type"], options["learning_rate"]) == ("adamw", 2e-5)
    assert options["optimizer_args"] == ["betas=(0.9, 0.99)", "weight_decay=0.01"]
    assert (options["lr_scheduler"], options["lr_warmup_steps"]) == ("constant_with_warmup", 50)
    assert (options["timestep_sampling"], options["max_train_epochs"]) == ("sigmoid", 100)
    assert [(d.get("image_directory") or d["video_directory"], d["resolution"][0]) for d in datasets] == [
        ("clips", 512), ("clips", 512), ("clips", 768), ("clips", 768)]  # fmt: skip
    assert datasets[1]["target_frames"] == [33]
    assert {d["batch_size"] for d in datasets} == {2}
    assert {d["num_repeats"] for d in datasets} == {5}
    assert len({d["cache_directory"] for d in datasets}) == 4
    assert lost(report) == {"min_ar", "model.transformer_dtype"}
    assert "0123456789abcdef" not in json.dumps(report)


def test_ai_toolkit(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, options, datasets = imported(capsys, "ai_toolkit.yaml", "out.toml")
    assert (options["family"], options["task"], options["output_name"]) == ("qwen_image", "t2i", "heron_v1")
    assert (options["network_dim"], options["network_alpha"], options["learning_rate"]) == (16, 8.0, 1e-4)
    assert options["save_last_n_steps"] == 750, "four files of 250 steps each"
    assert options["sample_prompts"] == "out-prompts.txt"
    prompts = (there / "out-prompts.txt").read_text().splitlines()
    assert prompts[0] == "a heron in ink, dawn mist --w 1024 --h 1024 --s 25 --l 3 --d 42 --n blurry"
    assert [d["resolution"] for d in datasets] == [[512, 512], [768, 768]]
    assert {d["trigger_word"] for d in datasets} == {"h3ron"}
    assert {d["caption_dropout"] for d in datasets} == {0.05}
    assert lost(report) == {"train.ema_config.use_ema", "model.name_or_path", "model.quantize"}
    assert {problem["key"] for problem in report["problems"]} == {"dit", "vae", "text_encoder"}, (
        "only its files are missing"
    )


def test_onetrainer(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, options, datasets = imported(capsys, "onetrainer.json")
    assert (options["output_dir"], options["output_name"], options["lr_warmup_steps"]) == ("models", "heron", 100)
    assert (options["network_alpha"], options["max_grad_norm"]) == (1.0, 1.0), "its defaults are written out"
    assert options["save_every_n_epochs"] == 5
    assert [(d["image_directory"], d["num_repeats"]) for d in datasets] == [("herons", 3), ("herons", 3)]
    assert all(d["flip"] for d in datasets)
    assert lost(report) == {"base_model_name", "transformer.weight_dtype"}


def test_simpletuner(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, options, [dataset] = imported(capsys, "simpletuner.json")
    assert (options["task"], options["network_alpha"]) == ("t2v-1.3B", 16.0)
    assert (options["timestep_sampling"], options["discrete_flow_shift"]) == ("shift", 3.0)
    assert (dataset["video_directory"], dataset["num_repeats"], dataset["target_frames"]) == ("clips", 3, [81])
    assert {"optimizer", "data_backend.2.aws_bucket_name"} <= lost(report)
    assert "verysecretvalue" not in json.dumps(report)


def test_sd_scripts_need_a_family(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, options, [dataset] = imported(capsys, "kohya.toml", "--family", "qwen_image")
    assert (options["family"], options["learning_rate"], options["network_dim"]) == ("qwen_image", 1e-4, 16)
    assert (dataset["image_directory"], dataset["num_repeats"], dataset["batch_size"]) == ("sets/10_dog", 10, 2)
    assert dataset["tag_shuffle"] == 8, "captions are encoded once each, in that many orders"
    assert {"pretrained_model_name_or_path", "min_snr_gamma", "text_encoder_lr"} <= lost(report)
    assert run(["presets", "import", "kohya.toml"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Not for a model that is trained here (wan, qwen_image)")
    assert "name the family, --family" in err


def test_a_dash_prints_the_preset(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "import", "onetrainer.json", "-"]) == 0
    assert "network_dim" in capsys.readouterr().out
    assert not (there / "-").exists()


def test_pasted_musubi_commands(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO((there / "musubi.sh").read_text()))
    report, options, datasets = imported(capsys, "-", "sub/my.toml")
    assert datasets == []
    assert options["dataset_config"] == "../dataset.toml", "paths count from the preset"
    assert (options["vae"], options["t5"]) == ("../models/wan_2.1_vae.safetensors", "../models/t5.pth")
    assert (options["mixed_precision"], options["network_alpha"]) == ("bf16", 1.0)
    assert options["network_args"] == ["loraplus_lr_ratio=4", "rank_dropout=0.1"]
    assert lost(report) == {"--no_such_option"}
    assert (there / "sub" / "my.toml").is_file()


def test_windows_command_lines(
    there: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "accelerate launch src\\musubi_tuner\\wan_train_network.py ^\n  --dit C:\\models\\wan.safetensors ^\n"
        '  --dataset_config "C:\\my data\\d.toml" --task t2v-1.3B\n'
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    _, options, _ = imported(capsys, "-")
    assert options["dit"].endswith("C:\\models\\wan.safetensors")
    assert options["dataset_config"].endswith("C:\\my data\\d.toml")


def test_a_musubi_file_means_the_same_after_import(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.config import load_config

    (there / "m.toml").write_text(
        'network_module = "networks.lora_wan"\ndit = "d"\ndataset_config = "x.toml"\nseed = 3\n'
    )
    before = load_config(there / "m.toml").config.values()
    assert run(["presets", "import", "m.toml", "ours.toml"]) == 0
    capsys.readouterr()
    after = load_config(there / "ours.toml").config.values()
    same = {"output_name", "network_module", "max_data_loader_n_workers", "trainable_modules"}
    assert {name for name in before if before[name] != after[name]} <= same


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_accounted_for(there: Path, name: str) -> None:
    if name == "musubi.sh":
        return
    path = there / name
    result = import_text(path.read_text(), here=there, file=path, family=None if name != "kohya.toml" else "wan")
    told = [line.key for line in result.account.lines if line.key]
    raw = {"json": json.loads, "toml": tomllib.loads}.get(path.suffix[1:])
    if raw is None:
        import yaml

        raw = yaml.safe_load
    for key in Account.of(raw(path.read_text())).leaves:
        plain = key.removeprefix("config.process.0.").lstrip("-")
        if plain.startswith("concepts.1."):
            continue  # a concept that is switched off there
        assert any(one.endswith(plain.rpartition(".")[2]) for one in told), key
    assert result.account.leaves == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("a: [", "not YAML"),
        ("just words", "not the config of a trainer"),
        ("[1, 2]", "not the config of a trainer"),
        ("x = 1", "cannot be told which trainer"),
        ("accelerate launch wan_train_network.py --dit 'open", "a quote is not closed"),
        ("python wan_cache_latents.py --vae v", "exactly one training command"),
        ("accelerate launch flux_kontext_train_network.py --dit d", "FLUX.1 Kontext"),
        ("", "cannot be told which trainer"),
    ],
)
def test_what_cannot_be_imported_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        import_text(text, here=tmp_path)


def test_an_existing_file_is_not_replaced(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "mine.toml").write_text("# mine\n")
    assert run(["presets", "import", "onetrainer.json", "mine.toml"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert (there / "mine.toml").read_text() == "# mine\n"
    assert run(["presets", "import", "onetrainer.json", "mine.toml", "--force"]) == 0


def test_it_works_in_japanese(there: Path) -> None:
    code = "from musubi_tui.cli.root import run; run(['presets', 'import', 'simpletuner.json'])"
    environment = {**os.environ, "MUSUBI_TUI_LANG": "ja", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert "引き継ぎ: 22" in done.stderr
    assert "からインポートしました" in done.stdout


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**6), st.floats(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=2))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_value_makes_an_import_fall(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever stands behind a known key, the answer is a preset that parses or a ``UserError``, and the books balance."""
    name, format = data.draw(st.sampled_from([item for item in FILES.items() if item[0] != "musubi.sh"]))
    path = FOREIGN / name
    leaves = Account.of(
        json.loads(path.read_text()) if path.suffix == ".json" else tomllib.loads(path.read_text()) if path.suffix == ".toml" else __import__("yaml").safe_load(path.read_text())
    ).leaves  # fmt: skip
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(leaves)), _VALUES, max_size=6))
    nested: dict[str, Any] = {}
    for key, value in {**leaves, **changed}.items():
        *folders, last = key.split(".")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    text = json.dumps(_with_lists(nested))
    try:
        result = import_text(text, here=FOREIGN, file=None, format=format, family="wan")
    except UserError:
        return
    settle(result)
    preset = preset_text(result, source=name, folder=FOREIGN)
    tomllib.loads(preset)
    assert not result.account.leaves
    assert max(Counter(line.key for line in result.account.lines if line.key).values(), default=1) <= 2


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        if value and all(key.isdigit() for key in value):
            return [_with_lists(value[key]) for key in sorted(value, key=int)]
        return {key: _with_lists(inner) for key, inner in value.items()}
    return value


@pytest.mark.parametrize(
    ("name", "key", "small", "half"),
    [
        ("x.toml", "model.transformer_dtype", "[model]\ntype = 'wan'\ntransformer_dtype = 'float8'\n[adapter]\n", ("float8", "bfloat16")),
        ("x.json", "base_model_precision", '{"model_family": "wan", "model_type": "lora", "base_model_precision": "int8-quanto"}', ("int8-quanto", "no_change")),
        ("x.json", "weight_dtype", '{"model_type": "QWEN", "training_method": "LORA", "weight_dtype": "NFLOAT_4"}', ("NFLOAT_4", "BFLOAT_16")),
        ("x.yaml", "model.quantize", "config: {process: [{model: {arch: wan21, quantize: true}}]}", ("true", "false")),
    ],
)  # fmt: skip
def test_smaller_weights_are_missed(tmp_path: Path, name: str, key: str, small: str, half: tuple[str, str]) -> None:
    for text, fate in ((small, "lost"), (small.replace(*half), "no_effect")):
        account = import_text(text, here=tmp_path, file=tmp_path / name).account
        [line] = [line for line in account.lines if line.key == key]
        assert line.fate == fate
        assert ("the card must hold the whole model" in line.why) == (fate == "lost")


def test_ai_toolkit_datasets_have_their_own_caches_and_prompts_the_trigger_word(tmp_path: Path) -> None:
    text = """config: {process: [{model: {arch: wan21}, trigger_word: h3ron,
      datasets: [{folder_path: a/pics, resolution: [512, 768]}, {folder_path: b/pics, resolution: [512, 768]}],
      sample: {prompts: ["[trigger] in ink"], seed: 1, walk_seed: true}}]}"""
    account = import_text(text, here=tmp_path, file=tmp_path / "x.yaml").account
    caches = [table["cache_directory"] for table in account.datasets]
    assert caches == ["cache/pics-512", "cache/pics-768", "cache/pics-512-2", "cache/pics-768-2"]
    assert account.prompts == ["h3ron in ink --d 1"]
    assert [line.key for line in account.lines if line.fate == "lost"] == ["sample.walk_seed"]


def test_sd_scripts_captions_and_folders_that_are_never_shown(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (there / "sets" / "0_cat").mkdir()
    (there / "k.toml").write_text('pretrained_model_name_or_path = "x"\ntrain_data_dir = "sets"\n')
    report, _, [dataset] = imported(capsys, "k.toml", "--family", "wan")
    assert (dataset["image_directory"], dataset["caption_extension"]) == ("sets/10_dog", ".caption")
    assert [line["key"] for line in report["keys"] if "0 repeats" in line["why"]] == ["sets/0_cat"]
    shutil.rmtree(there / "sets" / "10_dog")
    assert imported(capsys, "k.toml", "--family", "wan")[2] == []


def test_the_command_that_is_told_for_a_family_works(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["presets", "import", "kohya.toml", "my2.toml"]) == 2
    assert not (there / "my2.toml").exists()
    assert run(["presets", "import", "kohya.toml", "kept.toml", "--force"]) == 2
    assert (there / "kept.toml").exists()
    capsys.readouterr()
    assert run(["presets", "import", "kohya.toml", "my2.toml"]) == 2
    told = capsys.readouterr().err.strip().rpartition("musubi-tui ")[2]
    assert run(told.replace("FAMILY", "qwen_image").split()) == 0
    assert tomllib.loads((there / "my2.toml").read_text())["run"]["family"] == "qwen_image"
