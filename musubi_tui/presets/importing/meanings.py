"""Words and units that trainers share: precisions, optimizers, schedules, sizes. Each raises ``CannotSay`` for what is not here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config.language import say
from musubi_tui.presets.importing import reasons
from musubi_tui.presets.importing.account import Account, CannotSay

_PRECISIONS = {
    **dict.fromkeys(("bf16", "bfloat16", "bfloat_16"), "bf16"),
    **dict.fromkeys(("fp16", "float16", "float_16", "half"), "fp16"),
    **dict.fromkeys(("no", "fp32", "float32", "float_32", "float", "tfloat_32"), "fp32"),
}
_OPTIMIZERS = {
    **dict.fromkeys(("adamw", "adamw_optimi", "optimi-adamw", "adamw_bf16", "adam", "torch-adamw", "adamw_torch"), "adamw"),
    **dict.fromkeys(("adamw8bit", "adamw_8bit", "adamw8bitkahan", "bnb-adamw8bit", "adam_8bit"), "adamw8bit"),
}  # fmt: skip
_SCHEDULES = {
    "constant": "constant",
    "constant_with_warmup": "constant_with_warmup",
    "cosine": "cosine",
    "linear": "linear",
}


def mixed_precision(value: Any) -> str:
    """The dtype training computes in."""
    found = _PRECISIONS.get(str(value).lower())
    if found is None:
        raise CannotSay(say(f"there is no training in {value!r} here", f"{value!r} での学習には対応していません"))
    return "no" if found == "fp32" else found


def save_precision(value: Any) -> str:
    """The dtype of the LoRA file."""
    found = _PRECISIONS.get(str(value).lower())
    if found is None:
        raise CannotSay(say(f"LoRA files are not written in {value!r}", f"LoRA を {value!r} では保存できません"))
    return found


def optimizer(value: Any) -> str:
    """The optimizer's name here."""
    name = str(value).lower()
    if name in _OPTIMIZERS:
        return _OPTIMIZERS[name]
    raise CannotSay(
        say(
            f"the optimizer {value} is not built yet; adamw and adamw8bit are",
            f"オプティマイザー {value} は未対応です (adamw と adamw8bit が使えます)",
        )
    )


_WEIGHTS = (
    "the frozen weights stay in 16 bits, so the card must hold the whole model in them: smaller weights are not built yet",
    "凍結した重みは 16 ビットのままで、モデル全体を 16 ビットで載せる GPU メモリが必要です (量子化は未対応)",
)
_ENCODER = (
    "the text encoder stays in 16 bits, so the card must hold it in them while captions are cached",
    "テキストエンコーダーは 16 ビットのままで、キャプションのキャッシュ中にそれだけの GPU メモリが必要です",
)


def book_weights(account: Account, key: str, *, encoder: bool = False) -> None:
    """Book the precision of weights that are not trained, where it is set: less than 16 bits is missed here."""
    if key not in account.leaves:
        return
    if str(account.peek(key)).lower() in (*_PRECISIONS, "no_change"):
        account.no_effect(key, say("frozen weights are in 16 bits here", "凍結した重みは 16 ビットです"))
    else:
        account.lose(key, say(*(_ENCODER if encoder else _WEIGHTS)))


def book_family(account: Account, key: str, families: Mapping[str, str], family: str | None) -> str | None:
    """Book what kind of model is trained; returns the family: the one asked for, or else the one of the key."""
    kind = str(account.peek(key, ""))
    if kind in families and family in (None, families[kind]):
        account.keep(key, "family", families[kind])
        return families[kind]
    if kind:
        account.lose(key, say(*reasons.NO_FAMILY))
    return family


def book_adapter(account: Account, key: str, lora: str) -> None:
    """Book the kind of adapter, where it is set; ``lora`` is the word for the only one that is built."""
    if account.peek(key) == lora:
        account.no_effect(key, say(*reasons.A_LORA))
    elif key in account.leaves:
        account.lose(key, say(*reasons.ONLY_LORA))


def alpha_is_the_rank(account: Account) -> None:
    """Write alpha out, for trainers that take the rank when none is given."""
    if "network_dim" in account.options:
        account.set("network_alpha", float(account.options["network_dim"]), say(*reasons.ALPHA))


def listed_in_file(account: Account, key: str, here: Path) -> list[dict[str, Any]]:
    """The tables of the JSON file that ``key`` names; none, and the key is lost, when it cannot be read."""
    named = account.peek(key)
    if not named:
        return []
    try:
        listed = json.loads((here / str(named)).read_text("utf-8"))
    except (OSError, ValueError):
        lose_file(account, key)
        return []
    account.used(key, "datasets")
    return [table for table in listed if isinstance(table, dict)] if isinstance(listed, list) else []


def lose_file(account: Account, key: str) -> None:
    """Book ``key`` as the name of a file of datasets that is not where the config is imported."""
    named = account.peek(key)
    account.lose(
        key,
        say(
            f"{named} is not here; import it where it is, or write [[datasets]]",
            f"{named} が見つかりません。ある場所でインポートするか [[datasets]] を書いてください",
        ),
    )


def timesteps(known: Mapping[str, str]) -> Callable[[Any], str]:
    """The conversion of words for how timesteps are drawn."""

    def convert(value: Any) -> str:
        if value not in known:
            raise CannotSay(
                say(f"timesteps are not drawn by {value!r} here", f"タイムステップ分布 {value!r} は未対応です")
            )
        return known[value]

    return convert


def schedule(value: Any) -> str:
    """The learning-rate schedule's name here."""
    name = str(value).lower()
    if name in _SCHEDULES:
        return _SCHEDULES[name]
    raise CannotSay(say(f"the schedule {value} is not built yet", f"スケジューラー {value} は未対応です"))


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Arguments of an optimizer as they are written here."""
    return [f"{name}={_literal(value)}" for name, value in values.items()]


def _literal(value: Any) -> str:
    return f"({', '.join(_literal(item) for item in value)})" if isinstance(value, list) else str(value)


def size(value: Any) -> list[int]:
    """A training size: one side, a pair, or texts such as ``512``, ``512,768``, ``512x768``."""
    if isinstance(value, str):
        parts = value.lower().replace("x", ",").split(",")
        value = [part for part in (part.strip() for part in parts) if part]
    numbers = [whole(number) for number in (value if isinstance(value, list | tuple) else [value])]
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise CannotSay(say("this is not one size", "ひとつの寸法ではありません"))
    return [numbers[0], numbers[-1]]


def sizes(value: Any) -> list[list[int]]:
    """Training sizes, several or one."""
    return [size(side) for side in (value if isinstance(value, list) else [value])]


def extension(value: Any) -> str:
    """``txt`` and ``.txt`` alike."""
    return f".{str(value).lstrip('.')}"


TAG_ORDERS = 8  # captions are encoded once each, so shuffling means this many orders of the tags


def tag_orders(value: Any) -> int:
    """``tag_shuffle`` of a switch or of a number of orders."""
    return TAG_ORDERS if value is True else whole(value)


def warm_up(account: Account) -> None:
    """Warm-up steps need a schedule that has them."""
    steps, chosen = account.options.get("lr_warmup_steps"), account.options.get("lr_scheduler", "constant")
    if steps and chosen == "constant":
        account.options["lr_scheduler"] = "constant_with_warmup"
    elif not steps:
        account.options.pop("lr_warmup_steps", None)


def whole(value: Any) -> int:
    """A count that may have been written as text or as 100.0."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.5
    if not number.is_integer():
        raise CannotSay(say("a whole number is needed", "整数が必要です"))
    return int(number)
