"""Secrets by file, environment and argument go through a whole run; then every byte below the run, every command and the screen are searched."""

from __future__ import annotations

import os
import sys

import pytest

import engine.stages
from benchmarks.terminal import Terminal, plain_environment
from engine.events.control import send, wait_for_ack
from engine.events.types import Step
from musubi_tui.cli.root import run as musubi
from tests.e2e.engine_child import new_run, start

ENVIRONMENT = {"MY_API_TOKEN": "env-token-0123456789", "SMTP_PASS": "env-pass-0123456789", "TEAM_WEBHOOK": "https://example.org/env-hook-0123456789"}  # fmt: skip
LOOKS = "hf_AbCdEfGhIjKlMnOpQrStUvWx"
SECRETS = [
    *ENVIRONMENT.values(),
    LOOKS,
    "file-wandb-0123456789",
    "argv-hub-0123456789",
    "comment-0123456789",
    "hook-0123456789",
]


def found_in(data: bytes) -> list[str]:
    return [secret for secret in SECRETS if secret.encode() in data]


@pytest.fixture
def finished(tiny, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    folder = tiny("wan")
    picture = next((folder / "data" / "pictures").glob("*.png"), None) or next(
        (folder / "data" / "pictures").glob("*.jpg")
    )
    for path in folder.glob(f"data/pictures/{picture.stem}.*"):
        path.rename(path.with_name(f"{LOOKS}{path.suffix}"))
    preset = folder / "preset.toml"
    preset.write_text(
        f"# api_key = comment-0123456789 and {LOOKS}\n"
        "wandb_api_key = 'file-wandb-0123456789'\n"
        f"training_comment = 'made with env-token-0123456789 and {LOOKS}'\n"
        "on_finish = ['curl', '--token', 'hook-0123456789']\n" + preset.read_text("utf-8"),
        "utf-8",
    )
    (folder / "prompts.txt").write_text(f"a flower {LOOKS} --w 32 --h 32 --f 1 --s 2 --d 1\n", "utf-8")
    look = engine.stages.look_ahead

    def talkative(place):
        os.write(2, f"a library says {LOOKS} and env-pass-0123456789\n".encode())
        look(place)

    monkeypatch.setattr(engine.stages, "look_ahead", talkative)
    run = new_run(preset, {"max_train_steps": "8", "validation_items": "0", "huggingface_token": "argv-hub-0123456789", "save_every_n_steps": "4"})  # fmt: skip
    child = start(run)
    child.until(lambda records: any(isinstance(record.event, Step) for record in records))
    command = send(run, "sample", {"prompts": [f"a bee env-token-0123456789 {LOOKS} --w 32 --h 32 --f 1 --s 2"]})
    (run.control / "foreign.json").write_text(f'{{"command": "set", "key": "{LOOKS}", "value": "env-pass-0123456789"}}')
    os.chmod(run.control / "foreign.json", 0o600)
    code = child.wait()
    assert code == 0, run.engine_log.read_text()[-2000:]
    wait_for_ack(run, command, 0.1)
    return run


def test_no_secret_is_below_the_run_in_a_command_or_on_the_screen(finished, tmp_path, capfd):
    run = finished
    (run.control / "foreign.json").unlink()  # somebody else wrote it; what the engine made of it stays
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) > 12
    assert {str(path.relative_to(run.path)): found_in(path.read_bytes()) for path in files if found_in(path.read_bytes())} == {}  # fmt: skip
    assert not [path for path in files if found_in(os.fsencode(path.name))]
    assert "<redacted>" in run.engine_log.read_text()
    assert "<redacted>" in run.items.read_text()
    for path in [run.path, *run.path.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0 or run.output in [path, *path.parents], path

    environment = plain_environment(str(tmp_path), MUSUBI_TUI_HOME=str(run.path.parents[1])) | ENVIRONMENT
    where = str(run.path)
    for words in (
        ["runs", "list", "--json"], ["runs", "show", where], ["runs", "show", where, "--json"], ["runs", "logs", where],
        ["runs", "watch", where, "--plain"], ["runs", "watch", where, "--json"], ["runs", "compare", where, where], ["queue", "list"],
    ):  # fmt: skip
        code, told = musubi(words), capfd.readouterr()
        assert code == 0, (words, told.err)
        assert found_in((told.out + told.err).encode()) == [], words
    with Terminal([sys.executable, "-m", "musubi_tui"], (160, 48), environment) as terminal:
        terminal.until("tiny-wan", "done")
        terminal.keys("\r")
        terminal.until("loss", "log")
        for _ in range(5):  # every tab
            terminal.pump(0.7)
            terminal.keys("\t")
        terminal.keys("Y")
        terminal.until("Copied")
        terminal.keys("1")
        terminal.pump(0.7)
        terminal.keys("e")  # the preset the run was made of, with all its secrets
        terminal.until("toml (the same file, live)", "wandb_api_key")
        for keys in (".", "\x1b", "G", " ", "d", "\x1b", "T", "\r", "\x1b[1;5H", "x", "\x1b", "T"):
            terminal.pump(0.7)
            terminal.keys(keys)
        terminal.forget()
        terminal.keys("Y")
        terminal.until("Copied")
        assert found_in(terminal.plain()) == []
        assert found_in(terminal.raw) == []
