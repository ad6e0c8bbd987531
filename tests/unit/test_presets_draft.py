"""The editor's model: a file as text, edited value by value, undone, saved, noticed when somebody else writes it, never lost."""

from __future__ import annotations

import difflib
import os
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.problems import ConfigError
from engine.config.schema import OPTIONS, SECTIONS
from musubi_tui.presets import journal
from musubi_tui.presets.batch import rate_hint
from musubi_tui.presets.completing import candidates, completed, working_folder
from musubi_tui.presets.dataset_cells import dataset_cells, set_cell
from musubi_tui.presets.draft import Draft, line_changes, rewritten
from musubi_tui.presets.editing import edit_text, set_values
from musubi_tui.presets.facts import facts_of
from musubi_tui.presets.fixing import apply_fix, fix_for
from musubi_tui.presets.form import ALL, SECTION_TITLES, Look, cell, counts, effect, rows, shown, typed
from musubi_tui.presets.stepping import spelled, stepped, toggled
from tests.unit.test_presets_editing import PRESETS, files
from tests.unit.without_rights import open_folder as open_folder
from tests.unit.without_rights import permissions_hold

OURS = 'family = "wan"\ntask = "t2v-1.3B"\ndit = "m/dit.safetensors"\ndataset_config = "d.toml"\n'
GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "data" / "configs").glob("*.toml"))


def draft_of(folder: Path, text: str | bytes, name: str = "p.toml") -> Draft:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Draft.open(path)


def names(draft: Draft, look: Look) -> list[str]:
    return [row.text for row in rows(draft, look) if row.kind == "option"]


# Text


@pytest.mark.parametrize("path", [path for path in GOLDEN if "dataset" not in path.stem], ids=lambda path: path.stem)
def test_musubis_files_differ_in_one_line_by_the_editor_and_by_set(path: Path, tmp_path: Path) -> None:
    draft = draft_of(tmp_path, path.read_bytes())
    twin = tmp_path / "twin.toml"
    twin.write_bytes(path.read_bytes())
    step = stepped(OPTIONS["learning_rate"], draft.facts.value("learning_rate"), 1)
    draft.set({"learning_rate": step})
    line = draft.facts.line("learning_rate")
    draft.save()
    words = shlex.split(Draft.open(twin).twin())
    assert words[:3] == ["musubi-tui", "presets", "check"]
    set_values(twin, {"learning_rate": step})
    assert draft.path.read_bytes() == twin.read_bytes()
    before, after = path.read_bytes().split(b"\n"), draft.path.read_bytes().split(b"\n")
    assert len(before) == len(after)
    assert [number for number, (a, b) in enumerate(zip(before, after), 1) if a != b] == [line]


@pytest.mark.parametrize("path", [path for path in GOLDEN if "dataset" in path.stem], ids=lambda path: path.stem)
def test_dataset_files_open_and_differ_in_one_line_too(path: Path, tmp_path: Path) -> None:
    draft = draft_of(tmp_path, path.read_bytes())
    assert [problem.code for problem in draft.facts.errors] == ["not_a_preset"]
    cells = {one.key: one for one in dataset_cells(draft.facts)}
    draft.replace(set_cell(draft.text, cells["general.batch_size"], "7", draft.path))
    draft.save()
    before, after = path.read_bytes().split(b"\n"), draft.path.read_bytes().split(b"\n")
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][1].startswith(b"batch_size = 7")
    assert changed[0][1].partition(b"#")[2] == changed[0][0].partition(b"#")[2]


def test_a_deleted_working_folder_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    draft = draft_of(tmp_path, "network_module = 'networks.lora_wan'\ndit = 'x'\n")
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert draft.facts.errors
    draft.set({"seed": 3})
    draft.save()
    assert candidates("x", working_folder()) is not None


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_undo_and_redo_go_over_everything(path: Path) -> None:
    draft = Draft.open(path)
    original = draft.text
    draft.set({"keep_states": 7})
    draft.set({"learning_rate": "1e-5", "seed": 9})
    draft.replace(draft.text + "# mine\n")
    draft.reset("learning_rate")
    last = draft.text
    while draft.undo():
        pass
    assert draft.text == original
    assert not draft.dirty
    while draft.redo():
        pass
    assert draft.text == last
    draft.undo()
    draft.set({"seed": 1})
    assert not draft.redo(), "a new edit forgets what was undone"


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, object]]:
    value = st.sampled_from(
        [("learning_rate", "3e-4"), ("seed", 5), ("network_dim", "none"), ("output_name", "日本 'x'"), ("sdpa", True),
         ("network_args", "a=1 'b=2 3'"), ("keep_states", None), ("lr_warmup_steps", "5%"), ("weighting_scheme", "none")]
    )  # fmt: skip
    return draw(st.lists(value, min_size=1, max_size=5))


