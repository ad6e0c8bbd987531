"""What the browser gets first: one page that draws a terminal with textual-serve's script, and nothing from anywhere else."""

from __future__ import annotations

import html
from importlib.util import find_spec
from pathlib import Path

from engine.config.language import language, say
from engine.config.problems import MissingRequirement

FILES = {
    "textual.js": ("js/textual.js", "text/javascript"),
    "xterm.css": ("css/xterm.css", "text/css"),
    "mono.ttf": ("fonts/RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    "mono-italic.ttf": ("fonts/RobotoMono-Italic-VariableFont_wght.ttf", "font/ttf"),
}
FONT_SIZES = range(6, 61)
# Keys go to the terminal as soon as the app is there, and again when the window comes back: nobody has to click first.
FOCUS = """const focus = () => {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) field.focus();
  return field !== null;
};
const watch = new MutationObserver(() => {
  if (document.body.classList.contains("-first-byte") && focus()) watch.disconnect();
});
addEventListener("DOMContentLoaded", () => watch.observe(document.body, {attributes: true, childList: true, subtree: true}));
addEventListener("focus", focus);
"""

_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>musubi-tui</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/xterm.css">
<style>
@font-face {{ font-family: "Roboto Mono"; src: url("static/mono.ttf"); }}
@font-face {{ font-family: "Roboto Mono"; font-style: italic; src: url("static/mono-italic.ttf"); }}
body {{ background: #141414; color: #d8d8d0; font-family: "Roboto Mono", monospace; margin: 0; }}
.closed {{ display: none; position: fixed; inset: 0; z-index: 10; background: #141414e0; align-items: center; justify-content: center; }}
body.-closed .closed {{ display: flex; }}
.closed a {{ color: #d7875f; margin-left: 1em; }}
</style>
<script src="static/textual.js"></script>
<script src="static/focus.js"></script>
</head>
<body>
<div class="closed"><span>{closed}</span><a href="./">{again}</a></div>
<div class="textual-terminal" data-session-websocket-url="ws://{host}/{token}/ws" data-font-size="{font_size}"></div>
</body>
</html>
"""


def page(host: str, token: str, font_size: int) -> str:
    """The page for a browser that reached us as ``host`` (which the gate has checked)."""
    return _PAGE.format(
        language=language(),
        host=html.escape(host, quote=True),
        token=token,
        font_size=font_size,
        closed=say("The app was left. Runs go on.", "アプリを終了しました。run は続いています。"),
        again=say("Open it again", "もう一度開く"),
    )


def headers(host: str) -> dict[str, str]:
    """What every answer carries: nothing is kept, sent on, framed or loaded from elsewhere."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",  # the terminal sizes its cells with style elements
        "font-src": "'self'",
        "img-src": "data:",
        "connect-src": f"'self' ws://{host}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",  # the address is the secret
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
    }


def static_folder() -> Path:
    """Where textual-serve keeps its script. Raises ``MissingRequirement`` when the extra is not installed."""
    found = find_spec("textual_serve")
    folder = Path(found.origin).parent / "static" if found and found.origin else None
    if (
        folder is None
        or find_spec("aiohttp") is None
        or not all((folder / name).is_file() for name, _ in FILES.values())
    ):
        raise MissingRequirement.of(
            "missing_package",
            say("The browser needs the package textual-serve, which is not installed.",
                "ブラウザー表示に必要なパッケージ textual-serve がインストールされていません。"),
            say("Install it: pip install 'musubi-tui[serve]'", "インストール: pip install 'musubi-tui[serve]'"),
        )  # fmt: skip
    return folder
