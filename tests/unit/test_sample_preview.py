"""Previews inside a run: what is made when, what is said, and that nothing takes the run along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
import torch
from PIL import Image
from torch import nn

from engine.config.problems import CheckpointError, ConfigError
from engine.events.types import Sample
from engine.families import get_family
from engine.sample.preview import Previewer

SPEC = get_family("wan")


class FakeJob:
    """The few things a preview asks of a job."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.config = {"vae": "vae.pth", "t5": "t5.pth", "output_name": "cat", "seed": 3, **options}
        self.spec, self.task = SPEC, SPEC.task("t2v-1.3B")
        self.run = SimpleNamespace(output=folder / "output")
        self.warnings: list[tuple[str, str, str]] = []
        self.emitted: list[Any] = []
        self.progress: list[tuple[int, int]] = []
        self.stop_requested: object | None = None
        self.events = SimpleNamespace(emit=self.emitted.append)

    def warn(self, code: str, message: str, fix: str = "") -> None:
        self.warnings.append((code, message, fix))

    @contextmanager
    def phase(self, name: str) -> Iterator[Any]:
        assert name == "sample"
        yield SimpleNamespace(update=lambda done, total: self.progress.append((done, total)))


class ToyFamily:
    """A family whose pictures show the text: its length is the brightness."""

    def __init__(self) -> None:
        self.spec = replace(SPEC, solver="euler")
        self.encoded: list[str] = []
        self.loads: list[str] = []
        self.fail: Exception | None = None

    def load_vae(self, path: Path, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
        torch.rand(7)
        self.loads.append("vae")
        return nn.Identity()

    def load_text_encoder(self, paths: Mapping[str, Path], **_: Any) -> Any:
        torch.rand(7)
        assert paths == {"t5": Path("t5.pth")}
        self.loads.append("text")

        def encode(captions: Sequence[str]) -> list[dict[str, torch.Tensor]]:
            self.encoded.extend(captions)
            return [{"t5": torch.full((2, 4), len(caption) / 10)} for caption in captions]

        return SimpleNamespace(encode=encode)

    def model_inputs(self, noisy: torch.Tensor, timesteps: torch.Tensor, conditions: Any, **_: Any) -> dict[str, Any]:
        return {"x": noisy, "text": conditions["t5"][0]}

    def velocity(self, output: Any, shape: torch.Size) -> torch.Tensor:
        return output[0].reshape(shape)

    def shift_mu(self, shape: Sequence[int]) -> float:
        return 0.0

    def decode_latents(self, vae: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        if self.fail is not None:
            raise self.fail
        _, _, f, h, w = latents.shape
        return latents.mean().tanh().expand(1, 3, (f - 1) * 4 + 1, h * 8, w * 8)


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, text: torch.Tensor, *, return_dict: bool) -> tuple[torch.Tensor]:
        torch.rand(1)
        return (self.dropout(x) - text.mean(),)


def previewer(folder: Path, lines: str, **options: Any) -> tuple[Previewer, FakeJob, ToyFamily]:
    path = folder / "prompts.txt"
    path.write_text(lines)
    job, family = FakeJob(folder, sample_prompts=path, **options), ToyFamily()
    made = Previewer(job, family, device=torch.device("cpu"), dtype=torch.float32)  # type: ignore[arg-type]
    made.prepare()
    made.attach(Toy())
    return made, job, family


TWO = "a cat --w 64 --h 48 --f 1 --s 2 --d 7\na dog --w 64 --h 48 --f 5 --s 3 --l 1\n"


def test_pictures_and_clips_are_written_and_told(tmp_path: Path) -> None:
    made, job, family = previewer(tmp_path, TWO)
    assert family.loads == ["text", "vae"]
    assert family.encoded[:2] == ["a cat", "a dog"]
    assert len(family.encoded) == 3  # and the negative prompt of the one that is guided, once
    png, mp4 = made.make(20)
    assert (png.parent, png.suffix, mp4.suffix) == (tmp_path / "output" / "sample", ".png", ".mp4")
    assert png.name.startswith("cat_000020_00_")
    assert png.stem.endswith("_7")
    assert mp4.stem.endswith("_3")  # the run's seed
    with Image.open(png) as picture:
        assert picture.size == (64, 48)
        assert picture.info["prompt"] == "a cat"
    with av.open(str(mp4)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 5
        assert float(clip.streams.video[0].average_rate) == SPEC.fps
    assert job.emitted == [
        Sample(path=str(png), prompt="a cat", seed=7, step=20),
        Sample(path=str(mp4), prompt="a dog", seed=3, step=20),
    ]
    assert job.progress == [(i, 5) for i in range(1, 6)]
    assert job.warnings == []
    assert made.make(40, epoch=2)[0].name.startswith("cat_e000002_00_")
    assert family.loads == ["text", "vae"]


def test_output_dir_is_honoured(tmp_path: Path) -> None:
    made, _, _ = previewer(tmp_path, TWO, output_dir=str(tmp_path / "mine"))
    assert made.make(1)[0].parent == tmp_path / "mine" / "sample"


def test_without_prompts_there_is_nothing_to_do(tmp_path: Path) -> None:
    job, family = FakeJob(tmp_path, sample_every_n_steps=1), ToyFamily()
    made = Previewer(job, family, device=torch.device("cpu"), dtype=torch.float32)  # type: ignore[arg-type]
    made.prepare()
    made.attach(Toy())
    assert made.make(1) == []
    assert family.loads == []
    assert job.emitted == []


def test_a_wrong_prompt_file_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        previewer(tmp_path, "a --w many")


@pytest.mark.parametrize("error", [RuntimeError("device lost\nmore"), ValueError("odd"), OSError(28, "No space left")])
def test_a_failing_preview_is_a_warning(tmp_path: Path, error: Exception) -> None:
    made, job, family = previewer(tmp_path, TWO)
    family.fail = error
    assert made.make(1) == []
    assert [code for code, _, _ in job.warnings] == ["preview_failed", "preview_failed"]
    assert "\n" not in job.warnings[0][1]
    family.fail = None
    assert len(made.make(2)) == 2


def test_out_of_memory_names_the_size_and_does_not_try_it_again(tmp_path: Path) -> None:
    made, job, family = previewer(tmp_path, TWO)
    family.fail = torch.OutOfMemoryError("no memory")
    assert made.make(1) == []
    assert [code for code, _, _ in job.warnings] == ["preview_out_of_memory"] * 2
    assert "64x48x5" in job.warnings[1][1]
    assert "--w" in job.warnings[1][2]
    family.fail = None
    assert made.make(2) == []


def test_a_picture_of_nan_is_a_warning_and_not_a_file(tmp_path: Path) -> None:
    made, job, family = previewer(tmp_path, TWO)
    family.decode_latents = lambda vae, latents: torch.full((1, 3, 1, 8, 8), float("nan"))  # type: ignore[method-assign]
    assert made.make(1) == []
    assert "NaN" in job.warnings[0][1]


def test_a_stop_ends_the_previews_early(tmp_path: Path) -> None:
    made, job, _ = previewer(tmp_path, TWO)
    job.stop_requested = "now"
    assert made.make(1) == []
    assert job.warnings == []


def test_prompts_may_come_while_training(tmp_path: Path) -> None:
    made, job, family = previewer(tmp_path, TWO)
    paths = made.make(9, prompts=["a bird --w 64 --h 48 --f 1 --s 1 --d 4", "a cat --w 64 --h 48 --f 1 --s 1 --d 4"])
    assert family.loads == ["text", "vae", "text"]
    assert family.encoded[-1] == "a bird"  # the cat is known
    assert [path.name.split("_")[2] for path in paths] == ["02", "03"]
    made.make(10, None, ["a cat --d 9"])
    with Image.open(job.emitted[-1].path) as picture:
        assert picture.size == (64, 48)  # and one frame: what is not said is as in the first prompt of the file
    assert Path(job.emitted[-1].path).name.startswith("cat_000010_02_")
    assert made.make(9, prompts=["x --w wide"]) == []
    assert job.warnings[-1][0] == "wrong_prompt_value"


def test_prompts_whose_encoder_is_gone_are_a_warning(tmp_path: Path) -> None:
    made, job, family = previewer(tmp_path, TWO)

    def gone(paths: Mapping[str, Path], **_: Any) -> Any:
        raise CheckpointError.of("missing_file", "t5.pth is gone")

    family.load_text_encoder = gone  # type: ignore[method-assign]
    assert made.make(9, prompts=["a bird"]) == []
    assert "t5.pth is gone" in job.warnings[-1][1]


def test_modes_and_random_states_are_untouched_and_dropout_is_off(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    made, _, _ = previewer(tmp_path, TWO)
    assert torch.equal(torch.get_rng_state(), state)
    transformer, network = Toy().train(), nn.Dropout(0.5).train()
    made.attach(transformer, network)
    first, second = made.make(1)[0], made.make(2)[0]
    made.make(3, prompts=["new one --w 64 --h 48 --f 1 --s 1"])
    assert torch.equal(torch.get_rng_state(), state)
    assert transformer.dropout.training
    assert network.training
    with Image.open(first) as a, Image.open(second) as b:
        assert a.tobytes() == b.tobytes()
