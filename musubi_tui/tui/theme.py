"""The app's own colours, and a theme without any. Colour only repeats what a glyph and a word say."""

from __future__ import annotations

from textual.theme import Theme

MUSUBI = Theme(
    name="musubi",
    primary="#d7875f",
    secondary="#87afaf",
    accent="#d7af5f",
    foreground="#d8d8d0",
    background="#141414",
    surface="#1a1a1a",
    panel="#262626",
    success="#87af87",
    warning="#d7af5f",
    error="#d75f5f",
    dark=True,
    variables={"border": "#4a4a46", "footer-background": "#1a1a1a"},
)
MONO = Theme(
    name="mono",
    primary="#ffffff",
    secondary="#c0c0c0",
    accent="#ffffff",
    foreground="#e0e0e0",
    background="#000000",
    surface="#000000",
    panel="#303030",
    success="#e0e0e0",
    warning="#e0e0e0",
    error="#ffffff",
    dark=True,
    variables={"border": "#707070", "footer-background": "#000000"},
)
STATE_COLOURS = {
    "running": "success",
    "starting": "success",
    "paused": "warning",
    "stopping": "warning",
    "preempted": "warning",
    "orphaned": "warning",
    "failed": "error",
}
