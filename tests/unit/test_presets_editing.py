"""Editing in place: one value, one line; everything else byte for byte, in files of any style."""

from __future__ import annotations

import difflib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.problems import ConfigError
from musubi_tui.presets.editing import edit_text, set_values

CONFIGS = Path(__file__).parent.parent / "golden" / "data" / "configs"
PRESETS = [*sorted((Path(__file__).parent.parent.parent / "presets").glob("*.toml"))]
PRESETS += [
    CONFIGS / f"{name}.toml" for name in ("framepack_one_frame", "hunyuan_sectioned", "qwen_edit", "wan22_pair")
]
HERE = Path("preset.toml")


def edited(text: str, **values: object) -> str:
    return edit_text(text, values, HERE)[0]


def line_changes(before: str, after: str) -> tuple[list[str], list[str]]:
    """Removed and added lines."""
    found = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    return [line[2:] for line in found if line.startswith("- ")], [line[2:] for line in found if line.startswith("+ ")]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_one_value_is_one_line(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    changes = set_values(copy, {"learning_rate": "3.5e-4"})
    before, after = path.read_text(encoding="utf-8"), copy.read_text(encoding="utf-8")
    removed, added = line_changes(before, after)
    assert len(removed) == len(added) == 1
    assert added[0].startswith("learning_rate = 3.5e-4")
    assert added[0].partition("#")[2] == removed[0].partition("#")[2], "the comment stays"
    assert len(changes) == 1
    assert after.splitlines()[changes[0].line - 1].startswith("learning_rate")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.parametrize("key", ["scale_weight_norms", "keep_states", "metadata_author", "price_per_hour"])
def test_a_new_key_is_one_new_line(path: Path, key: str) -> None:
    before = path.read_text(encoding="utf-8")
    value = "me" if key == "metadata_author" else "3"
    after, changes = edit_text(before, {key: value}, path)
    removed, added = line_changes(before, after)
    assert (removed, len(added)) == ([], 1)
    assert after.splitlines()[changes[0].line - 1].split(" = ")[0] == key
    back, _ = edit_text(after, {key: None}, path)
    assert back == before


@pytest.mark.parametrize("name", ["edit_dataset", "framepack_one_frame_dataset", "video_dataset"])
def test_a_key_of_a_dataset_file_is_one_line(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "dataset.toml"
    copy.write_bytes((CONFIGS / f"{name}.toml").read_bytes())
    before = copy.read_text()
    (change,) = set_values(copy, {"general.batch_size": "7"})
    removed, added = line_changes(before, copy.read_text())
    assert len(removed) == len(added) == 1
    assert added[0] == removed[0].replace(change.before or "?", "7", 1)
    assert copy.read_text().splitlines()[change.line - 1].startswith("batch_size = 7")
    set_values(copy, {"datasets.0.num_repeats": "3"})
    set_values(copy, {"general.batch_size": change.before})
    removed, added = line_changes(before, copy.read_text())
    assert len(removed) <= 1
    assert [line.partition("#")[0].split() for line in added] == [["num_repeats", "=", "3"]]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("datasets.5.num_repeats", "1", "no table"),
        ("datasets.0.num_repeat", "1", "Did you mean num_repeats"),
        ("general.batch_size", "many", "whole number"),
        ("general.batch_size", "\udcff", "UTF-8"),
    ],
)
def test_wrong_keys_and_values_of_a_dataset_are_told(key: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        edit_text((CONFIGS / "video_dataset.toml").read_text(), {key: value}, HERE)


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigError, match="no such file"):
        set_values(Path("x.toml"), {"seed": "1"})


