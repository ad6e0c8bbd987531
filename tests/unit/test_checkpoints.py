"""Model files in every layout, whole and broken."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.checkpoints.names import NameTable, rules
from engine.checkpoints.place import load_into
from engine.checkpoints.reader import open_checkpoint
from engine.config.problems import CheckpointError

CPU = torch.device("cpu")


class Attention(nn.Module):
    """A block whose original stored q, k and v in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(4, 4)
        self.to_k = nn.Linear(4, 4)
        self.to_v = nn.Linear(4, 2)
        self.time = nn.Linear(4, 4)


TABLE = NameTable(rules([("attn.qkv", ("to_q", "to_k", "to_v")), ("t", "time")]), ignored=("junk",))


def fused(prefix: str = "") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "attn.qkv.weight": torch.randn(10, 4, generator=generator),
        "attn.qkv.bias": torch.randn(10, generator=generator),
        "t.weight": torch.randn(4, 4, generator=generator),
        "t.bias": torch.randn(4, generator=generator),
    }
    return {prefix + name: tensor for name, tensor in tensors.items()}


def empty() -> Attention:
    with torch.device("meta"):
        return Attention()


def write(layout: str, folder: Path) -> Path:
    if layout == "safetensors":
        save_file(fused(), folder / "m.safetensors")
        return folder / "m.safetensors"
    if layout == "comfy prefix":
        save_file(fused("model.diffusion_model."), folder / "m.safetensors")
        return folder / "m.safetensors"
    if layout == "shards":
        tensors = list(fused().items())
        for n in (1, 2):
            save_file(dict(tensors[2 * n - 2 : 2 * n]), folder / f"m-{n:05d}-of-00002.safetensors")
        return folder / "m-00001-of-00002.safetensors"
    if layout == "folder":
        write("shards", folder)
        return folder
    tensors = {"plain pth": fused(), "module pt": {"module": fused()}, "state_dict pth": {"state_dict": fused()}}[
        layout
    ]
    torch.save(tensors, folder / "m.pth")
    return folder / "m.pth"


@pytest.mark.parametrize(
    "layout", ["safetensors", "comfy prefix", "shards", "folder", "plain pth", "module pt", "state_dict pth"]
)
def test_every_layout_gives_the_same_weights(layout, tmp_path):
    module = load_into(empty(), open_checkpoint(write(layout, tmp_path)), TABLE, device=CPU, dtype=torch.float32)
    qkv = fused()["attn.qkv.weight"]
    assert torch.equal(module.to_q.weight, qkv[:4])
    assert torch.equal(module.to_k.weight, qkv[4:8])
    assert torch.equal(module.to_v.weight, qkv[8:])
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_what_must_stay_fp32_does(tmp_path):
    checkpoint = open_checkpoint(write("safetensors", tmp_path))
    module = load_into(empty(), checkpoint, TABLE, device=CPU, dtype=torch.bfloat16, keep_fp32=("time",))
    assert module.time.weight.dtype == torch.float32
    assert module.to_q.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("per_row", [False, True])
def test_scaled_fp8_weights_are_multiplied_out(per_row, tmp_path):
    tensors = fused()
    scale = torch.full((10, 1), 0.5) if per_row else torch.tensor(0.5)
    tensors["attn.qkv.scale_weight"] = scale
    tensors["attn.qkv.weight"] = (tensors["attn.qkv.weight"] / 0.5).to(torch.float8_e4m3fn)
    tensors["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "m.safetensors")
    module = load_into(empty(), open_checkpoint(tmp_path / "m.safetensors"), TABLE, device=CPU, dtype=torch.float32)
    assert torch.allclose(module.to_q.weight, fused()["attn.qkv.weight"][:4], rtol=0.07, atol=0.01)


def test_missing_unexpected_and_misshapen_tensors_are_named(tmp_path):
    tensors = fused()
    del tensors["t.bias"]
    tensors["surprise.weight"] = torch.zeros(1)
    tensors["t.weight"] = torch.zeros(3, 4)
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_into(empty(), open_checkpoint(tmp_path / "m.safetensors"), TABLE, device=CPU, dtype=torch.float32)
    message = str(caught.value)
    assert "missing: time.bias" in message
    assert "not expected: surprise.weight" in message
    assert "wrong shape: t.weight [3, 4]" in message
    assert "m.safetensors" in message


def break_file(kind: str, folder: Path) -> Path:
    path = write("safetensors", folder)
    data = path.read_bytes()
    if kind == "cut":
        path.write_bytes(data[:-10])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "html":
        path.write_bytes(b"<!DOCTYPE html><html>log in first</html>" * 10)
    elif kind == "lfs":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif kind == "header":
        path.write_bytes(struct.pack("<Q", 20) + b"{" * 40)
    elif kind == "renamed pickle":
        torch.save(fused(), path)
    elif kind == "code":
        path = folder / "m.pth"
        torch.save({"w": Path("x")}, path)
    elif kind == "json":
        path = folder / "m.json"
        path.write_text(json.dumps({}))
    elif kind == "gone":
        path = folder / "n.safetensors"
    elif kind == "shard gone":
        path = write("shards", folder)
        (folder / "m-00002-of-00002.safetensors").unlink()
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("cut", "damaged: it should be"),
        ("empty", "the file is empty"),
        ("html", "a web page"),
        ("lfs", "git-lfs pointer"),
        ("header", "not a safetensors file"),
        ("renamed pickle", "a zip or PyTorch file"),
        ("code", "Files that carry code are refused"),
        ("json", "cannot read .json as a model"),
        ("gone", "does not exist. Did you mean m.safetensors?"),
        ("shard gone", "1 of 2 shards are missing: m-00002-of-00002.safetensors"),
    ],
)
def test_a_broken_file_is_named_with_what_it_looks_like(kind, says, tmp_path):
    path = break_file(kind, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    assert says in str(caught.value)
    assert path.name in str(caught.value)
    assert caught.value.exit_code == 2
