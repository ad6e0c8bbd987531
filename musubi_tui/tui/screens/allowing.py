"""The question whether the commands that a preset brings along may run, asked alike wherever a run starts or goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.events.redaction import redacted_command
from musubi_tui.runs.plain_text import clean
from musubi_tui.served import served
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.dialog import Dialog

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

Hooks = Mapping[str, list[str]]


def with_hooks_asked(
    app: MusubiApp,
    title: str,
    twin: str,
    look: Callable[[], Hooks],
    go: Callable[[Hooks], None],
    *,
    left: Callable[[], None] = lambda: None,
    refused: Callable[[str], None] | None = None,
) -> None:
    """``look`` (on a thread) finds the commands; where there are some, a person sees them and says yes or no; ``go`` gets those
    that may run. ``left``: neither; ``refused`` gets why they could not be read. ``twin`` is the command without its option.
    """
    found: dict[str, list[str]] = {}
    asked_on = app.screen

    def read() -> str:
        found.update(look())
        return ""

    def ask() -> None:
        if app.screen is not asked_on and isinstance(app.screen, Dialog):  # another key of the same moment was quicker
            left()
            return
        if not found or served():  # what a browser may not do is refused where the run is made
            go({})
            return
        app.push_screen(hooks_question(title, found, twin), answered)

    def answered(choice: str | None) -> None:
        if choice is None:
            left()
        else:
            go(found if choice == "allow" else {})

    app.in_background(read, ask, refused)


def hooks_question(title: str, hooks: Hooks, twin: str) -> ConfirmScreen:
    """The dialog: every command whole, and what each answer means."""
    lines = [say("Its preset brings commands along, to run on this machine after it:",
                 "プリセットには、終了後にこのマシンで実行するコマンドがあります:")]  # fmt: skip
    lines += [f"{name}: {clean(redacted_command(words))}" for name, words in hooks.items()]
    choices = (
        Choice("allow", "y", say("go on, and let them run", "続行し、コマンドも実行する")),
        Choice("without", "n", say("go on without them", "続行するが、コマンドは実行しない") + _own(hooks)),
    )
    return ConfirmScreen(title, "\n".join(lines), choices, f"{twin} --allow-hooks", complete=True)


def _own(hooks: Hooks) -> str:
    """That the user's own commands run instead, where there are some."""
    from musubi_tui.runs.hooking import own_hooks

    try:
        own = [name for name in hooks if name in own_hooks()]
    except ConfigError:  # told when the run starts
        return ""
    return say("; config.toml's own do", "（config.toml のものは実行）") if own else ""
