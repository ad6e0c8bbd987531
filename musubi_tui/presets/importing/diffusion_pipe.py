"""diffusion-pipe's TOML: a training file, and a dataset file beside it (facts: its example files and docs/supported_models.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError
from engine.config.toml_source import read_toml
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, Rule
from musubi_tui.presets.importing.meanings import (
    alpha_is_the_rank,
    arguments,
    book_adapter,
    book_family,
    book_weights,
    lose_file,
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

_FAMILIES = {"wan": "wan", "qwen_image": "qwen_image"}
_TIMESTEPS = {"logit_normal": "sigmoid", "uniform": "uniform"}
_PARALLEL = ("it splits the model over GPUs; training runs in one process here", "モデルを複数 GPU に分ける設定です (本ツールは 1 プロセス)")  # fmt: skip
_EVAL = ("validation is held on items of the training set: validation_items", "検証は学習データの一部で行います: validation_items")  # fmt: skip


_RULES = (
    Rule("output_dir", "output_dir"),
    Rule("epochs", "max_train_epochs", whole),
    Rule("max_steps", "max_train_steps", whole),
    Rule("gradient_accumulation_steps", "gradient_accumulation_steps", whole),
    Rule("gradient_clipping", "max_grad_norm", float),
    Rule("warmup_steps", "lr_warmup_steps", whole),
    Rule("lr_scheduler", "lr_scheduler", schedule),
    Rule("blocks_to_swap", "blocks_to_swap", whole),
    Rule("save_every_n_epochs", "save_every_n_epochs", whole),
    Rule("save_every_n_steps", "save_every_n_steps", whole),
    Rule("checkpoint_every_n_minutes", "save_state_every_minutes", float),
    Rule("checkpoint_every_n_epochs", no_effect=("a state is saved every save_state_every_minutes", "状態は save_state_every_minutes ごとに保存されます")),
    Rule("activation_checkpointing", "gradient_checkpointing", bool),
    Rule("save_dtype", "save_precision", save_precision),
    Rule("compile", "compile", bool),
    Rule("model.dtype", "mixed_precision", mixed_precision),
    Rule("model.transformer_path", "dit"),
    Rule("model.vae_path", "vae"),
    Rule("model.timestep_sample_method", "timestep_sampling", timesteps(_TIMESTEPS)),
    Rule("model.sigmoid_scale", "sigmoid_scale", float),
    Rule("model.shift", "discrete_flow_shift", float),
    Rule("model.min_t", "min_timestep", lambda value: round(float(value) * 1000)),
    Rule("model.max_t", "max_timestep", lambda value: round(float(value) * 1000)),
    Rule("model.ckpt_path", lost=reasons.FILES),
    Rule("model.diffusers_path", lost=reasons.FILES),
    Rule("adapter.rank", "network_dim", whole),
    Rule("adapter.alpha", "network_alpha", float),
    Rule("adapter.dropout", "network_dropout", float),
    Rule("adapter.init_from_existing", lost=("start from a LoRA with network_weights = the .safetensors file", "network_weights に .safetensors を指定してください")),
    Rule("adapter.dtype", no_effect=reasons.ADAPTER_DTYPE),
    Rule("optimizer.type", "optimizer_type", optimizer),
    Rule("optimizer.lr", "learning_rate", float),
    Rule("optimizer.stabilize", no_effect=("a detail of that optimizer's 8-bit form", "元の 8 ビット版固有の設定です")),
    Rule("optimizer.gradient_release", no_effect=("it only saves memory", "メモリ節約だけの設定です")),
    Rule("force_constant_lr", lost=("set learning_rate, and lr_scheduler = \"constant\"", "learning_rate と lr_scheduler = \"constant\" を使います")),
    Rule("pseudo_huber_c", lost=("the loss is the squared error here", "損失は二乗誤差です")),
    Rule("*eval*", no_effect=_EVAL),
    Rule("video_clip_mode", lost=("clips start at the beginning: frame_extraction = \"head\"", "クリップは先頭から取ります: frame_extraction = \"head\"")),
    Rule("pipeline_stages", no_effect=_PARALLEL),
    Rule("partition_*", no_effect=_PARALLEL),
    Rule("reentrant_activation_checkpointing", no_effect=reasons.PACE),
    Rule("caching_batch_size", no_effect=reasons.PACE),
    Rule("map_num_proc", no_effect=reasons.PACE),
    Rule("steps_per_print", no_effect=reasons.PACE),
    Rule("x_axis_examples", no_effect=reasons.PACE),
    Rule("save_every_n_examples", lost=reasons.SAVE_UNITS),
    Rule("monitoring.*", no_effect=("runs are recorded without a service: musubi-tui runs", "実行は本ツールが記録します: musubi-tui runs")),
)  # fmt: skip

_DATASET_RULES = (
    Rule("*min_ar", lost=reasons.BUCKETS),
    Rule("*max_ar", lost=reasons.BUCKETS),
    Rule("*num_ar_buckets", no_effect=("the sizes of equal area are listed by the model's step", "バケットはモデルの刻みで決まります")),
    Rule("*ar_buckets*", lost=reasons.SIZES),
    Rule("*size_buckets*", lost=reasons.SIZES),
    Rule("*cache_shuffle_delimiter", no_effect=("tags are separated by commas", "タグの区切りはカンマです")),
    Rule("*cache_shuffle_num", lost=reasons.TAG_SHUFFLE),
    Rule("*shuffle_tags", lost=reasons.TAG_SHUFFLE),
    Rule("*caption_prefix", lost=reasons.INTO_CAPTIONS),
    Rule("*skip_empty_caption", no_effect=("pictures without a caption are left out and named", "キャプションのない画像は除外され、一覧に出ます")),
)  # fmt: skip


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family, or None when it cannot be trained here."""
    family = book_family(account, "model.type", _FAMILIES, family)
    encoder = "t5" if family == "wan" else "text_encoder"
    for key in ("model.llm_path", "model.text_encoder_path"):
        if key in account.leaves:
            account.keep(key, encoder, account.peek(key))
    book_adapter(account, "adapter.type", "lora")
    if account.peek("model.flux_shift") is True:
        account.keep("model.flux_shift", "timestep_sampling", "flux_shift")
        if "model.timestep_sample_method" in account.leaves:
            account.no_effect("model.timestep_sample_method", say("flux_shift draws from a bell curve", "flux_shift は正規分布から引きます"))  # fmt: skip
    _official_folder(account, family)
    if account.peek("activation_checkpointing") == "unsloth":
        why = say("recomputed, not kept in main memory", "再計算します (メインメモリへの退避は未対応)")
        account.keep("activation_checkpointing", "gradient_checkpointing", True, why)
    if account.peek("video_clip_mode") == "single_beginning":
        account.used("video_clip_mode", "datasets.frame_extraction", "head")
    book_weights(account, "model.transformer_dtype")
    _batch_size(account)
    _optimizer_arguments(account)
    account.apply(_RULES)
    account.set("timestep_sampling", "sigmoid", say("diffusion-pipe draws logit-normal by default", "diffusion-pipe の既定 (logit_normal)"))  # fmt: skip
    if "discrete_flow_shift" in account.options and account.options["timestep_sampling"] == "sigmoid":
        account.options["timestep_sampling"] = "shift"  # the same curve, with the shift applied
    alpha_is_the_rank(account)
    account.set("lr_scheduler", "constant", say(*reasons.THEIR_DEFAULT))
    warm_up(account)
    _dataset(account, here, file)
    return family


