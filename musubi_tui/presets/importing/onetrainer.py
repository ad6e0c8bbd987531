"""OneTrainer's JSON: a flat config with parts for the models, and concepts in a file of their own or inside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.importing.account import Account, CannotSay, Rule
from musubi_tui.presets.importing.meanings import (
    arguments,
    book_weights,
    mixed_precision,
    optimizer,
    save_precision,
    schedule,
    size,
    tag_orders,
    warm_up,
    whole,
)

_FAMILIES = {"QWEN": "qwen_image"}
_PACE = ("it only sets how that program works or reports", "元のプログラムの動作や表示だけの設定です")
_OTHER = ("it belongs to another kind of model or training", "別の種類のモデルや学習の設定です")
_FOLDER = ("name the files one by one: dit, vae and the text encoder", "dit・vae・テキストエンコーダーをファイルで指定してください")  # fmt: skip
_EMA = ("there is no EMA of the weights yet", "重みの EMA は未対応です")
_LOSS = ("the loss is the plain squared error here", "損失は単純な二乗誤差です")
_PLACES = ("which layers get an adapter is chosen with network_args patterns here", "対象の層は network_args のパターンで選びます")  # fmt: skip


def _steps(value: Any) -> int | float:
    number = float(value)
    return whole(number) if number >= 1 or number == 0 else number


def _timesteps(value: Any) -> str:
    known = {"UNIFORM": "uniform", "LOGIT_NORMAL": "sigmoid", "SIGMOID": "sigmoid"}
    if value not in known:
        raise CannotSay(say(f"timesteps are not drawn by {value!r} here", f"タイムステップ分布 {value!r} は未対応です"))
    return known[value]


def _schedule(value: Any) -> str:
    return schedule(str(value).lower())


def _checkpointing(value: Any) -> bool:
    if value == "CPU_OFFLOADED":
        raise CannotSay(say("activations are recomputed, not kept in main memory", "活性は再計算され、メインメモリには退避しません"))  # fmt: skip
    return value in (True, "ON")


_RULES = (
    Rule("epochs", "max_train_epochs", whole),
    Rule("gradient_accumulation_steps", "gradient_accumulation_steps", whole),
    Rule("learning_rate", "learning_rate", float),
    Rule("learning_rate_scheduler", "lr_scheduler", _schedule),
    Rule("learning_rate_warmup_steps", "lr_warmup_steps", _steps),
    Rule("clip_grad_norm", "max_grad_norm", float),
    Rule("lora_rank", "network_dim", whole),
    Rule("lora_alpha", "network_alpha", float),
    Rule("dropout_probability", "network_dropout", float),
    Rule("train_dtype", "mixed_precision", mixed_precision),
    Rule("output_dtype", "save_precision", save_precision),
    Rule("timestep_distribution", "timestep_sampling", _timesteps),
    Rule("timestep_shift", "discrete_flow_shift", float),
    Rule("min_noising_strength", "min_timestep", lambda value: round(float(value) * 1000)),
    Rule("max_noising_strength", "max_timestep", lambda value: round(float(value) * 1000)),
    Rule("gradient_checkpointing", "gradient_checkpointing", _checkpointing),
    Rule("transformer.gradient_checkpointing", "gradient_checkpointing", bool),
    Rule("transformer.learning_rate", "learning_rate", float),
    Rule("transformer.train", no_effect=("it always is", "常に学習します")),
    Rule("transformer.*", no_effect=_PACE),
    Rule("text_encoder*.train", lost=("text encoders are never trained", "テキストエンコーダーは学習しません")),
    Rule("text_encoder*", no_effect=("text encoders are never trained", "テキストエンコーダーは学習しません")),
    Rule("vae.model_name", lost=_FOLDER),
    Rule("vae.*", no_effect=("the VAE only encodes, once", "VAE はエンコードに一度使うだけです")),
    Rule("base_model_name", lost=_FOLDER),
    Rule("ema", lost=_EMA),
    Rule("ema_*", no_effect=_EMA),
    Rule("loss_*", no_effect=_LOSS),
    Rule("mae_strength", lost=_LOSS),
    Rule("log_cosh_strength", lost=_LOSS),
    Rule("huber*", lost=_LOSS),
    Rule("mse_strength", no_effect=_LOSS),
    Rule("vb_loss_strength", no_effect=_LOSS),
    Rule("masked_training", lost=("loss masks are not carried over", "マスクは引き継がれません")),
    Rule("masked_*", no_effect=("loss masks are not carried over", "マスクは引き継がれません")),
    Rule("*unmasked_*", no_effect=("loss masks are not carried over", "マスクは引き継がれません")),
    Rule("offset_noise_weight", lost=("flow models are trained on plain noise", "フローモデルは通常のノイズで学習します")),
    Rule("perturbation_noise_weight", lost=("flow models are trained on plain noise", "フローモデルは通常のノイズで学習します")),
    Rule("dynamic_timestep_shifting", lost=("choose timestep_sampling = \"qwen_shift\" or \"flux_shift\"", "timestep_sampling = \"qwen_shift\" か \"flux_shift\" を選んでください")),
    Rule("noising_*", no_effect=("it shapes a distribution that is not used", "使われない分布の設定です")),
    Rule("lora_decompose*", lost=("only plain LoRA is built", "通常の LoRA のみ対応しています")),
    Rule("lora_model_name", lost=("start from a LoRA with network_weights", "network_weights で LoRA から始められます")),
    Rule("lora_weight_dtype", no_effect=("adapters train in 32 bits here", "アダプターは 32 ビットで学習します")),
    Rule("layer_filter*", lost=_PLACES),
    Rule("lora_layer*", lost=_PLACES),
    Rule("quantization*", no_effect=("a detail of smaller weights, which are not built yet", "量子化の細部の設定です (量子化は未対応)")),
    Rule("validation", no_effect=("a fixed set of items is measured: validation_items", "固定した項目で測ります: validation_items")),
    Rule("learning_rate_*", no_effect=("a detail of schedules or parts that are not trained", "使われないスケジュールや部分の設定です")),
    *(Rule(name, no_effect=_OTHER) for name in ("unet*", "prior*", "decoder*", "effnet*", "embedding*", "additional_embeddings*", "bundle_*", "unconditional_*", "preserve_embedding*", "token_*")),
    *(Rule(name, no_effect=_PACE) for name in ("debug*", "tensorboard*", "cloud*", "secrets*", "train_device", "temp_device", "*_threads", "*caching*", "only_cache", "compile", "device_indexes", "multi_gpu", "validate_*", "continue_last_backup", "backup*", "rolling_*", "workspace_dir", "cache_dir", "output_model_format", "__version", "clear_cache*", "*offload*", "sample*", "samples*", "non_ema_sampling", "include_train_config", "save_filename_prefix", "save_skip_first", "frames", "force_*", "rescale_*", "gradient_reduce*", "fused_gradient*", "async_*", "attention_mechanism", "fallback_train_dtype", "optimizer_defaults*", "training_method")),
)  # fmt: skip


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family, or None when it cannot be trained here."""
    kind = str(account.peek("model_type", ""))
    if kind in _FAMILIES and family in (None, _FAMILIES[kind]):
        family = _FAMILIES[kind]
        account.keep("model_type", "family", family)
    elif kind:
        account.lose("model_type", say("there is no such family here yet", "このモデルは未対応です"))
    method = account.peek("training_method", "LORA")
    if method != "LORA":
        account.lose("training_method", say("only LoRA is built", "LoRA のみ対応しています"))
    if account.peek("peft_type", "LORA") != "LORA":
        account.lose("peft_type", say("only LoRA is built", "LoRA のみ対応しています"))
    elif "peft_type" in account.leaves:
        account.no_effect("peft_type", say("a LoRA, as always here", "LoRA です"))
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
        account.no_effect("save_every", say("nothing is saved on the way", "途中の保存がありません"))
        account.no_effect("save_every_unit", say("nothing is saved on the way", "途中の保存がありません"))
    else:
        account.lose(
            "save_every",
            say("LoRA files are saved by steps or epochs here", "LoRA はステップかエポックごとに保存します"),
        )
        account.lose("save_every_unit", say("LoRA files are saved by steps or epochs here", "LoRA はステップかエポックごとに保存します"))  # fmt: skip


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
    sizes = account.convert("resolution", lambda written: [size(part) for part in str(written).split(",")]) or []
    if sizes:
        account.used("resolution", "datasets.resolution", sizes)
    concepts = _listed(account, here)
    for number, concept in enumerate(concepts):
        if isinstance(concept, dict) and concept.get("enabled", True):
            _one_concept(account, number, concept, sizes)


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
    named = account.peek("concept_file_name")
    if not named:
        return []
    try:
        concepts = json.loads((here / str(named)).read_text("utf-8"))
    except (OSError, ValueError):
        account.lose("concept_file_name", say(f"{named} is not here; import it where it is, or write [[datasets]]", f"{named} が見つかりません。ある場所でインポートするか [[datasets]] を書いてください"))  # fmt: skip
        return []
    account.used("concept_file_name", "datasets")
    listed = concepts if isinstance(concepts, list) else []
    return [Account.of(concept).leaves for concept in listed if isinstance(concept, dict)]


