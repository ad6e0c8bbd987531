"""A tiny model, photographs and a preset on disk, written by the engine (it needs torch)."""

from __future__ import annotations

from pathlib import Path

from musubi_tui.runs.short_jobs import run_short_job


def make_tiny(family: str, out: Path) -> Path:
    """Write the set into ``out`` and return its preset. Raises ``UserError``."""
    from engine.config import Config

    out = out.absolute()
    config = Config.of({"family": family, "output_dir": out, "device": "cpu"})
    run_short_job(config, kind="tiny", stages=("tiny",), name=f"tiny-{family}")
    return out / "preset.toml"
