"""``musubi-tui`` and ``python -m musubi_tui``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line with the arguments of this process and leave with its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell (`>&-`): nobody wants to read it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
    from musubi_tui.cli.readers import outlive_readers

    outlive_readers()
    if len(sys.argv) == 1:  # the app: it need not wait for what reads command lines
        from musubi_tui.cli.guard import guarded
        from musubi_tui.cli.opening import open_app

        sys.exit(guarded(open_app))
    from musubi_tui.cli.root import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
