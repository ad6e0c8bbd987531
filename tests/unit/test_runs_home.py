"""Where runs live, and how a person names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.problems import ConfigError, UserError
from engine.events import RunDirectory, Status
from musubi_tui.runs import home as homes
from musubi_tui.runs.finding import find_run, list_runs, name_of
from musubi_tui.runs.home import Home, find_home, known_homes, remember


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSUBI_TUI_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def disks(monkeypatch: pytest.MonkeyPatch, **kinds: str) -> None:
    """Say which file system each top folder of the test lies on."""
    monkeypatch.setattr(homes, "file_system", lambda path: next((kind for name, kind in kinds.items() if name in path.parts), "ext4"))  # fmt: skip


def test_the_usual_place(tmp_path: Path) -> None:
    assert find_home().path == tmp_path / "state" / "musubi-tui"
    assert not (tmp_path / "state").exists()  # looking makes nothing


def test_the_environment_comes_first_then_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config" / "musubi-tui" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'home = "{tmp_path}/configured"')
    assert find_home(tmp_path / "out") == find_home()
    assert find_home().path == tmp_path / "configured"
    assert str(config) in find_home().reason
    monkeypatch.setenv("MUSUBI_TUI_HOME", str(tmp_path / "chosen"))
    assert find_home().path == tmp_path / "chosen"


@pytest.mark.parametrize("text", ["home = [", "home = 3", 'home = ""'])
def test_a_damaged_config_file_is_named(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config" / "musubi-tui" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        find_home()


@pytest.mark.parametrize("passing", ["overlay", "tmpfs"])
def test_on_a_pod_states_go_beside_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: str) -> None:
    disks(monkeypatch, state=passing, volume="nfs4", scratch=passing)
    beside = find_home(tmp_path / "volume" / "out")
    assert beside.path == tmp_path / "volume" / "musubi-tui"
    assert beside.survives
    usual = find_home(tmp_path / "scratch" / "out")
    assert usual.path == tmp_path / "state" / "musubi-tui"
    assert not usual.survives
    assert find_home().path == usual.path


def test_the_file_system_of_a_folder_that_does_not_exist_yet_is_its_parents(tmp_path: Path) -> None:
    assert homes.file_system(tmp_path / "a" / "b" / "c") == homes.file_system(tmp_path)
    assert homes.file_system(Path("/proc/self")) in ("proc", "")


def test_homes_that_were_used_are_found_again(tmp_path: Path) -> None:
    other = Home(tmp_path / "volume" / "musubi-tui", "beside", True)
    remember(other)
    remember(other)
    assert known_homes() == [find_home().path, other.path]
    run = RunDirectory.create(other.path, "far")
    Status("done", name="far").write(run)
    assert find_run("far").path == run.path


def make(home: Path, name: str, stamp: str, state: str = "done") -> RunDirectory:
    run = RunDirectory(home / "runs" / f"{name}-{stamp}")
    run.path.mkdir(parents=True)
    Status(state, name=name).write(run)
    return run


@pytest.fixture
def runs() -> list[RunDirectory]:
    home = find_home().path
    return [
        make(home, "ink", "20260101-000000"),
        make(home, "ink", "20260301-000000"),
        make(home, "inky", "20260201-000000"),
        make(home, "zebra", "20250101-000000"),
    ]


def test_runs_are_listed_newest_first(runs: list[RunDirectory]) -> None:
    (find_home().path / "runs" / "notes").mkdir()
    (find_home().path / "runs" / "file").write_text("x")
    assert [run.id for run in list_runs()] == [runs[1].id, runs[2].id, runs[0].id, runs[3].id]
    assert name_of(runs[2]) == "inky"


def test_runs_of_one_second_keep_their_order() -> None:
    home = find_home().path
    for suffix in ("", "-2", "-10"):
        make(home, "same", f"20260101-000000{suffix}")
    assert [run.id[len("same-20260101-000000") :] for run in list_runs()] == ["-10", "-2", ""]


@pytest.mark.parametrize(
    ("word", "which"),
    [("last", 1), ("ink-20260101-000000", 0), ("ink", 1), ("inky", 2), ("z", 3), ("ink-20260101", 0)],
)
def test_a_run_is_found_by_what_people_type(runs: list[RunDirectory], word: str, which: int) -> None:
    assert find_run(word).path == runs[which].path


def test_a_run_is_found_by_its_path(runs: list[RunDirectory], monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_run(str(runs[0].path)).path == runs[0].path
    monkeypatch.chdir(runs[0].path.parent)
    assert find_run(f"./{runs[0].id}/").path == runs[0].path


def test_what_is_not_there_or_not_clear_says_so(runs: list[RunDirectory]) -> None:
    with pytest.raises(UserError) as ambiguous:
        find_run("in")
    assert ambiguous.value.problems[0].code == "ambiguous_run"
    assert runs[2].id in ambiguous.value.problems[0].fix
    with pytest.raises(UserError) as unknown:
        find_run("zerba")
    assert unknown.value.problems[0].code == "no_such_run"
    assert "zebra" in unknown.value.problems[0].fix


def test_without_any_run_the_way_to_one_is_told() -> None:
    with pytest.raises(UserError, match="train"):
        find_run("last")
