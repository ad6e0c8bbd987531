"""Prompt files: what is read, what is refused with its line, what is filled in; and when previews are due."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.problems import ConfigError, Problem
from engine.families import get_family
from engine.sample.prompts import RawPrompt, parse_prompt_line, read_prompts, resolve_prompt
from engine.sample.schedule import samples_due

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "data" / "prompt_parsing.json").read_text())

# Where our reading differs from the reference's, and why.
DIFFERENT_LINES = {
    "  padded  --W 100": {"prompt": "padded", "width": 100},  # blanks around the text are cut off
    "x --d abc": None,  # a seed that is no number is an error, not a random seed
    "x --w 64.5": None,  # neither is half a pixel rounded silently
    "x --g": None,  # an option without its value
}


def parse(line: str) -> tuple[dict[str, object], list[Problem]]:
    problems: list[Problem] = []
    return dict(parse_prompt_line(line, problems, file="p.txt", number=3).values), problems


def test_lines_are_read_as_the_reference_reads_them() -> None:
    lines = [line for line in GOLDEN["txt"]["lines"] if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) == len(GOLDEN["txt"]["parsed"])
    for line, expected in zip(lines, GOLDEN["txt"]["parsed"], strict=True):
        expected = DIFFERENT_LINES.get(line, {name: value for name, value in expected.items() if name != "enum"})
        values, problems = parse(line)
        if expected is None:
            assert [problem.severity for problem in problems] == ["error"], line
            assert problems[0].location() == "p.txt:3"
        else:
            assert values == expected, line


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_tables_are_read_as_the_reference_reads_them(tmp_path: Path, suffix: str) -> None:
    source = GOLDEN[suffix]["input"]
    path = tmp_path / f"p.{suffix}"
    path.write_text(source if suffix == "toml" else json.dumps(source))
    prompts, problems = read_prompts(path)
    assert [{**prompt.values, "enum": i} for i, prompt in enumerate(prompts)] == GOLDEN[suffix]["parsed"]
    assert problems == []


def test_text_that_looks_like_options_stays_text() -> None:
    # The reference sets a start image for "I …" and a negative prompt for "N …".
    for text in ("I see a cat", "N is a letter", "w 640 pixels", "a -- b"):
        assert parse(text)[0]["prompt"] == text.split(" --")[0]
        assert set(parse(text)[0]) == {"prompt"}


def test_unknown_option_is_a_warning_that_names_it() -> None:
    values, problems = parse("a cat --width 640 --h 480")
    assert values == {"prompt": "a cat", "height": 480}
    assert [problem.severity for problem in problems] == ["warning"]
    assert '"--width 640"' in problems[0].message
    assert "--w " in problems[0].fix


@pytest.mark.parametrize(
    "flag", ["w 0", "h -3", "f 0", "d -1", "d 99999999999999999999", "fs nan", "g inf", "l -2", "i", "w 1e3"]
)
def test_numbers_out_of_range_are_errors(flag: str) -> None:
    _, problems = parse(f"x --{flag}")
    assert [problem.code for problem in problems] == ["wrong_prompt_value"]


def test_all_mistakes_of_a_file_are_reported_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("# title\n\na --w x\nfine\nb --d y --h z\n")
    with pytest.raises(ConfigError) as caught:
        read_prompts(path)
    assert [problem.line for problem in caught.value.problems] == [3, 5, 5]
    assert all(problem.file == str(path) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("p.txt", None, "missing_file"),
        ("p.txt", "猫".encode("shift_jis"), "not_utf8"),
        ("p.yaml", b"a", "unknown_prompt_file"),
        ("p.json", b"[1,", "not_json"),
        ("p.json", b'{"prompt": "a"}', "not_a_prompt_file"),
        ("p.json", b"[5]", "not_a_prompt_file"),
        ("p.json", b'[{"width": 64}]', "no_prompt_text"),
        ("p.json", b'[{"prompt": "a", "width": true}]', "wrong_prompt_value"),
        ("p.toml", b"x = ", "not_toml"),
        ("p.toml", b"prompt = 3", "not_a_prompt_file"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, name: str, content: bytes | None, code: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_prompts(path)
    assert caught.value.problems[0].code == code


def test_byte_order_mark_and_single_table_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("\ufeffa cat --d 1\r\n".encode())
    assert read_prompts(path)[0][0].values == {"prompt": "a cat", "seed": 1}
    table = tmp_path / "p.toml"
    table.write_text('[prompt]\nprompt = "alone"\nwidth = 64\n')
    assert read_prompts(table)[0][0].values == {"prompt": "alone", "width": 64}


def test_open_values_come_from_the_task_and_the_run() -> None:
    wan, qwen = get_family("wan"), get_family("qwen_image")
    prompt, notices = resolve_prompt(RawPrompt({"prompt": "a"}), 4, wan, wan.task("t2v-1.3B"), seed=7)
    assert notices == []
    assert (prompt.index, prompt.seed, prompt.flow_shift, prompt.width, prompt.height) == (4, 7, 5.0, 832, 480)
    assert prompt.guidance_scale == 5.0
    assert prompt.negative.startswith("色调艳丽")
    prompt, _ = resolve_prompt(RawPrompt({"prompt": "a"}), 0, qwen, qwen.task(None), seed=7)
    assert (prompt.flow_shift, prompt.frames, prompt.negative) == (None, 1, " ")


def test_sizes_are_rounded_to_what_the_family_can_make_with_a_notice() -> None:
    wan, qwen = get_family("wan"), get_family("qwen_image")
    raw = parse_prompt_line("a --w 650 --h 479 --f 20 --l 2 --g 3 --i x.png", [], file="p.txt", number=2)
    prompt, notices = resolve_prompt(raw, 0, wan, wan.task("t2v-1.3B"), seed=0)
    assert (prompt.width, prompt.height, prompt.frames, prompt.guidance_scale) == (640, 464, 17, 2.0)
    assert [notice.code for notice in notices] == ["size_rounded", "frames_rounded", "prompt_option_unused"]
    assert {notice.location() for notice in notices} == {"p.txt:2"}
    assert resolve_prompt(raw, 0, qwen, qwen.task(None), seed=0)[0].frames == 1


@given(st.text(max_size=60))
def test_any_line_gives_values_or_problems_but_never_breaks(line: str) -> None:
    values, problems = parse(line)
    assert "\n" not in str(values.get("width", ""))
    assert all(problem.message for problem in problems)


def test_due_steps_match_the_reference() -> None:
    for case in GOLDEN["should_sample"]:
        due = samples_due(
            case["steps"],
            epoch=case["epoch"],
            every_n_steps=case["every_n_steps"],
            every_n_epochs=case["every_n_epochs"],
            at_first=case["at_first"],
        )
        assert due == case["result"], case


def test_the_same_step_is_never_sampled_twice() -> None:
    last: int | None = None
    made = []
    for step, epoch in [
        (0, None),
        (4, None),
        (4, 2),
        (6, 3),
        (8, None),
        (8, 4),
    ]:  # the loop asks again at an epoch's end
        if samples_due(step, epoch=epoch, every_n_steps=4, every_n_epochs=2, at_first=True, last=last):
            made.append(step)
            last = step
    assert made == [0, 4, 8]


def test_a_prompt_file_as_people_write_it() -> None:
    """Comments, controls, one-frame settings, a negative prompt: every idiom once."""
    file = Path(__file__).parents[1] / "golden" / "data" / "configs" / "framepack_one_frame_prompts.txt"
    prompts, problems = read_prompts(file)
    assert problems == []
    assert [prompt.line for prompt in prompts] == [2, 3, 4, 5]
    assert prompts[0].values["image_path"] == "/workspace/data/stand-up.png"
    assert prompts[1].values["control_image_path"] == [
        "/workspace/validation/boy-pose.png",
        "/workspace/validation/boy.png",
    ]
    assert prompts[1].values["one_frame"] == "target_index=9,control_index=0;1,no_2x,no_4x,no_post"
    assert prompts[3].values == {
        "prompt": "N is for night",
        "negative_prompt": "blurry, low quality",
        "cfg_scale": 4.0,
        "discrete_flow_shift": 3.0,
    }