@settings(max_examples=60, deadline=None)
@given(files(), edits(), st.booleans())
def test_the_twin_makes_the_same_file(text: str, changes: list[tuple[str, object]], marked: bool) -> None:
    """Any hand-written file, any edits: the copied command does what the form did, or the draft says that it cannot."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        draft = draft_of(Path(folder), (b"\xef\xbb\xbf" if marked else b"") + text.encode())
        for name, value in changes:
            draft.set({name: value})
        words = shlex.split(draft.twin())
        beyond = draft.beyond_twin()
        if words[2] == "set" and not beyond:
            values = dict(word.split("=", 1) for word in words[4:])
            set_values(draft.path, values)
            assert draft.path.read_bytes() == (b"\xef\xbb\xbf" if marked else b"") + draft.text.encode()
        elif words[2] != "set":
            assert beyond == draft.dirty
        while draft.undo():
            pass
        assert draft.text == text


def test_changed_lines_say_what_they_were() -> None:
    assert line_changes("a\nb\nc\n", "a\nB\nc\nd\n") == {2: "b", 4: ""}
    assert line_changes("a\n", "a\n") == {}
    assert line_changes("", "a\nb\n") == {1: "", 2: ""}
    assert line_changes("x\na\nb", "a\nb") == {}
    assert line_changes("a\nb\nc\nd\n", "a\nX\nc\nY\nZ\n") == {2: "b", 4: "d", 5: ""}
    many = "\n".join(map(str, range(9000)))
    assert len(line_changes(many, many.replace("0", "o"))) > 100


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a = 1", "", "# é", "b = '\u2028'", "x"]), st.sampled_from(["\n", "\r\n", "\r", "\x0c"])
        )
    ),
    st.booleans(),
)
def test_text_that_went_through_an_editor_of_lines_is_the_same(parts: list[tuple[str, str]], ended: bool) -> None:
    """Mixed line ends, odd separators and a missing last newline survive where nothing was typed."""
    text = "".join(line + end for line, end in parts) + ("" if ended else "last")
    lines = text.splitlines() + ([""] if not text or text[-1] in "\n\r\x0c\u2028" else [])
    assert rewritten(text, lines) == text
    typed_in = rewritten(text, ["new", *lines])
    assert typed_in == ("new\r\n" if "\r\n" in text else "new\n") + text


# Disk


def test_saving_keeps_mark_line_ends_permissions_and_links(tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_bytes(b"\xef\xbb\xbfseed = 1\r\n# x\r\n")
    real.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(real)
    draft = Draft.open(link)
    draft.set({"seed": 2, "keep_states": 3})
    draft.save()
    assert real.read_bytes() == b"\xef\xbb\xbfseed = 2\r\nkeep_states = 3\r\n# x\r\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert not draft.dirty


def test_what_somebody_else_wrote_is_never_written_over_blindly(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, "seed = 1\n")
    draft.set({"seed": 2})
    assert draft.on_disk() == "same"
    os.utime(draft.path, ns=(1, 1))
    assert draft.on_disk() == "same", "touched, not changed"
    draft.path.write_text("seed = 3\n")
    assert draft.on_disk() == "other"
    with pytest.raises(ConfigError) as caught:
        draft.save()
    assert caught.value.problems[0].code == "changed_on_disk"
    assert draft.path.read_text() == "seed = 3\n"
    draft.reload()
    assert (draft.text, draft.dirty) == ("seed = 3\n", False)
    draft.undo()
    assert (draft.text, draft.dirty) == ("seed = 2\n", True)
    draft.save(overwrite=True)
    assert draft.path.read_text() == "seed = 2\n"


def test_a_vanished_file_is_made_again_and_a_vanished_folder_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    draft = draft_of(folder, "seed = 1\n")
    draft.set({"seed": 2})
    draft.path.unlink()
    assert draft.on_disk() == "gone"
    draft.save()
    assert draft.path.read_text() == "seed = 2\n"
    draft.set({"seed": 3})
    draft.path.unlink()
    folder.rmdir()
    with pytest.raises(ConfigError, match=r"its folder .* is gone"):
        draft.save()
    draft.save_as(tmp_path / "else")
    assert (tmp_path / "else.toml").read_text() == "seed = 3\n"
    assert draft.path.name == "else.toml"


def test_saving_as_asks_before_it_replaces(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, "seed = 1\n")
    (tmp_path / "other.toml").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        draft.save_as(tmp_path / "other.toml")
    assert (tmp_path / "other.toml").read_text() == "mine"
    draft.save_as(tmp_path / "other.toml", overwrite=True)
    assert (tmp_path / "other.toml").read_text() == "seed = 1\n"


def test_a_read_only_file_is_told(open_folder: Path) -> None:
    draft = draft_of(open_folder, "seed = 1\n")
    draft.path.chmod(0o444)
    draft.set({"seed": 2})
    with permissions_hold(), pytest.raises(ConfigError, match="read-only"):
        draft.save()
    assert draft.path.read_text() == "seed = 1\n"


def test_a_draft_survives_a_crash(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, "seed = 1\n")
    draft.set({"seed": 2})
    journal.keep(draft)
    again = Draft.open(draft.path)
    found = journal.kept(again.path)
    assert found is not None
    assert (found.text, found.digest, found.elsewhere) == (
        "seed = 2\n",
        again.saved.digest if again.saved else "",
        False,
    )
    draft.save()
    journal.keep(draft)
    assert journal.kept(draft.path) is None
    place = journal._place(draft.path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text('{"path": "x", "te')
    assert journal.kept(draft.path) is None, "one that was cut off is none"


def test_recent_presets(tmp_path: Path) -> None:
    for name in ("a", "b", "a"):
        path = tmp_path / f"{name}.toml"
        path.write_text("")
        journal.note_recent(path)
    assert [path.stem for path in journal.recent_presets()] == ["a", "b"]
    (tmp_path / "a.toml").unlink()
    assert [path.stem for path in journal.recent_presets()] == ["b"]


# Form


def test_every_section_has_a_title_in_both_languages() -> None:
    assert SECTION_TITLES.keys() == SECTIONS.keys()
    assert all(title.en and title.ja for title in SECTION_TITLES.values())


def test_every_option_that_fits_is_in_the_form_once(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, OURS)
    everything = names(draft, Look(ALL, expert=True, everything=True))
    assert everything == list(OPTIONS)
    fitting = names(draft, Look(ALL, expert=True))
    assert "text_encoder2" not in fitting
    assert "t5" in fitting
    basic = names(draft, Look("memory"))
    assert "blocks_to_swap" in basic
    assert "block_swap_ring_size" not in basic
    assert "block_swap_ring_size" in names(draft, Look("memory", expert=True))
    assert "learning_rate" in names(draft, Look(words="learning_RATE"))
    assert "blocks_to_swap" in names(draft, Look(words="main memory")), "the help is searched too"
    draft.set({"block_swap_ring_size": 3, "seed": 1})
    assert "block_swap_ring_size" in names(draft, Look("memory")), "what is set is shown"
    assert {"seed", "block_swap_ring_size"} <= set(names(draft, Look(changed=True)))
    assert names(draft, Look(problems=True)) == ["block_swap_ring_size"]


def test_cells_say_value_default_origin_and_marks(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    base.write_text(OURS + "learning_rate = 5e-4\nnetwork_dim = 8\n")
    draft = draft_of(tmp_path, 'base = "base.toml"\nseed = 7\n')
    draft.set({"max_train_steps": 10})
    seen = {name: cell(draft, OPTIONS[name], ()) for name in ("learning_rate", "seed", "max_train_steps", "network_alpha", "keep_states")}  # fmt: skip
    assert (seen["learning_rate"].value, seen["learning_rate"].default, seen["learning_rate"].inherited) == ("5e-4", "2e-4", "5e-4")  # fmt: skip
    assert [seen[name].origin for name in seen] == ["base", "file", "file", "family", "default"]
    assert [seen[name].unsaved for name in seen] == [False, False, True, False, False]
    assert [seen[name].changed for name in seen] == [True, True, True, False, False]
    draft.reset("learning_rate")
    assert draft.facts.own("base_unset") is not None
    assert draft.facts.value("learning_rate") == 2e-4


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sdpa", True, "on"),
        ("dit", "a\x1b[31mb\n", "a·[31mb·"),
        ("learning_rate", 0.0002, "2e-4"),
        ("network_args", ["a=1", "b=2"], "a=1  b=2"),
        ("network_args", [], "–"),
        ("huggingface_token", "secret", "••••••••"),
        ("seed", 10**30, "1" + "0" * 30),
        ("output_name", None, "–"),
        ("learning_rate", float("inf"), "inf"),
        ("learning_rate", [1, {"a": 2}], "[1, { a = 2 }]"),
    ],
)
def test_values_are_shown_on_one_line(name: str, value: object, text: str) -> None:
    assert shown(OPTIONS[name], value) == text


def test_typed_text_means_the_same_value(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, OURS + "network_args = ['a b=1', \"c='2'\"]\nlearning_rate = 2E-4\nsdpa = true\n")
    for name in ("network_args", "learning_rate", "sdpa", "dit", "task"):
        written = "2E-4" if name == "learning_rate" else ""
        text = typed(draft.facts, OPTIONS[name], written)
        assert edit_text(draft.text, {name: text}, draft.path)[0] == draft.text, name


def test_effects_come_from_the_schema(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, OURS + "blocks_to_swap = 4\nnetwork_dim = 64\ntext_encoder2 = 'x'\n")
    assert effect(draft.facts, OPTIONS["network_dim"]) == str(OPTIONS["network_dim"].higher)
    assert effect(draft.facts, OPTIONS["text_encoder2"]) == "no effect here"
    assert effect(draft.facts, OPTIONS["seed"]) == ""


def test_counts(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, OURS + "seed = 'x'\nnonsense = 1\nlearning_rate = 1.0\n")
    found = counts(draft)
    assert found["run"][1] == 1
    assert found["optimizer"][0] == 1
    assert found[ALL][1] == 2


# Steps


@pytest.mark.parametrize(
    ("name", "value", "up", "down"),
    [
        ("learning_rate", 2e-4, "4e-4", "1e-4"),
        ("network_dim", 32, "64", "16"),
        ("network_dim", 1, "2", None),
        ("network_alpha", 16, "32", "8"),
        ("network_alpha", 16.0, "32.0", "8.0"),
        ("seed", 42, "43", "41"),
        ("max_train_steps", 2000, "2100", "1900"),
        ("max_train_steps", 1000, "1100", "990"),
        ("discrete_flow_shift", 3.0, "3.1", "2.9"),
        ("network_dropout", 0.1, "0.2", "0.09"),
        ("blocks_to_swap", None, "1", "0"),
        ("validation_items", 0, "1", None),
        ("output_name", "x", None, None),
        ("seed", "oops", None, None),
    ],
)
def test_steps(name: str, value: object, up: str | None, down: str | None) -> None:
    assert (stepped(OPTIONS[name], value, 1), stepped(OPTIONS[name], value, -1)) == (up, down)


def test_toggles_go_round() -> None:
    assert toggled(OPTIONS["sdpa"], True) is False
    assert toggled(OPTIONS["sdpa"], None) is True
    option = OPTIONS["mixed_precision"]
    seen = [option.choices[0]]
    for _ in option.choices:
        seen.append(toggled(option, seen[-1]))
    assert seen[0] == seen[len(set(seen))]
    assert all(option.status_of(value) == "built" for value in seen[1:])
    assert toggled(OPTIONS["seed"], 3) == 3


@given(st.floats(1e-9, 1e9))
def test_spelled_numbers_read_back(number: float) -> None:
    assert float(spelled(number)) == pytest.approx(number, rel=1e-3)
    assert "value" in __import__("tomllib").loads(f"value = {spelled(number)}")


# Fixes


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ('network_dim = "8"', "network_dim = 8"),
        ("network_dim = 8.0", "network_dim = 8"),
        ("network_dim = 0", "network_dim = 1"),
        ('mixed_precision = "BF16"', 'mixed_precision = "bf16"'),
        ("sdpa = 1", "sdpa = true"),
        ('family = "wann"', 'family = "wan"'),
        ("learning_rat = 1e-4", "learning_rate = 1e-4"),
        ("train.learning_rat = 1e-4", "train.learning_rate = 1e-4"),
        ("nonsense_of_mine = 1", ""),
        ("text_encoder2 = 'x'", ""),
        ("full_bf16 = 3", ""),
        ("network_dim = 8\n[a]\nnetwork_dim = 9", "[a]\nnetwork_dim = 9"),
        ('network_module = "networks.lora_wann"', 'network_module = "networks.lora_wan"'),
    ],
)
def test_one_key_fixes(line: str, after: str, tmp_path: Path) -> None:
    start = "\n".join(OURS.splitlines()[0 if "family" not in line else 1 :]) + "\n"
    path = tmp_path / "p.toml"
    facts = facts_of(f"{start}{line}\n", path)
    fixes = [fix for fix in (fix_for(problem, facts) for problem in facts.problems) if fix]
    assert len(fixes) == 1, facts.problems
    assert apply_fix(facts, fixes[0]) == start + (f"{after}\n" if after else "")
    assert fixes[0].words


def test_a_missing_file_is_fixed_to_its_neighbour(tmp_path: Path) -> None:
    from engine.config.load import examine
    from engine.config.toml_source import parse_toml

    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "dit.safetensors").write_text("")
    facts = facts_of(OURS.replace("m/dit.", "m/dti."), tmp_path / "p.toml")
    found = examine(parse_toml(facts.text, facts.path), check_files=True).problems
    fixes = [fix_for(problem, facts) for problem in found if problem.key == "dit"]
    assert fixes
    assert fixes[0] is not None
    assert apply_fix(facts, fixes[0]) == OURS


# Batch, paths


def test_the_square_root_rule_is_offered_and_not_applied(tmp_path: Path) -> None:
    tables = '[general]\nbatch_size = 4\n[[datasets]]\nimage_directory = "p"\n'
    text = 'family = "wan"\nlearning_rate = 1e-4\n' + tables
    before = facts_of(text, tmp_path / "p.toml")
    hint = rate_hint(before, facts_of(text.replace("batch_size = 4", "batch_size = 8"), tmp_path / "p.toml"))
    assert hint is not None
    assert (hint.before, hint.after, hint.rate) == (4, 8, "1.41e-4")
    assert rate_hint(before, before) is None
    both = text.replace("batch_size = 4", "batch_size = 8").replace("1e-4", "1.41e-4")
    assert rate_hint(before, facts_of(both, tmp_path / "p.toml")) is None
    accumulated = facts_of("gradient_accumulation_steps = 4\n" + text, tmp_path / "p.toml")
    found = rate_hint(before, accumulated)
    assert found is not None
    assert (found.before, found.after, found.rate) == (4, 16, "2e-4")
    prodigy = text.replace("batch_size = 4", "batch_size = 8") + ""
    assert rate_hint(before, facts_of('optimizer_type = "prodigy"\n' + prodigy, tmp_path / "p.toml")) is None
    for odd in ("batch_size = [1]", "batch_size = 1e99", 'batch_size = "x"', "batch_size = 0"):
        assert rate_hint(before, facts_of(text.replace("batch_size = 4", odd), tmp_path / "p.toml")) is None
    elsewhere = 'family = "wan"\nlearning_rate = 1e-4\ndataset_config = "d.toml"\n'
    one, four = (facts_of(head + elsewhere, tmp_path / "p.toml") for head in ("", "gradient_accumulation_steps = 4\n"))
    assert rate_hint(one, four) is not None


def test_paths_complete_like_in_a_shell(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("wan_a.safetensors", "wan_b.safetensors", ".hidden"):
        (tmp_path / "models" / name).write_text("")
    assert candidates("mo", tmp_path, "file") == ["models/"]
    found = candidates("models/w", tmp_path, "file")
    assert found == ["models/wan_a.safetensors", "models/wan_b.safetensors"]
    assert completed("models/w", found) == "models/wan_"
    assert candidates("models/", tmp_path, "folder") == []
    assert candidates("models/.h", tmp_path, "file") == ["models/.hidden"]
    assert candidates("nowhere/x", tmp_path, "file") == []
    assert candidates("a\0b/", tmp_path, "file") == []
    assert candidates("~nobody-of-that-name/", tmp_path, "file") == []


# Odd files


@pytest.mark.parametrize(
    "text",
    ["seed = \n", "a = 1\na = 2\n", "[x\n", "x = " + "1" * 5000, "x = " + "[" * 3000, "\0", 'x = "\\q"'],
    ids=["no-value", "twice", "bracket", "digits", "nested", "nul", "escape"],
)
def test_text_that_is_not_toml_opens_with_its_error_and_can_be_edited(tmp_path: Path, text: str) -> None:
    draft = draft_of(tmp_path, text)
    assert draft.facts.syntax is not None
    assert draft.facts.errors
    with pytest.raises(ConfigError):
        draft.set({"seed": 1})
    assert draft.text == text
    assert names(draft, Look("run")), "the form says what it can"
    draft.replace(OURS)
    assert draft.facts.syntax is None
    draft.undo()
    draft.replace(text + "# kept")
    draft.save()
    assert draft.path.read_text() == text + "# kept"


def test_ten_thousand_unknown_keys_dates_and_huge_integers_survive(tmp_path: Path) -> None:
    lines = [f"unknown_{n} = {n}" for n in range(10_000)]
    text = "day = 1979-05-27\nhuge = 123456789012345678901234567890\n'キー' = 'v'\n" + "\n".join(lines) + "\n" + OURS
    draft = draft_of(tmp_path, text)
    assert len(draft.facts.problems) < 200
    draft.set({"seed": 5})
    removed = [
        line for line in difflib.ndiff(text.splitlines()[-6:], draft.text.splitlines()[-7:]) if line[:2] in ("- ", "+ ")
    ]
    assert removed == ["+ seed = 5"]


@pytest.mark.parametrize("raw", [b"seed = 1 # \xff\n", b"\xff\xfes\0"])
def test_files_that_are_no_text_are_refused_and_stay(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="UTF-8"):
        Draft.open(path)
    with pytest.raises(ConfigError, match="folder"):
        Draft.open(tmp_path)
    assert path.read_bytes() == raw


# Dataset tables

TABLES = """\
family = "wan"
[general]
batch_size = 2 # fits 24 GB

