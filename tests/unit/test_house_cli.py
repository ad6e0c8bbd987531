"""The frame around every command: help, complaints, exit codes, languages."""

from __future__ import annotations

import errno
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from engine.config.problems import ConfigError, MissingRequirement, Problem
from musubi_tui import __version__
from musubi_tui.cli import output
from musubi_tui.cli.commands import COMMANDS, Entry
from musubi_tui.cli.root import laid_out, load_command, run
from musubi_tui.terminal_width import cells


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Register a command ``fail`` that raises what the test hands over, and run it."""

    def fail_with(error: BaseException) -> int:
        def fail() -> None:
            raise error

        module = type(sys)("tests_failing_command")
        module.fail = fail  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "fail", Entry(module.__name__, "fail", "command", "Fails."))
        return run(["fail"])

    return fail_with


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"musubi-tui {__version__}\n"


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f" {name} " in text for name in COMMANDS)


def test_without_arguments_and_without_a_terminal_it_tells_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "full-screen app needs a terminal" in capsys.readouterr().err


def test_an_unknown_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trian"]) == output.WRONG_INPUT
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_an_unknown_option_is_one_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--vresion"]) == output.WRONG_INPUT
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("error: There is no option --vresion. Did you mean --version?")
    assert "--help" in told


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data", "show", "d.toml", "-dash.png"], "musubi-tui data show d.toml -- -dash.png"),
        (["data", "show", "d.toml", "-dash", "--family", "wan"], "musubi-tui data show d.toml --family wan -- -dash"),
        (["data", "scan", "--my set.toml"], "musubi-tui data scan -- '--my set.toml'"),
        (["train", "-x.toml", "--json"], "musubi-tui train --json -- -x.toml"),
        (["data", "scan", "--familly", "wan.toml"], ""),
        (["doctor", "-jj.x"], ""),
    ],
)
def test_a_name_that_begins_with_a_dash_is_told_with_the_line_to_type(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == output.WRONG_INPUT
    told = capsys.readouterr().err
    assert ("begins with a dash" in told) is bool(line)
    assert f"behind --: `{line}`" in told if line else "There is no option" in told
    if line:
        run(shlex.split(line)[1:])  # taken for a name now, of nothing that is there
        assert "option" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["data", "scan", "broken.toml"], ["--help"], ["presets", "list"], ["no-such-command"]]
)
def test_a_reader_that_leaves_changes_neither_the_exit_code_nor_stderr(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text('[[datasets]]\nimage_directory = "nowhere"\nresolution = [64, 64]\n')
    program = [sys.executable, "-m", "musubi_tui", *words]
    whole = subprocess.run(program, cwd=tmp_path, capture_output=True, check=False)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        cut = subprocess.run(program, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, check=False)
        assert (cut.returncode, cut.stderr) == (whole.returncode, whole.stderr)
        assert (
            subprocess.run(program, cwd=tmp_path, stdout=writing, stderr=writing, check=False).returncode
            == cut.returncode
        )
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_a_full_disk_refuses_is_one_paragraph() -> None:
    with open("/dev/full", "w") as full:
        told = subprocess.run([sys.executable, "-m", "musubi_tui", "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert told.returncode == output.MISSING_REQUIREMENT
    assert told.stderr == "error: No space left on device. Free some space, or write elsewhere.\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_silence(closed: str) -> None:
    command = f"exec '{sys.executable}' -m musubi_tui no-such-command {closed}"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (output.WRONG_INPUT, "")
    assert ("no-such-command" in told.stderr) is ("2>" not in closed)


def test_options_behind_the_dashes_are_told_to_stand_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "scan", "--", "-d.toml", "--family", "wan"]) == output.WRONG_INPUT
    assert "Options stand before --." in capsys.readouterr().err


def test_a_missing_argument_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show"]) == output.WRONG_INPUT
    assert capsys.readouterr().err == "error: RUN is missing. `musubi-tui runs show --help` explains it.\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_that_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = load_command(name)
    assert command.help
    assert run([name, "--help"]) == 0
    assert f"Usage: musubi-tui {name}" in capsys.readouterr().out


def test_examples_keep_their_indentation_and_sentences_flow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    for words in (["data", "doctor"], ["wizard"], ["models", "check"]):
        assert run([*words, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        begins = {len(line) - len(line.lstrip()) for line in lines if line.strip().startswith("musubi-tui ")}
        assert begins == {3}, words
    assert laid_out("One\nline.\n\n  a\n  b") == "One line.\n\n[none][/none]  a\n  b"
    assert laid_out("行は\n続く。\nabc") == "行は続く。 abc"


def test_each_problem_is_a_paragraph_with_its_place(failing, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    problems = [
        Problem("unknown_key", "Unknown key 'lr'.", "Did you mean 'learning_rate'?", "a.toml", 3, 1),
        Problem("wrong_type", "max_train_steps must be a whole number.", file="a.toml", line=4),
    ]
    assert failing(ConfigError(problems)) == output.WRONG_INPUT
    assert capsys.readouterr().err.splitlines() == [
        "error: a.toml:3:1: Unknown key 'lr'. Did you mean 'learning_rate'?",
        "error: a.toml:4: max_train_steps must be a whole number.",
    ]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MissingRequirement.of("no_gpu", "This needs a GPU."), 3, "needs a GPU"),
        (PermissionError(errno.EACCES, "Permission denied", "/somewhere"), 2, "/somewhere: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "/full"), 3, "Free some space"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(75), 75, ""),
    ],
)
def test_failures_have_their_exit_code_and_no_traceback(  # type: ignore[no-untyped-def]
    failing, error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == code
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_bug_of_ours_shows_its_traceback(failing, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert failing(ZeroDivisionError("oops")) == output.JOB_FAILED
    told = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in told
    assert "not your mistake" in told


def test_tables_align_japanese(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["name", "n"], [["猫", 1], ["cat", 12]], right=[1])
    assert capsys.readouterr().out.splitlines() == ["name   n", "猫     1", "cat   12"]


def test_a_table_fits_its_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["dit", "/very/long/folder/of/models/wan.safetensors", "猫" * 20], ["seed", "1", "a few words"]]
    output.print_table(["option", "here", "there"], rows)
    whole = capsys.readouterr().out.splitlines()
    assert len(whole) == 3, "one line per row into a pipe"
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_table(["option", "here", "there"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cells, lines)) <= 50
    assert lines[1].startswith("dit     /very/long/folder/")
    assert "".join(line[8:28].strip() for line in lines[1:4]).startswith(rows[0][1]), (
        "broken behind a folder, nothing cut"
    )
    monkeypatch.setenv("COLUMNS", "12")
    output.print_table(["option", "here", "there"], rows)
    assert len(capsys.readouterr().out.splitlines()) == 3, "no room for columns at all"


def test_help_follows_the_language(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "musubi_tui", "--help"],
        cwd=repository,
        env={"LANG": "ja_JP.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "学習" in done.stdout
