"""ai-toolkit's YAML: one job whose process holds network, save, datasets, train, model and sample (facts: its example files)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, DatasetKey, Rule
from musubi_tui.presets.importing.meanings import (
    alpha_is_the_rank,
    arguments,
    book_adapter,
    book_weights,
    extension,
    mixed_precision,
    optimizer,
    save_precision,
    schedule,
    sizes,
    tag_orders,
    timesteps,
    warm_up,
    whole,
)

_FAMILIES = {
    "wan21": ("wan", "t2v-14B"),
    "wan21:1b": ("wan", "t2v-1.3B"),
    "wan21:14b": ("wan", "t2v-14B"),
    "qwen_image": ("qwen_image", "t2i"),
    "qwen_image_edit": ("qwen_image", "edit"),
    "qwen_image_edit_plus": ("qwen_image", "edit-2509"),
}
_TIMESTEPS = {"sigmoid": "sigmoid", "linear": "uniform", "flux_shift": "flux_shift"}
_HERE = "config.process.0."


_RULES = (
    Rule("training_folder", "output_dir"),
    Rule("performance_log_every", no_effect=reasons.PACE),
    Rule("device", no_effect=reasons.GPU),
    Rule("type", no_effect=reasons.PACE),
    Rule("network.linear", "network_dim", whole),
    Rule("network.linear_alpha", "network_alpha", float),
    Rule("network.dropout", "network_dropout", float),
    Rule("network.conv*", lost=reasons.CONVOLUTIONS),
    Rule("network.lokr*", lost=reasons.ONLY_LORA),
    Rule("save.dtype", "save_precision", save_precision),
    Rule("save.save_every", "save_every_n_steps", whole),
    Rule("save.push_to_hub", lost=("upload by hand for now", "アップロードは手動です")),
    Rule("save.hf_*", no_effect=reasons.UPLOAD),
    Rule("save.save_format", no_effect=("LoRA files carry musubi's names; lora_dialects adds others", "musubi の名前で保存されます (lora_dialects で追加可)")),
    Rule("train.steps", "max_train_steps", whole),
    Rule("train.gradient_accumulation*", "gradient_accumulation_steps", whole),
    Rule("train.gradient_checkpointing", "gradient_checkpointing", bool),
    Rule("train.optimizer", "optimizer_type", optimizer),
    Rule("train.lr", "learning_rate", float),
    Rule("train.lr_scheduler", "lr_scheduler", schedule),
    Rule("train.dtype", "mixed_precision", mixed_precision),
    Rule("train.timestep_type", "timestep_sampling", timesteps(_TIMESTEPS)),
    Rule("train.max_grad_norm", "max_grad_norm", float),
    Rule("train.train_text_encoder", lost=reasons.TEXT_ENCODERS),
    Rule("train.train_unet", no_effect=reasons.ALWAYS),
    Rule("train.noise_scheduler", no_effect=reasons.FLOW),
    Rule("train.cache_text_embeddings", no_effect=reasons.CACHED),
    Rule("train.unload_text_encoder", no_effect=reasons.CACHED),
    Rule("train.ema_config.use_ema", lost=reasons.EMA),
    Rule("train.ema_config.*", no_effect=reasons.EMA),
    Rule("train.content_or_style", lost=("noise levels are not favoured by subject", "内容/スタイル別の偏りはありません")),
    Rule("train.disable_sampling", no_effect=reasons.PROMPTS),
    Rule("train.skip_first_sample", no_effect=reasons.PROMPTS),
    Rule("train.linear_timesteps*", lost=("noise levels are not weighted", "ノイズレベルの重み付けはありません")),
    Rule("model.name_or_path", lost=reasons.FILES),
    Rule("model.quantize*", no_effect=reasons.QUANTIZATION),
    Rule("model.low_vram", no_effect=("memory is planned per phase anyway", "メモリは常に段階ごとに解放されます")),
    Rule("model.layer_offloading*", no_effect=("block swap is not built yet", "ブロックスワップは未対応です")),
    Rule("sample.sampler", no_effect=reasons.FLOW),
    Rule("sample.sample_every", "sample_every_n_steps", whole),
    Rule("sample.walk_seed", lost=("the seed does not walk: every prompt has the one that is written", "シードは変化しません。各プロンプトに書かれた値を使います")),
    Rule("sample.*", no_effect=reasons.PROMPTS),
    Rule("logging.*", no_effect=reasons.PACE),
)  # fmt: skip
_DATASET_RULES = (
    Rule("cache_latents*", no_effect=reasons.CACHED),
    Rule("cache_text_embeddings", no_effect=reasons.CACHED),
    Rule("default_caption", lost=("write a caption file for each picture", "各画像にキャプションファイルを用意してください")),
    Rule("flip_y", lost=("pictures are not turned upside down", "上下反転はしません")),
    Rule("random_crop", lost=reasons.RANDOM_CROP),
    Rule("control_path*", lost=("control pictures: write control_directory", "control_directory を書いてください")),
)  # fmt: skip
_DATASET_KEYS: tuple[DatasetKey, ...] = (
    ("trigger_word", "trigger_word", str),
    ("caption_dropout_rate", "caption_dropout", float),
    ("shuffle_tokens", "tag_shuffle", tag_orders),
    ("keep_tokens", "keep_tags", whole),
    ("network_weight", "loss_weight", float),
    ("is_reg", "is_reg", bool),
    ("mask_path", "mask_directory", str),
    ("flip_x", "flip", bool),
)


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family, or None when it cannot be trained here."""
    arch = str(account.peek(_HERE + "model.arch", ""))
    known = _FAMILIES.get(arch)
    if known is not None and family in (None, known[0]):
        account.keep(_HERE + "model.arch", "task", known[1])
        family = known[0]
    elif arch:
        account.lose(_HERE + "model.arch", say(*reasons.NO_FAMILY))
    if "job" in account.leaves:
        account.no_effect("job", say("a training", "学習です"))
    if "config.name" in account.leaves:
        account.keep("config.name", "output_name", str(account.peek("config.name")))
    book_adapter(account, _HERE + "network.type", "lora")
    _datasets(account)
    _prompts(account)
    _optimizer_arguments(account)
    _quantized(account)
    account.apply(_RULES, _HERE)
    _states(account)
    account.apply((Rule("meta*", no_effect=reasons.PACE),))
    account.lines = [replace(line, key=line.key.removeprefix(_HERE)) for line in account.lines]
    alpha_is_the_rank(account)
    account.set("timestep_sampling", "sigmoid", say("ai-toolkit draws by a sigmoid by default", "ai-toolkit の既定 (sigmoid)"))  # fmt: skip
    account.set("lr_scheduler", "constant", say(*reasons.THEIR_DEFAULT))
    warm_up(account)
    return family