def test_a_new_key_goes_beside_its_section_mates() -> None:
    text = 'seed = 1\n[a]\n  network_dim = 8  # rank\n  dit = "x"\n[b]\nsdpa = true\n'
    assert edited(text, network_alpha="4").splitlines()[3] == "  network_alpha = 4"
    assert edited(text, vae="v.pth").splitlines()[4] == '  vae = "v.pth"'
    assert edited(text, output_name="x").splitlines()[1] == 'output_name = "x"'
    assert edited(text, flash_attn="true").splitlines()[6] == "flash_attn = true"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "keep_states = 3\n"),
        ("# only a comment", "# only a comment\nkeep_states = 3"),
        ("seed = 1", "seed = 1\nkeep_states = 3"),
        ("seed=1\n", "seed=1\nkeep_states=3\n"),
        ("seed = 1\r\nsdpa = true\r\n", "seed = 1\r\nsdpa = true\r\nkeep_states = 3\r\n"),
        ("[save]\n# nothing yet\n", "[save]\nkeep_states = 3\n# nothing yet\n"),
        ('[[datasets]]\nimage_directory = "p"\n', 'keep_states = 3\n[[datasets]]\nimage_directory = "p"\n'),
        ("[run]\nseed = 1 # x\n\n[[datasets]]\n", "[run]\nseed = 1 # x\nkeep_states = 3\n\n[[datasets]]\n"),
        ("save_state = true\nnetwork_args = [\n 'a=1', # c\n]\n", "save_state = true\nkeep_states = 3\nnetwork_args = [\n 'a=1', # c\n]\n"),
        ("network_args = [\n 'a=1', # c\n]\n", "network_args = [\n 'a=1', # c\n]\nkeep_states = 3\n"),
        ("run.seed = 1\n", "run.seed = 1\nkeep_states = 3\n"),
        ("[dit]\na = 1\n", "keep_states = 3\n[dit]\na = 1\n"),
    ],
)  # fmt: skip
def test_where_a_key_without_mates_goes(before: str, after: str) -> None:
    assert edited(before, keep_states="3") == after


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        ("learning_rate=2E-4#c\n", {"learning_rate": "2e-4"}, "learning_rate=2E-4#c\n"),
        ("seed  =  0x10 # hex\n", {"seed": "17"}, "seed  =  17 # hex\n"),
        ("dit = 'C:\\m\\x'\n", {"dit": "D:\\m\\y"}, "dit = 'D:\\m\\y'\n"),
        ("dit = 'x'\n", {"dit": "it's"}, 'dit = "it\'s"\n'),
        ('"seed" = 1\n', {"seed": "2"}, '"seed" = 2\n'),
        ("a.seed = 1\n", {"seed": "2"}, "a.seed = 2\n"),
        ("run = { seed = 1, sdpa = true }\n", {"seed": "2"}, "run = { seed = 2, sdpa = true }\n"),
        ("[a]\nseed = 1\n[b]\nseed = 2\n", {"seed": "3"}, "[a]\nseed = 1\n[b]\nseed = 3\n"),
        ("seed = 1 # a\nsdpa = true\n", {"seed": "none"}, "sdpa = true\n"),
        ("network_args = [\n 'a=1',\n] # c\nseed = 1\n", {"network_args": None}, "seed = 1\n"),
        ("network_args = ['a=1']\n", {"network_args": "b=2 c=3"}, 'network_args = ["b=2", "c=3"]\n'),
        ("seed = 1\n", {"seed": 5, "sdpa": True}, "seed = 5\nsdpa = true\n"),
        ("network_alpha = 1\n", {"network_alpha": "1.0"}, "network_alpha = 1.0\n"),
        ("lr_warmup_steps = 0\n", {"lr_warmup_steps": "5%"}, 'lr_warmup_steps = "5%"\n'),
        ("output_name = '日本語'\n", {"output_name": "犬"}, "output_name = '犬'\n"),
    ],
)
def test_spelling_is_kept(before: str, values: dict[str, object], after: str) -> None:
    assert edit_text(before, values, HERE)[0] == after


def test_keys_of_the_dataset_are_not_options() -> None:
    text = 'sdpa = true\n[general]\nseed = 1\n[[datasets]]\nimage_directory = "p"\nseed = 2\n'
    assert edited(text, seed="9").splitlines()[1] == "seed = 9"


