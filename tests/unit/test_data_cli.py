"""``musubi-tui data``: the shapes programs rely on, the sentences for people, and one exit code for one question."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import load_config
from musubi_tui.cli.root import run
from musubi_tui.runs.creating import create_run
from musubi_tui.runs.home import find_home
from musubi_tui.terminal_width import cells
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
    assert document["total"] == {
        "items": 10, "files": 5, "batches": 5, "short_batches": 2, "upscaled": 1, "steps_per_epoch": 5,
    }  # fmt: skip
    first, second = document["datasets"]
    assert set(first) == {
        "name", "kind", "on_bad_item", "items", "files", "batch_size", "batches", "short_batches", "upscaled", "cropped_percent", "buckets",
        "extras", "list", "skipped",
    }  # fmt: skip
    assert (first["name"], first["kind"], first["items"], first["files"]) == ("pics", "image", 8, 4)
    wide = next(bucket for bucket in first["buckets"] if bucket["width"] == 80)
    assert wide.pop("cropped_percent") == pytest.approx(16.7)  # 100x50 becomes 96x48, 80x48 are left
    assert wide == {"width": 80, "height": 48, "frames": 1, "items": 6, "batches": 2, "short": 2, "upscaled": 0}
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


def preset_beside(dataset: Path) -> Path:
    preset = dataset.with_name("preset.toml")
    for name in ("a.safetensors", "b.pth", "c.pth"):
        dataset.with_name(name).write_bytes(b"x")
    preset.write_text(
        'family = "wan"\ntask = "t2v-1.3B"\ndit = "a.safetensors"\nvae = "b.pth"\nt5 = "c.pth"\n'
        'dataset_config = "dataset.toml"\noutput_dir = "out"\noutput_name = "x"\n'
    )
    return preset


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_every_command_answers_broken_files_as_presets_check_does(
    dataset: Path, capsys: pytest.CaptureFixture[str], policy: str
) -> None:
    (dataset.parent / "pics" / "p0.png").write_bytes(b"")
    dataset.write_text(f'[general]\non_bad_item = "{policy}"\n' + dataset.read_text().removeprefix("[general]\n"))
    preset = str(preset_beside(dataset))
    expected = 2 if policy == "stop" else 0
    assert run(["data", "buckets", preset]) == expected
    captured = capsys.readouterr()
    assert "unreadable_image" in captured.out
    assert ("Training would stop" in captured.err) is (policy == "stop")
    assert run(["data", "scan", preset]) == expected
    assert re.search(r"broken picture:\n +p0.png: the file is empty", capsys.readouterr().out)
    checked = run(["presets", "check", preset])
    told = capsys.readouterr().err
    assert ("p0.png" in told) is (policy == "stop"), told
    assert checked == expected, told


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
    assert run(["data", "buckets", str(preset_beside(dataset)), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["items"] == 10


def test_the_file_of_a_run_is_taken_as_well_since_its_warnings_name_it(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    created = create_run(load_config(preset_beside(dataset)), kind="cache", home=find_home(dataset.parent / "home"))
    monkeypatch.chdir("/")
    assert run(["data", "buckets", str(created.run_toml)]) == 0
    assert "Total: 10 items from 5 files, 5 batches per epoch" in capsys.readouterr().out
    assert run(["data", "show", str(created.run_toml), "mute"]) == 0
    assert run(["data", "scan", str(created.run_toml), "--family", "qwen_image"]) == 2
    assert "is for wan" in capsys.readouterr().err


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


# -- scan


def test_a_messy_folder_is_told_in_plain_words(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pics = dataset.parent / "pics"
    picture(pics / "old.png", caption=" ")
    for name in ("notes.md", "clip.mp4", "drawing.psd", ".hidden.png", "esc\x1b[31m.gif"):
        (pics / name).write_bytes(b"x")
    (pics / "sub").mkdir()
    video(dataset.parent / "clips" / "fast.mp4", 21, fps=30)
    assert run(["data", "scan", str(dataset), "--family", "wan"]) == 0
    out = capsys.readouterr().out
    assert "5 files (.png 5)" in out
    assert "4 with text, 1 empty" in out
    assert "no caption: mute.png" in out
    assert "-> write a text file of the same name" in out
    assert "a type that is not read here: clip.mp4, drawing.psd, esc\ufffd[31m.gif" in out
    assert "also there   .md 1, 1 subfolder\n" in out
    assert "16 fps (1), 30 fps (1)" in out
    assert "9 to 21 frames" in out
    assert re.search(r"\nTrained: .* Not trained: 5\.", out)
    assert "\x1b" not in out


def test_folders_of_frames_have_no_rate_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips" / "walk").mkdir(parents=True)
    for number in range(9):
        picture(tmp_path / "clips" / "walk" / f"{number}.png", caption=None)
    (tmp_path / "clips" / "walk.txt").write_text("walk")
    video(tmp_path / "clips" / "fast.mp4", 21, fps=30)
    video(tmp_path / "clips" / "film.mp4", 21, fps=24)
    file = tmp_path / "d.toml"
    text = '[[datasets]]\nvideo_directory = "clips"\nresolution = [64, 64]\ncaption_extension = ".txt"\ntarget_frames = [5]\n'
    file.write_text(text)

    def told() -> tuple[str, str]:
        run(["data", "scan", str(file), "--family", "wan"])
        captured = capsys.readouterr()
        return captured.out, captured.err

    out, err = told()
    assert (
        "rates        24 fps (1), 30 fps (1), no rate of its own (1), as folders of frames: every frame is used" in out
    )
    assert "Write fps_from_file = true and no source_fps" in err  # no single source_fps fits both
    file.write_text(text + "source_fps = 24\n")
    assert "no rate of its own (1), as folders of frames: counted as 24 fps (source_fps)" in told()[0]
    assert run(["data", "frames", str(tmp_path / "clips" / "walk"), "--target-frames", "5"]) == 0
    assert "9 frames, no rate of its own: every frame is used" in capsys.readouterr().out


def test_what_would_stop_the_training_is_not_called_trained(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset.parent / "clips" / "torn.mp4").write_bytes(b"half a video" * 99)
    (dataset.parent / "clips" / "torn.txt").write_text("torn")
    assert run(["data", "scan", str(dataset), "--family", "wan"]) == 2
    out = capsys.readouterr().out
    assert "torn.mp4: it is cut off, damaged, or not what its name says." in out
    assert "\nWould be trained: " in out
    assert run(["data", "frames", str(dataset), "torn", "--family", "wan"]) == 0
    assert "torn.mp4 is not trained: it is cut off" in capsys.readouterr().err


def test_what_cannot_be_trained_at_all_is_told_without_a_hint_in_circles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "mute.png", caption=None)
    file = tmp_path / "my set.toml"
    file.write_text('[[datasets]]\nimage_directory = "."\nresolution = [64, 64]\ncaption_extension = ".txt"\n')
    assert run(["data", "scan", str(file), "--family", "wan"]) == 2
    captured = capsys.readouterr()
    assert captured.out.endswith("\nNothing would be trained. Not trained: 1.\n")
    assert captured.err == f"error: there is nothing to train. {tmp_path}: no caption (1).\n"
    assert run(["data", "buckets", str(file), "--family", "wan"]) == 2
    look = f"musubi-tui data scan '{file}' --family wan"
    assert f"`{look}` tells each file" in capsys.readouterr().err
    assert run(shlex.split(look)[1:]) == 2
    assert capsys.readouterr() == captured


def test_lines_flow_within_a_narrow_terminal(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(dataset.parent / "pics" / ("long " * 30 + ".png"))
    (dataset.parent / "pics" / ("long " * 30 + ".png")).write_bytes(b"torn")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for command in ("scan", "frames"):
        run(["data", command, str(dataset), "--family", "wan"])
        lines = [
            line
            for line in capsys.readouterr().out.splitlines()
            if not line.startswith(("pics", "clips", str(dataset)))
        ]
        assert max(map(cells, lines)) <= 60
    run(["data", "scan", str(dataset), "--family", "wan"])
    assert re.search(
        r"\n          -> write a text file of the same name, or leave\n             caption_extension out",
        capsys.readouterr().out,
    )


def test_scan_json_counts_files_before_and_items_after_repeats(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "scan", str(dataset), "--family", "wan", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    pics, clips = told["datasets"]
    assert (pics["files"], pics["items"], pics["repeats"]) == (4, 8, 2)
    assert pics["skipped"] == [
        {"path": str(dataset.parent / "pics" / "mute.png"), "code": "missing_caption",
         "reason": "it has no caption file mute.txt."}
    ]  # fmt: skip
    assert pics["size"] == {"smallest": [50, 100], "median": [100, 50], "largest": [100, 50], "different": 2}
    assert clips["videos"]["frames"] == {"shortest": 9, "median": 9, "longest": 9}
    assert told["total"]["bytes"] == sum(
        path.stat().st_size for path in dataset.parent.glob("*/*") if path.suffix in (".png", ".mp4")
        and path.stem != "mute"
    )  # fmt: skip


# -- frames


def test_a_timeline_shows_the_frames_of_every_clip(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dataset.read_text().replace("target_frames = [1, 9]", 'target_frames = [9]\nframe_extraction = "chunk"\n')
    dataset.write_text(source + "source_fps = 32\n")
    video(dataset.parent / "clips" / "long.mp4", 48, fps=32)
    assert run(["data", "frames", str(dataset), "long", "--family", "wan"]) == 0
    out = capsys.readouterr().out
    assert "48 frames, 32 fps, 1.5 s" in out
    assert "24 frames are left" in out  # 32 to 16 fps
    lines = [line for line in out.splitlines() if line.startswith("  @")]
    assert len(lines) == 2
    assert re.search(r"@00000-009 \|.*\| 0-16 ", lines[0])
    assert re.search(r"@00009-009 \|.*\| 18-34 ", lines[1])
    bar = lines[1].split("|")[1]
    assert bar == "." * 18 + "#:" * 8 + "#" + "." * 13


def test_one_video_can_be_tried_with_settings(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = video(dataset.parent / "try.mp4", 30)
    arguments = ["data", "frames", str(clip), "--target-frames", "9,17", "--frame-extraction", "uniform"]
    assert run([*arguments, "--frame-sample", "3", "--family", "wan", "--resolution", "64x64", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["videos"]
    assert [(span["start"], span["frames"]) for span in told["clips"]] == [
        (0, 9),
        (10, 9),
        (21, 9),
        (0, 17),
        (6, 17),
        (13, 17),
    ]
    assert told["used"] == 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dataset.toml", "v.mp"], "Did you mean v.mp4?"),
        (["dataset.toml", "--target-frames", "9"], "the dataset says this itself"),
        (["clips/v.mp4", "--target-frames", "nine"], "takes numbers like 1,25,45"),
        (["clips/none.mp4"], "No such file"),
        (["clips/v.mp4", "x"], "one word too many"),
        (["clips/v.mp4", "--frame-extraction", "heads"], "must be one of"),
    ],
)
def test_wrong_words_of_frames(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(dataset.parent)
    assert run(["data", "frames", *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_the_room_is_free_of_torch() -> None:
    code = (
        "import sys, engine.data.inventory, engine.data.pixels, engine.data.batches, engine.data.provenance, "
        "engine.data.cache_check, engine.data.survey, engine.data.timeline, musubi_tui.datasets.opening, musubi_tui.cli.data; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("family", [[], ["--family", "qwen_image"]])
def test_controls_captions_and_held_out_files_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: list[str]
) -> None:
    """Also for a family whose task takes no controls: looking is allowed, training is refused."""
    (tmp_path / "control").mkdir()
    for number in range(4):
        picture(tmp_path / f"p{number}.png", 64, 64, caption="a, b, c")
        picture(tmp_path / "control" / f"p{number}.png", 64, 32 + 32 * (number % 2), caption=None)
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\nresolution = 64\nenable_bucket = true\ncaption_extension = ".txt"\nbatch_size = 2\n'
        '[[datasets]]\nimage_directory = "."\ncontrol_directory = "control"\nno_resize_control = true\n'
        "validation_split = 1\ntag_shuffle = 2\nflip = true\nloss_weight = 0.5\n"
    )
    assert run(["data", "buckets", str(file), "--json", *family]) == 0
    document = json.loads(capsys.readouterr().out)
    (room,) = document["datasets"]
    assert room["extras"] == {
        "controls": 3, "controlled": 3, "captions": 9, "cuts": 6, "loss_weight": 0.5, "held_out": 1,
    }  # fmt: skip
    assert (room["items"], room["batches"], room["short_batches"]) == (3, 2, 1)  # two sizes of controls do not mix
    assert run(["data", "scan", str(file), *family]) == 0
    out = capsys.readouterr().out
    for words in ("3 for 3 files", "9 captions to draw from, 6 cuts", "0.5", "held out     1 file\n"):
        assert words in out
    assert "also there   .toml 1, 1 subfolder\n" in out  # neither what is held out nor the controls


def test_held_out_files_and_their_clips_are_counted_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b", "c"):
        video(tmp_path / f"{name}.mp4", 20)
    file = tmp_path / "d.toml"
    file.write_text(
        '[general]\nresolution = 64\nenable_bucket = true\ncaption_extension = ".txt"\nvalidation_split = 2\n'
        '[[datasets]]\nvideo_directory = "."\ncache_directory = "c"\ntarget_frames = [1, 9, 17]\n'
    )
    assert run(["data", "scan", str(file), "--family", "wan", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    total, extras = document["total"], document["datasets"][0]["extras"]
    assert (total["files"], total["items"]) == (1, 3)
    assert (total["held_out"], total["held_out_items"], extras["held_out"]) == (2, 6, 2)
    assert run(["data", "scan", str(file), "--family", "wan"]) == 0
    assert "Held out for validation: 2 files." in capsys.readouterr().out


def test_japanese_facts_line_up(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.config.language.language", lambda: "ja")
    assert run(["data", "scan", str(dataset), "--family", "wan"]) == 0
    facts = [line for line in capsys.readouterr().out.splitlines() if re.match(r"  (学習|寸法|キャプション) ", line)]
    assert len(facts) == 6
    assert {cells(line[: re.match(r"  \S+ +", line).end()]) for line in facts} == {15}  # type: ignore[union-attr]