def _states(account: Account) -> None:
    key, every = _HERE + "save.max_step_saves_to_keep", account.options.get("save_every_n_steps")
    if key not in account.leaves:
        return
    kept = account.peek(key)
    if every and isinstance(kept, int) and kept > 0:
        account.keep(key, "save_last_n_steps", every * (kept - 1), say("in steps here", "本ツールではステップ数です"))
    else:
        account.no_effect(key, say(*reasons.NOTHING_SAVED))


def _quantized(account: Account) -> None:
    """``quantize`` is the switch, ``qtype`` says into what."""
    for part in ("", "_te"):
        on = account.peek(f"{_HERE}model.quantize{part}")
        kind = f"{_HERE}model.qtype{part}"
        book_weights(account, f"{_HERE}model.quantize{part}", encoder=bool(part))
        if on:
            book_weights(account, kind, encoder=bool(part))
        elif kind in account.leaves:
            account.no_effect(kind, say(*reasons.SWITCHED_OFF))


def _optimizer_arguments(account: Account) -> None:
    prefix = _HERE + "train.optimizer_params."
    found = {key.removeprefix(prefix): account.peek(key) for key in account.leaves if key.startswith(prefix)}
    for name, value in found.items():
        account.used(prefix + name, "optimizer_args", arguments({name: value})[0])
    if found:
        account.options["optimizer_args"] = arguments(found)


