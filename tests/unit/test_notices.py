"""Notices of the clouds, from local servers that answer as theirs do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.config import Config, write_run_toml
from engine.events import RunDirectory, Status, Step, Warned, read_events
from engine.notices import Notice, watch_for_notices
from tests.unit.test_job_process import _FRAME, TRAINS

Answer = tuple[int, dict[str, str], str]


class Cloud:
    """What a metadata server knows; ``stopping`` is set when the machine is to be taken away."""

    def __init__(self) -> None:
        self.stopping = False
        self.tokens_used: set[str] = set()

    def aws(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        if (method, path) == ("PUT", "/latest/api/token") and "x-aws-ec2-metadata-token-ttl-seconds" in headers:
            return 200, {}, f"token-{len(self.tokens_used)}"
        if headers.get("x-aws-ec2-metadata-token") != f"token-{len(self.tokens_used)}":
            return 401, {}, ""
        if path == "/latest/meta-data/spot/instance-action" and self.stopping:
            return 200, {}, json.dumps({"action": "terminate", "time": "2030-01-01T00:02:00Z"})
        return 404, {}, ""

    def gcp(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("metadata-flavor") != "Google":
            return 403, {}, ""
        values = {"preempted": "TRUE" if self.stopping else "FALSE", "maintenance-event": "NONE"}
        name = path.removeprefix("/computeMetadata/v1/instance/")
        return (200, {"Metadata-Flavor": "Google"}, values[name]) if name in values else (404, {}, "")

    def azure(self, method: str, path: str, headers: dict[str, str]) -> Answer:
        if headers.get("metadata") != "true":
            return 400, {}, ""
        if path.startswith("/metadata/instance/compute/name?"):
            return 200, {}, "my-vm"
        if not path.startswith("/metadata/scheduledevents?"):
            return 404, {}, ""
        when = "Tue, 01 Jan 2030 00:00:30 GMT"
        events = [{"EventType": "Preempt", "Resources": ["a-neighbour"], "NotBefore": when}]
        if self.stopping:
            events.append({"EventType": "Preempt", "Resources": ["my-vm"], "NotBefore": when})
        return 200, {}, json.dumps({"DocumentIncarnation": 1, "Events": events})


Serve = Callable[[str], tuple[Cloud, dict[str, str]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ThreadingHTTPServer] = []

    def start(name: str) -> tuple[Cloud, dict[str, str]]:
        cloud = Cloud()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                headers = {key.lower(): value for key, value in self.headers.items()}
                status, extra, text = getattr(cloud, name)(self.command, self.path, headers)
                self.send_response(status)
                for key, value in extra.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = answer

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        return cloud, {f"MUSUBI_TUI_METADATA_{one}": address for one in ("AWS", "GCP", "AZURE")}

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("choice", ["auto", "named"])
@pytest.mark.parametrize(
    ("name", "provider", "what", "deadline"),
    [
        ("aws", "AWS", "terminate", datetime(2030, 1, 1, 0, 2, tzinfo=UTC).timestamp()),
        ("gcp", "GCP", "preempted", None),
        ("azure", "Azure", "Preempt", datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC).timestamp()),
    ],
)
def test_each_clouds_notice_is_told_once_with_its_deadline(
    serve: Serve, name: str, provider: str, what: str, deadline: float | None, choice: str
) -> None:
    cloud, addresses = serve(name)
    told: list[Notice] = []
    thread = watch_for_notices(
        name if choice == "named" else "auto", told.append, environment=addresses, poll_seconds=0.05
    )
    assert thread is not None
    time.sleep(0.3)
    assert told == []
    cloud.tokens_used.add("the first has run out")
    cloud.stopping = True
    thread.join(10)
    (notice,) = told
    assert (notice.provider, notice.what) == (provider, what)
    if deadline is None:
        assert notice.deadline == pytest.approx(time.time() + 30, abs=5)
    else:
        assert notice.deadline == deadline


def test_where_no_service_answers_nothing_goes_on() -> None:
    nobody = {f"MUSUBI_TUI_METADATA_{one}": "http://127.0.0.1:9" for one in ("AWS", "GCP", "AZURE")}
    thread = watch_for_notices("auto", lambda _: None, environment=nobody)
    assert thread is not None
    thread.join(5)
    assert not thread.is_alive()
    assert watch_for_notices("off", lambda _: None) is None


def test_a_notice_makes_the_engine_save_and_leave(serve: Serve, tmp_path: Path) -> None:
    cloud, addresses = serve("aws")
    run = RunDirectory.create(tmp_path, "spot")
    write_run_toml(Config.of({"family": "wan", "device": "cpu"}), run.run_toml, kind="train", stages=["train"])
    environment = os.environ | addresses | {"PYTHONPATH": os.pathsep.join(sys.path)}
    stage = "import engine.notices\nengine.notices.watch_for_notices.__kwdefaults__['poll_seconds'] = 0.1\n" + TRAINS
    process = subprocess.Popen(
        [sys.executable, "-c", _FRAME.format(stage=stage), str(run.path)], env=environment, cwd=run.path
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any(isinstance(r.event, Step) for r in read_events(run.events)):
        time.sleep(0.05)
    cloud.stopping = True
    assert process.wait(20) == 75
    status = Status.read(run)
    assert status is not None
    assert status.state == "preempted"
    assert "AWS" in status.reason
    codes = [r.event.code for r in read_events(run.events) if isinstance(r.event, Warned)]
    assert "machine_stops" in codes
