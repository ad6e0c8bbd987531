"""What trains: everything that needs a GPU runs here, in a process of its own (``python -m engine RUN_DIR``).

The only ways out of the engine are events and files in the run directory. It never imports ``textual``, ``typer`` or
``musubi_tui``; importing this package costs nothing.
"""

__version__ = "0.1.0"