def _datasets(account: Account) -> None:
    account.keep_in_dataset(_HERE + "train.batch_size", account.general, "batch_size", whole)
    account.general["enable_bucket"] = True  # pictures are always bucketed there
    if account.peek(_HERE + "trigger_word"):
        account.keep_in_dataset(_HERE + "trigger_word", account.general, "trigger_word", str)
    number = 0
    while any(key.startswith(f"{_HERE}datasets.{number}.") for key in account.leaves):
        _one_dataset(account, f"{_HERE}datasets.{number}.", number)
        number += 1


def _one_dataset(account: Account, prefix: str, number: int) -> None:
    folder = str(account.peek(prefix + "folder_path", ""))
    frames = account.peek(prefix + "num_frames", 1)
    kind = "video" if isinstance(frames, int) and frames > 1 else "image"
    sides = account.convert(prefix + "resolution", sizes) or []
    repeats = account.convert(prefix + "num_repeats", whole)
    label = Path(folder).name or f"data{number + 1}"
    extra: dict[str, Any] = {}
    account.keep_switches(_DATASET_KEYS, extra, prefix)
    for side in sides or [[1024, 1024]]:
        entry: dict[str, Any] = {f"{kind}_directory": folder}
        several = f"-{side[0]}" if len(sides) > 1 else ""
        entry["cache_directory"] = f"cache/{label}{several}"
        entry["resolution"] = side
        entry["caption_extension"] = extension(account.peek(prefix + "caption_ext", "txt"))
        if kind == "video":
            entry["target_frames"] = [frames]
            entry["frame_extraction"] = "uniform" if account.peek(prefix + "shrink_video_to_frames") else "head"
        if repeats not in (None, 1):
            entry["num_repeats"] = repeats
        account.datasets.append({**entry, **extra})
    names: Mapping[str, str] = {
        "folder_path": f"{kind}_directory",
        "resolution": "resolution",
        "caption_ext": "caption_extension",
        "num_frames": "target_frames",
        "num_repeats": "num_repeats",
        "shrink_video_to_frames": "frame_extraction",
    }
    for name, option in names.items():
        if prefix + name in account.leaves:
            account.used(prefix + name, f"datasets.{option}")
    account.apply(_DATASET_RULES, prefix)


def _prompts(account: Account) -> None:
    prefix = _HERE + "sample."
    written = account.peek(prefix + "prompts", [])
    if not isinstance(written, list) or not written or account.peek(_HERE + "train.disable_sampling"):
        return
    flags = {"width": "w", "height": "h", "num_frames": "f", "sample_steps": "s", "guidance_scale": "l", "seed": "d"}
    shared = [(flags[name], account.peek(prefix + name)) for name in flags if prefix + name in account.leaves]
    if account.peek(prefix + "neg"):
        shared.append(("n", account.peek(prefix + "neg")))
    tail = "".join(f" --{flag} {value}" for flag, value in shared)
    trigger = str(account.general.get("trigger_word", "[trigger]"))
    account.prompts = [f"{' '.join(str(prompt).replace('[trigger]', trigger).split())}{tail}" for prompt in written]
    account.used(prefix + "prompts", "sample_prompts")
    for name in (*flags, "neg"):
        if prefix + name in account.leaves:
            account.used(prefix + name, "sample_prompts")
    if not account.peek(_HERE + "train.skip_first_sample"):
        account.set("sample_at_first", True, say("it samples before the first step", "最初のステップの前にも作ります"))
