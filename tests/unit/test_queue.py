"""`musubi-tui queue` and its file: order, edits by many at once, damage, other machines, GPUs and secrets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from PIL import Image

from engine.config.problems import UserError
from engine.events import RunDirectory, Status, true_state
from engine.events.lines import iso_time
from engine.events.process import ProcessIdentity
from musubi_tui.cli.root import run as musubi
from musubi_tui.machine.gpus import Gpu
from musubi_tui.runs import queue as queue_room
from musubi_tui.runs import slots, supervisor
from musubi_tui.runs.allowing import allowed
from musubi_tui.runs.home import find_home, usual_home
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.runs.queueing import take_over
from musubi_tui.runs.supervisor import settle
from tests.unit.queue_process import line_up, make_run, queue

PRESET = """
family = "wan"
task = "t2v-1.3B"
output_name = "bird"
huggingface_token = "hf_abcdefghijklmnop"
device = "cpu"
dit = "dit.safetensors"
vae = "vae.pth"
t5 = "t5.pth"
max_train_steps = 40
[[datasets]]
image_directory = "pictures"
resolution = [64, 64]
caption_extension = ".txt"
"""


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(pictures / "a.png")
    (pictures / "a.txt").write_text("a bird")
    for name in ("dit.safetensors", "vae.pth", "t5.pth"):
        (tmp_path / name).touch()
    (tmp_path / "preset.toml").write_text(PRESET)
    return tmp_path / "preset.toml"


@pytest.fixture
def nobody_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "ensure_supervisor", lambda file: None)


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert musubi(["queue", "list", "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def ids(capsys: pytest.CaptureFixture[str]) -> list[object]:
    return [entry["id"] for entry in listed(capsys)[0]["entries"]]  # type: ignore[attr-defined]


def test_add_makes_the_run_and_keeps_its_secrets_out(
    preset: Path, nobody_starts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert musubi(["queue", "add", str(preset), "--set", "learning_rate=1e-5", "--retries", "1"]) == 0
    told = capsys.readouterr()
    run = RunDirectory(find_home().path / "runs" / told.out.strip())
    assert true_state(run) == "queued"
    assert "Number 1" in told.err
    assert "hf_abcdefghijklmnop" not in queue().path.read_text()
    (entry,) = queue().read().entries
    assert (entry.secrets, entry.device, entry.retries, entry.preset) == (True, "cpu", 1, str(preset))
    assert supervisor._secrets(entry) == {"HF_TOKEN": "hf_abcdefghijklmnop"}
    preset.unlink()
    assert supervisor._secrets(entry) == {}
    assert queue().path.stat().st_mode & 0o777 == 0o600


def test_hooks_of_a_preset_run_from_the_queue_when_they_were_allowed(
    preset: Path, nobody_starts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    preset.write_text('on_finish = ["poweroff"]\n' + PRESET)
    assert musubi(["queue", "add", str(preset)]) == 0
    assert "on_finish will not run without --allow-hooks: poweroff" in capsys.readouterr().err
    assert musubi(["queue", "add", str(preset), "--allow-hooks"]) == 0
    assert "on_finish will run: poweroff" in capsys.readouterr().err
    silent, loud = (entry.run for entry in queue().read().entries)
    assert (allowed(silent), allowed(loud)) == ({}, {"on_finish": ["poweroff"]})
    assert "poweroff" not in queue().path.read_text()
    loud.run_toml.write_text(loud.run_toml.read_text().replace("poweroff", "wipe"))  # by whoever may write there
    assert allowed(loud) == {}
    assert musubi(["queue", "rm", "2"]) == 0
    assert list((usual_home() / "allowed-hooks").iterdir()) == []


def test_a_secret_in_a_hook_is_refused_by_the_queue_and_no_run_stays(
    preset: Path, nobody_starts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    preset.write_text('on_finish = ["curl", "--token", "abcdefgh12345"]\n' + PRESET)
    assert musubi(["queue", "add", str(preset), "--allow-hooks"]) == 2
    assert "held a secret" in capsys.readouterr().err
    assert not list(find_home().path.glob("runs/*"))
    assert queue().read().entries == ()


def test_a_wrong_preset_and_a_secret_are_refused(preset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset.write_text(PRESET + "\n[training]\nlearning_rat = 1\n")
    assert musubi(["queue", "add", str(preset)]) == 2
    preset.write_text(PRESET)
    assert musubi(["queue", "add", str(preset), "--set", "huggingface_token=hf_zzzzzzzzzzzz"]) == 2
    assert "hf_zzzz" not in capsys.readouterr().err
    assert musubi(["queue", "add", str(preset), "--gpus", "0"]) == 2
    assert "no GPU 0" in capsys.readouterr().err
    assert not (find_home().path / "runs").exists()


def test_order_and_removal(nobody_starts: None, capsys: pytest.CaptureFixture[str]) -> None:
    entries = [line_up(name) for name in ("a", "b", "c")]
    assert ids(capsys) == [1, 2, 3]
    assert musubi(["queue", "move", "3", "first"]) == 0
    assert ids(capsys) == [3, 1, 2]
    assert musubi(["queue", "move", "3", "2"]) == 0
    assert ids(capsys) == [1, 3, 2]
    assert musubi(["queue", "move", entries[0].run.id, "last"]) == 0
    assert ids(capsys) == [3, 2, 1]
    assert musubi(["queue", "rm", "b"]) == 0
    assert not entries[1].run.exists()
    assert ids(capsys) == [3, 1]
    for wrong in (["move", "3", "0"], ["move", "3", "up"], ["move", "9", "1"], ["rm", "9"], ["run", "9"]):
        assert musubi(["queue", *wrong]) == 2
    Status("running", ProcessIdentity.of_this_process()).write(entries[2].run)
    queue().edit(lambda now: now.with_entry(replace(entries[2], state="running")))
    assert musubi(["queue", "rm", "3"]) == 2
    assert musubi(["queue", "move", "3", "1"]) == 2
    assert entries[2].run.exists()


def test_the_list_says_why_nothing_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert musubi(["queue", "list"]) == 0
    assert "empty" in capsys.readouterr().err
    line_up("a")
    assert musubi(["queue", "list"]) == 0
    told = capsys.readouterr()
    assert "waiting" in told.out
    assert "queue run" in told.err
    queue().edit(lambda now: replace(now, held="b: out of memory"))
    assert musubi(["queue", "list"]) == 0
    told = capsys.readouterr()
    assert "held" in told.out
    assert "out of memory" in told.err
    assert listed(capsys)[0]["held"] == "b: out of memory"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 99}', '{"version": 1, "entries": [{"nonsense": 1}]}'])
def test_a_damaged_queue_is_told_before_anything_is_made(
    text: str, preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue().folder.mkdir(parents=True)
    queue().path.write_text(text)
    for command in (["list"], ["add", str(preset)], ["run"], ["rm", "1"]):
        assert musubi(["queue", *command]) == 2
        assert "queue file" in capsys.readouterr().err
    assert not (find_home().path / "runs").exists()


_EDITOR = """
import sys
from pathlib import Path
from musubi_tui.runs.queue import Entry, QueueFile
from musubi_tui.runs.queueing import add, move, release
file = QueueFile(Path(sys.argv[1]))
for number in range(25):
    mine = add(file, Entry(id=0, host="", run_dir=f"/nowhere/{sys.argv[2]}-{number}"))
    move(file, str(mine.id), number % 3)
    release(file)
