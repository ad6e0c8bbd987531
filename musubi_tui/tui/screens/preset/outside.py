"""The person's own editor on a copy of the text: ``VISUAL``, else ``EDITOR``, else ``vi``. The file itself is not touched."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from engine.config.language import say
from engine.config.problems import UserError


def editor_command() -> list[str]:
    """The words of the command. Raises ``UserError`` when they cannot be read."""
    written = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(written)
    except ValueError:
        words = []
    if not words:
        raise UserError.of(
            "no_editor",
            say(f"EDITOR is {written!r}: not a command.", f"EDITOR の値 {written!r} はコマンドではありません。"),
        )
    return words


def edit_outside(text: str, name: str) -> str:
    """The text as it came back. Raises ``UserError``; when what came back cannot be read, it says where it lies."""
    command = editor_command()
    folder = Path(tempfile.mkdtemp(prefix="musubi-tui-"))
    copy = folder / name
    copy.write_bytes(text.encode())
    try:
        done = subprocess.run([*command, str(copy)], check=False)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        message = say(
            f"{command[0]} cannot be started: {error.strerror}.", f"{command[0]} を起動できません: {error.strerror}"
        )
        raise UserError.of("no_editor", message, say("Set EDITOR.", "EDITOR を設定してください。")) from None
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        message = say(
            f"{command[0]} ended with code {done.returncode}; nothing was taken.",
            f"{command[0]} がコード {done.returncode} で終了したため、何も取り込みませんでした。",
        )
        raise UserError.of("editor_failed", message)
    try:
        after = copy.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        message = say(
            f"what {command[0]} wrote is not UTF-8 text; it lies in {copy}.",
            f"{command[0]} の出力が UTF-8 ではありません。{copy} に残っています。",
        )
        raise UserError.of("not_utf8", message) from None
    shutil.rmtree(folder, ignore_errors=True)
    return after
