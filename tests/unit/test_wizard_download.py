"""Downloading what is missing: against a stand-in for the hub, in a process of its own, as a person does it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.config.problems import MissingRequirement
from engine.families import get_family
from musubi_tui.presets.wizard import downloading
from tests.unit.test_planner import small_wan, write_header
from tests.unit.wizard_set import write_models, write_pictures

DIT = "split_files/diffusion_models/wan2.1_t2v_1.3B_bf16.safetensors"
TRANSFORMERS, PARTS = "Comfy-Org/Wan_2.1_ComfyUI_repackaged", "Wan-AI/Wan2.1-T2V-14B"


class Hub:
    """Repositories of two files each; counts what was asked, and may spoil or cut what it sends."""

    def __init__(self, folder: Path) -> None:
        write_models(folder)
        self.files = {
            (TRANSFORMERS, DIT): folder / "a.safetensors",
            (PARTS, "Wan2.1_VAE.pth"): folder / "b.pth",
            (PARTS, "models_t5_umt5-xxl-enc-bf16.pth"): folder / "c.pth",
        }
        self.spoilt = False
        self.cut_at: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        hub = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.startswith("/api/models/"):
                    hub.tell(self, path.removeprefix("/api/models/").partition("/revision/")[0])
                    return
                repository, _, rest = path[1:].partition("/resolve/")
                hub.send(self, repository, rest.partition("/")[2])

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def tell(self, request: BaseHTTPRequestHandler, repository: str) -> None:
        siblings = [
            {"rfilename": name, "size": path.stat().st_size, "lfs": {"sha256": digest(path), "size": path.stat().st_size, "pointerSize": 1}}
            for (owner, name), path in self.files.items()
            if owner == repository
        ]  # fmt: skip
        body = json.dumps({"id": repository, "sha": "a" * 40, "siblings": siblings, "private": False, "tags": [], "downloads": 0}).encode()  # fmt: skip
        request.send_response(200 if siblings else 404)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def send(self, request: BaseHTTPRequestHandler, repository: str, name: str) -> None:
        if (repository, name) not in self.files:
            request.send_response(404)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        path = self.files[repository, name]
        content = path.read_bytes()
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        if request.command == "GET":
            self.asked.append((name, asked))
        sent = bytearray(content[start:])
        if self.spoilt and sent:
            sent[-1] ^= 1
        request.send_response(206 if asked else 200)
        request.send_header("ETag", f'"{digest(path)}"')
        request.send_header("X-Repo-Commit", "a" * 40)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(sent)))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.end_headers()
        if request.command == "GET":
            cut, self.cut_at = (self.cut_at, None) if name.endswith(".safetensors") else (None, self.cut_at)
            request.wfile.write(bytes(sent if cut is None else sent[:cut]))
            if cut is not None:
                request.wfile.flush()
                request.connection.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "hub")
    yield made
    made.server.shutdown()


def around_of(hub: Hub, folder: Path, repository: Path) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": str(repository), "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "hf"), "HOME": str(folder), "NO_PROXY": "127.0.0.1", "HF_HUB_DOWNLOAD_TIMEOUT": "5",
    }  # fmt: skip


def ask(hub: Hub, folder: Path, repository: Path) -> subprocess.CompletedProcess[str]:
    write_pictures(folder / "bella", 2)
    answers = {
        "model": "wan/t2v-1.3B",
        "files": "download",
        "models_folder": "models",
        "data": "bella",
        "then": "write",
    }
    (folder / "answers.json").write_text(json.dumps(answers))
    return subprocess.run(
        [sys.executable, "-m", "musubi_tui", "wizard", "--answers", "answers.json", "--json"],
        cwd=folder,
        env=around_of(hub, folder, repository),
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip


def test_what_is_missing_is_fetched_checked_and_used(hub: Hub, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    done = ask(hub, folder, repository)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["missing"] == []
    assert "wan2.1_t2v_1.3B_bf16.safetensors: 100 %" in done.stderr
    preset = Path(told["preset"]).read_text()
    for (_, name), path in hub.files.items():
        copy = folder / "models" / name
        assert digest(copy) == digest(path)
        assert str(copy) in preset
    again = ask(hub, folder, repository)  # everything is here: nothing to download, so the choice is not there
    assert again.returncode == 2
    assert "none of the choices" in again.stderr


def test_a_spoilt_file_is_removed_and_told(hub: Hub, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    hub.spoilt = True
    done = ask(hub, folder, repository)
    assert done.returncode == 2
    assert "is not what the repository says it is" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((folder / "models").rglob("*.safetensors"))
    hub.spoilt = False
    assert ask(hub, folder, repository).returncode == 0


def test_a_file_that_the_repository_does_not_have(hub: Hub, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    del hub.files[PARTS, "Wan2.1_VAE.pth"]
    done = ask(hub, folder, repository)
    assert done.returncode == 2
    assert "has no Wan2.1_VAE.pth" in done.stderr
    hub.files.clear()
    done = ask(hub, folder, repository)
    assert done.returncode == 2
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network_it_is_told(hub: Hub, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    hub.server.shutdown()
    hub.server.server_close()  # nobody listens on this port any more
    done = ask(hub, folder, repository)
    assert done.returncode == 3
    command = ["models", "download", "--family", "wan", "--task", "t2v-1.3B", "--out", str(folder / "models")]
    models = subprocess.run(
        [sys.executable, "-m", "musubi_tui", *command], cwd=folder, env=around_of(hub, folder, repository),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert models.returncode == 3
    for told in (done.stderr, models.stderr):
        assert "Traceback" not in told
        assert "cannot be read" in told
        assert "Check the connection" in told


def test_a_line_that_is_silent_or_breaks_while_files_come_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HTTPError

    spec = get_family("wan")
    wanted = downloading.Wanted(spec.slots[0], DIT, 1, "", "main")

    def silent(*_: Any, **__: Any) -> str:
        raise next(kind for kind in subclasses(HTTPError) if kind.__name__ == "ReadTimeout")("timed out")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", silent)
    with pytest.raises(MissingRequirement, match="timed out"):
        downloading.fetch([wanted], tmp_path, lambda *_: None)


def subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


def test_half_a_download_goes_on_where_it_was(hub: Hub, tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    # The hub's client keeps whole chunks of 10 MiB: the file has more than two, and the line is cut in the third.
    shapes = {"blocks.0.self_attn.q.weight": (256, 256), "blocks.0.cross_attn.large": (4096, 3300), **small_wan()}
    write_header(hub.files[TRANSFORMERS, DIT], shapes)
    hub.cut_at = 22 << 20
    done = ask(hub, folder, repository)
    if done.returncode:  # the line was cut and the hub's own client gave up: the second try goes on
        assert "What was downloaded so far is kept" in done.stderr
        done = ask(hub, folder, repository)
    assert done.returncode == 0, done.stderr
    ranges = [asked for name, asked in hub.asked if name.endswith(".safetensors")]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert int(ranges[1].removeprefix("bytes=").partition("-")[0]) >= 10 << 20


def test_room_is_looked_at_before_a_byte_is_fetched(tmp_path: Path) -> None:
    slot = get_family("wan").slot("vae")
    wanted = downloading.Wanted(slot, "Wan2.1_VAE.pth", 10**18, "", "main")
    with pytest.raises(MissingRequirement, match="will be downloaded"):
        downloading.fetch([wanted], tmp_path / "models", lambda *_: None)
    assert not (tmp_path / "models").exists()


def test_the_command_fetches_the_same(hub: Hub, tmp_path: Path, repository: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(repository), "HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}  # fmt: skip

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "musubi_tui", "models", "download", "--family", "wan", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    done = command("--task", "t2v-1.3B", "--only", "vae", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"vae": str(tmp_path / "models" / "Wan2.1_VAE.pth")}
    assert command("--only", "clip").returncode == 2
    wrong = command("--task", "t2v-900B")
    assert wrong.returncode == 2
    assert "There are: t2v-1.3B" in wrong.stderr