_CONCEPT_RULES = (
    Rule("image.enable_crop_jitter", lost=("the centre is cut out; random_crop encodes several cuts", "中央を切り出します (random_crop で複数の切り抜きも可)")),
    Rule("image.enable_*", lost=("pictures are encoded as they are", "画像はそのままエンコードされます")),
    Rule("image.*", no_effect=("pictures are encoded as they are", "画像はそのままエンコードされます")),
    Rule("text.tag_dropout_enable", lost=("captions are encoded as they stand", "キャプションはそのままエンコードされます")),
    Rule("text.caps_randomize_enable", lost=("captions are encoded as they stand", "キャプションはそのままエンコードされます")),
    Rule("text.*", no_effect=("captions are encoded as they stand", "キャプションはそのままエンコードされます")),
    *(Rule(name, no_effect=("a detail that is not needed here", "本ツールでは不要な設定です")) for name in ("__version", "name", "seed", "enabled", "image_variations", "text_variations", "balancing_strategy")),
)  # fmt: skip


_CONCEPT_KEYS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("include_subdirectories", "recursive", bool),
    ("validation_concept", "validation", bool),
    ("loss_weight", "loss_weight", float),
    ("image.enable_random_flip", "flip", bool),
    ("text.enable_tag_shuffling", "tag_shuffle", tag_orders),
)