def _official_folder(account: Account, family: str | None) -> None:
    """The folder of Wan's own release holds VAE and text encoder under known names."""
    folder = account.peek("model.ckpt_path")
    if family != "wan" or not folder:
        return
    files = {"vae": "Wan2.1_VAE.pth", "t5": "models_t5_umt5-xxl-enc-bf16.pth"}
    for option, name in files.items():
        if option not in account.options:
            account.options[option] = f"{str(folder).rstrip('/')}/{name}"
    why = "" if "model.transformer_path" in account.leaves else say("name the transformer's file as dit", "dit にトランスフォーマーのファイルを指定してください")  # fmt: skip
    account.used("model.ckpt_path", "vae", account.options["vae"], why)


def _batch_size(account: Account) -> None:
    value = account.peek("micro_batch_size_per_gpu")
    if isinstance(value, int):
        account.keep_in_dataset("micro_batch_size_per_gpu", account.general, "batch_size", whole)
    elif value is not None:
        account.lose("micro_batch_size_per_gpu", say(*reasons.BATCH_SIZE))
    if "image_micro_batch_size_per_gpu" in account.leaves:
        account.lose("image_micro_batch_size_per_gpu", say(*reasons.BATCH_SIZE))


def _optimizer_arguments(account: Account) -> None:
    names = {"optimizer.betas": "betas", "optimizer.weight_decay": "weight_decay", "optimizer.eps": "eps"}
    found = {name: account.peek(key) for key, name in names.items() if key in account.leaves}
    for key in names:
        if key in account.leaves:
            account.used(key, "optimizer_args", arguments({names[key]: found[names[key]]})[0])
    if found:
        account.options["optimizer_args"] = arguments(found)


