"""Cards people train on: memory, dense bf16 arithmetic with fp32 accumulation, memory bandwidth.

Source: the vendors' data sheets (dense figures, not the doubled ones with sparsity). Memory is what the driver reports,
in GiB; a plan for a card that is there uses the driver's own number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from engine.config.language import say
from engine.config.problems import UserError


@dataclass(frozen=True)
class Card:
    """One model of card. ``tflops`` are 10^12 operations a second, ``bandwidth`` 10^9 bytes a second; 0: not known."""

    name: str
    memory_gib: float
    tflops: float
    bandwidth: float


CARDS: tuple[Card, ...] = (
    Card("RTX 3060", 12.0, 25.5, 360),
    Card("RTX 3080", 10.0, 59.5, 760),
    Card("RTX 3090", 24.0, 71.0, 936),
    Card("RTX 4060 Ti 16GB", 16.0, 44.1, 288),
    Card("RTX 4070 Ti SUPER", 16.0, 88.2, 672),
    Card("RTX 4080", 16.0, 97.5, 717),
    Card("RTX 4090", 24.0, 165.2, 1008),
    Card("RTX 5060 Ti 16GB", 15.9, 47.4, 448),
    Card("RTX 5070 Ti", 15.9, 87.9, 896),
    Card("RTX 5080", 15.9, 112.6, 960),
    Card("RTX 5090", 31.8, 209.5, 1792),
    Card("RTX A5000", 24.0, 111.1, 768),
    Card("RTX A6000", 48.0, 154.8, 768),
    Card("RTX 6000 Ada", 48.0, 364.2, 960),
    Card("RTX PRO 6000", 95.6, 503.8, 1792),
    Card("L4", 22.5, 121.0, 300),
    Card("A10G", 22.5, 70.0, 600),
    Card("A40", 45.0, 149.7, 696),
    Card("L40S", 45.0, 362.0, 864),
    Card("A100 40GB", 40.0, 312.0, 1555),
    Card("A100 80GB", 80.0, 312.0, 2039),
    Card("H100 PCIe", 79.6, 756.0, 2000),
    Card("H100", 79.6, 989.0, 3350),
    Card("H200", 140.4, 989.0, 4800),
    Card("B200", 179.0, 2250.0, 8000),
)


def card_of_driver(name: str, memory_gib: float) -> Card | None:
    """The card the driver calls ``name`` ("NVIDIA H100 80GB HBM3"), with the memory the driver reports; None for others."""
    words = set(_words(name))
    found = [card for card in CARDS if set(_words(card.name)) - {"40gb", "80gb", "16gb"} <= words]
    told = [card for card in found if words & {"40gb", "80gb"} & set(_words(card.name))]  # "NVIDIA A100-SXM4-80GB"
    found = told or found
    if not found:
        return None
    # The most words decide ("RTX 4070 Ti SUPER" before "RTX 4070 Ti"), then the nearest memory.
    best = max(found, key=lambda card: (len(_words(card.name)), -abs(card.memory_gib - memory_gib)))
    same = [card for card in found if _bare(card.name) == _bare(best.name)]
    near = min(same, key=lambda card: abs(card.memory_gib - memory_gib))
    return Card(near.name, memory_gib, near.tflops, near.bandwidth)


def find_card(text: str) -> Card:
    """The card a person means ("4090", "rtx 4090", "h100"). Raises ``UserError`` with the nearest names."""
    wanted = _words(text)
    exact = [card for card in CARDS if _words(card.name) == wanted]
    found = exact or [card for card in CARDS if wanted and set(wanted) <= set(_words(card.name))]
    if found:
        return min(found, key=lambda card: (len(_words(card.name)), -card.memory_gib))
    names = [card.name for card in CARDS]
    close = get_close_matches(text.upper(), names, n=1, cutoff=0.4)
    fix = say(f"Did you mean {close[0]}? ", f"{close[0]} のことですか。") if close else ""
    raise UserError.of(
        "unknown_card",
        say(f"no card called {text!r} is known here.", f"{text!r} というカードは登録されていません。"),
        fix + say(f"Known: {', '.join(names)}. For any other say --vram GB.", f"登録済み: {', '.join(names)}。それ以外は --vram GB を使ってください。"),
        key="card",
    )  # fmt: skip


def _words(name: str) -> list[str]:
    """The words of a card's name: lower case, without the vendor, numbers and letters that stand together kept together."""
    noise = {"nvidia", "geforce", "gpu", "graphics", "generation", "laptop", "tesla"}
    return [word for word in re.findall(r"[a-z0-9]+", name.lower()) if word not in noise]


def _bare(name: str) -> tuple[str, ...]:
    return tuple(word for word in _words(name) if not word.endswith("gb"))
