"""Permissions hold for root too, for as long as a test needs them: otherwise they are tested nowhere that runs as root, as CI does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="rights-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Go on as nobody, if this is root. What is used inside must have been imported before."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(_NOBODY)
    except OSError as error:
        pytest.skip(f"root cannot become another user here: {error}")
    try:
        yield
    finally:
        os.seteuid(0)