def _dataset(account: Account, here: Path, file: Path | None) -> None:
    named = account.peek("dataset")
    if named is None:
        return
    places = [here / str(named), *([file.parent / str(named)] if file is not None else [])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        lose_file(account, "dataset")
        return
    try:
        data = read_toml(found).data
    except ConfigError as error:
        account.lose("dataset", "; ".join(problem.message for problem in error.problems))
        return
    account.used("dataset", "datasets")
    inner = Account.of(data)
    _directories(inner, data, here)
    account.lines += inner.lines
    account.general.update(inner.general)
    account.datasets += inner.datasets


def _directories(account: Account, data: Any, here: Path) -> None:
    account.keep_in_dataset("enable_ar_bucket", account.general, "enable_bucket", bool)
    account.general["caption_extension"] = ".txt"
    for name in ("cache_shuffle_num", "shuffle_tags"):
        if account.peek(name):
            account.keep_in_dataset(name, account.general, "tag_shuffle", tag_orders)
    listed = data.get("directory", [])
    shared = [
        _booked(account, "", name, convert) for name, convert in (("resolutions", sizes), ("frame_buckets", _frames))
    ]
    for number, table in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(table, dict):
            _one_directory(account, f"directory.{number}.", number, here, *shared)
    account.apply(_DATASET_RULES)
    account.close()


def _one_directory(account: Account, prefix: str, number: int, here: Path, sides: Any, frames: Any) -> None:
    path = str(_booked(account, prefix, "path", str) or "")
    repeats = _booked(account, prefix, "num_repeats", whole)
    sides = _booked(account, prefix, "resolutions", sizes) or sides or []
    frames = _booked(account, prefix, "frame_buckets", _frames) or frames or [1]
    mask = _booked(account, prefix, "mask_path", str)
    label = Path(path).name or f"data{number + 1}"
    choices: list[list[int] | None] = [*sides] or [None]
    for side in choices:
        for kind in _kinds(here / path, frames):
            several = f"-{side[0]}x{side[1]}" if side and len(sides) > 1 else ""
            entry: dict[str, Any] = {f"{kind}_directory": path, "cache_directory": f"cache/{label}-{kind}{several}"}
            if side:
                entry["resolution"] = side
            if kind == "video":
                entry["target_frames"] = [frame for frame in frames if frame > 1] or [1]
                entry["frame_extraction"] = "head"
            if repeats is not None and repeats > 1:
                entry["num_repeats"] = repeats
            if mask and kind == "image":
                entry["mask_directory"] = mask
            account.datasets.append(entry)


def _booked(account: Account, prefix: str, name: str, convert: Callable[[Any], Any]) -> Any:
    """A converted value that went into the datasets; None where it is not set or makes no sense."""
    value = account.convert(prefix + name, convert)
    if value is not None:
        account.used(prefix + name, f"datasets.{_NAMES[name]}", value)
    return value


def _frames(written: Any) -> list[int]:
    return [whole(value) for value in (written if isinstance(written, list) else [written])]


_NAMES = {
    "path": "image_directory / video_directory",
    "num_repeats": "num_repeats",
    "mask_path": "mask_directory",
    "resolutions": "resolution",
    "frame_buckets": "target_frames",
}
_MOVING = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def _kinds(folder: Path, frames: list[int]) -> list[str]:
    """Whether a folder holds pictures, clips or both; by its frame buckets where it is not here."""
    try:
        names = {path.suffix.lower() for path in folder.iterdir()}
    except (OSError, ValueError):
        longest = max(frames, default=1)
        return ["video"] if longest > 1 and 1 not in frames else ["image"] if longest == 1 else ["image", "video"]
    moving = bool(names & _MOVING)
    still = bool(names - _MOVING - {".txt", ""})
    return [*(["image"] if still or not moving else []), *(["video"] if moving else [])]
