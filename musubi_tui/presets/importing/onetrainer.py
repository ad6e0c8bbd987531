"""OneTrainer's JSON: a flat config with parts for the models, and concepts in a file of their own or inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, CannotSay, DatasetKey, Rule
from musubi_tui.presets.importing.meanings import (
    arguments,
    book_adapter,
    book_family,
    book_weights,
    listed_in_file,
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

_FAMILIES = {"QWEN": "qwen_image"}
_TIMESTEPS = {"UNIFORM": "uniform", "LOGIT_NORMAL": "sigmoid", "SIGMOID": "sigmoid"}
_OTHER = ("it belongs to another kind of model or training", "別の種類のモデルや学習の設定です")
_LOSS = ("the loss is the plain squared error here", "損失は単純な二乗誤差です")
_PLACES = ("which layers get an adapter is chosen with network_args patterns here", "対象の層は network_args のパターンで選びます")  # fmt: skip


def _steps(value: Any) -> int | float:
    number = float(value)
    return whole(number) if number >= 1 or number == 0 else number


def _checkpointing(value: Any) -> bool:
    if value == "CPU_OFFLOADED":
        raise CannotSay(say("activations are recomputed, not kept in main memory", "活性は再計算され、メインメモリには退避しません"))  # fmt: skip
    return value in (True, "ON")


_RULES = (
    Rule("epochs", "max_train_epochs", whole),
    Rule("gradient_accumulation_steps", "gradient_accumulation_steps", whole),
    Rule("learning_rate", "learning_rate", float),
    Rule("learning_rate_scheduler", "lr_scheduler", schedule),
    Rule("learning_rate_warmup_steps", "lr_warmup_steps", _steps),
    Rule("clip_grad_norm", "max_grad_norm", float),
    Rule("lora_rank", "network_dim", whole),
    Rule("lora_alpha", "network_alpha", float),
    Rule("dropout_probability", "network_dropout", float),
    Rule("train_dtype", "mixed_precision", mixed_precision),
    Rule("output_dtype", "save_precision", save_precision),
    Rule("timestep_distribution", "timestep_sampling", timesteps(_TIMESTEPS)),
    Rule("timestep_shift", "discrete_flow_shift", float),
    Rule("min_noising_strength", "min_timestep", lambda value: round(float(value) * 1000)),
    Rule("max_noising_strength", "max_timestep", lambda value: round(float(value) * 1000)),
    Rule("gradient_checkpointing", "gradient_checkpointing", _checkpointing),
    Rule("transformer.gradient_checkpointing", "gradient_checkpointing", bool),
    Rule("transformer.learning_rate", "learning_rate", float),
    Rule("transformer.train", no_effect=reasons.ALWAYS),
    Rule("transformer.*", no_effect=reasons.PACE),
    Rule("text_encoder*.train", lost=reasons.TEXT_ENCODERS),
    Rule("text_encoder*", no_effect=reasons.TEXT_ENCODERS),
    Rule("vae.model_name", lost=reasons.FILES),
    Rule("vae.*", no_effect=("the VAE only encodes, once", "VAE はエンコードに一度使うだけです")),
    Rule("base_model_name", lost=reasons.FILES),
    Rule("ema", lost=reasons.EMA),
    Rule("ema_*", no_effect=reasons.EMA),
    Rule("loss_*", no_effect=_LOSS),
    Rule("mae_strength", lost=_LOSS),
    Rule("log_cosh_strength", lost=_LOSS),
    Rule("huber*", lost=_LOSS),
    Rule("mse_strength", no_effect=_LOSS),
    Rule("vb_loss_strength", no_effect=_LOSS),
    Rule("masked_training", lost=reasons.MASKS),
    Rule("masked_*", no_effect=reasons.MASKS),
    Rule("*unmasked_*", no_effect=reasons.MASKS),
    Rule("offset_noise_weight", lost=reasons.NOISE),
    Rule("perturbation_noise_weight", lost=reasons.NOISE),
    Rule("dynamic_timestep_shifting", lost=reasons.SHIFT),
    Rule("noising_*", no_effect=reasons.UNUSED_TIMESTEPS),
    Rule("lora_decompose*", lost=("only plain LoRA is built", "通常の LoRA のみ対応しています")),
    Rule("lora_model_name", lost=reasons.NETWORK_WEIGHTS),
    Rule("lora_weight_dtype", no_effect=reasons.ADAPTER_DTYPE),
    Rule("layer_filter*", lost=_PLACES),
    Rule("lora_layer*", lost=_PLACES),
    Rule("quantization*", no_effect=reasons.QUANTIZATION),
    Rule("validation", no_effect=("a fixed set of items is measured: validation_items", "固定した項目で測ります: validation_items")),
    Rule("learning_rate_*", no_effect=("a detail of schedules or parts that are not trained", "使われないスケジュールや部分の設定です")),
    *(Rule(name, no_effect=_OTHER) for name in ("unet*", "prior*", "decoder*", "effnet*", "embedding*", "additional_embeddings*", "bundle_*", "unconditional_*", "preserve_embedding*", "token_*")),
    *(Rule(name, no_effect=reasons.PACE) for name in ("debug*", "tensorboard*", "cloud*", "secrets*", "train_device", "temp_device", "*_threads", "*caching*", "only_cache", "compile", "device_indexes", "multi_gpu", "validate_*", "continue_last_backup", "backup*", "rolling_*", "workspace_dir", "cache_dir", "output_model_format", "__version", "clear_cache*", "*offload*", "sample*", "samples*", "non_ema_sampling", "include_train_config", "save_filename_prefix", "save_skip_first", "frames", "force_*", "rescale_*", "gradient_reduce*", "fused_gradient*", "async_*", "attention_mechanism", "fallback_train_dtype", "optimizer_defaults*", "training_method")),
)  # fmt: skip


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family, or None when it cannot be trained here."""
    family = book_family(account, "model_type", _FAMILIES, family)
    method = account.peek("training_method", "LORA")
    if method != "LORA":
        account.lose("training_method", say(*reasons.ONLY_LORA))
    book_adapter(account, "peft_type", "LORA")
    _destination(account)
    _saving(account)
    _optimizer(account)
    _concepts(account, here)
    for part in (
        "",
        "transformer.",
        *(key.removesuffix("weight_dtype") for key in account.leaves if key.startswith("text_encoder")),
    ):
        book_weights(account, f"{part}weight_dtype", encoder=part.startswith("text_encoder"))
    account.apply(_RULES)
    for option, value in (("network_dim", 16), ("network_alpha", 1.0), ("learning_rate", 3e-6), ("max_train_epochs", 100), ("lr_warmup_steps", 200), ("timestep_sampling", "uniform"), ("max_grad_norm", 1.0), ("lr_scheduler", "constant")):  # fmt: skip
        account.set(option, value, say("OneTrainer's default", "OneTrainer の既定値"))
    warm_up(account)
    return family


