"""Real photographs that lie inside the wheels of scikit-image and scikit-learn, cropped to mixed shapes, with captions.

Read as files, without importing either package and without network. The two clips are crops that pan over a photograph,
and their captions say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from PIL import Image

from engine.config.language import say
from engine.config.problems import MissingRequirement

_SKIMAGE = "scikit-image"
_SKLEARN = "scikit-learn"
LONGEST_SIDE = 256


@dataclass(frozen=True)
class Photograph:
    """One photograph of a package: ``box`` is (left, top, right, bottom) in parts of its width and height."""

    name: str
    package: str
    file: str
    box: tuple[float, float, float, float]
    caption: str
    credit: str


_NASA = "NASA, public domain"
PHOTOGRAPHS = (
    Photograph("astronaut", _SKIMAGE, "astronaut.png", (0.15, 0.0, 0.8, 1.0), "a portrait of an astronaut in an orange suit smiling in front of a flag", f"Eileen Collins, {_NASA}"),
    Photograph("camera", _SKIMAGE, "camera.png", (0.0, 0.05, 1.0, 0.7), "a black and white photo of a man with a tripod camera", "Lav Varshney, CC0"),
    Photograph("chelsea", _SKIMAGE, "chelsea.png", (0.0, 0.0, 1.0, 1.0), "a close-up photo of a tabby cat looking at the camera", "Stefan van der Walt, CC0"),
    Photograph("coffee", _SKIMAGE, "coffee.png", (0.2, 0.0, 0.65, 1.0), "a cup of coffee on a wooden table with a spoon", "Rachel Michetti, Pikolo Espresso Bar, CC0"),
    Photograph("rocket", _SKIMAGE, "rocket.jpg", (0.32, 0.0, 0.76, 1.0), "a rocket on the launch pad at night", "SpaceX Photos, CC0"),
    Photograph("coins", _SKIMAGE, "coins.png", (0.0, 0.0, 1.0, 1.0), "rows of ancient greek coins on a grey table", "Brooklyn Museum, no known copyright restrictions"),
    Photograph("brick", _SKIMAGE, "brick.png", (0.0, 0.0, 1.0, 1.0), "a grey brick wall seen from the front", "CC0 Textures, CC0"),
    Photograph("grass", _SKIMAGE, "grass.png", (0.0, 0.0, 1.0, 0.6), "blades of dry grass from close up", "linolafett, DeviantArt, CC0"),
    Photograph("gravel", _SKIMAGE, "gravel.png", (0.0, 0.0, 0.7, 1.0), "dark gravel stones on the ground", "CC0 Textures, CC0"),
    Photograph("moon", _SKIMAGE, "moon.png", (0.0, 0.0, 1.0, 1.0), "craters on the surface of the moon in black and white", _NASA),
    Photograph("hubble_deep_field", _SKIMAGE, "hubble_deep_field.jpg", (0.0, 0.0, 1.0, 0.8), "hundreds of distant galaxies in a black sky", f"Hubble, {_NASA}"),
    Photograph("motorcycle", _SKIMAGE, "motorcycle_left.png", (0.0, 0.0, 1.0, 1.0), "a motorcycle in a cluttered garage", "Middlebury Stereo Benchmark, CC0"),
    Photograph("china", _SKLEARN, "china.jpg", (0.0, 0.0, 1.0, 1.0), "a chinese temple roof with trees and a blue sky", "danielbuechele, CC BY 2.0, https://www.flickr.com/photos/danielbuechele/6061409035/"),
    Photograph("flower", _SKLEARN, "flower.jpg", (0.25, 0.0, 0.9, 1.0), "a red flower with green leaves in the background", "vultilion, CC BY 2.0, https://www.flickr.com/photos/vultilion/6056698931/"),
)  # fmt: skip


@dataclass(frozen=True)
class Pan:
    """A clip: a crop of ``window`` (width, height, in parts of the picture) that moves from ``start`` to ``end``."""

    name: str
    photograph: str
    window: tuple[float, float]
    start: tuple[float, float]
    end: tuple[float, float]
    caption: str


PANS = (
    Pan("temple_pan", "china", (0.6, 0.6), (0.0, 0.1), (0.4, 0.2), "the camera pans right over a chinese temple roof, a moving crop of one photograph"),
    Pan("garage_pan", "motorcycle", (0.55, 0.6), (0.45, 0.3), (0.0, 0.2), "the camera pans left over a motorcycle in a garage, a moving crop of one photograph"),
)  # fmt: skip
CLIP_FRAMES = 17
CLIP_SIZE = (192, 128)


def write_photographs(folder: Path) -> None:
    """The pictures with their captions as ``name.png`` and ``name.txt``, and CREDITS.txt one folder up."""
    folder.mkdir(parents=True, exist_ok=True)
    for photograph in PHOTOGRAPHS:
        image = opened(photograph)
        left, top, right, bottom = photograph.box
        cut = image.crop(
            (
                round(left * image.width),
                round(top * image.height),
                round(right * image.width),
                round(bottom * image.height),
            )
        )
        cut.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        cut.save(folder / f"{photograph.name}.png")
        (folder / f"{photograph.name}.txt").write_text(photograph.caption + "\n", encoding="utf-8")
    (folder.parent / "CREDITS.txt").write_text(_credits(), encoding="utf-8")


def write_clips(folder: Path, *, fps: int) -> None:
    """The panned crops as MP4 files with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    photographs = {photograph.name: photograph for photograph in PHOTOGRAPHS}
    for pan in PANS:
        _write_pan(folder / f"{pan.name}.mp4", opened(photographs[pan.photograph]).convert("RGB"), pan, fps)
        (folder / f"{pan.name}.txt").write_text(pan.caption + "\n", encoding="utf-8")


def captions() -> list[str]:
    """Every caption, for training a tokenizer."""
    return [thing.caption for thing in (*PHOTOGRAPHS, *PANS)]


def _write_pan(path: Path, image: Image.Image, pan: Pan, fps: int) -> None:
    width, height = CLIP_SIZE
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        for number in range(CLIP_FRAMES):
            along = number / (CLIP_FRAMES - 1)
            x, y = (a + (b - a) * along for a, b in zip(pan.start, pan.end, strict=True))
            box = (
                x * image.width,
                y * image.height,
                (x + pan.window[0]) * image.width,
                (y + pan.window[1]) * image.height,
            )
            frame = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())


def opened(photograph: Photograph) -> Image.Image:
    """The whole photograph as its package has it. Raises ``MissingRequirement``."""
    return Image.open(_folder(photograph.package) / photograph.file)


def _folder(package: str) -> Path:
    """Where a package keeps its pictures. Raises ``MissingRequirement``."""
    module, inside = ("skimage", "data") if package == _SKIMAGE else ("sklearn", "datasets/images")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise MissingRequirement.of(
            "missing_package",
            say(f"The sample photographs come with {package}, which is not installed.",
                f"サンプル写真は {package} に含まれますが、インストールされていません。"),
            say("Run: pip install scikit-image scikit-learn", "次を実行してください: pip install scikit-image scikit-learn"),
        )  # fmt: skip
    return Path(spec.origin).parent / inside


def _credits() -> str:
    lines = ["The photographs in this folder, cropped and scaled down, and where they are from:", ""]
    lines += [f"{p.name}: {p.credit} (in the wheel of {p.package})" for p in PHOTOGRAPHS]
    lines += ["", "The clips are moving crops of single photographs, not filmed:", ""]
    lines += [f"{pan.name}: a crop panned over {pan.photograph}" for pan in PANS]
    return "\n".join(lines) + "\n"
