"""Values as people and scripts write them: keys twice, whole numbers with a point, several wrong ones; and rates of phases."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.problems import ConfigError
from engine.data.dataset_config import read_dataset_config
from engine.data.document import read_document
from engine.events.lines import Record
from engine.events.types import Phase, Progress
from musubi_tui.runs.telling import Story


def test_a_key_written_twice_in_json_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text('{"general": {\n "resolution": 64,\n "resolution": 32}, "datasets": [{"a": 1}, {"a": 2}]}')
    with pytest.raises(ConfigError) as caught:
        read_document(file)
    assert [(p.code, p.line, p.key) for p in caught.value.problems] == [("repeated_key", 3, "resolution")]


def test_whole_numbers_with_a_point_and_all_wrong_ones(tmp_path: Path) -> None:
    table = {"video_directory": ".", "resolution": 64.0, "target_frames": [1.0, 9]}
    dataset = read_dataset_config({"datasets": [table]}, base_dir=tmp_path, spec=None).datasets[0]
    assert (dataset.resolution, dataset.target_frames) == ((64, 64), (1, 9))
    with pytest.raises(ConfigError, match=r"not 0\..*not -3\."):
        read_dataset_config({"datasets": [{**table, "target_frames": [0, -3]}]}, base_dir=tmp_path, spec=None)


def test_no_eta_from_the_item_that_waited_for_the_model() -> None:
    story = Story()
    story.feed(Record(1, 0.0, Phase("latents", "start")))
    for number, (t, done) in enumerate([(0.1, 0), (25.4, 1)], 2):
        story.feed(Record(number, t, Progress("latents", done, 16)))
    assert story.phases[0].eta is None
    story.feed(Record(4, 26.4, Progress("latents", 2, 16)))
    assert story.phases[0].eta == pytest.approx(14.0)
