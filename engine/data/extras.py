"""What a dataset asks for beyond one caption and one cut per file, counted: so that nothing of it goes unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.language import counted, say
from engine.data.dataset_spec import DatasetSpec
from engine.data.items import Item, path_text


def extras_of(dataset: DatasetSpec, items: Sequence[Item], held_out: Sequence[Item]) -> dict[str, Any]:
    """Only what is there; numbers are of files or of captions and cuts to draw from, not of repeats.

    Keys: ``controls`` and ``controlled`` (files with some), ``targets``, ``captions`` (of all files), ``caption_dropout``, ``cuts``,
    ``masked``, ``loss_weight``, ``regularisation``, ``held_out`` (files).
    """
    one = {path_text(item, "path"): item for item in items}.values()
    found = {
        "controls": sum(len(item.controls) for item in one),
        "controlled": sum(1 for item in one if item.controls),
        "targets": sum(len(item.targets) for item in one),
        "captions": sum(len(item.texts) or 1 for item in one) if any(item.texts for item in one) else 0,
        "caption_dropout": max((item.caption_dropout for item in one), default=0.0),
        "cuts": sum(len(item.views) or 1 for item in items) if any(item.views for item in items) else 0,
        "masked": sum(1 for item in one if item.mask is not None),
        "loss_weight": 0 if dataset.loss_weight == 1 else dataset.loss_weight,
        "regularisation": dataset.is_reg,
        "held_out": len({path_text(item, "path") for item in held_out}),
    }
    return {name: value for name, value in found.items() if value}


def extra_facts(extras: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, sentence) of each, for a person."""
    facts = []
    if "controls" in extras:
        count, files = extras["controls"], extras["controlled"]
        facts.append(
            (say("controls", "制御"), say(f"{count} for {counted(files, 'file')}", f"{files} ファイルに {count} 個"))
        )
    if "targets" in extras:
        facts.append((say("targets", "目標"), say(f"{extras['targets']} more", f"追加 {extras['targets']} 枚")))
    words = []
    if "captions" in extras:
        words.append(
            say(f"{counted(extras['captions'], 'caption')} to draw from", f"キャプション {extras['captions']} 種")
        )
    if "cuts" in extras:
        words.append(say(f"{counted(extras['cuts'], 'cut')}", f"切り抜き {extras['cuts']} 種"))
    if "caption_dropout" in extras:
        share = f"{extras['caption_dropout']:.0%}"
        words.append(say(f"no caption in {share} of the draws", f"{share} はキャプションなし"))
    if words:
        facts.append((say("variants", "変化"), ", ".join(words)))
    if "masked" in extras:
        facts.append(
            (say("masks", "マスク"), say(f"{counted(extras['masked'], 'file')}", f"{extras['masked']} ファイル"))
        )
    weight = say("regularisation", "正則化") if "regularisation" in extras else ""
    if "loss_weight" in extras:
        weight += (", " if weight else "") + f"{extras['loss_weight']:g}"
    if weight:
        facts.append((say("weight", "重み"), weight))
    if "held_out" in extras:
        count = extras["held_out"]
        facts.append((say("held out", "検証用"), say(counted(count, "file"), f"{count} ファイル")))
    return facts
