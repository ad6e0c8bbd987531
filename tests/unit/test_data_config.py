"""Dataset files: every complaint has its line, all come at once, and nothing a person can write ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.problems import ConfigError, Problem
from engine.data.dataset_config import check_dataset_config, read_dataset_config
from engine.data.json_positions import json_key_positions
from engine.data.positions import key_positions
from engine.data.schema import KEYS
from engine.families import get_family

WAN, QWEN = get_family("wan"), get_family("qwen_image")


def problems_of(path: Path, text: str) -> list[Problem]:
    path.write_text(text, encoding="utf-8")
    return check_dataset_config(path, base_dir=path.parent, spec=WAN)[1]


def test_all_errors_of_a_file_at_once_with_their_places(tmp_path: Path) -> None:
    text = """\
[general]
resolutoin = 512
image_directory = "x"
[[datasets]]
image_directory = "a"
caption_extension = ".txt"
  batch_size = "2"
[[datasets]]
video_directory = "b"
target_frames = 25
multiple_target = true
"""
    found = problems_of(tmp_path / "d.toml", text)
    errors = {(p.line, p.column): (p.code, p.key) for p in found if p.severity == "error"}
    assert errors == {
        (2, 1): ("unknown_key", "resolutoin"),
        (3, 1): ("misplaced_key", "image_directory"),
        (7, 3): ("wrong_type", "batch_size"),
        (10, 1): ("wrong_type", "target_frames"),
        (11, 1): ("misplaced_key", "multiple_target"),
    }
    assert next(p for p in found if p.key == "resolutoin").fix == "Did you mean resolution?"


def test_a_broken_file_says_where(tmp_path: Path) -> None:
    (broken,) = problems_of(tmp_path / "d.toml", "[general]\nresolution = \n")
    assert broken.line == 2
    (nested,) = problems_of(tmp_path / "e.toml", "a = " + "[" * 5000 + "]" * 5000)
    assert nested.file.endswith("e.toml")
    (digits,) = problems_of(tmp_path / "f.toml", "[[datasets]]\nbatch_size = " + "9" * 6000)
    assert digits.line == 2


def test_json_is_read_and_complained_about(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"datasets": [{"image_directory": "pics", "resolution": 512}]}))
    config = read_dataset_config(path, base_dir=tmp_path, spec=WAN)
    assert config.datasets[0].image_directory == tmp_path / "pics"
    path.write_text('{"datasets": [}')
    with pytest.raises(ConfigError) as caught:
        read_dataset_config(path, base_dir=tmp_path, spec=WAN)
    assert caught.value.problems[0].line == 1


def test_json_complaints_have_their_places_too(tmp_path: Path) -> None:
    text = """\
{
  "general": {"resolutoin": 512, "caption_extension": ".txt"},
  "datasets": [
    {"image_directory": "a{\\"b", "enable_bucket": true},
    {"image_directory": "é", "batch_size": "2",
     "frame_stride": 3}
  ]
}
"""
    found = problems_of(tmp_path / "d.json", text)
    errors = {(p.key, p.line, p.column) for p in found if p.severity == "error"}
    assert errors == {("resolutoin", 2, 15), ("batch_size", 5, 30), ("frame_stride", 6, 6)}


@settings(max_examples=200, deadline=None)
@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
        max_leaves=20,
    ),
    indent=st.sampled_from([None, 1]),
)
def test_every_key_of_a_json_text_is_found_where_it_stands(content: object, indent: int | None) -> None:
    text = json.dumps({"x": content}, indent=indent, ensure_ascii=False)
    found = json_key_positions(text)
    lines = text.split("\n")
    expected = 0
    waiting: list[tuple[tuple[str | int, ...], object]] = [((), {"x": content})]
    while waiting:
        address, value = waiting.pop()
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for part, inner in parts:
            expected += 1
            line, column = found[*address, part]
            start = json.dumps(part if isinstance(value, dict) else inner, indent=indent, ensure_ascii=False)
            assert lines[line - 1][column - 1 :].startswith(start.split("\n")[0])
            waiting.append(((*address, part), inner))
    assert len(found) == expected


def test_precedence_and_the_document_that_run_toml_keeps(tmp_path: Path) -> None:
    tables = {
        "general": {"batch_size": 3, "resolution": 512, "caption_extension": "txt"},
        "datasets": [
            {"image_directory": "a", "batch_size": 1},
            {"video_directory": "b", "target_frames": [26, 25, 1], "source_fps": 30},
        ],
    }
    config = read_dataset_config(tables, base_dir=tmp_path, spec=WAN)
    first, second = config.datasets
    assert (first.batch_size, second.batch_size, first.resolution) == (1, 3, (512, 512))
    assert first.caption_extension == ".txt"
    assert config.document()["general"] == {**tables["general"], "resolution": [512, 512]}  # type: ignore[dict-item]
    assert (second.target_frames, second.source_fps) == ((1, 25), 30.0)
    assert {w.code for w in config.warnings} >= {"rounded_frames", "missing_dot"}
    again = read_dataset_config(config.document(), base_dir=Path("/elsewhere"), spec=WAN)
    assert again.datasets == config.datasets


def test_a_preset_gives_positions_to_its_tables(tmp_path: Path) -> None:
    preset = tmp_path / "p.toml"
    preset.write_text('family = "wan"\n[[datasets]]\nimage_directory = "a"\nbatch = 2\n')
    tables = {"general": {}, "datasets": [{"image_directory": "a", "batch": 2}]}
    _, found = check_dataset_config(tables, base_dir=tmp_path, spec=WAN, file=str(preset))
    assert [(p.line, p.key) for p in found if p.severity == "error"] == [(4, "batch")]


def test_paths_are_shown_without_dots_unless_a_link_makes_them_mean_another_place(tmp_path: Path) -> None:
    (tmp_path / "else" / "deep").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "else" / "deep")

    def read(text: str) -> Path | None:
        tables = {"datasets": [{"image_directory": text, "cache_directory": "c"}]}
        return read_dataset_config(tables, base_dir=tmp_path, spec=WAN).datasets[0].directory

    assert read("mine/../pics") == tmp_path / "pics"
    assert read("link/../pics") == tmp_path / "link" / ".." / "pics"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({}, "missing_key"),
        ({"image_jsonl_file": "a.jsonl"}, "missing_key"),
        ({"image_directory": "a", "image_jsonl_file": "b", "cache_directory": "c"}, "conflicting_keys"),
        ({"image_directory": "a", "resolution": [500, 500]}, None),
        ({"image_directory": "a", "resolution": [504, 512]}, "bad_value"),
        ({"image_directory": "a", "resolution": 8}, "bad_value"),
        ({"image_directory": "a", "num_repeats": 0}, "bad_value"),
        ({"video_directory": "a", "source_fps": 0}, "bad_value"),
        ({"video_directory": "a", "source_fps": float("nan")}, "bad_value"),
        ({"video_directory": "a", "target_frames": []}, "wrong_type"),
        ({"video_directory": "a", "fp_latent_window_size": 0}, "bad_value"),
        ({"image_directory": "a\0b"}, "bad_value"),
        ({"image_directory": "a", "resolution": [[64, 64], [8, 8]]}, "bad_value"),
        ({"image_directory": "a", "resolution": [[64, 64], 128]}, "wrong_type"),
        ({"image_directory": "a", "resolution": [64, 64, 64]}, "wrong_type"),
        ({"image_directory": "a", "caption_extension": []}, "wrong_type"),
        ({"image_directory": "a", "caption_extension": "../x"}, "bad_value"),
        ({"image_directory": "a", "caption_encoding": "klingon"}, "bad_value"),
        ({"image_directory": "a", "caption_encoding": "hex"}, "bad_value"),
        ({"image_directory": "a", "caption_encoding": "rot13"}, "bad_value"),
        ({"image_directory": "a", "caption_encoding": "utf-16-le"}, None),
        ({"image_directory": "a", "caption_dropout": 1.5}, "bad_value"),
        ({"image_directory": "a", "tag_shuffle": 65}, "bad_value"),
        ({"image_directory": "a", "trigger_word": "  "}, "bad_value"),
        ({"image_directory": "a", "loss_weight": 0}, "bad_value"),
        ({"image_directory": "a", "validation_split": 1.0}, "bad_value"),
        ({"image_directory": "a", "validation_split": 0}, "bad_value"),
        ({"image_directory": "a", "validation_split": 3}, None),
        ({"image_directory": "a", "validation": True}, "nothing_to_train"),
        ({"image_directory": "a", "enable_bucket": True, "min_bucket_size": 512, "max_bucket_size": 64}, "bad_value"),
        ({"image_directory": "a", "enable_bucket": True, "min_bucket_size": 9999}, "bad_value"),
        ({"image_directory": "a", "control_directory": "b", "fp_1f_clean_indices": [0, 10]}, None),
    ],
)
def test_one_wrong_thing(tmp_path: Path, entry: dict[str, object], code: str | None) -> None:
    _, found = check_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert [p.code for p in found if p.severity == "error"] == ([code] if code else [])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shuffle_caption", "tag_shuffle"),
        ("flip_aug", "flip"),
        ("keep_tokens", "keep_tags"),
        ("capton_dropout", "caption_dropout"),
    ],
)
def test_words_of_other_trainers_lead_to_ours(tmp_path: Path, written: str, meant: str) -> None:
    (problem,) = problems_of(tmp_path / "d.toml", f'[[datasets]]\nimage_directory = "a"\n{written} = true\n')[:1]
    assert (problem.line, problem.column, problem.fix) == (3, 1, f"Did you mean {meant}?")


def test_a_complaint_about_an_inherited_value_points_at_general(tmp_path: Path) -> None:
    text = "[general]\nbucket_no_upscale = true\ncaption_encoding = 'x'\n[[datasets]]\nimage_directory = 'a'\n"
    found = problems_of(tmp_path / "d.toml", text)
    assert {(p.key, p.line) for p in found if p.key} >= {("bucket_no_upscale", 2), ("caption_encoding", 3)}


def test_the_page_of_keys_tells_every_key_with_its_default() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    keys = page.split("## Keys")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in keys.splitlines() if line.startswith("| `")]
    told = {}
    for names, defaults in rows:
        for number, name in enumerate(names.split(",")):
            apart = defaults.split(", ") if defaults.strip().startswith("–,") else [defaults]
            told[name.strip().strip("`")] = apart[min(number, len(apart) - 1)].strip()
    for key in KEYS:
        default = "–" if key.default is None else f"`{json.dumps(key.default)}`"
        assert told.get(key.name) == default, key.name
    general = page.split("May stand in `[general]`: ")[1].split(".\n")[0]
    listed = {word.strip("` \n") for word in general.split(",")}
    assert listed == {key.name for key in KEYS if key.general}


def test_families_and_shared_folders(tmp_path: Path) -> None:
    clips = {"datasets": [{"video_directory": "a"}]}
    _, found = check_dataset_config(clips, base_dir=tmp_path, spec=QWEN)
    assert "family_without_clips" in {p.code for p in found}
    _, found = check_dataset_config(clips, base_dir=tmp_path, spec=None)
    assert "no_family" in {p.code for p in found if p.severity == "warning"}
    shared = {"datasets": [{"image_directory": "a"}, {"video_directory": "a"}]}
    _, found = check_dataset_config(shared, base_dir=tmp_path, spec=WAN)
    assert "shared_cache_directory" in {p.code for p in found}


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    entry = {"video_directory": "a", "frame_stride": 3, "bucket_no_upscale": True}
    config, found = check_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert config is not None
    assert [p.key for p in found if p.code == "no_effect"] == ["bucket_no_upscale", "frame_stride"]
    entry = {
        "image_directory": "a", "multiple_captions": True, "keep_tags": 1, "min_bucket_size": 64, "control_resolution": 512,
        "fp_latent_window_size": 12, "is_reg": True, "caption_dropout": 0.1,
    }  # fmt: skip
    _, found = check_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert {p.key for p in found if p.code == "no_effect"} == set(entry) - {"image_directory", "is_reg"}


def test_a_list_has_its_captions_in_it(tmp_path: Path) -> None:
    entry = {"image_jsonl_file": "a.jsonl", "cache_directory": "c", "caption_extension": ".txt", "recursive": True}
    config, found = check_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert config is not None
    assert [p.key for p in found if p.code == "no_effect"] == ["recursive", "caption_extension"]


def test_a_wrong_size_is_told_with_the_other_errors(tmp_path: Path) -> None:
    entry = {"image_directory": "a", "resolution": [72, 100], "caption_encoding": "klingon", "num_repeats": 0}
    _, found = check_dataset_config({"datasets": [entry]}, base_dir=tmp_path, spec=WAN)
    assert {p.key for p in found if p.severity == "error"} == {"resolution", "caption_encoding", "num_repeats"}


def test_positions_of_every_kind_of_key() -> None:
    text = 'a = 1\n"b c".d = 2\n[[x]]\nk = 1\n[[x]]\n  k = [{ q = 1 }]\n[x.y]\nz = 3\n'
    found = key_positions(text)
    assert found["a",] == (1, 1)
    assert found["b c", "d"] == (2, 7)
    assert found["x", 0, "k"] == (4, 1)
    assert found["x", 1, "k"] == (6, 3)
    assert found["x", 1, "k", 0, "q"] == (6, 10)
    assert found["x", 1, "y", "z"] == (8, 1)


names = st.sampled_from([key.name for key in KEYS] + ["general", "datasets", "resoluton", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
tables = st.dictionaries(names, values, max_size=6)


@settings(max_examples=150, deadline=None)
@given(content=st.fixed_dictionaries({"general": tables | values, "datasets": st.lists(tables, max_size=3) | values}))
def test_random_tables_never_break_the_reader(content: dict[str, object]) -> None:
    config, found = check_dataset_config(content, base_dir=Path("/base"), spec=WAN)
    assert (config is None) == any(problem.severity == "error" for problem in found)


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet="[]{}=\"'\\#.,\n \tab1-:éあ\x00", max_size=60))
def test_random_text_has_positions_or_none(text: str) -> None:
    for line, column in key_positions(text).values():
        assert line >= 1
        assert column >= 1


def test_a_value_of_general_is_complained_of_once(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\ncaption_encoding = "klingon"\n[[datasets]]\nimage_directory = "a"\n[[datasets]]\nimage_directory = "b"\n'
    )
    _, problems = check_dataset_config(file, base_dir=tmp_path, spec=None)
    assert [(problem.line, problem.key) for problem in problems if "klingon" in problem.message] == [
        (2, "caption_encoding")
    ]
