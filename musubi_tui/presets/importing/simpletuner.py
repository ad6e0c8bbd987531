"""SimpleTuner's config.json (flat, with or without leading dashes), and the data backends in the file it names."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, CannotSay, Rule
from musubi_tui.presets.importing.meanings import (
    alpha_is_the_rank,
    book_adapter,
    book_family,
    book_weights,
    listed_in_file,
    mixed_precision,
    optimizer,
    schedule,
    size,
    warm_up,
    whole,
)

_FAMILIES = {"wan": "wan", "qwen_image": "qwen_image"}


def _steps(value: Any) -> int | None:
    number = whole(value)
    if number <= 0:
        raise CannotSay(say("zero means that the other limit counts", "0 はもう一方の上限を使う意味です"))
    return number


_RULES = (
    Rule("output_dir", "output_dir"),
    Rule("seed", "seed", whole),
    Rule("max_train_steps", "max_train_steps", _steps),
    Rule("num_train_epochs", "max_train_epochs", _steps),
    Rule("gradient_accumulation_steps", "gradient_accumulation_steps", whole),
    Rule("gradient_checkpointing", "gradient_checkpointing", bool),
    Rule("learning_rate", "learning_rate", float),
    Rule("lr_scheduler", "lr_scheduler", schedule),
    Rule("lr_warmup_steps", "lr_warmup_steps", whole),
    Rule("max_grad_norm", "max_grad_norm", float),
    Rule("mixed_precision", "mixed_precision", mixed_precision),
    Rule("optimizer", "optimizer_type", optimizer),
    Rule("optimizer_config", lost=("write it as optimizer_args", "optimizer_args に書いてください")),
    Rule("lora_rank", "network_dim", whole),
    Rule("lora_alpha", "network_alpha", float),
    Rule("lora_dropout", "network_dropout", float),
    Rule("flow_schedule_shift", "discrete_flow_shift", float),
    Rule("checkpointing_steps", "save_every_n_steps", whole),
    Rule("checkpoint_step_interval", "save_every_n_steps", whole),
    Rule("checkpoints_total_limit", "keep_states", whole),
    Rule("validation_steps", "sample_every_n_steps", whole),
    Rule("validation_step_interval", "sample_every_n_steps", whole),
    Rule("flow_schedule_auto_shift", lost=reasons.SHIFT),
    Rule("flow_use_uniform_schedule", lost=("set timestep_sampling = \"uniform\"", "timestep_sampling = \"uniform\" にしてください")),
    Rule("flow_use_beta_schedule", lost=("timesteps are not drawn from a beta curve here", "ベータ分布は未対応です")),
    Rule("flow_*", no_effect=reasons.UNUSED_TIMESTEPS),
    Rule("use_ema", lost=reasons.EMA),
    Rule("ema_*", no_effect=reasons.EMA),
    Rule("init_lora", lost=reasons.NETWORK_WEIGHTS),
    Rule("resume_from_checkpoint", no_effect=("a run goes on with: musubi-tui runs resume RUN", "再開は musubi-tui runs resume RUN です")),
    Rule("quantize*", no_effect=reasons.QUANTIZATION),
    Rule("pretrained_*", lost=reasons.FILES),
    Rule("validation_*", no_effect=reasons.PROMPTS),
    Rule("num_eval_images", no_effect=reasons.PROMPTS),
    Rule("eval_*", no_effect=reasons.PROMPTS),
    Rule("hub_*", no_effect=reasons.UPLOAD),
    Rule("push_*", lost=reasons.UPLOAD),
    *(Rule(name, no_effect=reasons.PACE) for name in ("report_to", "tracker_*", "*cache*", "disable_*", "skip_*", "compress_*", "ignore_final_epochs", "vae_batch_size", "write_batch_size", "*_batch_size", "minimum_image_size", "maximum_image_size", "attention_mechanism", "num_workers", "dataloader_*", "aspect_bucket_*", "metadata_update_interval", "offload_*", "webhook_*", "tread_config", "override_dataset_config", "allow_tf32", "delete_*", "preserve_*", "i_know*", "torch_*", "dynamo_*", "num_processes", "training_*", "debug_*")),
)  # fmt: skip
_BACKEND_RULES = (
    Rule("crop_style", lost=("the centre is cut out", "中央を切り出します")),
    Rule("crop_aspect", lost=("the shape comes from enable_bucket", "縦横比は enable_bucket で決まります")),
    Rule("instance_prompt", lost=reasons.INTO_CAPTIONS),
    Rule("prepend_instance_prompt", lost=reasons.CAPTIONS),
    Rule("only_instance_prompt", lost=reasons.CAPTIONS),
    Rule("probability", lost=("datasets are shown whole, num_repeats times", "データセットは num_repeats 回すべて使われます")),
    *(Rule(name, no_effect=reasons.PACE) for name in ("id", "type", "dataset_type", "disabled", "cache_dir*", "*cache_clear*", "minimum_*", "maximum_*", "target_downsample_size", "metadata_*", "skip_file_discovery", "text_embeds", "image_embeds", "default", "caption_filter_list", "video.*", "preserve_data_backend_cache", "hash_filenames", "vae_cache_ondemand")),
)  # fmt: skip


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family, or None when it cannot be trained here."""
    account.leaves = {key.lstrip("-").replace("-", "_"): value for key, value in account.leaves.items()}
    family = book_family(account, "model_family", _FAMILIES, family)
    flavour = str(account.peek("model_flavour", "")).lower()
    if flavour and family == "wan":
        account.keep("model_flavour", "task", "t2v-1.3B" if "1.3b" in flavour else "t2v-14B")
    elif flavour:
        account.no_effect(
            "model_flavour", say("the model is the file that dit names", "モデルは dit のファイルで決まります")
        )
    book_adapter(account, "model_type", "lora")
    book_adapter(account, "lora_type", "standard")
    _prompt(account)
    _backends(account, here)
    for key in [
        key for key in account.leaves if key == "base_model_precision" or fnmatchcase(key, "text_encoder_*precision")
    ]:
        book_weights(account, key, encoder=key != "base_model_precision")
    account.apply(_RULES)
    account.set("timestep_sampling", "shift" if "discrete_flow_shift" in account.options else "sigmoid", say("SimpleTuner's default: a sigmoid, shifted where a shift is given", "SimpleTuner の既定 (sigmoid。shift があれば適用)"))  # fmt: skip
    alpha_is_the_rank(account)
    account.set("lr_scheduler", "constant", say(*reasons.THEIR_DEFAULT))
    warm_up(account)
    return family


