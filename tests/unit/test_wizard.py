"""The wizard's logic: what is asked, what is found, going back, and files that can be trained."""

from __future__ import annotations

import json
import os
import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import check_config, load_config
from engine.config.problems import UserError
from engine.families import get_family
from engine.planner.facts import Machine
from engine.planner.lines import GIB
from musubi_tui.cli.root import run
from musubi_tui.presets.planning import other_machine
from musubi_tui.presets.wizard.flow import PAGES
from musubi_tui.presets.wizard.model_files import find_files, tensor_names, usual_places
from musubi_tui.presets.wizard.questions import STEPS
from musubi_tui.presets.wizard.session import Session, answer_all, read_answers
from musubi_tui.presets.wizard.words import beside, slug, word_in
from tests.unit.wizard_set import VAE_NAMES, around, session, write_models, write_pictures, write_pth

IDS = [step.id for step in STEPS]


def asked(wizard: Session) -> list[str]:
    """Ids of all questions, each answered with its default."""
    found = []
    while (question := wizard.flow.question) is not None:
        found.append(question.id)
        wizard.answer("")
    return found


def test_every_answer_can_be_skipped_and_the_result_is_a_preset_without_errors(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    assert asked(wizard) == ["goal", "model", "files", "data", "trigger", "card", "fit", "steps", "prompts", "name", "folder", "then"]  # fmt: skip
    written = wizard.write()
    assert (
        written.preset == tmp_path / "work" / "bella-lora" / "v1" / "preset.toml"
    )  # beside the pictures, not among them
    assert check_config(written.preset) == []
    loaded = load_config(written.preset, check_files=True)
    assert loaded.config.run.family == "wan"
    assert loaded.config.model.dit == tmp_path / "work" / "models" / "a.safetensors"
    assert loaded.config.sampling.sample_after_steps == 25
    dataset = tomllib.loads(written.dataset.read_text())
    assert dataset["datasets"][0]["image_directory"] == str(tmp_path / "work" / "bella")
    assert dataset["general"]["trigger_word"] == "bella"
    assert written.prompts is not None
    assert "bella, a portrait --w" in written.prompts.read_text()
    lines = [line for line in written.preset.read_text().splitlines() if "=" in line and not line.startswith("#")]
    assert sum("#" in line for line in lines) >= len(lines) - 1, "nearly every line says why"


def test_nothing_is_overwritten_and_the_next_attempt_is_v2(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    asked(wizard)
    first, second = wizard.write(), wizard.write()
    assert (first.preset.parent.name, second.preset.parent.name) == ("v1", "v2")
    assert first.preset.read_text() == second.preset.read_text()


def test_every_question_has_a_sentence_that_explains_it(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    while (question := wizard.flow.question) is not None:
        assert len(question.why) > 40
        assert question.page in dict(PAGES)
        wizard.answer("")


def test_going_back_shows_the_answer_and_asks_nothing_twice(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    for text in ("style", "", "", "", "inkwash", "RTX 4090", "", "", "1234"):
        wizard.answer(text)
    assert wizard.flow.question.id == "prompts"  # type: ignore[union-attr]
    assert [wizard.flow.back() for _ in range(3)] == [True] * 3
    question = wizard.flow.question
    assert question is not None
    assert (question.id, question.default) == ("price", 0.0)
    wizard.answer("")  # unchanged: on with what is open
    assert wizard.flow.question.id == "prompts"  # type: ignore[union-attr]
    assert wizard.flow.answers["steps"] == 1234


def test_a_changed_answer_drops_only_what_was_made_from_it(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    for text in ("character", "", "", "", "bella_cat", "RTX 4090", "", "", "777"):
        wizard.answer(text)
    while wizard.flow.question.id != "trigger":  # type: ignore[union-attr]
        assert wizard.flow.back()
    wizard.answer("luna_cat")
    assert wizard.flow.answers["steps"] == 777
    assert wizard.flow.question.id == "prompts"  # type: ignore[union-attr]
    assert "luna_cat" in wizard.flow.question.default  # type: ignore[union-attr]


def test_what_was_typed_comes_back_as_the_proposal(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    for text in ("character", "", "", "", "", "RTX 4090", "", "", "777"):
        wizard.answer(text)
    while wizard.flow.question.id != "goal":  # type: ignore[union-attr]
        assert wizard.flow.back()
    assert not wizard.flow.back()
    wizard.answer("style")
    while wizard.flow.question.id != "steps":  # type: ignore[union-attr]
        wizard.answer("")
    assert wizard.flow.question.default == 777  # type: ignore[union-attr]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(["", "", "", "back", "2", "1", "w?", "style", "nonsense", "-1"]), max_size=40))
def test_whatever_is_typed_the_wizard_can_be_finished(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:  # fmt: skip
    wizard = session(tmp_path_factory.mktemp("wizard"))
    wizard._download = lambda folder, tell: None  # type: ignore[method-assign]
    complaints: list[str] = []
    for word in words:
        if wizard.flow.question is None:
            break
        try:
            wizard.flow.back() if word == "back" else wizard.answer(word)
        except UserError as error:
            complaints.append(str(error))
    assert all(complaints)
    for _ in range(60):
        question = wizard.flow.question
        if question is None:
            break
        if question.id == "models_folder":
            wizard.answer(str(wizard.around.cwd))
        else:
            wizard.answer("" if question.id != "files" else "1")
    assert wizard.flow.question is None
    assert check_config(wizard.write().preset, check_files=False) == []


@pytest.mark.parametrize(
    ("question", "text", "said"),
    [
        ("goal", "edit", "cannot be trained"),
        ("goal", "9", "none of the choices"),
        ("data", "/nowhere/at/all", "there is no folder"),
        ("data", "models", "holds no pictures"),
        ("trigger", "x" * 80, "a word or two"),
        ("price", "cheap", "no price"),
        ("price", "nan", "no price"),
        ("steps", "1e3", "no number of steps"),
        ("steps", "0", "no number of steps"),
        ("name", "a/b", "letters, digits"),
        ("folder", "bella/0.png", "is a file"),
        ("card", "voodoo", "none of the choices"),
    ],
)
def test_wrong_answers_are_told_and_the_question_stays(tmp_path: Path, question: str, text: str, said: str) -> None:
    wizard = session(tmp_path)
    while wizard.flow.question.id != question:  # type: ignore[union-attr]
        wizard.answer("RTX 4090" if wizard.flow.question.id == "card" else "")  # type: ignore[union-attr]
    with pytest.raises(UserError, match=said):
        wizard.answer(text)
    assert wizard.flow.question.id == question  # type: ignore[union-attr]


def test_files_are_told_by_their_contents(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    write_pth(
        tmp_path / "models" / "looks-like-a-dit.pth", ("lora_unet_blocks.0.self_attn.q.weight", "patch_embedding.")
    )
    (tmp_path / "models" / "page.safetensors").write_text("<html>not found</html>")
    (tmp_path / "models" / "empty.pth").write_bytes(b"")
    found = find_files(get_family("wan"), [tmp_path / "models"])
    assert {option: [file.path.name for file in files] for option, files in found.items()} == {
        "dit": ["a.safetensors"], "vae": ["b.pth"], "t5": ["c.pth"], "tokenizer": [],
    }  # fmt: skip


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "sprung"),))

    write_pth(tmp_path / "trap.pth", VAE_NAMES)
    import zipfile

    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({VAE_NAMES[0]: Trap(), VAE_NAMES[1]: 0}))
    assert VAE_NAMES[0] in tensor_names(tmp_path / "evil.pth")
    assert not (tmp_path / "sprung").exists()


def test_the_usual_places(tmp_path: Path) -> None:
    places = [
        tmp_path / "home" / "ComfyUI" / "models" / "vae",
        tmp_path / "work" / "models",
        tmp_path / "work" / "demo" / "wan" / "models",
        tmp_path / "home" / ".cache" / "huggingface" / "hub",
        tmp_path / "elsewhere" / "models" / "diffusion_models",
    ]
    for place in places:
        place.mkdir(parents=True)
    found = usual_places(tmp_path / "work", tmp_path / "home", {"COMFYUI_PATH": str(tmp_path / "elsewhere")})
    assert set(places) <= set(found)
    assert found[0] == tmp_path / "work" / "models"


def test_what_is_missing_is_named_with_repository_and_file(tmp_path: Path) -> None:
    write_models(tmp_path / "work" / "models", only=("dit",))
    write_pictures(tmp_path / "work" / "bella")
    wizard = Session(around(tmp_path))
    wizard.answer("")
    wizard.answer("")
    question = wizard.flow.question
    assert question is not None
    text = "\n".join(question.lines)
    assert "✓ dit" in text
    assert "models/a.safetensors" in text
    assert "Wan2.1_VAE.pth" in text
    assert "huggingface.co/Wan-AI/Wan2.1-T2V-14B" in text
    assert question.default == "later"
    assert any("GB" in choice.title for choice in question.choices)
    while wizard.flow.question is not None:
        last = wizard.flow.question
        wizard.answer("")
    assert {choice.value for choice in last.choices if not choice.unavailable} == {"write", "form"}
    written = tomllib.loads(wizard.write().preset.read_text())
    assert written["model"]["vae"].endswith("models/Wan2.1_VAE.pth")


@pytest.mark.parametrize(("task", "file", "size"), [("t2v-1.3B", "t2v_1.3B_bf16", "2.8 GB"), ("t2v-14B", "t2v_14B_bf16", "28.6 GB")])  # fmt: skip
def test_the_file_of_the_chosen_size_is_named(tmp_path: Path, task: str, file: str, size: str) -> None:
    write_pictures(tmp_path / "work" / "bella")
    wizard = Session(around(tmp_path))
    wizard.answer("")
    wizard.answer(f"wan/{task}")
    question = wizard.flow.question
    assert question is not None
    first, second = question.lines[:2]
    assert file in first
    assert size in second
    answer_all(wizard, {}, lambda *_: None)
    assert file in tomllib.loads(wizard.write().preset.read_text())["model"]["dit"]


def test_toys_and_other_families_files_do_not_go_with_a_real_model(tmp_path: Path) -> None:
    """Wan's VAE and Qwen-Image's have one layout and not one content; and a VAE of a megabyte serves no 20B model."""
    models = tmp_path / "work" / "models"
    write_models(models)
    (models / "b.pth").rename(models / "Wan2.1_VAE.pth")
    write_pth(models / "nameless.pth", VAE_NAMES)
    wizard = Session(around(tmp_path))
    qwen, wan = get_family("qwen_image"), get_family("wan")
    assert wizard.around.best(qwen, qwen.task("t2i")) == {}
    found = wizard.around.best(wan, wan.task("t2v-1.3B"))
    assert {option: file.path.name for option, file in found.items()} == {"dit": "a.safetensors", "vae": "Wan2.1_VAE.pth", "t5": "c.pth"}  # fmt: skip


def test_a_folder_that_is_named_is_looked_through(tmp_path: Path) -> None:
    write_models(tmp_path / "far" / "away")
    write_pictures(tmp_path / "work" / "bella")
    wizard = Session(around(tmp_path))
    for text in ("", "wan/t2v-1.3B", "folder", str(tmp_path / "far")):
        wizard.answer(text)
    assert wizard.missing() == []


@pytest.mark.parametrize(
    ("captions", "word", "asks", "keys"),
    [
        (4, "bella", False, {"caption_extension", "trigger_word"}),
        (1, "bella", True, {"trigger_word"}),
        (3, "bella", True, {"caption_extension", "trigger_word"}),
        (0, "-", True, set()),
    ],
)
def test_captions_are_asked_for_only_where_some_are_missing(
    tmp_path: Path, captions: int, word: str, asks: bool, keys: set[str]
) -> None:
    write_models(tmp_path / "work" / "models")
    write_pictures(tmp_path / "work" / "bella", 4, captions)
    wizard = Session(around(tmp_path))
    while wizard.flow.question.id != "trigger":  # type: ignore[union-attr]
        wizard.answer("")
    wizard.answer(word)
    assert (wizard.flow.question.id == "captions") is asks  # type: ignore[union-attr]
    asked(wizard)
    written = wizard.write()
    general = tomllib.loads(written.dataset.read_text())["general"]
    assert set(general) & {"caption_extension", "trigger_word"} == keys
    assert not [problem for problem in check_config(written.preset) if problem.severity == "error"]


def test_a_card_that_is_here_is_not_asked_for(tmp_path: Path) -> None:
    machine = other_machine(card="4090")
    wizard = session(tmp_path, machine=machine)
    assert "card" not in asked(wizard)


def test_a_card_that_is_elsewhere_starts_nothing_here(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    while wizard.flow.question.id != "card":  # type: ignore[union-attr]
        wizard.answer("")
    wizard.answer("H100")
    while wizard.flow.question.id != "then":  # type: ignore[union-attr]
        wizard.answer("")
    question = wizard.flow.question
    assert question is not None
    assert question.default == "write"
    with pytest.raises(UserError, match="not in this computer"):
        wizard.answer("train")


def test_the_fit_page_tells_memory_speed_and_money(tmp_path: Path) -> None:
    write_pictures(tmp_path / "work" / "bella")
    wizard = Session(around(tmp_path))
    for text in ("", "wan/t2v-14B", "later", "", "", "RTX 4090", "0.69"):
        wizard.answer(text)
    question = wizard.flow.question
    assert question is not None
    assert question.id == "fit"
    assert all("GB" in choice.note and "! " in choice.note for choice in question.choices)
    assert any("None fits" in line for line in question.lines)
    wizard.flow.back()
    wizard.flow.back()
    wizard.answer("H200")
    wizard.answer("")  # another card has another price: it is asked again, and the one that was typed is proposed
    question = wizard.flow.question
    assert question is not None
    assert question.default == "balanced"
    assert all("! " not in choice.note for choice in question.choices)
    assert all(choice.note.count("–") == 3 for choice in question.choices)  # a step, 1000 steps, their cost: ranges


def test_small_cards_get_smaller_pictures(tmp_path: Path) -> None:
    write_pictures(tmp_path / "work" / "bella", 2, side=1400)
    wizard = Session(around(tmp_path, machine=Machine(None, int(42.6 * GIB))))
    for text in ("", "qwen_image/t2i", "later", "", "", ""):
        wizard.answer(text)
    question = wizard.flow.question
    assert question is not None
    fits = {choice.value: "! " not in choice.note for choice in question.choices}
    assert fits["light"]
    assert not fits["fine"]
    assert fits[question.default]


def test_answers_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_models(tmp_path / "work" / "models")
    write_pictures(tmp_path / "work" / "bella")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    answers = tmp_path / "answers.toml"
    answers.write_text('goal = "style"\ndata = "bella"\nsteps = 300\nprompts = ["one", "two --d 9"]\ncard = "L4"\nprice = 1.5\nfit = "fine"\n')  # fmt: skip
    assert run(["wizard", "--answers", str(answers), "--out", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["preset"] == str(tmp_path / "work" / "mine" / "v1" / "preset.toml")
    preset = load_config(Path(told["preset"])).config
    assert (preset.training.max_train_steps, preset.run.price_per_hour) == (300, 1.5)
    assert Path(told["prompts"]).read_text().count("\n") == 3
    as_json = tmp_path / "answers.json"
    as_json.write_text(json.dumps({"prompts": "", "trigger": "", "price": 2, "folder": "from the file"}))
    assert run(["wizard", "--answers", str(as_json), "--out", "other", "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["prompts"] is None
    assert told["preset"] == str(tmp_path / "work" / "other" / "v1" / "preset.toml")  # the command line counts more
    assert "without effect: price" in err  # this computer's CPU costs nothing by the hour


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gaol = 'style'", "Did you mean goal?"),
        ("goal = 'opera'", "none of the choices"),
        ("goal = [1]", "goal must be a text"),
        ("goal = ", "not TOML"),
        ("steps = 1.5", "no number of steps"),
        ("data = '/nowhere'", "no folder"),
        ("[goal]\nx = 1", "goal must be a text"),
    ],
)
def test_wrong_answer_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    write_models(tmp_path / "models")
    write_pictures(tmp_path / "bella")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(text)
    assert run(["wizard", "--answers", "a.toml"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "a.toml" in err
    assert run(["wizard", "--answers", "gone.toml"]) == 2
    assert run(["wizard"]) == 2  # nobody to ask
    assert "--answers" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/v1"))


def test_at_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_models(tmp_path / "models")
    write_pictures(tmp_path / "bella")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    typed = iter(["w", "b", "2", "b", "", "9", "1", "", "bella", *[""] * 20])

    def answer(prompt: str) -> str:
        text = next(typed)
        return "3" if "[smoke]" in prompt else text

    monkeypatch.setattr("builtins.input", answer)
    assert run(["wizard"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].endswith("v1/preset.toml")
    assert "The result is a LoRA" in err  # w
    assert "This is the first question" in err  # b at the first
    assert "none of the choices" in err
    assert "▸goal" in err
    assert "✓goal" in err
    monkeypatch.setattr("builtins.input", lambda _: (_ for _ in ()).throw(EOFError))
    assert run(["wizard"]) == 130
    assert "Nothing was written" in capsys.readouterr().err


def test_names_that_no_file_can_hold_are_passed_over_or_refused(tmp_path: Path) -> None:
    wizard = session(tmp_path)
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "work") + b"/pictures-\xff"))
    write_pictures(odd, 40)
    write_models(Path(os.fsdecode(os.fsencode(tmp_path / "work") + b"/\xfe/models")))
    while wizard.flow.question.id != "data":  # type: ignore[union-attr]
        wizard.answer("")
    question = wizard.flow.question
    assert question is not None
    assert question.default == str(tmp_path / "work" / "bella")
    "\n".join([question.title, *question.lines]).encode()
    with pytest.raises(UserError, match="not UTF-8"):
        wizard.answer(str(odd))
    with pytest.raises(UserError):
        wizard.answer("a\0b")
    asked(wizard)
    assert check_config(wizard.write().preset) == []


def test_names_become_file_names() -> None:
    assert [slug(text) for text in ("Bella the cat", "  ", "浮世絵", "a/b\\c", "../x")] == [
        "bella-the-cat",
        "",
        "",
        "a-b-c",
        "x",
    ]


def test_plain_folder_names_are_no_trigger_words(tmp_path: Path) -> None:
    assert [word_in(name) for name in ("my-pictures", "photos_2", "Images", "写真")] == [""] * 4
    assert [word_in(name) for name in ("Bella", "bella-photos")] == ["bella", "bella-photos"]
    pictures = tmp_path / "my-pictures"
    assert beside(pictures / "mylora", pictures) == tmp_path / "mylora"
    assert beside(tmp_path / "x", pictures) == tmp_path / "x"


def test_what_cannot_be_done_now_is_told_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_models(tmp_path / "models", only=("dit",))
    write_pictures(tmp_path / "bella")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fetch = f"musubi-tui models download --family wan --task t2v-1.3B --out {tmp_path / 'models'} --only vae --only t5"

    def said(then: str) -> tuple[int, str]:
        (tmp_path / "a.toml").write_text(f'model = "wan/t2v-1.3B"\nthen = "{then}"\n')
        code = run(["wizard", "--answers", "a.toml"])
        return code, capsys.readouterr().err

    code, err = said("smoke")
    assert code == 2
    assert "model files are missing: vae, t5" in err
    assert fetch in err
    code, err = said("x")
    assert code == 2
    why = "(not now: model files are missing: vae, t5)"
    assert f"There are: smoke {why}, train {why}, write, form." in err
    code, err = said("write")
    assert code == 0
    assert f"vae: {tmp_path / 'models' / 'Wan2.1_VAE.pth'} (huggingface.co/" in err
    assert fetch in err
    assert "musubi-tui models list" in err
    assert err.index("It cannot train yet") < err.index("Then train it:")


def test_headless_and_asked_are_the_same(tmp_path: Path) -> None:
    one, two = session(tmp_path / "one"), session(tmp_path / "two")
    asked(one)
    answer_all(two, {}, lambda *_: None)
    assert [*one.flow.answers] == [*two.flow.answers]
    assert read_answers(_file(tmp_path, {"steps": 5})) == {"steps": 5}


def _file(folder: Path, answers: dict[str, object]) -> Path:
    path = folder / "x.json"
    path.write_text(json.dumps(answers))
    return path
