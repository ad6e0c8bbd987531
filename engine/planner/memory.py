"""Memory of the card, phase by phase: encoding pictures, encoding captions, training, making previews.

Weights, adapter, gradients and optimizer are counted. Activations follow a form whose factors were counted from the tensors
that one real block keeps (``SavedBytes``); what the VAE needs while it works, the allocator's waste and the
driver's own part are estimates. Phases do not overlap: each model is freed before the next one is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.language import say
from engine.planner.lines import GIB, Line, Phase, Sure, gib
from engine.planner.request import DTYPE_BYTES, PlanRequest

CONTEXT = int(0.6 * GIB)  # the driver's own part: context, cuBLAS and cuDNN workspaces
WASTE = 0.05  # what the allocator holds beyond what is used, of everything that comes and goes
_VAE_ENCODE = 500  # values per pixel of the four frames that are worked on at once
_VAE_DECODE = 1000
_VAE_FRAMES = 4
_VAE_FILE_BYTES = 4  # per parameter: released .pth files of VAEs are fp32, of text encoders bf16
_ENCODER_EXTRA = int(0.5 * GIB)
_RING = 2  # streamed blocks that are on the card at once


def phases(ask: PlanRequest) -> tuple[Phase, ...]:
    """Every part of the run that this request will go through."""
    return tuple(_phases(ask))


def _phases(ask: PlanRequest) -> Iterator[Phase]:
    if ask.data.latents_to_write or ask.data.assumed:
        yield Phase("latents", say("encoding pictures", "画像のエンコード"), tuple(_latents(ask)))
    if ask.data.text_to_write or ask.data.assumed:
        yield Phase("text", say("encoding captions", "キャプションのエンコード"), tuple(_text(ask)))
    yield Phase("train", say("training", "学習"), tuple(train_lines(ask)))
    if ask.prompts:
        yield Phase("sample", say("previews", "プレビュー"), tuple(_sample(ask)))


def train_lines(ask: PlanRequest) -> Iterator[Line]:
    """What lies on the card while training."""
    yield _context()
    yield from _weights(ask)
    parameters = ask.adapter_parameters
    yield _line("adapter", say("LoRA", "LoRA"), 4 * parameters, _adapter_how(ask), "exact")
    yield _line(
        "gradients",
        say("its gradients", "LoRA の勾配"),
        4 * ask.learning_parameters,
        say("fp32, one per LoRA parameter that is learnt", "fp32、学習される LoRA パラメーターごとに 1 つ"),
        "exact",
    )
    yield _optimizer(ask)
    saved, how = activations(ask)
    yield _line("activations", say("activations", "アクティベーション"), saved, how, "close")
    passing = _passing(ask)
    yield _line(
        "working", say("working memory", "作業用メモリ"), passing,
        say("tensors that come and go inside one block and its gradient", "1 ブロックとその勾配の計算中に一時的に使うテンソル"), "rough",
    )  # fmt: skip
    yield _waste(8 * parameters + saved + passing)


def optimizer_bytes(ask: PlanRequest) -> int:
    """Optimizer state: two moments per parameter, and a step counter per matrix; in 8 bits for matrices of 4096 and more."""
    if str(ask.values["optimizer_type"]).lower() != "adamw8bit":
        return 8 * ask.learning_parameters + 4 * 2 * ask.adapted.learning_modules
    total = 0
    for sides, count in ask.adapted.learning_shapes.items():
        for size in (ask.rank * side for side in sides):
            total += count * (2 * size + 2 * 4 * -(-size // 256) if size >= 4096 else 8 * size)
    return total


def activations(ask: PlanRequest) -> tuple[int, str]:
    """Bytes kept for the backward pass of the largest batch, and how they were counted."""
    group, saved, model = ask.largest, ask.saved, ask.transformer
    batch = group.largest_batch
    tokens = batch * ask.tokens(group)
    block = tokens * (saved.width * model.width + saved.feed_forward * model.feed_forward + saved.rank * ask.rank)
    if not ask.facts.text_joins:
        block += batch * ask.text_tokens * saved.text_width * model.width
    copies = 2 * ask.adapter_parameters if ask.half else 0  # autocast keeps a 16-bit copy of each adapter matrix
    size = f"{group.width}x{group.height}" + (f"x{group.frames}" if group.frames > 1 else "")
    where = say(f"batch {batch} of {size}: {tokens:,} tokens", f"{size} のバッチ {batch}: {tokens:,} トークン")
    if ask.checkpointing:
        kept = model.blocks * tokens * saved.boundary * model.width
        how = say(f"{where}; {model.blocks} block inputs and one block at a time (gradient_checkpointing)",
                  f"{where}。{model.blocks} ブロックの入力と 1 ブロック分（gradient_checkpointing）")  # fmt: skip
        return int(kept + block + copies), how
    how = say(f"{where}; all {model.blocks} blocks are kept: gradient_checkpointing is off",
              f"{where}。{model.blocks} ブロックすべてを保持（gradient_checkpointing なし）")  # fmt: skip
    return int(model.blocks * block + copies), how


def _weights(ask: PlanRequest) -> Iterator[Line]:
    model = ask.transformer
    each = ask.weight_dtype_bytes
    whole = model.weight_bytes(each)
    source = model.source or say("the released model", "配布モデル")
    how = say(f"{model.parameters:,} parameters of {source}, {8 * each} bits each",
              f"{source} の {model.parameters:,} パラメーター、各 {8 * each} ビット")  # fmt: skip
    if model.kept and each < 4:
        how += say(f" ({model.kept:,} of them in 32)", f"（うち {model.kept:,} は 32 ビット）")
    saved = 0
    if ask.active("fp8_base"):
        saved += model.block_parameters * (each - 1)
        how += say("; blocks in 8 bits", "。ブロックは 8 ビット")
    swapped = min(int(ask.active("blocks_to_swap") or 0), model.blocks)
    if swapped:
        block = (model.block_parameters * each - saved) // model.blocks
        saved += max(0, swapped - _RING) * block
        how += say(
            f"; {swapped} of {model.blocks} blocks wait in main memory",
            f"。{model.blocks} ブロック中 {swapped} はメインメモリで待機",
        )
    sure: Sure = "exact" if model.source and not saved else "close"
    yield _line("weights", say("model weights", "モデルの重み"), whole - saved, how, sure)


def _optimizer(ask: PlanRequest) -> Line:
    kind = str(ask.values["optimizer_type"])
    if kind.lower() == "adamw8bit":
        how = say(
            "two moments of 8 bits, with a scale per 256 values", "8 ビットの 2 モーメントと 256 値ごとのスケール"
        )
        return _line("optimizer", kind, optimizer_bytes(ask), how, "close")
    how = say("two fp32 moments per LoRA parameter", "LoRA パラメーターごとに fp32 のモーメント 2 つ")
    return _line("optimizer", kind, optimizer_bytes(ask), how, "exact")


def _adapter_how(ask: PlanRequest) -> str:
    count = ask.adapted.modules
    if ask.start is not None:
        return say(f"{ask.adapter_parameters:,} parameters, as in network_weights; fp32", f"network_weights と同じ {ask.adapter_parameters:,} パラメーター、fp32")  # fmt: skip
    return say(f"rank {ask.rank} beside {count} layers: {ask.adapter_parameters:,} parameters in fp32",
               f"{count} 層に rank {ask.rank}: {ask.adapter_parameters:,} パラメーター、fp32")  # fmt: skip


def _passing(ask: PlanRequest) -> int:
    tokens = ask.largest.largest_batch * ask.tokens(ask.largest)
    return int(tokens * (2 if ask.half else 4) * (2 * ask.transformer.feed_forward + 4 * ask.transformer.width))


def _latents(ask: PlanRequest) -> Iterator[Line]:
    yield _context()
    dtype = DTYPE_BYTES.get(str(ask.values.get("vae_dtype") or ask.spec.latents_dtype), 4)
    yield _file_line(ask, "vae", dtype)
    group = max(ask.data.groups, key=lambda group: group.width * group.height * min(group.frames, _VAE_FRAMES))
    yield _vae_line(group.width, group.height, group.frames, _VAE_ENCODE * dtype)


def _text(ask: PlanRequest) -> Iterator[Line]:
    yield _context()
    yield _file_line(ask, "text_encoder", 2)
    yield _line("working", say("working memory", "作業用メモリ"), _ENCODER_EXTRA, say("one caption at a time", "キャプション 1 件ずつ"), "rough")  # fmt: skip


def _sample(ask: PlanRequest) -> Iterator[Line]:
    for line in train_lines(ask):
        if line.id in ("context", "weights", "adapter", "optimizer"):
            yield line
    dtype = DTYPE_BYTES.get(str(ask.values.get("vae_dtype") or ask.spec.latents_dtype), 4)
    yield _file_line(ask, "vae", dtype)
    yield _vae_line(*ask.shown, _VAE_DECODE * dtype)


def _file_line(ask: PlanRequest, role: str, dtype_bytes: int) -> Line:
    slot = ask.spec.slot(role)
    title = slot.title
    found = ask.files.get(role)
    if found is None:
        stored = _VAE_FILE_BYTES if slot.files and slot.files[0].endswith(".pth") and role == "vae" else 2
        size = int(slot.size_gb * 1e9 / stored * dtype_bytes)
        return _line(role, title, size, say("size of the released file", "配布ファイルのサイズから"), "close")
    parameters, size = found
    if parameters:
        return _line(role, title, parameters * dtype_bytes, say(f"{parameters:,} parameters, {8 * dtype_bytes} bits each", f"{parameters:,} パラメーター、各 {8 * dtype_bytes} ビット"), "exact")  # fmt: skip
    stored = _VAE_FILE_BYTES if role == "vae" else 2
    how = say(f"its file of {gib(size)}", f"{gib(size)} のファイルから")
    return _line(role, title, size * dtype_bytes // stored, how, "close")


def _vae_line(width: int, height: int, frames: int, per_pixel: int) -> Line:
    pixels = width * height * min(frames, _VAE_FRAMES)
    size = f"{width}x{height}" + (f"x{frames}" if frames > 1 else "")
    return _line("working", say("working memory", "作業用メモリ"), pixels * per_pixel, say(f"feature maps of {size}", f"{size} の特徴マップ"), "rough")  # fmt: skip


def _context() -> Line:
    return _line("context", say("driver", "ドライバー"), CONTEXT, say("CUDA context and libraries", "CUDA コンテキストとライブラリ"), "rough")  # fmt: skip


def _waste(dynamic: float) -> Line:
    return _line("allocator", say("allocator", "アロケーター"), int(WASTE * dynamic), say("5 % of what comes and goes", "変動分の 5 %"), "rough")  # fmt: skip


def _line(name: str, title: str, amount: int, how: str, sure: Sure) -> Line:
    return Line(name, "memory", title, amount, "bytes", how, sure)
