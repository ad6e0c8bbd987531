"""What a plan must know of a transformer beyond its file: which tensors are what, in the words of the ORIGINAL checkpoint.

Torch-free. The bytes that autograd keeps per token were counted from the tensors the real blocks save
(``tests/unit/test_planner_activations.py`` counts them again), not guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class SavedBytes:
    """What one block keeps for the backward pass, in bytes per token; all terms are added."""

    width: float  # times the width of the residual stream
    feed_forward: float  # times the width inside the feed-forward layer
    rank: float  # times the rank of the adapter
    text_width: float = 0.0  # times the width, per text token that is only attended to (cross attention)
    boundary: float = 2.0  # times the width: what is kept of a block that is computed twice


@dataclass(frozen=True)
class TransformerFacts:
    """Patterns are regular expressions that must match a whole original name.

    ``released(task)`` gives the shapes of the released model of a task, for plans without the file at hand.
    """

    blocks: str  # what names of block tensors begin with, before their index
    width: str  # the tensor whose first side is the width of the residual stream
    feed_forward: str  # the tensor whose first side is the width inside the feed-forward layer
    text_joins: bool  # text tokens go through the blocks beside the picture's; else they are only attended to
    text_padded: bool  # captions are padded to the token limit
    half: SavedBytes  # with bf16 or fp16 arithmetic
    full: SavedBytes  # with fp32 arithmetic
    released: Callable[[str], Shapes]
    keep_fp32: tuple[str, ...] = ()  # tensors that are held in fp32 whatever the dtype of the rest
    lora_exclude: tuple[str, ...] = ()  # Linears inside the blocks that get no adapter
    text_weights: str = ""  # Linears inside the blocks that see text tokens only
    item_weights: str = ""  # Linears inside the blocks that see one vector per picture (modulation)
    idle_at_end: str = ""  # Linears of the last block (names inside it) whose output nobody reads: never a gradient