def test_byte_order_mark_mode_and_links_survive(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_bytes(b"\xef\xbb\xbfseed = 1\r\n")
    real.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    set_values(link, {"seed": "2"})
    assert real.read_bytes() == b"\xef\xbb\xbfseed = 2\r\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("seed = 1\n")
    stamp = path.stat().st_mtime_ns
    assert set_values(path, {"seed": "1", "sdpa": None}) == []
    assert path.stat().st_mtime_ns == stamp


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rat": "1"}, "Did you mean learning_rate?"),
        ({"max_train_steps": "0"}, "max_train_steps must be a whole number, at least 1, not 0."),
        ({"sdpa": "maybe"}, 'sdpa must be true or false, not "maybe".'),
        ({"datasets": "[]"}, "datasets is not a single value."),
        ({"resolution": "512"}, "It belongs into the dataset file"),
    ],
)
def test_wrong_edits_change_nothing(tmp_path: Path, values: dict[str, str], words: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text("seed = 1\n")
    with pytest.raises(ConfigError) as caught:
        set_values(path, {"seed": "5", **values})
    assert words in str(caught.value)
    assert caught.value.problems[0].file == str(path)
    assert path.read_text() == "seed = 1\n"


def test_broken_and_braced_files(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("seed = \n")
    with pytest.raises(ConfigError) as caught:
        set_values(path, {"seed": "5"})
    assert caught.value.problems[0].code == "syntax"
    path.write_text("run = { seed = 1 }\n")
    with pytest.raises(ConfigError, match="stands inside braces"):
        set_values(path, {"seed": None})


LINES = st.sampled_from(
    [
        "# a comment",
        "",
        "   ",
        "\t# 日本語のコメント",
        "learning_rate = 1e-4   # spelled so",
        "network_args = [ 'a=1' ,\n   # inside\n   'b=2' ]",
        "output_name='x'",
        "network_alpha = 16",
        "sdpa=true#x",
        "unknown_key = 1979-05-27T07:32:00Z",
    ]
)
SECTIONS = st.sampled_from(["[training]", "[ 'odd name' ]", "[save] # header", "[a]"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """TOML files as people write them: any order, any section, odd spacing, with or without a last newline."""
    lines: list[str] = []
    seen: set[str] = set()
    for _ in range(draw(st.integers(0, 4))):
        if lines:
            header = draw(SECTIONS)
            if header in seen:
                continue
            seen.add(header)
            lines.append(header)
        lines += draw(st.lists(LINES, max_size=5, unique=True)) or ["# nothing"]
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@settings(max_examples=150, deadline=None)
@given(files(), st.sampled_from(["learning_rate", "keep_states", "network_dim", "seed", "validation_items"]))
def test_everything_untouched_survives(text: str, key: str) -> None:
    data = tomllib.loads(text)
    after, changes = edit_text(text, {key: "7"}, HERE)
    assert len(changes) == 1
    removed, added = line_changes(text, after)
    if changes[0].before is None:
        rest = edit_text(after, {key: None}, HERE)[0]
        assert rest.rstrip("\r\n") == text.rstrip("\r\n")
    else:
        assert len(removed) == len(added) == 1
        assert edit_text(after, {key: changes[0].before}, HERE)[0] == text
    flat = {**data, **{k: v for table in data.values() if isinstance(table, dict) for k, v in table.items()}}
    now = tomllib.loads(after)
    flat_now = {**now, **{k: v for table in now.values() if isinstance(table, dict) for k, v in table.items()}}
    assert {k: v for k, v in flat.items() if k != key and not isinstance(v, dict)} == {
        k: v for k, v in flat_now.items() if k != key and not isinstance(v, dict)
    }


def test_two_programs_change_one_preset_and_no_change_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("learning_rate = 1e-4\nnetwork_dim = 1\nseed = 1\n")
    tree = Path(__file__).parents[2]
    change = (
        "import sys; from pathlib import Path; from musubi_tui.presets.editing import set_values\n"
        "for number in range(2, 42): set_values(Path(sys.argv[1]), {sys.argv[2]: str(number)})"
    )
    names = ("network_dim", "seed")
    others = [subprocess.Popen([sys.executable, "-c", change, path, name], cwd=tree) for name in names]
    for number in range(1, 41):
        set_values(path, {"max_train_steps": str(number)})
    assert [other.wait() for other in others] == [0, 0]
    values = tomllib.loads(path.read_text())
    assert (values["network_dim"], values["seed"], values["max_train_steps"]) == (41, 41, 40)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.toml"]


def test_a_value_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 1\n")
    with pytest.raises(ConfigError, match="the value of output_name is not UTF-8 text"):
        set_values(path, {"output_name": '"\udcff"'})
    assert path.read_text() == "seed = 1\n"
