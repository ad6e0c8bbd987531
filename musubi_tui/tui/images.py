"""How samples are drawn: half blocks by ourselves, or real pictures through textual-image where it is installed and the terminal can.

``images`` in ``[app]`` of config.toml: ``auto`` (what the terminal can; nothing over a slow link), ``kitty``, ``sixel``, ``half``,
``ascii`` (a ramp of characters) or ``off``.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from engine.config.language import say
from engine.config.problems import ConfigError
from musubi_tui.served import served

if TYPE_CHECKING:
    from textual.widget import Widget

    from musubi_tui.tui.probing import Terminal

KINDS = ("auto", "kitty", "sixel", "half", "ascii", "off")
GRAPHICS = ("kitty", "sixel")


@dataclass(frozen=True)
class Images:
    """``kind`` is one of ``KINDS`` but auto; ``chosen``: a person asked for it, so that a slow link does not change it."""

    kind: str = "half"
    chosen: bool = False
    cell: tuple[int, int] = (0, 0)


class Link(Protocol):
    """What an app knows of its link, as ``app.link``."""

    eco: bool  # the link is to be spared


def choose_images(setting: str, config: str, probe: Callable[[], Terminal] | None = None) -> Images:
    """What the setting means on this terminal. Raises ``ConfigError`` for a kind that needs the extra where it is missing.

    The terminal is only asked when it matters: with ``auto`` and the extra.
    """
    setting = setting or "auto"
    installed = importlib.util.find_spec("textual_image") is not None
    if setting in GRAPHICS and not installed:
        message = say(f"images is {setting!r}, but textual-image is not installed.", f"images が {setting!r} ですが、textual-image がありません。")  # fmt: skip
        fix = say("pip install 'musubi-tui[images]', or write half.", "pip install 'musubi-tui[images]' を実行するか、half を書いてください。")  # fmt: skip
        raise ConfigError.of("missing_extra", message, fix, file=config, key="app.images")
    if setting in ("half", "ascii", "off"):
        return Images(setting, True)
    if not installed or (setting == "auto" and served()):
        return Images()
    if probe is None:
        from musubi_tui.tui.probing import find_terminal

        probe = find_terminal
    terminal = probe()
    kind = setting if setting in GRAPHICS else terminal.pictures or "half"
    return Images(kind, setting != "auto", terminal.cell)


def kind_now(app: object) -> str:
    """How pictures are drawn in this app at this moment: not at all over a slow link, in characters where there is no colour."""
    images = getattr(app, "images", Images())
    link: Link | None = getattr(app, "link", None)
    if not images.chosen and link is not None and link.eco:
        return "off"
    colourless = getattr(app, "no_color", False) or getattr(getattr(app, "glyphs", None), "name", "") == "ascii"
    return "ascii" if colourless and images.kind != "off" else str(images.kind)


def graphic_widget(images: Images, path: str) -> Widget:
    """A widget that shows the picture through the terminal's own graphics. Raises ``OSError`` for what is no picture."""
    from PIL import Image

    if not os.path.isfile(path):
        raise FileNotFoundError(path)
    with Image.open(path) as file:
        picture = file.convert("RGB")
    module = _textual_image(images.cell)
    kind: Callable[[Any], Widget] = module.TGPImage if images.kind == "kitty" else module.SixelImage
    return kind(picture)


def _textual_image(cell: tuple[int, int]) -> Any:
    """textual-image's widgets, imported without its questions to the terminal: ours were answered, and while the app runs
    nobody else may read. It asks nothing where stdout is no terminal, and takes the size of a cell from the environment."""
    if "textual_image.widget" in sys.modules:
        return sys.modules["textual_image.widget"]
    stdout = sys.__stdout__
    width, height = cell if all(cell) else (10, 20)
    os.environ["TEXTUAL_CELL_WIDTH"], os.environ["TEXTUAL_CELL_HEIGHT"] = str(width), str(height)
    sys.__stdout__ = cast(Any, io.StringIO())  # type: ignore[misc]
    try:
        import textual_image.widget
    finally:
        sys.__stdout__ = stdout  # type: ignore[misc]
    return textual_image.widget
