"""Copying from a terminal, perhaps on another machine: OSC 52 for the terminal, then the tools of this machine.

OSC 52 goes through SSH; inside tmux it is wrapped so that the outer terminal sees it (``allow-passthrough on``). A local tool is
asked only where a clipboard is on this machine.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping

_LIMIT = 74_994  # bytes of text that every terminal with OSC 52 takes
_TOOLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("", ("pbcopy",)),
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("WSL_DISTRO_NAME", ("clip.exe",)),
)


def osc52(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The escape sequence that asks the terminal to copy ``text``; empty when it is too long for one."""
    data = text.encode()
    if len(data) > _LIMIT:
        return ""
    sequence = f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
    if environment.get("TMUX"):
        return sequence + "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environment.get("TERM", "").startswith("screen"):
        return "\x1bP" + sequence + "\x1b\\"
    return sequence


def copy_locally(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Give ``text`` to the first clipboard tool of this machine; its name, or nothing when there is none or it fails."""
    if environment.get("SSH_CONNECTION"):
        return ""  # this machine's clipboard is not the person's
    for variable, command in _TOOLS:
        if (variable and not environment.get(variable)) or shutil.which(command[0]) is None:
            continue
        try:
            subprocess.run(
                command,
                input=text.encode(),
                timeout=2,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return command[0]
    return ""