def _destination(account: Account) -> None:
    written = account.peek("output_model_destination")
    if not written:
        return
    path = Path(str(written))
    if str(path.parent) != ".":
        account.options["output_dir"] = str(path.parent)
    account.keep("output_model_destination", "output_name", path.stem)


def _saving(account: Account) -> None:
    every, unit = account.peek("save_every"), account.peek("save_every_unit")
    if every is None or unit is None:
        return
    options = {"EPOCH": "save_every_n_epochs", "STEP": "save_every_n_steps"}
    if isinstance(unit, str) and unit in options and every:
        account.apply((Rule("save_every", options[unit], whole),))
        account.used("save_every_unit", options[unit])
    elif unit == "NEVER" or not every:
        account.no_effect("save_every", say(*reasons.NOTHING_SAVED))
        account.no_effect("save_every_unit", say(*reasons.NOTHING_SAVED))
    else:
        account.lose("save_every", say(*reasons.SAVE_UNITS))
        account.lose("save_every_unit", say(*reasons.SAVE_UNITS))


def _optimizer(account: Account) -> None:
    account.apply((Rule("optimizer.optimizer", "optimizer_type", optimizer),))
    first, second = account.peek("optimizer.beta1"), account.peek("optimizer.beta2")
    found: dict[str, Any] = {}
    if first is not None and second is not None:
        found["betas"] = [first, second]
        account.used("optimizer.beta1", "optimizer_args")
        account.used("optimizer.beta2", "optimizer_args")
    for name in ("weight_decay", "eps"):
        value = account.peek(f"optimizer.{name}")
        if value is not None:
            found[name] = value
            account.used(f"optimizer.{name}", "optimizer_args")
    if found:
        account.options["optimizer_args"] = arguments(found)
    account.apply((Rule("optimizer.*", no_effect=("a detail of other optimizers", "他のオプティマイザーの設定です")),))


