"""Jobs: the log, the files and the remedies of a run, what its card says of data and memory, and how its dialogs look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot

from engine.config import Config, load_config
from engine.config.run_file import write_run_toml
from engine.events.lines import iso_time
from engine.events.process import uptime_seconds
from engine.events.rundir import RunDirectory
from engine.events.sink import EventSink
from engine.events.status import Status
from engine.events.types import Checkpoint, Failed, Host, Memory, Progress, RunEnd, RunStart, Sample, Step, Swap
from musubi_tui.cli.root import run as musubi_tui
from musubi_tui.presets import journal
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.wizard import drafts
from musubi_tui.runs.creating import create_run
from musubi_tui.runs.home import Home
from musubi_tui.tui.app import MusubiApp
from musubi_tui.tui.screens.ask import AskScreen
from musubi_tui.tui.screens.confirm import ConfirmScreen
from musubi_tui.tui.screens.jobs import JobsScreen
from musubi_tui.tui.screens.picture import PictureScreen
from musubi_tui.tui.screens.preset.ask import ListScreen
from musubi_tui.tui.screens.run import RunScreen
from musubi_tui.tui.settings import Settings
from musubi_tui.tui.widgets.run_card import RunCard
from tests.tui.made_runs import Made, make_run, still_machine
from tests.tui.screen_text import assert_snapshot, screen_text
from tests.tui.test_jobs import read

GIB = 1 << 30
LOOKS = ("80x24", "160x48", "mono")
PRESET = """family = "qwen_image"
output_name = "ink"
dataset_config = "dataset.toml"
network_dim = 32
gradient_checkpointing = true
max_train_steps = 200
dit = "dit.safetensors"
vae = "vae.safetensors"
text_encoder = "te.safetensors"
"""
DATASET = """[general]
resolution = [768, 768]
batch_size = 4
caption_extension = ".txt"
[[datasets]]
image_directory = "pictures"
cache_directory = "cache"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    still_machine(monkeypatch)
    monkeypatch.setenv("TZ", "UTC")
    for variable in ("SSH_CONNECTION", "TMUX", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("musubi_tui.tui.widgets.run_card._home_short", lambda path: f"…/runs/{Path(path).name}")
    return Home(tmp_path / "home", "test", True)


def looking(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> tuple[MusubiApp, tuple[int, int]]:
    if look == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    app = MusubiApp(home, settings=Settings(theme="mono" if look == "mono" else ""))
    return app, (160, 48) if look == "160x48" else (80, 24)


async def until(pilot: Pilot[Any], reached: Callable[[], bool]) -> None:
    for _ in range(400):
        if reached():
            await pilot.pause()
            return
        await pilot.pause(0.02)
    raise AssertionError(screen_text(pilot.app))


def out_of_memory(home: Home, folder: Path) -> RunDirectory:
    """A run of a real preset that died of a lack of memory at its first step."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "ink.toml").write_text(PRESET)
    (folder / "dataset.toml").write_text(DATASET)
    Image.new("RGB", (64, 64)).save(folder / "pictures" / "a.png")
    (folder / "pictures" / "a.txt").write_text("a heron")
    run = create_run(load_config(folder / "ink.toml"), home=home)
    data = {"image_directory": "/nowhere", "batch_size": 4, "resolution": [768, 768]}
    settings = {"family": "qwen_image", "network_dim": 32, "gradient_checkpointing": True, "datasets": [data]}
    write_run_toml(
        Config.of(settings), run.run_toml, kind="train", stages=["train"]
    )  # as if the model's file told its sizes
    items = [
        {"id": f"i{n}", "path": f"/x/{n}.png", "dataset": 0, "bucket": [768, 768, 1], "repeats": 1} for n in range(40)
    ]
    run.items.write_text("".join(json.dumps(item) + "\n" for item in items))
    reason = "CUDA out of memory: asked for 2.1 GB"
    Status(
        "failed", name="ink", family="qwen_image", max_steps=200, reason=reason, started="2026-11-21T08:00:00Z"
    ).write(run)
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(RunStart(gpu="NVIDIA H100 80GB HBM3"))
    sink.emit(Memory(allocated=70 * GIB, reserved=78 * GIB, peak=79 * GIB))
    sink.emit(Host(gpus=({"used": 79 * GIB, "total": 80 * GIB, "ours": 79 * GIB},)))
    sink.emit(Swap(resident=44, streamed=16, stall_ms=72.0))
    sink.emit(Step(step=1, loss=0.1, step_s=1.2))
    sink.emit(Failed("out_of_memory", reason, "Lower the batch size or resolution."))
    sink.emit(RunEnd("failed", reason))
    sink.close()
    run.engine_log.write_text("Traceback: the card is full\n")
    return run


@pytest.mark.parametrize("look", LOOKS)
async def test_a_failed_run_says_why_and_offers_what_helps(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = out_of_memory(home, tmp_path / "work" / "v1")
    assert musubi_tui(["runs", "fixes", str(run.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cause"] == "CUDA out of memory: asked for 2.1 GB"
    place, change = next((place, one) for place, one in enumerate(told["changes"]) if one["set"])
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        assert "F see fixes" in screen_text(app)
        await until(pilot, lambda: "vram" in app.screen.query_one(RunCard).plain())
        card = app.screen.query_one(RunCard).plain()
        assert "78.0/80.0G   peak 79.0G   swap 16/60   wait 6%" in card
        await pilot.press("F")
        await until(pilot, lambda: isinstance(app.screen, ListScreen))
        text = screen_text(app)
        assert "CUDA out of memory" in text
        assert change["title"] in text
        twin = text.replace(run.id, "ink-ID")  # the id has the day in it
        assert "runs logs ink-" in twin
        await pilot.press(*["down"] * place, "enter")
        await until(pilot, lambda: app.current_mode == "preset")
        made = tmp_path / "work" / "v2" / "ink.toml"
        for name, value in change["set"].items():
            assert load_config(made).config.values()[name] == value


async def test_the_log_of_a_run_is_one_key_away(home: Home, tmp_path: Path) -> None:
    out_of_memory(home, tmp_path / "work" / "v1")
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "the card is full" in screen_text(app))
        assert app.screen.maximized is not None
        assert app.screen.maximized.id == "bottom"


async def test_what_a_run_made_is_listed_shown_and_copied(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(home.path, Made("ink", "done", "20261121-080000", step=100, max_steps=100))
    run.output.mkdir()
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    for step in (50, 100):
        picture, lora = run.output / f"{step}.png", run.output / f"ink-{step}.safetensors"
        Image.new("RGB", (32, 32), (step, 0, 0)).save(picture)
        lora.write_bytes(b"x" * 2_000_000)
        sink.emit(Sample(path=str(picture), prompt="a heron", seed=42, step=step))
        sink.emit(Checkpoint(path=str(lora), kind="lora", step=step, bytes=2_000_000))
    sink.close()
    app = MusubiApp(home)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy", copied.append)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ListScreen))
        text = screen_text(app)
        assert text.index("ink-100.safetensors") < text.index("ink-50.safetensors")
        assert "2 MB" in text
        await pilot.press("enter")
        await pilot.pause()
        assert copied == [str(run.output / "ink-100.safetensors")]
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ListScreen))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, PictureScreen))
        assert isinstance(app.screen, PictureScreen)
        assert [Path(one.path).name for one in app.screen.pictures] == ["50.png", "100.png"]


@pytest.mark.parametrize("done", [0, 12])
async def test_a_cache_run_that_vanished_speaks_of_items(home: Home, done: int) -> None:
    run = make_run(home.path, Made("enc", "running", "20261121-080000", kind="cache"))
    if done:
        sink = EventSink(run.events, run.steps_idx, attempt=1)
        sink.emit(RunStart(attempt=1))
        sink.emit(Progress("latents", done, 24))
        sink.close()
    status = Status.read(run)
    assert status is not None
    assert status.process is not None
    before = iso_time(time.time() - uptime_seconds() - 60)
    replace(status, process=replace(status.process, boot_id="the boot before"), heartbeat=before).write(run)
    app = MusubiApp(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await read(pilot)
        await until(pilot, lambda: "Its process vanished" in app.screen.query_one(RunCard).plain())
        card = app.screen.query_one(RunCard).plain()
        assert "step" not in card
        assert (
            "at 12 of 24 latents. r goes on; what is encoded stays" if done else "before anything was encoded"
        ) in card


def finished(home: Home) -> None:
    """A run that can be deleted and duplicated, the same everywhere."""
    run = make_run(home.path, Made("ink", "done", "20261121-080000", step=100, max_steps=100, steps=20))
    run.output.mkdir()
    (run.output / "ink.safetensors").write_bytes(b"x" * 2_000_000)


@pytest.mark.parametrize("look", LOOKS)
async def test_deleting_asks(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    finished(home)
    monkeypatch.setattr("musubi_tui.tui.acting.describe_deletion", lambda home, run: "7.8 GB go: states 6.1 GB, 3 LoRA files, log and samples.\n/data/out stays.")  # fmt: skip
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await pilot.press("d")
        assert isinstance(app.screen, ConfirmScreen)
        assert_snapshot(app, f"jobs-delete-{look}")
        await pilot.press("escape")
        assert isinstance(app.screen, JobsScreen)
        assert (home.path / "runs" / "ink-20261121-080000").is_dir()


@pytest.mark.parametrize("look", LOOKS)
async def test_duplicating_asks_for_a_note(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    finished(home)
    monkeypatch.setattr("musubi_tui.tui.acting.describe_next_version", lambda run: "ink.toml -> /work/ink/v2/ink.toml\ndataset.toml -> /work/ink/v2/dataset.toml")  # fmt: skip
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await pilot.press("D")
        assert isinstance(app.screen, AskScreen)
        await pilot.press(*"half the rate".replace(" ", "_"))
        assert_snapshot(app, f"jobs-duplicate-{look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_remedies_and_outputs_look_like_this(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    run = make_run(home.path, Made("mascot", "failed", "20261121-080000", "qwen_image", 0, 2000, reason="out of memory at step 0"))  # fmt: skip
    sink = EventSink(run.events, run.steps_idx, attempt=1)
    sink.emit(Checkpoint(path="/gone/mascot-000100.safetensors", kind="lora", step=100))
    sink.emit(Sample(path="/gone/000100_00.png", prompt="a heron", seed=42, step=100))
    sink.close()
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, ListScreen))
        assert_snapshot(app, f"jobs-outputs-{look}")
        await pilot.press("escape", "F")
        await until(pilot, lambda: isinstance(app.screen, ListScreen))
        assert_snapshot(app, f"jobs-fixes-{look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_an_empty_home(home: Home, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size) as pilot:
        await read(pilot)
        assert_snapshot(app, f"jobs-empty-{look}")


@pytest.mark.parametrize("look", LOOKS)
async def test_drafts_stand_below_the_runs_and_open(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    finished(home)
    preset = tmp_path / "anime.toml"
    preset.write_text(PRESET.replace('"ink"', '"anime-r16"'))
    draft = Draft.open(preset)
    draft.replace(draft.text.replace("32", "16"))
    journal.keep(draft)
    drafts.keep(drafts.new_draft(tmp_path))
    app, size = looking(home, monkeypatch, look)
    async with app.run_test(size=size, notifications=True) as pilot:
        await read(pilot)
        text = screen_text(app).replace(str(tmp_path), "/work")
        assert text.index("ink ") < text.index("wizard") < text.index("anime-r16")
        await pilot.press("G", "p")
        assert "draft and no run yet" in [notice.message for notice in app._notifications][-1]
        assert app.cli_twin() == f"musubi-tui presets edit {preset}"
        assert "changes that were not saved" in app.screen.query_one(RunCard).plain()
        await pilot.press("up", "d")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("y")
        await until(pilot, lambda: "wizard" not in screen_text(app).split("╭─")[1])
        assert drafts.kept() == []
        await pilot.press("G", "enter")
        await until(pilot, lambda: app.current_mode == "preset" and isinstance(app.screen, ConfirmScreen))
        assert "not saved" in screen_text(app)