[[datasets]]
image_directory = 'p'
  num_repeats = 3

[[datasets]]
video_directory = "v"
target_frames = [1, 25]"""


def test_dataset_tables_are_shown_key_by_key(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, TABLES)
    cells = {one.key: one for one in dataset_cells(draft.facts)}
    assert list(cells) == [
        "general.batch_size", "general.resolution", "general.num_repeats", "datasets.0.image_directory",
        "datasets.0.num_repeats", "datasets.1.video_directory", "datasets.1.target_frames",
    ]  # fmt: skip
    assert (
        cells["general.batch_size"].value,
        cells["general.batch_size"].default,
        cells["general.batch_size"].line,
    ) == (2, 1, 3)
    assert cells["general.resolution"].written is None
    assert cells["datasets.0.num_repeats"].default == 1
    shown = [row.cell.key for row in rows(draft, Look("dataset")) if row.cell]
    assert shown == list(cells)
    assert dataset_cells(facts_of(OURS, draft.path)) == []


@pytest.mark.parametrize(
    ("key", "typed", "before", "after"),
    [
        ("general.batch_size", "8", "batch_size = 2 #", "batch_size = 8 #"),
        ("general.resolution", "832 480", "24 GB\n", "24 GB\nresolution = [832, 480]\n"),
        ("general.resolution", "512", "24 GB\n", "24 GB\nresolution = 512\n"),
        ("general.batch_size", None, "batch_size = 2 # fits 24 GB\n", ""),
        ("datasets.0.image_directory", "my pictures", "'p'", '"my pictures"'),
        ("datasets.0.num_repeats", "4", "  num_repeats = 3", "  num_repeats = 4"),
        ("datasets.1.target_frames", "1 33", "[1, 25]", "[1, 33]"),
        ("datasets.1.target_frames", "[1]", "[1, 25]", "[1]"),
    ],
)
def test_a_key_of_a_dataset_table_is_edited_in_place(
    key: str, typed: str | None, before: str, after: str, tmp_path: Path
) -> None:
    for newline in ("\n", "\r\n"):
        text = TABLES.replace("\n", newline)
        cells = {one.key: one for one in dataset_cells(facts_of(text, tmp_path / "p.toml"))}
        assert set_cell(text, cells[key], typed, tmp_path / "p.toml") == TABLES.replace(before, after).replace(
            "\n", newline
        )


@pytest.mark.parametrize(
    ("key", "typed"),
    [("general.batch_size", "0"), ("general.num_repeats", "many"), ("datasets.1.target_frames", "x y")],
)
def test_wrong_values_of_dataset_tables_are_refused(key: str, typed: str, tmp_path: Path) -> None:
    cells = {one.key: one for one in dataset_cells(facts_of(TABLES, tmp_path / "p.toml"))}
    with pytest.raises(ConfigError):
        set_cell(TABLES, cells[key], typed, tmp_path / "p.toml")
