"""Following engine.log: whole lines, from the end of a long file, while it is written, replaced, or not there yet."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import pytest

from engine.events import status
from engine.events.lines import Record
from engine.events.rundir import RunDirectory
from engine.events.types import Host, Memory, RunEnd, RunStart, Step, Validation
from musubi_tui.cli import following, logs
from musubi_tui.cli.live import JsonDisplay
from musubi_tui.cli.logs import log_lines, print_log
from musubi_tui.cli.readers import outlive_readers
from musubi_tui.runs.telling import Story, vitals_line


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(logs.time, "sleep", lambda seconds: None)
    return RunDirectory.create(tmp_path, "x")


def test_the_last_lines_of_a_long_file_without_reading_it_all(run):
    run.engine_log.write_bytes(b"".join(b"line %06d %s\n" % (number, b"x" * 90) for number in range(20_000)))
    told = list(log_lines(run, 3, lambda: False))
    assert [line.split()[1] for line in told] == ["019997", "019998", "019999"]
    assert len(list(log_lines(run, 1500, lambda: False))) == 1500
    assert len(list(log_lines(run, 0, lambda: False))) == 20_000
    assert len(list(log_lines(run, 99_999, lambda: False))) == 20_000


@pytest.mark.parametrize(
    ("content", "lines", "told"),
    [
        (b"", 5, []),
        (b"\n", 5, [""]),
        (b"a", 1, ["a"]),
        (b"a\nb", 1, ["b"]),
        (b"a\nb\n", 1, ["b"]),
        (b"a\n\n\n", 2, ["", ""]),
        (b"10%\r50%\r100%\r\nnext\r\n", 0, ["100%", "next"]),
        (b"\xff\xfe\n", 0, ["\ufffd\ufffd"]),
    ],
)
def test_odd_files(run, content, lines, told):
    run.engine_log.write_bytes(content)
    assert list(log_lines(run, lines, lambda: False)) == told


def test_following_waits_for_whole_lines_and_notices_a_new_file(run):
    writes = [b"one\ntw", b"one\ntwo\nthr", b"new\n", None]  # the whole content at each look

    def goes_on() -> bool:
        content = writes.pop(0)
        if content is not None:
            run.engine_log.write_bytes(content)
        return content is not None

    assert list(log_lines(run, 50, goes_on)) == ["one", "two", "new"]


def test_following_ends_when_nobody_reads_any_more(run, monkeypatch):
    def sleep(seconds: float) -> None:
        raise AssertionError("it went on")

    monkeypatch.setattr(logs.time, "sleep", sleep)
    monkeypatch.setattr(status, "true_state", lambda run: "queued")
    monkeypatch.setattr(following, "true_state", lambda run: "queued")
    run.engine_log.write_bytes(b"one\n")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        outlive_readers()
        with pytest.raises(AssertionError, match="it went on"):
            following.watch(run, JsonDisplay(sys.stdout))  # nothing was written yet: nobody is known to be gone
        with contextlib.suppress(AssertionError):
            print_log(run, 50, follow=True)
        assert print_log(run, 50, follow=True) == 0
        assert following.watch(run, JsonDisplay(sys.stdout)) == 0


def test_a_file_that_comes_later_is_followed_and_one_that_never_comes_is_told(run, capsys):
    answers = [True, True, False]

    def goes_on() -> bool:
        if len(answers) == 2:
            run.engine_log.write_text("late\n")
        return answers.pop(0)

    assert list(log_lines(run, 50, goes_on)) == ["late"]
    run.engine_log.unlink()
    assert print_log(run, 50, follow=False) == 0
    run.engine_log.touch()
    assert print_log(run, 50, follow=False) == 0
    told = capsys.readouterr().err
    assert told.count("wrote nothing here") == 2
    assert f"runs watch {run.id} --plain" in told


def test_secrets_and_escapes_do_not_reach_the_terminal(run, capsys):
    run.engine_log.write_text("token=hf_abcdefghijklmnopqrstuvwxyz0123\n\x1b[2Jhello\n")
    assert print_log(run, 0, follow=False) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "hf_abc" not in out
    assert "hello" in out


def test_the_line_of_vitals_says_what_is_known_and_what_it_cost():
    story = Story()
    assert vitals_line(story) == ""
    card = {"util": 97, "temperature": 71, "watts": 430.4, "total": 24 << 30}
    for t, event in (
        (0.0, RunStart(1, 0, {}, "", 3.6)), (10.0, Step(step=1)), (1000.0, RunEnd("preempted")), (9000.0, RunStart(2, 1, {}, "", 3.6)),
        (9100.0, Validation(1000, 0.0563)), (9500.0, Memory(peak=20 << 30)), (10_000.0, Host((card,))),
    ):  # fmt: skip
        story.feed(Record(0, t, event))
    assert vitals_line(story) == "val 0.0563 @ 1000  vram 20.0/24.0 GB  gpu 97% 71 °C 430 W  $2.00"
    story.host = Host((), ram=2 << 30, ram_total=8 << 30)
    assert "ram 2.0/8.0 GB" in vitals_line(story)
