"""What an hour of this machine costs: who says so, and how a person tells it. Kept in config.toml beside the other settings."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from engine.config.language import say
from engine.config.problems import ConfigError, UserError
from engine.events.atomic import write_text_atomically
from musubi_tui.runs.home import config_file, read_config
from musubi_tui.runs.hooking import PRICE_VARIABLE
from musubi_tui.runs.money import KEY as CURRENCY
from musubi_tui.runs.money import SIGNS

KEY = "price_per_hour"


@dataclass(frozen=True)
class Price:
    """Money per hour, and who said so: the environment variable or the config file."""

    per_hour: float
    source: str


def known_price() -> Price | None:
    """The price of this machine, or None when nobody has told it. A config file that is damaged says nothing here."""
    value = _number(os.environ.get(PRICE_VARIABLE, ""))
    if value is not None:
        return Price(value, PRICE_VARIABLE)
    try:
        found = read_config().get(KEY)
    except ConfigError:
        return None
    value = None if isinstance(found, bool) else _number(str(found))
    return None if value is None else Price(value, str(config_file()))


def parse_price(text: str) -> float:
    """``2.49``, ``2,49``, ``$2.49``, ``2.49/h`` as a number. Raises ``UserError``."""
    word = text.strip().lower().strip(SIGNS).removesuffix("/h").removesuffix("/時").strip().replace(",", ".")
    value = _number(word)
    if value is None:
        raise UserError.of(
            "wrong_value",
            say(f"{text!r} is not a price.", f"{text!r} は料金ではありません。"),
            say(
                "Write a number such as 2.49: money per hour.",
                "2.49 のような数（1 時間あたりの料金）を書いてください。",
            ),
            key=KEY,
        )
    return value


def set_price(per_hour: float | None, sign: str = "") -> None:
    """Write the price into config.toml (None: take it out), and the currency's sign, if any; everything else stays as it is.

    Raises ``ConfigError`` for a file that is not TOML and ``OSError`` where it cannot be written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = config_file()
    try:
        document = tomlkit.parse(path.read_text("utf-8"))
    except FileNotFoundError:
        document = tomlkit.document()
    except (ValueError, TOMLKitError) as error:
        raise ConfigError.of(
            "toml_syntax",
            say(f"The config file is not TOML: {error}.", f"設定ファイルが TOML ではありません: {error}。"),
            say("Repair or remove it.", "修正するか削除してください。"),
            file=path,
        ) from error
    before = ""
    if per_hour is None:
        document.pop(KEY, None)
    for key, value in ((KEY, per_hour), (CURRENCY, sign or None)):
        if value is None:
            continue
        if key in document:
            document[key] = value
        else:  # at the top: behind a table header it would belong to that table
            before += f"{key} = {tomlkit.item(value).as_string()}\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text_atomically(path, before + tomlkit.dumps(document))


def sign_in(text: str) -> str:
    """The sign of a currency in what a person typed, or nothing."""
    return next((char for char in text if char in SIGNS), "")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
