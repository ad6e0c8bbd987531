"""One run as a few lines of text: what ``runs show`` prints."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.config.language import say
from engine.events.rundir import RunDirectory
from musubi_tui.runs.costs import at_todays_price, cost_text
from musubi_tui.runs.fetching import copy_line, fetch_line, is_away
from musubi_tui.runs.money import money
from musubi_tui.runs.origin import read_origin
from musubi_tui.runs.pricing import known_price
from musubi_tui.runs.snapshot import Snapshot
from musubi_tui.runs.state_words import state_word
from musubi_tui.runs.telling import clean, clock, weight
from musubi_tui.terminal_width import cells


def print_card(now: Snapshot) -> None:
    """Print the snapshot on stdout, one fact per line."""
    facts = [(title, value) for title, value in _facts(now) if value]
    width = max(cells(title) for title, _ in facts)
    for title, value in facts:
        sys.stdout.write(f"{title}{' ' * (width - cells(title))}  {clean(value)}\n")
    told = [(weight(entry["fix"]), entry) for entry in now.warnings]
    told += [(say("error", "エラー"), entry) for entry in now.errors]
    for word, entry in told:
        sys.stdout.write(clean(f"{word}: {entry['message']} {entry['fix']}".rstrip()) + "\n")
    for line in filter(None, (fetch_line(now), copy_line(now)) if is_away(now) else ()):
        sys.stdout.write(f"{say('bring it home', '持ち帰る')}: {clean(line)}\n")


def _cost(now: Snapshot) -> str:
    """``$4.81 of about $11.20  ($2.50 per hour, 1.92 h)``, at today's price ``~$4.81``, or the hours alone where none is known."""
    price_now = known_price()
    now = at_todays_price(now, price_now.per_hour if price_now else None)
    hours = f"{now.hours:.2f} h" if now.hours is not None else ""
    if now.cost is None:
        return hours
    total = (
        say(f" of about {money(now.cost_total)}", f" / 見込み {money(now.cost_total)}")
        if now.cost_total is not None
        else ""
    )
    price = (
        say(f"{money(now.price_per_hour)} per hour", f"{money(now.price_per_hour)}/時")
        if now.price_per_hour is not None
        else ""
    )
    return f"{cost_text(now.cost, guessed=now.cost_guessed)}{total}  ({', '.join(filter(None, (price, hours)))})"


def _stop(now: Snapshot) -> str:
    if now.stop_seconds is None or now.state not in ("running", "paused"):
        return ""
    seconds = f"{now.stop_seconds:.1f}"
    if now.stop_measured:
        return say(f"takes about {seconds} s (a step, its state and its LoRA)", f"約 {seconds} 秒（1 ステップ、状態と LoRA の保存）")  # fmt: skip
    return say(f"takes about {seconds} s by estimate: no state was saved yet", f"約 {seconds} 秒（まだ状態を保存していないため見積もり）")  # fmt: skip


def _origin(now: Snapshot) -> list[tuple[str, str]]:
    """The preset it was made of, its version, and what that version had changed."""
    origin = read_origin(RunDirectory(Path(now.run_dir)))
    if origin is None:
        return []
    version = f"  (v{origin.version}{', ' + origin.note if origin.note else ''})" if origin.parent else ""
    changed = say("since the parent", "親からの変更")
    return [(say("preset", "プリセット"), f"{origin.preset}{version}"), (changed, origin.changes)]


def _hook(now: Snapshot) -> str:
    """What became of the command after the run, and how to cancel one that waits."""
    if now.hook is None:
        return ""
    text = f"{now.hook['name']}: {now.hook['state']}"
    if now.hook["state"] != "waiting" or not now.hook["until"]:
        return text
    return text + say(f" until {now.hook['until']}; `musubi-tui runs cancel-hooks {now.id}` cancels it", f"（{now.hook['until']} まで。取り消し: `musubi-tui runs cancel-hooks {now.id}`）")  # fmt: skip


def _facts(now: Snapshot) -> list[tuple[str, str]]:
    steps = f"{now.step}/{now.max_steps}" if now.max_steps else (str(now.step) if now.step else "")
    numbers = [
        f"loss {now.loss:.4f}" if now.loss is not None else "",
        f"lr {now.lr:.3g}" if now.lr is not None else "",
        f"{now.step_seconds:.3g} s/step" if now.step_seconds is not None else "",
        f"ETA {clock(now.eta_seconds)}" if now.eta_seconds is not None else "",
    ]
    progress = now.progress and f"{now.progress['phase']} {now.progress['done']}/{now.progress['total']}"
    facts = [
        (say("run", "run"), now.id),
        (say("name", "名前"), now.name),
        (say("family", "ファミリー"), now.family),
        (say("kind", "種類"), "" if now.kind == "train" else now.kind),
        (say("state", "状態"), state_word(now.state) + (f" - {now.reason}" if now.reason else "")),
        (say("phase", "フェーズ"), progress or now.phase),
        (say("step", "ステップ"), "  ".join(filter(None, [steps, *numbers]))),
        (say("attempt", "試行"), str(now.attempt)),
        (say("started", "開始"), now.started or ""),
        (say("ended", "終了"), now.ended or ""),
        (say("engine", "エンジン"), f"pid {now.pid} on {now.host}" if now.pid else ""),
        ("GPU", now.gpu),
        (say("cost", "費用"), _cost(now)),
        (say("safe stop", "安全停止"), _stop(now)),
        (say("folder", "フォルダー"), now.run_dir),
    ]
    for entry in now.validation[:1] + now.validation[1:][-1:]:
        if entry["loss"] is not None:
            base = f" ({say('predicting zero', 'ゼロ予測')} {entry['base']:.4f})" if entry["base"] is not None else ""
            facts.append((say("validation", "検証"), f"{entry['step']}: loss {entry['loss']:.4f}{base}"))
    facts += [*_origin(now), (say("after the run", "終了後"), _hook(now))]
    facts += [(say("note", "メモ"), f"{note['step']}: {note['text']}") for note in now.notes]
    kinds = {"lora": "LoRA", "state": say("resume state", "再開用の状態"), "sample": say("sample", "サンプル")}
    facts += [
        (kinds.get(output["kind"], output["kind"]), f"{output['path']}  ({output['step']})") for output in now.outputs
    ]
    return facts
