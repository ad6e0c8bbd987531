"""What a person should know about a run right now, each in one line with its reason, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.config.language import say
from musubi_tui.runs.telling import clean, clock
from musubi_tui.tui.run_view import RunView, Spike

_STALE_SECONDS = 30.0
_HOT_CELSIUS = 87
_LEAST_DISK = 2 * 10**9  # bytes
_RECENT_SPIKES = 500  # steps


@dataclass(frozen=True)
class Alert:
    """``role``: "bad" or "warn". ``text`` is clean. ``code``: what was found, for those who ask whether it was."""

    role: str
    text: str
    code: str = ""


def alerts(view: RunView) -> tuple[Alert, ...]:
    """The alerts of this moment."""
    found = [_failed(view), _not_finite(view), _stale(view), _disk(view), _hot(view)]
    found += [_spike(view, spike) for spike in reversed(view.spikes) if view.step - spike.step <= _RECENT_SPIKES]
    found += [
        Alert("warn", clean(f"{warning.message} {warning.fix}")) for warning in reversed(view.warnings) if warning.fix
    ]
    if view.unknown:
        names = ", ".join(view.unknown[:4])
        found.append(Alert("warn", say(f"a newer engine also tells {names}, which this version cannot show", f"新しいエンジンの {names} はこのバージョンでは表示できません")))  # fmt: skip
    known = [alert for alert in found if alert is not None]
    return tuple(sorted(dict.fromkeys(known), key=lambda alert: alert.role != "bad"))


def _failed(view: RunView) -> Alert | None:
    if view.state == "orphaned":
        return Alert("bad", view.reason or say("the engine vanished", "エンジンが消えました"))
    if view.state != "failed":
        return None
    why = view.errors[-1].message + " " + view.errors[-1].fix if view.errors else view.reason
    return Alert("bad", clean(say(f"failed: {why}", f"失敗: {why}")).strip())


def _not_finite(view: RunView) -> Alert | None:
    tail = view.steps.loss[-20:]
    if not len(tail) or np.isfinite(tail[-1]):
        return None
    bad = int(np.argmax(~np.isfinite(tail)))
    step = int(view.steps.step[len(view.steps) - len(tail) + bad])
    words = say(f"the loss is not a number since step {step}", f"ステップ {step} から loss が数値ではありません")
    return Alert("bad", words, "not_finite")


def _stale(view: RunView) -> Alert | None:
    if not view.alive or view.heartbeat is None or view.now - view.heartbeat < _STALE_SECONDS:
        return None
    age = clock(round((view.now - view.heartbeat) / 30) * 30)
    return Alert("bad", say(f"no sign of life for {age}", f"{age} 応答がありません"), "silent")


def _disk(view: RunView) -> Alert | None:
    free = view.host.disk_free if view.host else None
    needed = max([_LEAST_DISK, *(3 * saved.bytes for saved in view.saved[-4:])])
    if free is None or free >= needed:
        return None
    return Alert("bad" if free < _LEAST_DISK else "warn", say(f"disk nearly full: {free / 1e9:.1f} GB free", f"ディスクの空きが残りわずか: {free / 1e9:.1f} GB"), "disk")  # fmt: skip


def _hot(view: RunView) -> Alert | None:
    """A card that the driver slows down, or that is about to."""
    cards = view.host.gpus if view.host else ()
    reasons = {str(card.get("throttle") or "") for card in cards}
    hottest = max((value for card in cards if isinstance(value := card.get("temperature"), (int, float))), default=0)
    if "heat" in reasons:
        return Alert("warn", say(f"the GPU is too hot ({hottest:.0f} °C) and runs slower: check its cooling", f"GPU が高温（{hottest:.0f} °C）で減速中: 冷却を確認してください"), "throttling")  # fmt: skip
    if "brake" in reasons:
        return Alert(
            "warn", say("the power supply makes the GPU run slower", "電源の制限で GPU が減速中"), "throttling"
        )
    if hottest < _HOT_CELSIUS:
        return None
    return Alert("warn", say(f"GPU at {hottest:.0f} °C: it will slow down", f"GPU {hottest:.0f} °C: 速度が落ちます"))


def _spike(view: RunView, spike: Spike) -> Alert:
    names = ", ".join(view.item_names.get(item, item) for item in spike.items[:3]) or "?"
    what = say("loss", "損失") if spike.what == "loss" else say("gradient norm", "勾配ノルム")
    return Alert("warn", clean(say(f"{what} spike {spike.value:.3g} ({spike.times:.0f}x) at {spike.step}: {names}", f"{what}の急増 {spike.value:.3g}（{spike.times:.0f} 倍）ステップ {spike.step}: {names}")))  # fmt: skip
