"""The clouds' word that this machine will be taken away, asked for every few seconds on a thread of its own.

Nobody signals a detached process before a spot machine stops, but the provider's metadata service on the machine itself
knows: AWS two minutes before, Google and Azure about thirty seconds. Nothing leaves the machine's own link.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

ADDRESS = "http://169.254.169.254"  # the same link-local address in all three clouds
POLL_SECONDS = 5.0
_TIMEOUT_SECONDS = 2.0
_CONNECT_SECONDS = 0.5


@dataclass(frozen=True)
class Notice:
    """The machine stops: who says so, in which words, and when (seconds since 1970; None: very soon)."""

    provider: str
    what: str
    deadline: float | None


class Provider(Protocol):
    """One cloud's metadata service."""

    address: str

    def present(self) -> bool:
        """Whether this machine is of this cloud. Raises ``OSError``, ``ValueError``."""
        ...

    def look(self) -> Notice | None:
        """The notice, if there is one. Raises ``OSError``, ``ValueError``."""
        ...


@dataclass
class Aws:
    """Spot interruptions by the instance metadata service, version 2 (it wants a token)."""

    address: str
    _token: str = ""

    def present(self) -> bool:
        """Whether the service hands out a token."""
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
        self._token = _ask(f"{self.address}/latest/api/token", headers, method="PUT")[0].strip()
        return bool(self._token)

    def look(self) -> Notice | None:
        """The interruption, which is an answer 404 until there is one."""
        headers = {"X-aws-ec2-metadata-token": self._token}
        try:
            text, _ = _ask(f"{self.address}/latest/meta-data/spot/instance-action", headers)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self.present()  # the token has run out
            return None
        values = json.loads(text)
        return Notice("AWS", str(values.get("action", "stop")), _iso(str(values.get("time", ""))))


@dataclass
class Google:
    """Preemption of a spot machine, and maintenance that ends machines with GPUs."""

    address: str

    def present(self) -> bool:
        """Whether Google's metadata server answers."""
        return self._read("preempted")[1].get("Metadata-Flavor", "") == "Google"

    def look(self) -> Notice | None:
        """The preemption; about thirty seconds are left."""
        if self._read("preempted")[0].strip() == "TRUE":
            return Notice("GCP", "preempted", time.time() + 30)
        event = self._read("maintenance-event")[0].strip()
        return Notice("GCP", event, None) if event.startswith("TERMINATE") else None

    def _read(self, name: str) -> tuple[str, Mapping[str, str]]:
        return _ask(f"{self.address}/computeMetadata/v1/instance/{name}", {"Metadata-Flavor": "Google"})


@dataclass
class Azure:
    """Scheduled events: those that end or restart this machine; its neighbours' are listed, too."""

    address: str
    _name: str = field(default="", init=False)

    def present(self) -> bool:
        """Whether the service knows this machine's name."""
        url = f"{self.address}/metadata/instance/compute/name?api-version=2021-02-01&format=text"
        self._name = _ask(url, {"Metadata": "true"})[0].strip()
        return bool(self._name)

    def look(self) -> Notice | None:
        """The first event that concerns this machine."""
        text, _ = _ask(f"{self.address}/metadata/scheduledevents?api-version=2020-07-01", {"Metadata": "true"})
        for event in json.loads(text).get("Events", []):
            mine = self._name in event.get("Resources", []) or not self._name
            if mine and event.get("EventType") in ("Preempt", "Terminate", "Reboot", "Redeploy"):
                return Notice("Azure", event["EventType"], _http_date(str(event.get("NotBefore", ""))))
        return None


PROVIDERS: dict[str, Callable[[str], Provider]] = {"aws": Aws, "gcp": Google, "azure": Azure}


def watch_for_notices(
    choice: str,
    tell: Callable[[Notice], None],
    *,
    environment: Mapping[str, str] | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> threading.Thread | None:
    """Call ``tell`` once, from a thread, when the machine is to stop. ``choice``: a provider, "auto" or "off".

    ``MUSUBI_TUI_METADATA_AWS``, ``_GCP`` and ``_AZURE`` replace the address. "auto" ends when no service answers.
    """
    if choice == "off":
        return None
    known = os.environ if environment is None else environment
    names = list(PROVIDERS) if choice == "auto" else [choice]
    providers = [
        PROVIDERS[name](known.get(f"MUSUBI_TUI_METADATA_{name.upper()}", ADDRESS).rstrip("/")) for name in names
    ]
    addresses = {provider.address for provider in providers}

    def work() -> None:
        if choice == "auto":
            reachable = {address for address in addresses if _reachable(address)}
            found = next((one for one in providers if one.address in reachable and _present(one)), None)
        else:
            found = providers[0]
            while not _present(found):
                time.sleep(poll_seconds)
        while found is not None:
            with contextlib.suppress(OSError, ValueError):  # the service has hiccups: asked again
                notice = found.look()
                if notice is not None:
                    tell(notice)
                    return
            time.sleep(poll_seconds)

    thread = threading.Thread(target=work, name="notices", daemon=True)
    thread.start()
    return thread


def _present(provider: Provider) -> bool:
    try:
        return provider.present()
    except (OSError, ValueError):
        return False


def _reachable(address: str) -> bool:
    parts = urllib.parse.urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # link-local: never through a proxy


def _ask(url: str, headers: Mapping[str, str], method: str = "GET") -> tuple[str, Mapping[str, str]]:
    request = urllib.request.Request(url, headers=dict(headers), method=method)
    with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        return answer.read(64 * 1024).decode("utf-8", "replace"), answer.headers


def _iso(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _http_date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None
