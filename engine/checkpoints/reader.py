"""Read any model file users have on disk, one tensor at a time.

safetensors (one file, numbered shards, or a folder of them) are read through a memory map; ``.pt`` / ``.pth`` through
``torch.load(weights_only=True, mmap=True)``, which refuses code. Names are handed out as stored; the name table strips
wrappers like ``model.diffusion_model.``.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.config.language import say
from engine.config.problems import CheckpointError

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors$")
_WRAPPERS = ("state_dict", "module", "model", "model_state")


class Checkpoint:
    """An open model file: names and shapes at once, tensors on demand (on the CPU, in the stored dtype)."""

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, torch.dtype]) -> None:
        self.path = path
        self.shapes = dict(shapes)
        self.dtypes = dict(dtypes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor. Raises ``KeyError`` for an unknown name."""
        raise KeyError(name)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of them at once, for small models and for loaders of other libraries."""
        return {name: self.tensor(name) for name in self.shapes}


class _Safetensors(Checkpoint):
    def __init__(self, path: Path, files: list[Path]) -> None:
        shapes: dict[str, tuple[int, ...]] = {}
        dtypes: dict[str, torch.dtype] = {}
        self._where: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        for file in files:
            for name, entry in read_header(file).items():
                if name == "__metadata__":
                    continue
                shapes[name] = tuple(entry["shape"])
                dtypes[name] = _dtype(file, name, entry["dtype"])
                self._where[name] = file
        super().__init__(path, shapes, dtypes)

    def tensor(self, name: str) -> torch.Tensor:
        file = self._where[name]
        if file not in self._open:
            self._open[file] = safe_open(file, framework="pt", device="cpu")
        tensor: torch.Tensor = self._open[file].get_tensor(name)
        return tensor


class _Pickle(Checkpoint):
    def __init__(self, path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        super().__init__(path, shapes, {name: tensor.dtype for name, tensor in tensors.items()})

    def tensor(self, name: str) -> torch.Tensor:
        return self._tensors[name]


def open_checkpoint(path: Path) -> Checkpoint:
    """Open a model file, a set of numbered shards (named by any of them) or a folder of safetensors.

    Raises ``CheckpointError``: missing, truncated, not a model, or a pickle that is more than tensors.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if not files:
            raise _error(
                path,
                "no_weights",
                say("the folder holds no .safetensors files", "フォルダーに .safetensors がありません"),
            )
        return _Safetensors(path, files)
    if not path.exists():
        raise _missing(path)
    if path.suffix == ".safetensors":
        return _Safetensors(path, _shards(path))
    if path.suffix in {".pt", ".pth", ".bin", ".ckpt"}:
        return _Pickle(path, _load_pickle(path))
    raise _error(
        path,
        "unknown_format",
        say(f"cannot read {path.suffix or 'files without extension'} as a model ({_looks_like(path)})",
            f"{path.suffix or '拡張子なし'} はモデルとして読めません（{_looks_like(path)}）"),
        say("Supported: .safetensors (also numbered shards or a folder of them), .pt, .pth.",
            "対応形式: .safetensors（分割ファイルやフォルダーも可）、.pt、.pth。"),
    )  # fmt: skip


def read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file. Raises ``CheckpointError`` for anything else and for a cut-off file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length_bytes = file.read(8)
        length = struct.unpack("<Q", length_bytes)[0] if len(length_bytes) == 8 else 0
        if not 2 <= length <= min(size - 8, 100_000_000):
            raise _not_safetensors(path)
        try:
            header: dict[str, Any] = json.loads(file.read(length))
        except ValueError as error:
            raise _not_safetensors(path) from error
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if 8 + length + end != size:
        raise _error(
            path,
            "truncated_file",
            say(f"the file is damaged: it should be {8 + length + end:,} bytes and is {size:,}",
                f"ファイルが壊れています: {8 + length + end:,} バイトのはずが {size:,} バイトです"),
            say("Download it again; compare the size with the model page.", "再ダウンロードし、配布ページのサイズと比べてください。"),
        )  # fmt: skip
    return header


def _dtype(file: Path, name: str, stored: str) -> torch.dtype:
    if stored not in _DTYPES:
        message = say(
            f"tensor {name} has the unknown dtype {stored}", f"テンソル {name} の dtype {stored} は未対応です"
        )
        raise _error(file, "unknown_dtype", message)
    return _DTYPES[stored]


def _shards(path: Path) -> list[Path]:
    match = _SHARD.match(path.name)
    if not match:
        return [path]
    count = int(match["count"])
    files = [path.with_name(f"{match['stem']}-{n:05d}-of-{count:05d}.safetensors") for n in range(1, count + 1)]
    gone = [file.name for file in files if not file.exists()]
    if gone:
        raise _error(
            path, "missing_shard",
            say(f"{len(gone)} of {count} shards are missing: {', '.join(gone[:3])}", f"分割ファイル {count} 個中 {len(gone)} 個がありません: {', '.join(gone[:3])}"),
            say("Download the missing files into the same folder.", "足りないファイルを同じフォルダーに置いてください。"),
        )  # fmt: skip
    return files


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # torch.load raises a different type for each kind of damage
        reason = str(error).strip().split(". ")[0].splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise _error(
            path, "unreadable_pickle",
            say(f"cannot be read as plain tensors ({_looks_like(path)}; {reason})",
                f"テンソルのみのファイルとして読めません（{_looks_like(path)}; {reason}）"),
            say("Use the .safetensors version, or download the file again. Files that carry code are refused.",
                ".safetensors 版を使うか、再ダウンロードしてください。コードを含むファイルは拒否します。"),
        ) from error  # fmt: skip
    for wrapper in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping):
        raise _error(path, "no_weights", say("holds no table of tensors", "テンソルの表が含まれていません"))
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise _error(path, "no_weights", say("holds no tensors", "テンソルが含まれていません"))
    return tensors


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        return say("the file is empty", "空のファイル")
    if start.startswith(b"version https://git-lfs"):
        return say("a git-lfs pointer, not the model itself", "git-lfs のポインターで、モデル本体ではありません")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return say("a web page, perhaps a login or error page", "Web ページ（ログインやエラー画面）のようです")
    if start.startswith(b"GGUF"):
        return say("a GGUF file", "GGUF ファイル")
    if start.startswith(b"PK"):
        return say("a zip or PyTorch file", "zip または PyTorch ファイル")
    if start.startswith(b"\x80"):
        return say("a Python pickle", "Python の pickle")
    return say("unknown content", "不明な内容")


def _not_safetensors(path: Path) -> CheckpointError:
    return _error(
        path, "not_safetensors",
        say(f"is not a safetensors file: {_looks_like(path)}", f"safetensors ファイルではありません: {_looks_like(path)}"),
        say("Download the file again, or correct its extension.", "再ダウンロードするか、拡張子を直してください。"),
    )  # fmt: skip


def _missing(path: Path) -> CheckpointError:
    from difflib import get_close_matches

    nearby = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, nearby, n=1)
    fix = say(f"Did you mean {close[0]}?", f"{close[0]} のことですか？") if close else ""
    return _error(path, "missing_file", say("does not exist", "存在しません"), fix)


def _error(path: Path, code: str, message: str, fix: str = "") -> CheckpointError:
    return CheckpointError.of(code, f"{message}.", fix, file=path)
