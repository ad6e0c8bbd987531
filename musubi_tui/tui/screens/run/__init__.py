"""Run: one run live or from a recording: loss, vitals, samples, log, alerts, and the keys that steer it."""

from musubi_tui.tui.run_source import RunSource
from musubi_tui.tui.screens.run.screen import RunScreen

__all__ = ["RunScreen", "RunSource"]