def _concepts(account: Account, here: Path) -> None:
    account.keep_in_dataset("batch_size", account.general, "batch_size", whole)
    account.general["enable_bucket"] = bool(account.peek("aspect_ratio_bucketing", True))
    if "aspect_ratio_bucketing" in account.leaves:
        account.used("aspect_ratio_bucketing", "general.enable_bucket")
    account.general["caption_extension"] = ".txt"
    sides = account.convert("resolution", lambda written: sizes(str(written).split(","))) or []
    if sides:
        account.used("resolution", "datasets.resolution", sides)
    concepts = _listed(account, here)
    for number, concept in enumerate(concepts):
        if isinstance(concept, dict) and concept.get("enabled", True):
            _one_concept(account, number, concept, sides)


def _listed(account: Account, here: Path) -> list[Any]:
    """The concepts: inside the config, or in the file it names."""
    inside = sorted({int(key.split(".")[1]) for key in account.leaves if key.startswith("concepts.")})
    if inside:
        found: list[dict[str, Any]] = []
        for number in inside:
            prefix = f"concepts.{number}."
            found.append({key.removeprefix(prefix): account.leaves.pop(key) for key in list(account.leaves) if key.startswith(prefix)})  # fmt: skip
        return found
    account.leaves.pop("concepts", None)
    return [Account.of(concept).leaves for concept in listed_in_file(account, "concept_file_name", here)]


_CONCEPT_RULES = (
    Rule("image.enable_crop_jitter", lost=("the centre is cut out; random_crop encodes several cuts", "中央を切り出します (random_crop で複数の切り抜きも可)")),
    Rule("image.enable_*", lost=reasons.PICTURES),
    Rule("image.*", no_effect=reasons.PICTURES),
    Rule("text.tag_dropout_enable", lost=reasons.CAPTIONS),
    Rule("text.caps_randomize_enable", lost=reasons.CAPTIONS),
    Rule("text.*", no_effect=reasons.CAPTIONS),
    *(Rule(name, no_effect=("a detail that is not needed here", "本ツールでは不要な設定です")) for name in ("__version", "name", "seed", "enabled", "image_variations", "text_variations", "balancing_strategy")),
)  # fmt: skip


_CONCEPT_KEYS: tuple[DatasetKey, ...] = (
    ("include_subdirectories", "recursive", bool),
    ("validation_concept", "validation", bool),
    ("loss_weight", "loss_weight", float),
    ("image.enable_random_flip", "flip", bool),
    ("text.enable_tag_shuffling", "tag_shuffle", tag_orders),
)


def _one_concept(account: Account, number: int, concept: dict[str, Any], sides: list[list[int]]) -> None:
    prefix = f"concepts.{number}."
    account.leaves.update({prefix + key: value for key, value in concept.items()})
    folder = str(concept.get("path", ""))
    label = Path(folder).name or f"data{number + 1}"
    extra: dict[str, Any] = {}
    account.keep_switches(_CONCEPT_KEYS, extra, prefix)
    if "tag_shuffle" in extra:
        account.keep_in_dataset(f"{prefix}text.keep_tags_count", extra, "keep_tags", whole)
    for side in sides or [[512, 512]]:
        entry: dict[str, Any] = {"image_directory": folder, "resolution": side, **extra}
        entry["cache_directory"] = f"cache/{label}" + (f"-{side[0]}" if len(sides) > 1 else "")
        repeats = concept.get("balancing", concept.get("repeats", 1))
        if isinstance(repeats, int | float) and repeats > 1 and float(repeats).is_integer():
            entry["num_repeats"] = int(repeats)
        account.datasets.append(entry)
    source = concept.get("text.prompt_source", "sample")
    if source not in ("sample", None):
        account.lose(f"{prefix}text.prompt_source", say(*reasons.CAPTION_FILES))
    account.used(f"{prefix}path", "datasets.image_directory")
    for name in ("balancing", "repeats"):
        value = concept.get(name)
        if name in concept and isinstance(value, int | float) and value >= 1 and float(value).is_integer():
            account.used(prefix + name, "datasets.num_repeats", value)
        elif name in concept:
            account.lose(prefix + name, say("repeats are whole numbers here", "繰り返しは整数です"))
    account.apply(_CONCEPT_RULES, prefix)