"""


def test_many_edit_at_once_and_nothing_is_lost() -> None:
    home = str(find_home().path)
    editors = [subprocess.Popen([sys.executable, "-c", _EDITOR, home, str(number)]) for number in range(4)]
    assert [editor.wait() for editor in editors] == [0] * 4
    now = queue().read()
    assert len({entry.run_dir for entry in now.entries}) == 100
    assert sorted(entry.id for entry in now.entries) == list(range(1, 101))


def test_a_volume_without_locks_is_locked_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(queue_room.tempfile, "gettempdir", lambda: str(tmp_path))
    flock = queue_room.fcntl.flock

    def refuse(file: object, how: int) -> None:
        if str(tmp_path) not in str(getattr(file, "name", "")) and not _inside(file, tmp_path):
            raise OSError(queue_room.errno.ENOLCK, "No locks available")
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(queue_room.fcntl, "flock", refuse)
    line_up("a")
    assert [entry.id for entry in queue().read().entries] == [1]
    with queue().alone():
        monkeypatch.setattr(queue_room, "LOCK_SECONDS", 0.1)
        with pytest.raises(UserError, match="Another process"):
            line_up("b")


def _inside(file: object, folder: Path) -> bool:
    number = file.fileno()  # type: ignore[attr-defined]
    return str(Path(f"/proc/self/fd/{number}").resolve()).startswith(str(folder))


def test_another_machine_is_shown_and_taken_over_once_it_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = QueueFile(find_home().path, "old-pod")
    runs = [make_run("lost"), make_run("waits"), make_run("over")]
    lost = ProcessIdentity("old-pod", "boot", 1, "1")
    Status("running", lost, heartbeat=iso_time(time.time() - 600), name="lost").write(runs[0])
    entries = [Entry(number, "old-pod", str(run.path), state, gpus=("3",)) for number, (run, state) in enumerate(zip(runs, ("running", "waiting", "done")))]  # fmt: skip
    theirs.edit(lambda now: replace(now, entries=tuple(entries), next_id=4))
    assert [entry["host"] for entry in listed(capsys)] == [queue().host, "old-pod"]
    assert musubi(["queue", "rm", runs[2].id]) == 0  # by its id: the machine is gone
    assert len(theirs.read().entries) == 2
    gone = {"process": asdict(lost), "heartbeat": iso_time(time.time() - 600)}
    works = {"process": asdict(replace(lost, pid=2)), "heartbeat": iso_time(time.time())}
    theirs.supervisor.write_text(json.dumps(works))
    assert musubi(["queue", "run", "--from", "old-pod"]) == 2
    theirs.supervisor.write_text(json.dumps(gone))
    with pytest.raises(UserError, match="No other machine"):
        take_over(find_home().path, "nobody")
    taken = take_over(find_home().path, "old-pod")
    assert [(entry.run.path, entry.state, entry.gpus) for entry in taken] == [(runs[0].path, "waiting", None), (runs[1].path, "waiting", None)]  # fmt: skip
    assert theirs.read().entries == ()
    assert [entry.host for entry in queue().read().entries] == [queue().host] * 2


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "read_gpus", lambda: [Gpu(number, "GPU", 1, 1, "", "") for number in range(3)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert slots.machine_slots() == ["0", "1", "2"]
    assert slots.chosen_gpus(None) is None
    assert slots.chosen_gpus("2, 0") == ("2", "0")
    with pytest.raises(UserError, match="no GPU 3"):
        slots.chosen_gpus("3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert slots.chosen_gpus(None) == ("1",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert slots.chosen_gpus(None) == ()
    entry = Entry(1, "", "/x")
    assert slots.slots_for(replace(entry, gpus=()), ["0", "1"]) == ["cpu"]
    assert slots.slots_for(replace(entry, gpus=("1",)), ["0", "1"]) == ["1"]
    assert slots.slots_for(replace(entry, device="cpu"), ["0", "1"]) == ["cpu"]
    assert slots.slots_for(entry, ["cpu"]) == ["cpu"]
    assert slots.environment_of("cpu")["CUDA_VISIBLE_DEVICES"] == ""
    assert slots.environment_of("gpu") == {}


def test_a_restart_is_a_preemption_and_ends_are_forgotten_in_time() -> None:
    entries = [line_up(f"r{number}") for number in range(25)]
    for entry in entries:
        queue().edit(lambda now: settle(now.with_entry(replace(entry, state="running")), entry.id, "done", ""))  # noqa: B023
    assert len(queue().read().entries) == 20
    entry = line_up("again")
    Status("running", ProcessIdentity(queue().host, "another-boot", 1, "1"), name="again").write(entry.run)
    queue().edit(lambda now: now.with_entry(replace(entry, state="running")))
    with (queue().folder / "held").open("w") as lock:
        supervisor.Supervisor(queue(), lock)._look_after_running()
    now = queue().read()
    assert [(one.state, one.tries) for one in now.waiting()] == [("waiting", 1)]
    assert now.quiet_until > time.time() + 60
