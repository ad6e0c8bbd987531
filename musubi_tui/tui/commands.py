"""The command palette: every action that works right now, with its key and the command that does the same at the shell, and the
choices that have no key.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.types import IgnoreReturnCallbackType

from engine.config.language import say
from musubi_tui.tui.modes import MODES
from musubi_tui.tui.twins import twin_of

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp


def run_in_view(screen: Any) -> str:
    """The id of the run that a screen is about, quoted for a shell; empty for none."""
    run = _run(screen)
    return shlex.quote(str(run.id)) if run is not None else ""


def run_of(screen: Any) -> str:
    """The directory of that run; empty for none."""
    run = _run(screen)
    return str(getattr(run, "run_dir", None) or run.path) if run is not None else ""


def _run(screen: Any) -> Any:
    return getattr(screen, "chosen", None) or getattr(getattr(screen, "source", None), "run", None)


def _title(id: str, description: str) -> str:
    """What an action does, in words that stand without its screen; a mode's name alone says nothing."""
    room, _, name = id.partition(".")
    if room == "app" and name in {mode.id for mode in MODES}:
        return say(f"Go to {description}", f"{description} へ移動")
    return description[:1].upper() + description[1:]


class MusubiCommands(Provider):
    """Actions of the focused panel, the screen and the app; glyph sets, how much to spare the link, suspension, themes."""

    async def discover(self) -> Hits:
        """Everything, before one types."""
        for text, hint, run in sorted(self._commands(), key=lambda command: "musubi-tui" not in command[1]):
            yield DiscoveryHit(text, run, help=hint)  # what does something before what looks around

    async def search(self, query: str) -> Hits:
        """What fits."""
        matcher = self.matcher(query)
        for text, hint, run in self._commands():
            score = matcher.match(text)
            if not score and query.casefold() in hint.casefold():  # letters strewn over a command fit nearly everything
                score = 0.1
            if score > 0:
                yield Hit(score, matcher.highlight(text), run, help=hint)

    def _commands(self) -> Iterator[tuple[str, str, IgnoreReturnCallbackType]]:
        app, screen = cast("MusubiApp", self.app), cast("Any", self.screen)
        seen, run = set[str](), run_in_view(screen)
        for active in screen.active_bindings.values():
            binding = active.binding
            if (
                binding.id is None
                or not seen.isdisjoint((binding.id, binding.action))
                or not binding.description
                or not active.enabled
            ):
                continue
            seen |= {binding.id, binding.action}
            hint = "   ".join(filter(None, [app.get_key_display(binding), twin_of(binding.id, run)]))
            yield _title(binding.id, binding.description), hint, partial(app.run_action, binding.action, active.node)
        other = "ascii" if app.glyphs.name == "unicode" else "unicode"
        yield (
            say(f"Draw with {other} characters", f"{other} 文字で描画"),
            "[app] glyphs",
            partial(app.use_glyphs, other),
        )
        for setting, text in (
            ("on", say("Spare the link: fewer frames, no pictures", "通信を節約: 描画を減らし画像なし")),
            ("off", say("Do not spare the link", "通信を節約しない")),
            ("auto", say("Spare the link when it is slow", "遅い回線のときだけ節約")),
        ):
            if setting != app.link.setting:
                yield text, "[app] eco", partial(app.use_eco, setting)
        if app.can_suspend:
            yield (
                say("Suspend: back to the shell until `fg`", "中断: シェルに戻り、`fg` で再開"),
                "",
                app.action_suspend_process,
            )
        for name in app.available_themes:
            yield say(f"Theme: {name}", f"テーマ: {name}"), "[app] theme", partial(app.use_theme, name)
