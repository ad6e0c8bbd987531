"""What a person touches: the command line, runs, presets and the terminal app.

Never imports torch, diffusers or transformers; of the engine only ``config``, ``events``, ``data`` (not its loader),
``planner`` and the families' specs. Training happens in a process of its own (``python -m engine RUN_DIR``); this package
writes its configuration, starts it, and reads what it leaves in the run directory.
"""

__version__ = "0.1.0"
