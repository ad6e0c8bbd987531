"""The engine knows whether anybody looks, whatever the two clocks say."""

from __future__ import annotations

import os

from engine.events.rundir import RunDirectory
from engine.events.viewers import BELIEVED_SECONDS, Viewers, look


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0  # so that each question looks at the file
        return self.now


def test_a_viewer_is_believed_while_it_goes_on_looking(tmp_path):
    run, clock = RunDirectory.create(tmp_path, "x"), Clock()
    viewers = Viewers(run, clock)
    assert not viewers.looking()
    assert look(run)
    assert viewers.looking()
    assert oct(run.viewer.stat().st_mode & 0o777) == "0o600"
    clock.now += BELIEVED_SECONDS
    assert not viewers.looking()
    assert look(run)
    assert viewers.looking()


def test_what_was_left_by_a_viewer_of_yesterday_or_by_a_clock_of_tomorrow_says_nothing(tmp_path):
    run, clock = RunDirectory.create(tmp_path, "x"), Clock()
    look(run)
    os.utime(run.viewer, (4e9, 4e9))
    viewers = Viewers(run, clock)
    assert not viewers.looking()
    os.utime(run.viewer, (4e9 + 1, 4e9 + 1))  # but its movement does
    assert viewers.looking()


def test_links_and_strange_files_are_neither_written_nor_believed(tmp_path):
    run = RunDirectory.create(tmp_path, "x")
    precious = tmp_path / "precious"
    precious.write_text("x")
    os.utime(precious, (1, 1))
    run.viewer.symlink_to(precious)
    viewers = Viewers(run, Clock())
    assert not look(run)
    assert precious.stat().st_mtime == 1
    os.utime(precious, (2, 2))
    assert not viewers.looking()
    run.viewer.unlink()
    os.mkfifo(run.viewer)
    assert not look(run)  # and does not wait for a reader


def test_a_run_that_cannot_be_written_is_watched_all_the_same(tmp_path):
    assert not look(RunDirectory(tmp_path / "gone"))


def test_many_questions_cost_one_look_at_the_file(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path, "x")
    viewers = Viewers(run, lambda: 50.0)
    asked = []
    monkeypatch.setattr(os, "lstat", lambda path: asked.append(path) or os.stat(tmp_path))
    for _ in range(100):
        viewers.looking()
    assert len(asked) == 1
