"""A run whose folder is taken away while somebody looks at it."""

from __future__ import annotations

from pathlib import Path

from engine.events.rundir import RunDirectory
from engine.events.status import Status
from musubi_tui.tui.run_source import RunSource


def test_a_folder_that_was_moved_away_is_gone_not_queued(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "ink")
    Status("stopped", name="ink", step=20, max_steps=60).write(run)
    source = RunSource.live(run.path)
    assert source.view().state == "stopped"
    run.path.rename(tmp_path / "elsewhere")
    assert source.view().state == "gone"
