"""The parts of ``serve`` that need no server: the gate, the environment of an app, what is closed to it, and the missing extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.events.rundir import RunDirectory
from musubi_tui.cli.serve import tunnel_line
from musubi_tui.runs.hooking import hooks_environment
from musubi_tui.runs.launching import engine_environment
from musubi_tui.serve.gate import Gate, new_token
from musubi_tui.serve.session import environment

GATE = Gate("the-token")
OK = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}


def test_tokens_are_long_and_never_the_same_and_stay_out_of_tracebacks() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 43  # 256 bits
    assert "the-token" not in repr(GATE)


def test_the_gate_lets_in_only_our_own_page() -> None:
    assert GATE.refusal(OK, "the-token", websocket=True) == 0
    assert GATE.refusal(OK | {"Host": "[::1]:80", "Origin": "http://[::1]:80"}, "the-token", websocket=True) == 0
    assert GATE.refusal({"Host": "LOCALHOST"}, "the-token", websocket=False) == 0
    assert GATE.refusal({"Host": "localhost"}, "the-token", websocket=True) == 403
    assert GATE.refusal(OK | {"Origin": "http://localhost:8001"}, "the-token", websocket=True) == 403
    assert GATE.refusal(OK | {"Sec-Fetch-Site": "same-site"}, "the-token", websocket=True) == 403
    assert GATE.refusal(OK, "the-tokem", websocket=True) == 404
    assert GATE.refusal({}, "the-token", websocket=False) == 403
    assert GATE.refusal({"Host": "localhost\n"}, "the-token", websocket=False) == 403


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: bool(compared.append((a, b))))
    assert GATE.refusal(OK, "the-token", websocket=True) == 404
    assert compared == [(b"the-token", b"the-token")]


def test_an_app_behind_a_browser_knows_it_and_nothing_of_the_servers_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    monkeypatch.setenv("EDITOR", "vi")
    made = environment(100, 30)
    assert (made["MUSUBI_TUI_SERVED"], made["COLUMNS"], made["ROWS"]) == ("1", "100", "30")
    assert not {"TMUX", "EDITOR", "VISUAL"} & made.keys()


def test_no_hook_reaches_an_engine_that_a_browser_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "musubi-tui" / "config.toml"
    config.parent.mkdir()
    config.write_text('on_finish = ["own"]\nprice_per_hour = 2.5\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    run = RunDirectory.create(tmp_path, "a")
    run.run_toml.write_text('kind = "train"\n')
    assert "own" in hooks_environment(run)["MUSUBI_TUI_HOOKS"]
    monkeypatch.setenv("MUSUBI_TUI_SERVED", "1")
    assert hooks_environment(run, {"on_error": ["preset"]}) == {"MUSUBI_TUI_PRICE_PER_HOUR": "2.5"}
    # The engine and the queue's process are nobody's browser: what they start later is the user's own again.
    assert "MUSUBI_TUI_SERVED" not in engine_environment("cpu")


def test_the_tunnel_knows_the_address_that_a_provider_tells() -> None:
    line = tunnel_line(8123, {"RUNPOD_PUBLIC_IP": "198.51.100.7", "RUNPOD_TCP_PORT_22": "40022"})
    assert line.startswith("ssh -N -L 8123:127.0.0.1:8123 -p 40022 ")
    assert line.endswith("@198.51.100.7")


@pytest.mark.parametrize(("language", "words"), [("en", "is not installed"), ("ja", "インストールされていません")])
def test_without_the_extra_it_says_what_to_install(language: str, words: str) -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'textual_serve' else real(name, *rest)\n"
        "from musubi_tui.cli.root import run; sys.exit(run(['serve', '--port', '0']))"
    )
    variables = {**os.environ, "MUSUBI_TUI_LANG": language, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert words in done.stderr
    assert "pip install 'musubi-tui[serve]'" in done.stderr


def test_a_taken_port_is_told() -> None:
    pytest.importorskip("aiohttp", reason="the extra `serve` is not installed")
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "musubi_tui", "serve", "--port", port], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
