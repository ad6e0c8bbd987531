"""``musubi-tui data buckets``: the shape programs rely on, the table for people, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from musubi_tui.cli.root import run
from tests.unit.test_data_scan import picture, video


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    pictures, videos = tmp_path / "pics", tmp_path / "clips"
    pictures.mkdir()
    videos.mkdir()
    for number in range(3):
        picture(pictures / f"p{number}.png", 100, 50)
    picture(pictures / "tall.png", 50, 100)
    picture(pictures / "mute.png", caption=None)
    video(videos / "v.mp4", 9)
    path = tmp_path / "dataset.toml"
    path.write_text(
        '[general]\nresolution = 64\nenable_bucket = true\ncaption_extension = ".txt"\n'
        '[[datasets]]\nimage_directory = "pics"\nnum_repeats = 2\nbatch_size = 4\n'
        '[[datasets]]\nvideo_directory = "clips"\ntarget_frames = [1, 9]\n'
    )
    return path


def test_json_has_exactly_the_promised_shape(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "buckets", str(dataset), "--family", "wan", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"datasets", "total"}
    assert document["total"] == {"items": 10, "files": 5, "batches": 5}
    first, second = document["datasets"]
    assert set(first) == {"name", "kind", "items", "files", "batches", "buckets", "skipped"}
    assert (first["name"], first["kind"], first["items"], first["files"]) == ("pics", "image", 8, 4)
    assert {"width": 80, "height": 48, "frames": 1, "items": 6, "batches": 2} in first["buckets"]
    (skipped,) = first["skipped"]
    assert set(skipped) == {"path", "code", "reason"}
    assert skipped["code"] == "missing_caption"
    assert [bucket["frames"] for bucket in second["buckets"]] == [1, 9]


def test_the_table_names_sizes_and_what_is_left_out(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "buckets", str(dataset), "--family", "wan"]) == 0
    out = capsys.readouterr().out
    assert "80x48" in out
    assert "####" in out
    assert "mute.png: it has no caption file mute.txt." in out
    assert "Total: 10 items from 5 files, 5 batches per epoch" in out


def test_broken_pictures_are_listed_with_what_a_run_would_do(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset.parent / "pics" / "p0.png").write_bytes(b"")
    assert run(["data", "buckets", str(dataset), "--family", "wan"]) == 0
    captured = capsys.readouterr()
    assert "unreadable_image" in captured.out
    assert "Training would stop" in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.toml"], "there is no such file"),
        (["dataset.toml", "--family", "won"], "Did you mean wan?"),
        (["empty.toml"], "there is nothing to train"),
        (["gone.toml"], "does not exist"),
        (["typo.toml"], "Did you mean image_directory?"),
    ],
)
def test_wrong_input_is_a_paragraph_and_exit_code_2(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(dataset.parent)
    Path("empty").mkdir()
    for name, source in (("empty", "image_directory"), ("gone", "image_directory"), ("typo", "image_directry")):
        Path(f"{name}.toml").write_text(f'[[datasets]]\n{source} = "{name}"\n')
    assert run(["data", "buckets", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_a_preset_is_taken_as_well(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = dataset.with_name("preset.toml")
    preset.write_text(
        'family = "wan"\ntask = "t2v-1.3B"\ndit = "a.safetensors"\nvae = "b.pth"\nt5 = "c.pth"\n'
        'dataset_config = "dataset.toml"\noutput_dir = "out"\noutput_name = "x"\n'
    )
    assert run(["data", "buckets", str(preset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["items"] == 10


def test_a_musubi_dataset_counts_from_the_working_directory(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset.parent / "config").mkdir()
    moved = dataset.rename(dataset.parent / "config" / "dataset.toml")
    monkeypatch.chdir(dataset.parent)
    assert run(["data", "buckets", str(moved), "--family", "wan", "--json"]) == 0
    captured = capsys.readouterr()
    assert "working directory" in captured.err
    assert json.loads(captured.out)["total"]["items"] == 10


def test_the_room_is_free_of_torch() -> None:
    code = (
        "import sys, engine.data.inventory, engine.data.pixels, engine.data.batches, engine.data.provenance, "
        "engine.data.cache_check, musubi_tui.cli.data; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
