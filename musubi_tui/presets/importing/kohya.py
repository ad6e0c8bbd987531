"""sd-scripts' options (TOML of ``--config_file``, or a command line): Musubi Tuner's words for SD, SDXL and FLUX models.

Most words are Musubi Tuner's own. The model files are of other architectures, so they never carry over.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.schema import OPTIONS
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, DatasetKey, Line, Rule
from musubi_tui.presets.importing.meanings import extension, optimizer, schedule, size, tag_orders, warm_up, whole

_MODEL = ("it is a model of another architecture; set dit, vae and the text encoder", "別アーキテクチャのモデルです。dit・vae・テキストエンコーダーを指定してください")  # fmt: skip
_LOSS = ("the loss is the plain squared error of the velocity here", "損失は velocity の単純な二乗誤差です")

_RULES = (
    Rule("learning_rate", "learning_rate", float),
    Rule("unet_lr", "learning_rate", float),
    Rule("text_encoder_lr*", lost=reasons.TEXT_ENCODERS),
    Rule("network_train_text_encoder_only", lost=reasons.TEXT_ENCODERS),
    Rule("network_train_unet_only", no_effect=reasons.TEXT_ENCODERS),
    Rule("optimizer_type", "optimizer_type", optimizer),
    Rule("lr_scheduler", "lr_scheduler", schedule),
    Rule("lr_warmup_steps", "lr_warmup_steps"),
    Rule("max_train_epochs", "max_train_epochs", whole),
    Rule("max_train_steps", "max_train_steps", whole),
    Rule("network_module", no_effect=("the family says which layers", "ファミリーが対象の層を決めます")),
    Rule("network_args", lost=("their patterns name layers of another model", "別モデルの層を指す設定です")),
    Rule("network_weights", lost=("it is a LoRA of another model", "別モデルの LoRA です")),
    Rule("conv_*", lost=reasons.CONVOLUTIONS),
    Rule("pretrained_model_name_or_path", lost=_MODEL),
    Rule("vae", lost=_MODEL),
    Rule("ae", lost=_MODEL),
    Rule("clip_l", lost=_MODEL),
    Rule("clip_g", lost=_MODEL),
    Rule("t5xxl", lost=_MODEL),
    Rule("v2", no_effect=_MODEL),
    Rule("v_parameterization", lost=_LOSS),
    Rule("sdxl", no_effect=_MODEL),
    Rule("clip_skip", lost=("the encoders of these models have no such setting", "対象のエンコーダーにはない設定です")),
    Rule("max_token_length", no_effect=("the encoder's own limit holds", "エンコーダーの上限に従います")),
    Rule("min_snr_gamma", lost=_LOSS),
    Rule("scale_v_pred*", lost=_LOSS),
    Rule("debiased_estimation_loss", lost=_LOSS),
    Rule("loss_type", lost=_LOSS),
    Rule("huber_*", no_effect=_LOSS),
    Rule("prior_loss_weight", no_effect=("it weighs regularisation sets, and there is none", "正則化データセットの重みですが、指定がありません")),
    Rule("masked_loss", lost=reasons.MASKS),
    Rule("noise_offset*", lost=reasons.NOISE),
    Rule("multires_noise_*", lost=reasons.NOISE),
    Rule("adaptive_noise_scale", lost=reasons.NOISE),
    Rule("ip_noise_gamma*", lost=reasons.NOISE),
    Rule("zero_terminal_snr", lost=reasons.NOISE),
    Rule("keep_tokens*", no_effect=reasons.CAPTIONS),
    Rule("caption_tag_dropout_rate", lost=reasons.CAPTIONS),
    Rule("caption_dropout_every_n_epochs", lost=reasons.CAPTIONS),
    Rule("caption_prefix", lost=reasons.INTO_CAPTIONS),
    Rule("caption_suffix", lost=reasons.INTO_CAPTIONS),
    Rule("weighted_captions", lost=reasons.CAPTIONS),
    Rule("color_aug", lost=reasons.PICTURES),
    Rule("random_crop", lost=reasons.RANDOM_CROP),
    Rule("bucket_reso_steps", no_effect=("the model's step is used", "モデルの刻みを使います")),
    Rule("model_prediction_type", no_effect=reasons.FLOW),
    *(Rule(name, no_effect=reasons.CACHED) for name in ("cache_*", "vae_batch_size", "skip_cache_check")),
    *(Rule(name, no_effect=reasons.PACE) for name in ("logging_*", "log_*", "wandb_*", "lowram", "highvram", "no_half_vae", "xformers", "mem_eff_attn", "sdpa", "max_data_loader_n_workers", "persistent_data_loader_workers", "save_model_as", "sample_sampler", "num_cpu_threads_per_process", "num_processes", "num_machines", "dynamo_*", "full_bf16", "full_fp16", "fp8_base*", "split_mode", "gradient_checkpointing_*", "no_metadata", "additional_parameters", "training_comment", "caption_separator", "secondary_separator", "dataset_repeats", "console_log_*", "deepspeed", "apply_t5_attn_mask", "disable_mmap_load_safetensors", "blocks_to_swap")),
)  # fmt: skip


def read(account: Account, here: Path, file: Path | None, family: str | None) -> str | None:
    """Book everything; returns the family that was asked for: the files never tell one that can be trained here."""
    account.leaves = {
        key.rpartition(".")[2]: value for key, value in account.leaves.items()
    }  # sections have no meaning
    _dataset(account, here)
    same = [Rule(name, name) for name, option in OPTIONS.items() if option.musubi and option.kind != "list of tables"]
    account.apply(_RULES)
    account.apply(same)
    for option, value in (("network_dim", 4), ("network_alpha", 1.0), ("learning_rate", 2e-6), ("optimizer_type", "adamw"), ("lr_scheduler", "constant"), ("gradient_checkpointing", False)):  # fmt: skip
        account.set(option, value, say("sd-scripts' default", "sd-scripts の既定値"))
    warm_up(account)
    return family


_DATASET_KEYS: tuple[DatasetKey, ...] = (
    ("enable_bucket", "enable_bucket", bool),
    ("bucket_no_upscale", "bucket_no_upscale", bool),
    ("caption_extension", "caption_extension", extension),
    ("shuffle_caption", "tag_shuffle", tag_orders),
    ("keep_tokens", "keep_tags", whole),
    ("caption_dropout_rate", "caption_dropout", float),
    ("flip_aug", "flip", bool),
    ("min_bucket_reso", "min_bucket_size", whole),
    ("max_bucket_reso", "max_bucket_size", whole),
)


def _dataset(account: Account, here: Path) -> None:
    general = account.general
    account.keep_switches(_DATASET_KEYS, general)
    account.keep_in_dataset("train_batch_size", general, "batch_size", whole)
    account.keep_in_dataset("resolution", general, "resolution", size)
    folder = account.peek("train_data_dir")
    if folder is None:
        return
    account.used("train_data_dir", "datasets.image_directory")
    if "caption_extension" not in general:
        general["caption_extension"] = ".caption"
        why = say("sd-scripts' default", "sd-scripts の既定値")
        account.lines.append(Line("", None, "set", "datasets.caption_extension", ".caption", why))
    for path, repeats in _repeat_folders(account, here / str(folder), str(folder)):
        entry: dict[str, Any] = {"image_directory": path, "cache_directory": f"cache/{Path(path).name}"}
        if repeats > 1:
            entry["num_repeats"] = repeats
        account.datasets.append(entry)
    _regularisation(account, here)


def _regularisation(account: Account, here: Path) -> None:
    folder = account.peek("reg_data_dir")
    if not folder:
        return
    account.used("reg_data_dir", "datasets.image_directory")
    weight = account.convert("prior_loss_weight", float)
    if weight is not None:
        account.used("prior_loss_weight", "datasets.loss_weight", weight)
    for path, repeats in _repeat_folders(account, here / str(folder), str(folder)):
        entry: dict[str, Any] = {
            "image_directory": path,
            "cache_directory": f"cache/{Path(path).name}-reg",
            "is_reg": True,
        }
        account.datasets.append(
            {**entry, "num_repeats": repeats, **({} if weight is None else {"loss_weight": weight})}
        )


def _repeat_folders(account: Account, folder: Path, written: str) -> list[tuple[str, int]]:
    """``10_dog`` inside the folder is shown ten times, ``0_dog`` never; without such folders the folder itself once."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError:
        names = []
    found = [(f"{written}/{name}", int(match[1])) for name in names if (match := re.match(r"(\d+)_", name))]
    for path in [path for path, repeats in found if repeats == 0]:
        why = say(
            "left out: sd-scripts ignores folders of 0 repeats", "除外: sd-scripts は 0 回のフォルダーを無視します"
        )
        account.lines.append(Line(path, 0, "no_effect", why=why))
    return [(path, repeats) for path, repeats in found if repeats > 0] if found else [(written, 1)]
