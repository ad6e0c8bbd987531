"""Model files on this machine: looked for where ComfyUI, the Hugging Face cache and people keep them, told by their tensor names.

Only headers are read. The names in a ``.pth`` file are read off its pickle's opcodes: nothing of it is ever executed.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.config.language import say
from engine.data.cache_files import DamagedCache, read_header
from engine.families import FamilySpec, ModelSlot
from engine.families.recognise import fits
from engine.planner.transformer import find_transformer

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
_DEPTH = 5
_MOST = 4000  # files and folders that are looked at in one place
_COMFY = ("diffusion_models", "unet", "vae", "text_encoders", "clip", "checkpoints")
_PICKLE_BYTES = 8 << 20  # a larger pickle is no table of tensors


@dataclass(frozen=True)
class FoundFile:
    """One model file that fits a slot. ``parameters`` of a transformer, else 0."""

    path: Path
    size: int
    parameters: int = 0


def usual_places(cwd: Path, home: Path, environment: Mapping[str, str]) -> list[Path]:
    """Folders where model files usually lie, nearest first; only those that exist."""
    comfy = [Path(environment["COMFYUI_PATH"])] if environment.get("COMFYUI_PATH") else []
    for root in (cwd, home, Path("/workspace"), Path("/opt"), home / "Documents"):
        comfy += [root / "ComfyUI", root / "comfyui"]
    hub = environment.get("HF_HUB_CACHE") or os.path.join(environment.get("HF_HOME") or home / ".cache" / "huggingface", "hub")  # fmt: skip
    places = [cwd / "models", *sorted(cwd.glob("*/models")), *sorted(cwd.glob("*/*/models")), home / "models"]
    places += [Path("/models"), Path("/workspace/models")]
    places += [folder / "models" / name for folder in comfy for name in _COMFY]
    places += [Path(hub)]
    return list(dict.fromkeys(place for place in places if _is_folder(place)))


def find_files(spec: FamilySpec, places: Iterable[Path]) -> dict[str, list[FoundFile]]:
    """Option -> the files that fit it, in the order of the places."""
    found: dict[str, list[FoundFile]] = {slot.option: [] for slot in spec.slots}
    seen: set[Path] = set()
    for place in places:
        for path in _walk(place):
            real = Path(os.path.realpath(path))
            if real in seen:
                continue
            seen.add(real)
            names = tensor_names(path)
            for slot in spec.slots:
                if slot.signs and names and fits(slot, names):
                    found[slot.option].append(_measured(spec, slot, path))
                    break
    for slot in spec.slots:
        if slot.role == "tokenizer":
            found[slot.option] = [FoundFile(path, 0) for path in _tokenizers(slot, found)]
    return found


def files_below(places: Iterable[Path]) -> Iterator[Path]:
    """Every model file in these folders, not too deep and not too many."""
    for place in places:
        yield from _walk(place)


def what_is_wrong(path: Path) -> str:
    """Why a model file cannot be used as it lies there: not readable, cut off, shards missing; nothing where it is whole.

    A ``.safetensors`` file says in its header how long it is, the others have their table of contents at the end.
    """
    if path.suffix not in _SUFFIXES:
        return say(
            f"it is no model file ({', '.join(_SUFFIXES)}).",
            f"モデルファイルではありません（{'、'.join(_SUFFIXES)}）。",
        )
    try:
        files = shards(path)
        gone = [file.name for file in files if not file.is_file()]
        if gone:
            return say(f"{len(gone)} of {len(files)} parts are missing, the first: {gone[0]}.", f"{len(files)} 個中 {len(gone)} 個の分割ファイルがありません（{gone[0]} など）。")  # fmt: skip
        for file in files:
            if file.suffix == ".safetensors":
                read_header(file)
            elif not zipfile.is_zipfile(file):
                with file.open("rb"):
                    return say("it is cut off, or not a file that torch wrote.", "途中で切れているか、torch のファイルではありません。")  # fmt: skip
    except DamagedCache as error:
        return str(error)
    except OSError as error:
        return say(f"it cannot be read: {error.strerror or error}.", f"読めません: {error.strerror or error}。")
    return ""


def shards(path: Path) -> list[Path]:
    """The file, or all parts of a model that was cut into several."""
    match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})(\.\w+)", path.name)
    if match is None:
        return [path]
    stem, count, suffix = match.groups()
    return [path.with_name(f"{stem}-{number:05d}-of-{count}{suffix}") for number in range(1, int(count) + 1)]


def tensor_names(path: Path) -> tuple[str, ...]:
    """Names of the tensors in a model file; none for anything else."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return _names(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=2048)
def _names(path: Path, size: int, changed: int) -> tuple[str, ...]:
    try:
        if path.suffix == ".safetensors":
            return tuple(read_header(path).tensors)
        return tuple(_pickled_names(path))
    except (DamagedCache, OSError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError, KeyError):
        return ()


def _pickled_names(path: Path) -> Iterator[str]:
    """The texts in the pickle of a PyTorch zip file."""
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if name is None or archive.getinfo(name).file_size > _PICKLE_BYTES:
            return
        for _, argument, _ in pickletools.genops(archive.read(name)):
            if isinstance(argument, str):
                yield argument


def _measured(spec: FamilySpec, slot: ModelSlot, path: Path) -> FoundFile:
    size = path.stat().st_size
    if slot.role != "transformer" or spec.transformer is None:
        return FoundFile(path, size)
    model = find_transformer(spec, spec.default_task, path)
    return FoundFile(path, size, model.parameters if model.source else 0)


def _walk(place: Path) -> Iterator[Path]:
    """Model files below a folder, not too deep and not too many; shards count by their first."""
    looked = 0
    base = len(place.parts)
    for folder, folders, files in os.walk(place, followlinks=False):
        if len(Path(folder).parts) - base >= _DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            looked += 1
            if (
                name.endswith(_SUFFIXES)
                and can_be_written(Path(folder, name))
                and ("-of-" not in name or "-00001-of-" in name)
            ):
                yield Path(folder, name)
        looked += len(folders)
        if looked > _MOST:
            return


def _tokenizers(slot: ModelSlot, found: Mapping[str, list[FoundFile]]) -> Iterator[Path]:
    """The tokenizer beside a text encoder that was found, under its usual name."""
    for files in list(found.values()):
        for file in files:
            for name in slot.files:
                for folder in (file.path.parent, file.path.parent.parent):
                    if (folder / name).exists():
                        yield folder / name


def can_be_written(path: Path) -> bool:
    """Whether a TOML file can name this path: bytes that are no UTF-8 cannot be written."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in str(path)


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:
        return False
