"""``musubi-tui`` and ``python -m musubi_tui``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line with the arguments of this process and leave with its exit code."""
    from musubi_tui.cli.root import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
