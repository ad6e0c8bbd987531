"""Word of a run's end to a webhook, in the shape that Slack, Discord or ntfy understand."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from engine.config.language import say
from engine.events.redaction import redact

TIMEOUT_SECONDS = 10.0


def notify(url: str, values: Mapping[str, str]) -> str:
    """Post what a hook would be told. What went wrong as a sentence, without the address; empty when it arrived."""
    target, body = message_for(url, values)
    request = urllib.request.Request(
        target,
        data=json.dumps(body, ensure_ascii=False).encode("utf-8"),
        headers={"Content-Type": "application/json", "User-Agent": "musubi-tui"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        trouble = f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        trouble = redact(str(getattr(error, "reason", error)).replace(url, "…"))
    return say(f"The notification was not delivered: {trouble}.", f"通知を送信できませんでした: {trouble}。")


def message_for(url: str, values: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Where to post and what: told by the address. Slack's ``text`` is what most other services take, too."""
    parts = urllib.parse.urlsplit(url)
    host, text = parts.hostname or "", redact(summary(values))
    if "discord" in host or "/api/webhooks/" in parts.path:
        return url, {"content": text, "allowed_mentions": {"parse": []}}
    if host.startswith("ntfy.") or ".ntfy." in host or parts.query == "ntfy":
        *_, topic = parts.path.rstrip("/").split("/")
        root = urllib.parse.urlunsplit((parts.scheme, parts.netloc, "/", "", ""))
        failed = values.get("MUSUBI_TUI_STATE") == "failed"
        return root, {"topic": topic, "title": "musubi-tui", "message": text, "priority": 4 if failed else 3}
    return url, {"text": text}


def summary(values: Mapping[str, str]) -> str:
    """``ink: done at step 2000/2000, 1.92 h, 4.81 - reason``."""
    steps = f"{values['MUSUBI_TUI_STEP']}/{values['MUSUBI_TUI_MAX_STEPS']}"
    facts = [f"{values['MUSUBI_TUI_HOURS']} h", values["MUSUBI_TUI_COST"]]
    reason = f" - {values['MUSUBI_TUI_REASON']}" if values["MUSUBI_TUI_REASON"] else ""
    end = say(f"{values['MUSUBI_TUI_STATE']} at step {steps}", f"{values['MUSUBI_TUI_STATE']}（ステップ {steps}）")
    return f"{values['MUSUBI_TUI_NAME']}: {', '.join(filter(None, [end, *facts]))}{reason}"