def _prompt(account: Account) -> None:
    text = account.peek("validation_prompt")
    if not text:
        return
    line = " ".join(str(text).split())
    flags = {"validation_num_inference_steps": "s", "validation_guidance": "l", "validation_seed": "d", "validation_num_video_frames": "f"}  # fmt: skip
    for key, flag in flags.items():
        if account.peek(key) is not None:
            line += f" --{flag} {account.peek(key)}"
            account.used(key, "sample_prompts")
    try:
        width, height = size(account.peek("validation_resolution", ""))
    except ValueError:
        pass  # more than one size, or none: the model's own is taken
    else:
        line += f" --w {width} --h {height}"
        account.used("validation_resolution", "sample_prompts")
    if account.peek("validation_negative_prompt"):
        line += f" --n {' '.join(str(account.peek('validation_negative_prompt')).split())}"
        account.used("validation_negative_prompt", "sample_prompts")
    account.prompts = [line]
    account.used("validation_prompt", "sample_prompts")


def _backends(account: Account, here: Path) -> None:
    account.keep_in_dataset("train_batch_size", account.general, "batch_size", whole)
    account.general["caption_extension"] = ".txt"
    account.keep_switches((("caption_dropout_probability", "caption_dropout", float),), account.general)
    kind = str(account.peek("resolution_type", "pixel"))
    side = account.convert("resolution", lambda value: _side(value, kind))
    for key in ("resolution", "resolution_type"):
        if key in account.leaves:
            account.used(key, "datasets.resolution", side)
    for number, backend in enumerate(listed_in_file(account, "data_backend_config", here)):
        _one_backend(account, number, backend, side)


def _side(value: Any, kind: str) -> list[int] | None:
    """``resolution`` is a side in pixels, or an area in megapixels."""
    if value is None:
        return None
    number = float(value)
    edge = round((number * 1e6) ** 0.5) if kind == "area" and number < 64 else round(number)
    return [edge, edge]


def _one_backend(account: Account, number: int, backend: dict[str, Any], side: list[int] | None) -> None:
    prefix = f"data_backend.{number}."
    account.leaves.update({prefix + key: value for key, value in Account.of(backend).leaves.items()})
    what = backend.get("dataset_type", "image")
    if what == "text_embeds" or backend.get("disabled"):
        account.apply((Rule("*", no_effect=reasons.PACE),), prefix)
        return
    if backend.get("type", "local") != "local" or "instance_data_dir" not in backend:
        account.apply((Rule("*", lost=("only folders of this machine are read", "このマシンのフォルダーのみ対応しています")),), prefix)  # fmt: skip
        return
    kind = "video" if what == "video" else "image"
    folder = str(backend["instance_data_dir"])
    label = str(backend.get("id") or Path(folder).name or f"data{number + 1}")
    own = _side(backend.get("resolution"), str(backend.get("resolution_type", "pixel"))) or side or [1024, 1024]
    entry: dict[str, Any] = {f"{kind}_directory": folder, "cache_directory": f"cache/{label}", "resolution": own}
    entry["enable_bucket"] = not backend.get("crop", False) or backend.get("crop_aspect") == "preserve"
    if isinstance(backend.get("repeats"), int) and backend["repeats"] > 0:
        entry["num_repeats"] = backend["repeats"] + 1  # there it counts the extra showings
    if kind == "video":
        frames = backend.get("video", {}).get("num_frames") if isinstance(backend.get("video"), dict) else None
        entry["target_frames"] = [frames if isinstance(frames, int) else 49]
        entry["frame_extraction"] = "head"
        if prefix + "video.num_frames" in account.leaves:
            account.used(prefix + "video.num_frames", "datasets.target_frames")
    if backend.get("is_regularisation_data"):
        account.keep_in_dataset(f"{prefix}is_regularisation_data", entry, "is_reg", bool)
    account.datasets.append(entry)
    captions = backend.get("caption_strategy", "filename")
    if captions != "textfile" and prefix + "caption_strategy" in account.leaves:
        account.lose(prefix + "caption_strategy", say(*reasons.CAPTION_FILES))
    for name, option in (("instance_data_dir", f"{kind}_directory"), ("resolution", "resolution"), ("resolution_type", "resolution"), ("repeats", "num_repeats"), ("crop", "enable_bucket"), ("caption_strategy", "caption_extension")):  # fmt: skip
        if prefix + name in account.leaves:
            account.used(prefix + name, f"datasets.{option}")
    account.apply(_BACKEND_RULES, prefix)
