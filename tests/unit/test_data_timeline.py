"""The picture of which frames of a video a clip uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.items import Bucket
from engine.data.media import ClipInfo
from engine.data.timeline import timeline, track
from musubi_tui.cli.data_frames import timeline_lines
from musubi_tui.cli.root import run
from tests.unit.test_data_scan import video


@given(st.integers(1, 200), st.integers(1, 60), st.data())
def test_marked_cells_are_those_of_used_frames(frames: int, cells: int, data: st.DataObject) -> None:
    source, target = data.draw(st.sampled_from([(None, 0.0), (30.0, 16.0), (24.0, 16.0)]))
    whole = timeline(Path("v.mp4"), ClipInfo(64, 48, frames, 24.0), [], source_fps=source, target_fps=target)
    start = data.draw(st.integers(0, len(whole.kept) - 1))
    length = data.draw(st.integers(1, len(whole.kept) - start))
    line = timeline(whole.path, whole.info, [(start, Bucket(64, 48, length))], source_fps=source, target_fps=target)
    drawn = track(line, line.clips[0], cells)
    used = set(line.kept[start : start + length])
    assert len(drawn) == cells
    for cell, mark in enumerate(drawn):
        stands_for = {cell * frames // cells}
        if frames >= cells:
            stands_for = {frame for frame in range(frames) if frame * cells // frames == cell}
        assert (mark == "#") == bool(stands_for & used)
        assert (mark == ".") == all(not line.clips[0].first <= frame <= line.clips[0].last for frame in stands_for)


def test_every_clip_of_a_short_video_shows_its_frames() -> None:
    clips = [(0, Bucket(64, 48, 5)), (5, Bucket(64, 48, 5)), (16, Bucket(64, 48, 1))]
    line = timeline(Path("v.mp4"), ClipInfo(64, 48, 17, 16.0), clips, lengths=(1, 5, 25))
    shown = [text.split("|")[1] for text in timeline_lines(line, 48) if "|" in text]
    assert [marks.count("#") for marks in shown] == [15, 14, 2]
    assert shown[2] == "." * 46 + "##"
    assert any("no clip of 25 frames: there are only 17" in text for text in timeline_lines(line, 48))


def test_one_clip_uses_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "v.mp4", 9)
    assert run(["data", "frames", str(tmp_path / "v.mp4"), "--target-frames", "9,25"]) == 0
    told = capsys.readouterr().out
    assert "1 clip uses 9 of 9 frames" in told
    assert "no clip of 25 frames: there are only 9" in told


def test_a_variable_rate_has_its_own_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video(tmp_path / "v.mp4", 0, fps=30, times=[0, 20, 40, 140, 200, 300, 310, 400, 520, 600])
    arguments = ["data", "frames", str(tmp_path / "v.mp4"), "--target-frames", "5", "--source-fps", "30"]
    assert run([*arguments, "--family", "wan"]) == 0
    told = capsys.readouterr().out
    assert "frames are chosen by when they are shown, 16 a second: 7 are left" in told
    assert "| 0-7  0.00-0.40 s" in told
    assert run([*arguments, "--family", "wan", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["videos"]
    assert (line["variable"], line["by_time"], line["kept"]) == (True, True, 7)
    entry = '[[datasets]]\nvideo_directory = "."\ncache_directory = "c"\ntarget_frames = [5]\nsource_fps = 30\n'
    (tmp_path / "d.toml").write_text(entry)
    assert run(["data", "doctor", str(tmp_path / "d.toml"), "--family", "wan", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert "frame_rate" not in [finding["code"] for finding in findings]  # what source_fps says does not matter
