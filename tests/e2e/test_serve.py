"""``musubi-tui serve`` as a browser meets it, against the server that a person starts: who gets in, who does not, and that the app is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the extra `serve` is not installed")

CLIENT_SIZE = "?width=80&height=24"


@dataclass
class Served:
    """A started server."""

    process: subprocess.Popen[str]
    port: int
    token: str

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket(self) -> str:
        return f"{self.base}/{self.token}/ws{CLIENT_SIZE}"

    @property
    def origin(self) -> str:
        return self.base


def apps_of(pid: int) -> list[int]:
    """The apps a server has started and not yet seen end."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "Z" not in line.split()[1]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


def start_server(home: Path) -> Served:
    environment = {
        **os.environ,
        "MUSUBI_TUI_HOME": str(home / "home"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "LANG": "en_US.UTF-8",
    }
    environment.pop("MUSUBI_TUI_LANG", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "musubi_tui", "serve", "--port", "0"],
        env=environment, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = re.fullmatch(r"http://localhost:(\d+)/([\w-]{43})/\n", process.stdout.readline())
    assert address, process.communicate()
    return Served(process, int(address[1]), address[2])


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Served]:
    server = start_server(home)
    yield server
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(20) == 0


@pytest.fixture
async def client(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield session
    deadline = time.monotonic() + 20
    while served.process.poll() is None and apps_of(served.process.pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)  # an app ends soon after its page: the next test counts from nothing


async def read_until(socket: aiohttp.ClientWebSocketResponse, text: str) -> str:
    """What the app drew up to and with ``text``, without the escape sequences."""
    seen, deadline = "", time.monotonic() + 50
    while text not in seen:
        with contextlib.suppress(TimeoutError):
            message = await socket.receive(timeout=1)
            assert message.type == aiohttp.WSMsgType.BINARY, (message, seen[-2000:])
            seen += message.data.decode("utf-8", "replace")
        assert time.monotonic() < deadline, seen[-3000:]
        seen = re.sub(r"\x1b\[[0-9;?$<>=]*[a-zA-Z]", "", seen)
    return seen


async def test_the_page_is_there_for_who_knows_the_address(served: Served, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{served.base}/{served.token}/") as answer:
        text = await answer.text()
        assert answer.status == 200
        assert f"ws://127.0.0.1:{served.port}/{served.token}/ws" in text
        assert re.findall(r"https?://", text) == []  # nothing comes from elsewhere, so nobody learns the address
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    for name in re.findall(r'"(static/[^"]+)"', text):
        async with client.get(f"{served.base}/{served.token}/{name}") as answer:
            assert answer.status == 200
            assert len(await answer.read()) > 400


async def test_the_app_is_drawn_obeys_keys_and_leaves_with_q(served: Served, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(served.websocket, origin=served.origin) as socket:
        await read_until(socket, "No runs yet")
        await socket.send_json(["stdin", "?"])
        await read_until(socket, "jobs.page_down")
        for odd in ("", "[", "[]", "{}", "7", '["stdin", 5]', '["resize", {"width": -1, "height": 1e99}]', '["quit"]'):
            await socket.send_str(odd)
        await socket.send_json(["ping", "17"])
        while (message := await socket.receive(timeout=50)).type == aiohttp.WSMsgType.BINARY:
            pass
        assert message.json() == ["pong", "17"]
        await socket.send_json(["stdin", "\x1b"])
        await read_until(
            socket, "No runs yet"
        )  # a letter sooner than a tenth of a second behind escape is alt and that letter
        await socket.send_json(["resize", {"width": 50, "height": 20}])
        await read_until(socket, "80x24")
        await socket.send_json(["stdin", "q"])
        while (await socket.receive(timeout=50)).type == aiohttp.WSMsgType.BINARY:
            pass
        assert socket.closed


WRONG_ORIGINS = [
    None, "", "null", "https://evil.example", "http://evil.example:{port}", "http://localhost:1", "http://127.0.0.1",
    "https://127.0.0.1:{port}", "http://127.0.0.1:{port}.evil.example", "http://localhost:{port}",
]  # fmt: skip


@pytest.mark.parametrize("origin", WRONG_ORIGINS)
async def test_a_page_of_another_origin_cannot_connect(
    served: Served, client: aiohttp.ClientSession, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin.format(port=served.port)}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(served.websocket, headers=headers)
    assert refused.value.status == 403
    if origin is not None:
        async with client.get(f"{served.base}/{served.token}/", headers=headers) as answer:
            assert answer.status == 403
            assert await answer.text() == ""
    assert apps_of(served.process.pid) == []


@pytest.mark.parametrize("token", ["", "x", "{token}x", "{short}", "%2e%2e", "{token}/..", "\u5370"])
async def test_a_wrong_token_finds_nothing(served: Served, client: aiohttp.ClientSession, token: str) -> None:
    wrong = token.format(token=served.token, short=served.token[:-1])
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(f"{served.base}/{wrong}/ws", origin=served.origin)
    assert refused.value.status == 404
    for path in ("", "static/textual.js", "static/../../server.py", "anything"):
        async with client.get(f"{served.base}/{wrong}/{path}") as answer:
            assert answer.status == 404
            assert await answer.text() == ""
    assert apps_of(served.process.pid) == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0:{port}", "localhost:{port}@evil.example", ""])  # fmt: skip
async def test_a_name_that_a_stranger_points_here_is_refused(
    served: Served, client: aiohttp.ClientSession, host: str
) -> None:
    named = host.format(port=served.port)
    headers = {"Host": named, "Origin": f"http://{named}"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(served.websocket, headers=headers)
    assert refused.value.status in (400, 403)
    async with client.get(f"{served.base}/{served.token}/", headers={"Host": named}) as answer:
        assert answer.status in (400, 403)


async def test_a_frame_or_script_of_another_site_gets_nothing(served: Served, client: aiohttp.ClientSession) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for kind in (
        {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ):
        async with client.get(f"{served.base}/{served.token}/", headers=foreign | kind) as answer:
            assert answer.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await client.ws_connect(served.websocket, headers=foreign | {"Origin": served.origin})
    opened = foreign | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with client.get(f"{served.base}/{served.token}/", headers=opened) as answer:
        assert answer.status == 200  # a person who clicked the address in a chat


async def test_through_ssh_the_browser_may_use_another_port_and_name(
    served: Served, client: aiohttp.ClientSession
) -> None:
    headers = {"Host": "localhost:9999", "Origin": "http://localhost:9999"}
    async with client.get(f"{served.base}/{served.token}/", headers={"Host": "localhost:9999"}) as answer:
        assert f"ws://localhost:9999/{served.token}/ws" in await answer.text()
    async with client.ws_connect(served.websocket, headers=headers) as socket:
        await read_until(socket, "No runs yet")


async def test_only_the_loopback_address_listens(served: Served) -> None:
    listed = Path("/proc/net/tcp")
    if not listed.exists():
        pytest.skip("no /proc/net/tcp on this system")
    addresses = [line.split()[1].split(":") for line in listed.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address, port in addresses if int(port, 16) == served.port] == ["0100007F"]


async def test_a_preset_with_hooks_cannot_be_started_from_a_browser(
    served: Served, client: aiohttp.ClientSession, home: Path
) -> None:
    (home / "data").mkdir(exist_ok=True)
    (home / "hooked.toml").write_text(
        "family = 'wan'\ntask = 't2v-1.3B'\ndit = 'a.safetensors'\nvae = 'b.safetensors'\nt5 = 'c.pth'\n"
        f"on_finish = ['touch', '{home / 'ran'}']\n"
        "[[datasets]]\nimage_directory = 'data'\nresolution = [64, 64]\n"
    )
    for name in ("a.safetensors", "b.safetensors", "c.pth"):
        (home / name).write_bytes(b"")
    async with client.ws_connect(served.websocket, origin=served.origin) as socket:
        await read_until(socket, "No runs yet")
        await socket.send_json(["stdin", "n"])
        await read_until(socket, "which preset")
        await socket.send_json(["stdin", "hooked.toml\r"])
        await read_until(socket, "This preset has hooks")
    assert not list((home / "home").glob("runs/*"))


async def test_an_app_goes_with_its_page(served: Served, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(served.websocket, origin=served.origin) as socket:
        await read_until(socket, "No runs yet")
        assert len(apps_of(served.process.pid)) == 1
    deadline = time.monotonic() + 15
    while apps_of(served.process.pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert apps_of(served.process.pid) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
async def test_no_app_outlives_a_killed_server(client: aiohttp.ClientSession, home: Path) -> None:
    server = start_server(home)
    async with client.ws_connect(server.websocket, origin=server.origin) as socket:
        await read_until(socket, "No runs yet")
        (app,) = apps_of(server.process.pid)
        server.process.kill()
        server.process.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{app}").exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert not Path(f"/proc/{app}").exists()
