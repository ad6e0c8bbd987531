"""A home with a small model in Wan's layouts, pictures and captions: what the wizard's tests stand on, in milliseconds."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

from PIL import Image

from engine.planner.facts import Machine
from musubi_tui.presets.wizard.around import Around
from musubi_tui.presets.wizard.session import Session
from tests.unit.test_planner import small_wan, write_header

VAE_NAMES = ("decoder.middle.0.residual.0.gamma", "encoder.downsamples.0.residual.2.weight")
T5_NAMES = ("blocks.0.ffn.gate.0.weight", "token_embedding.weight")


def write_pth(path: Path, names: tuple[str, ...]) -> None:
    """A file with the names of a PyTorch zip file and none of its tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(OrderedDict.fromkeys(names, 0)))
        archive.writestr("archive/data/0", b"\0" * 64)


def write_models(folder: Path, *, only: tuple[str, ...] = ("dit", "vae", "t5")) -> None:
    """Model files under names that say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    if "dit" in only:
        shapes = {"blocks.0.self_attn.q.weight": (256, 256), **small_wan()}
        write_header(folder / "a.safetensors", {f"model.diffusion_model.{k}": v for k, v in shapes.items()})
    if "vae" in only:
        write_pth(folder / "b.pth", VAE_NAMES)
    if "t5" in only:
        write_pth(folder / "c.pth", T5_NAMES)


def write_pictures(folder: Path, count: int = 4, captions: int | None = None, side: int = 160) -> None:
    """Pictures of two shapes, the first ``captions`` with a text file."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        size = (side, side * 3 // 4) if number % 2 else (side * 3 // 4, side)
        buffer = io.BytesIO()
        Image.new("RGB", size, (40, 60 * (number % 4), 90)).save(buffer, "PNG")
        (folder / f"{number}.png").write_bytes(buffer.getvalue())
        if captions is None or number < captions:
            (folder / f"{number}.txt").write_text("a bird")


def around(root: Path, machine: Machine | None = None, **environment: str) -> Around:
    """The wizard's eyes on ``root`` alone."""
    (root / "work").mkdir(parents=True, exist_ok=True)
    return Around(root / "work", root / "home", environment, machine or Machine())


def session(root: Path, **options: object) -> Session:
    """A wizard in ``root/work`` with models and pictures there."""
    write_models(root / "work" / "models")
    write_pictures(root / "work" / "bella")
    return Session(around(root, **options))  # type: ignore[arg-type]
