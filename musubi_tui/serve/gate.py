"""Who is let in: a secret in the path, a Host that is this machine, and no page of another site.

A browser runs pages of strangers, and every one of them may try to reach ``localhost``. The token keeps out those who do not know
the address; the Host header keeps out names that a stranger points at 127.0.0.1 (DNS rebinding); Origin and the Sec-Fetch headers,
which a page cannot forge, keep out other sites even when the address leaked.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

_HOST = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")
FORBIDDEN, NOT_FOUND = 403, 404


def new_token() -> str:
    """256 random bits that may stand in a path."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Gate:
    """Holds the token. ``refusal`` gives the status of a refusal, 0 for a request that may pass."""

    token: str = field(default_factory=new_token, repr=False)

    def refusal(self, headers: Mapping[str, str], token: str, *, websocket: bool) -> int:
        """Judge a request by its headers and the token in its path (empty: none)."""
        host = headers.get("Host", "")
        if not host_is_here(host):
            return FORBIDDEN
        origin = headers.get("Origin")
        if origin is None:
            if websocket:  # every browser says where a websocket comes from
                return FORBIDDEN
        elif origin.lower() != f"http://{host}".lower():
            return FORBIDDEN
        if not _own_page(headers, websocket):
            return FORBIDDEN
        if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.token.encode()):
            return NOT_FOUND
        return 0


def host_is_here(host: str) -> bool:
    """Whether a Host header names this machine's loopback. The port may be another: ``ssh -L`` chooses it."""
    return _HOST.fullmatch(host.lower()) is not None


def _own_page(headers: Mapping[str, str], websocket: bool) -> bool:
    """What the browser says about who asks: our own page, or a person who opened the address in a tab."""
    site = headers.get("Sec-Fetch-Site", "none")
    if site == "same-origin":
        return True
    opened = (
        headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        and headers.get("Sec-Fetch-Dest", "document") == "document"
    )
    return site == "none" if websocket else opened