def _one_concept(account: Account, number: int, concept: dict[str, Any], sizes: list[list[int]]) -> None:
    prefix = f"concepts.{number}."
    account.leaves.update({prefix + key: value for key, value in concept.items()})
    folder = str(concept.get("path", ""))
    label = Path(folder).name or f"data{number + 1}"
    extra: dict[str, Any] = {}
    for name, key, convert in _CONCEPT_KEYS:
        neutral = 1.0 if name == "loss_weight" else False
        if concept.get(name) not in (None, neutral):
            account.keep_in_dataset(prefix + name, extra, key, convert)
        elif prefix + name in account.leaves:
            account.no_effect(prefix + name, say("switched off there, too", "元でも無効です"))
    if "tag_shuffle" in extra:
        account.keep_in_dataset(f"{prefix}text.keep_tags_count", extra, "keep_tags", whole)
    for side in sizes or [[512, 512]]:
        entry: dict[str, Any] = {"image_directory": folder, "resolution": side, **extra}
        entry["cache_directory"] = f"cache/{label}" + (f"-{side[0]}" if len(sizes) > 1 else "")
        repeats = concept.get("balancing", concept.get("repeats", 1))
        if isinstance(repeats, int | float) and repeats > 1 and float(repeats).is_integer():
            entry["num_repeats"] = int(repeats)
        account.datasets.append(entry)
    source = concept.get("text.prompt_source", "sample")
    if source not in ("sample", None):
        account.lose(f"{prefix}text.prompt_source", say("captions are text files beside the pictures here", "キャプションは画像の隣のテキストファイルです"))  # fmt: skip
    account.used(f"{prefix}path", "datasets.image_directory")
    for name in ("balancing", "repeats"):
        value = concept.get(name)
        if name in concept and isinstance(value, int | float) and value >= 1 and float(value).is_integer():
            account.used(prefix + name, "datasets.num_repeats", value)
        elif name in concept:
            account.lose(prefix + name, say("repeats are whole numbers here", "繰り返しは整数です"))
    account.apply(_CONCEPT_RULES, prefix)
