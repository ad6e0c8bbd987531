"""A preset put into the queue from the app, as ``queue add`` does it. Starting at once is ``musubi_tui.tui.steering.start``."""

from __future__ import annotations

from pathlib import Path

from engine.config.language import say
from musubi_tui.runs.home import Home


def enqueue(preset: Path, home: Home) -> str:
    """Make the run of a checked preset and let it wait for a GPU. Raises ``UserError`` with everything wrong."""
    from engine.config import load_config, secrets_environment
    from musubi_tui.runs import queueing
    from musubi_tui.runs.creating import create_run
    from musubi_tui.runs.queue import Entry, QueueFile
    from musubi_tui.runs.slots import chosen_gpus
    from musubi_tui.runs.supervisor import ensure_supervisor

    loaded = load_config(preset, check_files=True)
    file = QueueFile(home.path)
    file.read()  # a damaged queue is told before a run is made
    run = create_run(loaded, home=home)
    config = loaded.config
    entry = queueing.add(
        file,
        Entry(
            id=0,
            host=file.host,
            run_dir=str(run.path),
            preset=str(preset.absolute()),
            secrets=bool(secrets_environment(config)),
            device=str(config.run.device),
            gpus=chosen_gpus(None),
        ),
    )
    if not file.read().held:
        ensure_supervisor(file)
    return say(f"{run.id}: number {entry.id} in the queue", f"{run.id}: キューの {entry.id} 番")
