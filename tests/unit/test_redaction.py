"""No secret is kept or shown: fed in by files, environment and arguments, looked for in everything a run leaves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.config import Config, load_config, write_run_toml
from engine.events import Control, EventSink, Failed, RunDirectory, Sample, Status, Warned
from engine.events.control import Ack, write_ack
from engine.events.redaction import redact, redacted, redacted_command, starred
from musubi_tui.cli.output import print_problems, print_table
from musubi_tui.runs.creating import create_run
from musubi_tui.runs.home import Home
from tests.unit.test_job_process import _FRAME

ENVIRONMENT = {
    "MY_API_TOKEN": "env-token-0123456789",
    "RUNPOD_API_KEY": "env-key-0123456789",
    "DB_SECRET": "env-secret-0123456789",
    "SMTP_PASS": "env-pass-0123456789",
    "TEAM_WEBHOOK": "https://example.org/env-hook-0123456789",
    "MUSUBI_TUI_NOTIFY_URL": "https://example.org/env-notify-0123456789",
}
BY_LOOKS = [
    "hf_AbCdEfGhIjKlMnOpQrStUvWx",
    "sk-proj-abcdefghijklmnop1234",
    "ghp_abcdefghijklmnopqrst1234",
    "AKIAABCDEFGHIJKLMNOP",
]
BY_NAME = [
    ("--hf-token opt-value-0123456789", "opt-value-0123456789"),
    ("wandb_api_key='quoted 0123456789'", "quoted 0123456789"),
    ('{"password": "json-0123456789"}', "json-0123456789"),
    ("AWS_SECRET_ACCESS_KEY=shell-0123456789", "shell-0123456789"),
    ("https://hub.example/?access_token=query-0123456789&x=1", "query-0123456789"),
    ("https://me:login-0123456789@hub.example/", "login-0123456789"),
    ("https://hooks.slack.com/services/T0/B0/slack0123456789", "slack0123456789"),
    ("https://discord.com/api/webhooks/1/discord0123456789", "discord0123456789"),
    ("Authorization: Bearer bearer-0123456789", "bearer-0123456789"),
    ("pass=swordfish-a", "swordfish-a"),
    ("PASS='sword fish b'", "sword fish b"),
    ("pass: swordfish1c", "swordfish1c"),
    ("DBPASS=swordfish-d", "swordfish-d"),
    ("smtppass: swordfish-e", "swordfish-e"),
    ("--pass swordfish-f", "swordfish-f"),
    ("curl  --token  swordfish-g  done", "swordfish-g"),
    ("key=Zk3fq0Lw8Rt2Yx", "Zk3fq0Lw8Rt2Yx"),
    ('{"key": "9hQx2Lm0Zr71bBw4"}', "9hQx2Lm0Zr71bBw4"),
]
EVERYTHING = "\n".join([*ENVIRONMENT.values(), *BY_LOOKS, *(text for text, _ in BY_NAME)])
SECRETS = [*ENVIRONMENT.values(), *BY_LOOKS, *(secret for _, secret in BY_NAME)]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def assert_clean(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


def everything_below(folder: Path) -> str:
    return "\n".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("text", [*ENVIRONMENT.values(), *BY_LOOKS, *(text for text, _ in BY_NAME)])
def test_a_secret_is_found_wherever_it_stands(text: str) -> None:
    assert "<redacted>" in redact(f"before {text} after")
    assert_clean(redact(f"before {text} after"))


@pytest.mark.parametrize(
    "text",
    [
        "missing key: blocks.0.self_attn.q.weight",
        "hf_transfer is not installed",
        "max_tokens = 123456789",
        'tokenizer = "/models/tokenizer"',
        "forward pass: 1.2345678 s",
        "set learning_rate_factor = 0.5 (keyboard)",
        "monkey: a monkey on a keyboard",
        "forward pass: gradients of 40 blocks",
        "second pass: 12345.678901 ms",
        "pass_through = enabled_now",
        "compass=northnorthwest",
        '{"command": "set", "key": "learning_rate_factor", "value": 0.5}',
        "key=lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
        "key: datasets[0].num_repeats",
        "hotkey: ctrl+shift+escape",
        'wandb_api_key="$WANDB_API_KEY"',
        "huggingface_token=${HF_TOKEN}",
    ],
)
def test_words_that_only_sound_like_secrets_stay(text: str) -> None:
    assert redact(text) == text


LETTERS = st.characters(codec="ascii", categories=("Lu", "Ll", "Nd"))
VALUES = st.text(LETTERS, min_size=12, max_size=40).filter(
    lambda text: re.search(r"\d\D*\d", text) and re.search(r"\D", text)
)
NAMES = st.sampled_from(
    ["pass", "PASS", "Pass", "dbpass", "DBPASS", "smtp_pass", "SMTP-PASS", "passwd", "password", "pass_prod", "key", "KEY",
     "api_key", "apikey", "SSHKEY", "token", "HF_TOKEN", "client_secret", "webhook"]
)  # fmt: skip
SHAPES = st.sampled_from(
    ["{n}={v}", "{n}='{v}'", '{n} = "{v}"', "{n}: {v}", '{{"{n}": "{v}"}}', "--{n} {v}", "--{n}={v}", "?a=1&{n}={v}&b=2",
     "export {n}={v}", "- {n}: {v}", "line\n{n}: {v}\nline"]
)  # fmt: skip


@given(NAMES, VALUES, SHAPES)
def test_under_every_name_in_every_shape_a_value_drawn_by_lot_goes(name: str, value: str, shape: str) -> None:
    text = shape.format(n=name, v=value)
    assert value not in redact(text)
    assert value not in starred(text)
    assert len(starred(text)) == len(text)
    assert redact(redact(text)) == redact(text)


WORDS = st.lists(
    st.sampled_from(
        ["forward", "pass", "passes", "bypass", "compass", "passive", "passing", "encompasses", "key", "keys", "keyboard", "keyframe",
         "monkey", "hotkey", "tokens", "tokenizer", "blocks.0.attn.q", "learning_rate_factor", "128", "0.5", "1e-4", "lora_unet_blocks_12"]
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


@given(WORDS, st.sampled_from([" ", ", ", " / "]))
def test_ordinary_words_stay(words: list[str], between: str) -> None:
    text = between.join(words)
    assert redact(text) == text == starred(text)
    for name in (
        "key",
        "keys",
        "compass",
        "bypass",
        "passes",
        "forward pass",
        "monkey",
        "max_tokens",
        "keyframes",
        "low_pass_rate",
    ):
        line = f"{name}: {words[-1]}"
        assert redact(line) == line


def test_a_path_of_a_file_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path))
    assert redact(f"writing {tmp_path}/a.safetensors") == f"writing {tmp_path}/a.safetensors"


def test_names_hide_values_in_structures_and_a_set_command_stays_readable() -> None:
    values = redacted(
        {"api_token": "abcdefgh1", "key": "learning_rate_factor", "value": "0.500000000", "n": [1, EVERYTHING]}
    )
    assert values["api_token"] == "<redacted>"
    assert (values["key"], values["value"]) == ("learning_rate_factor", "0.500000000")
    assert redacted({"key": "9hQx2Lm0Zr71bBw4", "pass": "swordfish-g"}) == {"key": "<redacted>", "pass": "<redacted>"}
    assert_clean(str(values))


def test_a_copied_command_holds_no_secret() -> None:
    shown = redacted_command(
        ["musubi-tui", "train", "--hf-token", "plain-0123456789", "--set", "wandb_api_key=abcdefgh1"]
    )
    assert shown == "musubi-tui train --hf-token '<redacted>' --set 'wandb_api_key=<redacted>'"


def test_hostile_texts_are_read_in_linear_time() -> None:
    for piece in ("a.b-", "_key", "token_a=", "http://a:", "--api-key ", "hf_"):
        assert len(redact(piece * 20000 + " token")) > 0


def test_events_status_and_answers_hold_no_secret(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "secrets")
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Warned("w", EVERYTHING, EVERYTHING))
    sink.emit(Failed("f", EVERYTHING, EVERYTHING))
    sink.emit(Sample(path="a.png", prompt=EVERYTHING))
    sink.emit(Control("1", "sample", "done", EVERYTHING, {"prompts": [EVERYTHING], "api_key": "named-0123456789"}))
    assert sink.close()
    Status("failed", reason=EVERYTHING).write(run)
    write_ack(run, Ack("1", "save", "refused", EVERYTHING))
    assert_clean(everything_below(run.path))
    assert "named-0123456789" not in run.events.read_text()


def test_run_toml_and_source_hold_no_secret(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "a.txt").write_text("a bird")
    preset = tmp_path / "preset.toml"
    comments = "\n".join(f"# {line}" for line in EVERYTHING.splitlines())
    preset.write_text(
        f"{comments}\nfamily = 'wan'\ntask = 't2v-1.3B'\ndit = 'a.safetensors'\nvae = 'b.safetensors'\nt5 = 'c.pth'\n"
        "huggingface_token = 'hf_AbCdEfGhIjKlMnOpQrStUvWx'\n"
        "wandb_api_key = 'plainwandb0123456789'\ntraining_comment = 'env-token-0123456789'\n"
        "on_finish = ['curl', '--token', 'opt-value-0123456789', 'https://hooks.slack.com/services/T0/B0/slack0123456789']\n"
        "[[datasets]]\nimage_directory = 'data'\ncaption_extension = '.txt'\nresolution = [64, 64]\n"
    )
    run = create_run(load_config(preset), home=Home(tmp_path / "home", "", True))
    text = everything_below(run.path)
    assert_clean(text)
    assert "plainwandb0123456789" not in text
    assert "image_directory" in (run.source / "preset.toml").read_text()


def test_the_log_holds_no_secret_not_even_in_a_traceback(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "log")
    write_run_toml(Config.of({"family": "wan", "device": "cpu"}), run.run_toml, kind="train", stages=["train"])
    stage = (
        "import logging, os\n"
        "def run_stages(job, names):\n"
        "    text = os.environ['EVERYTHING']\n"
        "    print(text); sys.stderr.write(text); logging.warning(text)\n"
        "    os.write(2, text.encode()); os.system('printenv EVERYTHING')\n"
        "    raise RuntimeError(text)\n"
    )
    # the variable's own name says nothing; what it holds is told apart by name, looks, or the other variables
    environment = os.environ | {"EVERYTHING": EVERYTHING, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = subprocess.run(
        [sys.executable, "-c", _FRAME.format(stage=stage), str(run.path)], env=environment, cwd=run.path, check=False
    ).returncode
    assert code == 1
    assert "Traceback" in run.engine_log.read_text()
    assert_clean(everything_below(run.path))


def test_complaints_and_tables_hold_neither_secrets_nor_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    from engine.config.problems import Problem

    print_problems([Problem("x", EVERYTHING + "\x1b]52;c;aGk=\x07", EVERYTHING)])
    print_table(("caption",), [(EVERYTHING + "\x1b[2J",)])
    captured = capsys.readouterr()
    assert_clean(captured.out + captured.err)
    assert "\x1b" not in captured.out + captured.err


def test_what_a_library_wrote_before_kill_9_is_in_the_log_and_masked(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "log")
    write_run_toml(Config.of({"family": "wan", "device": "cpu"}), run.run_toml, kind="train", stages=["train"])
    stage = (
        "import os, signal\n"
        "def run_stages(job, names):\n"
        "    for line in range(2000):\n"
        "        os.write(2, f'native line {line} hf_AbCdEfGhIjKlMnOpQrStUvWx\\n'.encode())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _FRAME.format(stage=stage), str(run.path)]
    assert subprocess.run(command, env=environment, cwd=run.path, check=False).returncode == -9
    deadline = time.monotonic() + 20
    while "native line 1999 " not in run.engine_log.read_text():
        assert time.monotonic() < deadline, run.engine_log.read_text()[-500:]
        time.sleep(0.02)
    lines = [line for line in run.engine_log.read_text().splitlines() if line.startswith("native")]
    assert lines == [f"native line {number} <redacted>" for number in range(2000)]
