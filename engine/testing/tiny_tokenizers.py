"""Tokenizers of a few hundred tokens, made from the sample captions, in the files of the released ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path
from string import ascii_lowercase, digits

UMT5_SPECIAL = ("<pad>", "</s>", "<unk>")  # ids 0, 1, 2, as in the released tokenizer
SPACE = "▁"  # stands for the space before a word
UNLIKELY = -20.0  # log probability of a single character: taken only where no word fits
QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def write_umt5_tokenizer(folder: Path, captions: Sequence[str], *, size: int) -> int:
    """``tokenizer.json`` of a Unigram model as UMT5 has; returns the vocabulary's size.

    Pieces are the most frequent words, and single characters for all others: counted, not trained, because the trainer's
    result differs from run to run.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    counts = Counter(f"{SPACE}{word}" for caption in captions for word in caption.split())
    characters = sorted({*SPACE, *"".join(captions), *ascii_lowercase, *digits} - {" "})
    room = size - len(UMT5_SPECIAL) - len(characters)
    pieces = [piece for piece, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:room]]
    total = counts.total()
    scored = [(mark, 0.0) for mark in UMT5_SPECIAL]
    scored += [(piece, log(counts[piece] / total)) for piece in pieces if len(piece) > 1]
    scored += [(character, UNLIKELY) for character in characters]
    words = Tokenizer(models.Unigram(scored, unk_id=UMT5_SPECIAL.index("<unk>")))
    words.normalizer = normalizers.NFKC()
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    words.decoder = decoders.Metaspace()
    words.add_special_tokens(list(UMT5_SPECIAL))
    end = words.token_to_id("</s>")
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    folder.mkdir(parents=True, exist_ok=True)
    words.save(str(folder / "tokenizer.json"))
    return int(words.get_vocab_size())


def write_qwen_tokenizer(folder: Path, captions: Sequence[str], *, size: int) -> int:
    """``vocab.json``, ``merges.txt`` and ``tokenizer_config.json`` of a byte-level BPE; returns the vocabulary's size."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    words.train_from_iterator(captions, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    words.model.save(str(folder))
    learned = int(words.get_vocab_size())
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {
            str(learned + number): {"content": token, **flags} for number, token in enumerate(QWEN_SPECIAL)
        },
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "bos_token": None,
        "add_prefix_space": False,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    return learned + len(QWEN_SPECIAL)
