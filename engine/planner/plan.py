"""The plan: memory phase by phase, disk, time and money of a run, each line with how it was computed and how sure it is.

``make_plan`` is a pure function of its request: no disk, no clock, no device. An edit in a form asks it again; it
takes a few milliseconds, most of them for the suggestions (``benchmarks/plan.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from engine.config.language import say
from engine.planner import disk
from engine.planner.advice import suggest
from engine.planner.lines import Line, Plan, Sure, gib
from engine.planner.memory import optimizer_bytes, phases
from engine.planner.request import PlanRequest
from engine.planner.speed import Rate, Seconds, preview_rounds, preview_seconds, rate, step_flops, step_seconds

_RESIDENCY = ("blocks_to_swap", "fp8_base", "vram_budget_gb", "gradient_checkpointing_cpu_offload", "fp8_t5", "fp8_vl")


def make_plan(ask: PlanRequest, *, advise: bool = True) -> Plan:
    """The plan of one request. ``advise=False`` leaves the suggestions out."""
    found = phases(ask)
    machine = ask.machine
    available = None if machine.total is None else max(0, machine.total - machine.others)
    speed = rate(ask)
    time = tuple(_time(ask, speed))
    plan = Plan(
        family=ask.spec.name,
        task=ask.task.name,
        card=machine.card.name if machine.card else "",
        steps=ask.steps,
        phases=found,
        total=machine.total,
        others=machine.others,
        available=available,
        fits=None if available is None else max(phase.peak for phase in found) <= available,
        disk=tuple(_disk(ask)),
        time=time,
        money=tuple(_money(ask, time)),
        notes=tuple(_notes(ask)),
    )
    if not advise or plan.fits is not False:
        return plan
    single, together = suggest(ask, plan)
    return replace(plan, suggestions=single, together=together)


def _time(ask: PlanRequest, speed: Rate | None) -> Iterator[Line]:
    if speed is None:
        how = say(
            "no card is known and this machine has no run of this model yet",
            "GPU が不明で、このモデルの実測もまだありません",
        )
        yield Line("step", "time", say("one step", "1 ステップ"), None, "seconds", how, "unknown")
        return
    sure: Sure = "close" if speed.measured and speed.doubt < 1.3 else "rough"
    one = step_seconds(ask, speed)
    how = say(f"{step_flops(ask) / 1e12:.4g} TFLOP; {speed.how}", f"{step_flops(ask) / 1e12:.4g} TFLOP。{speed.how}")
    yield _seconds("step", say("one step", "1 ステップ"), one, how, sure)
    all_steps = one.times(ask.steps)
    yield _seconds(
        "training", say("training", "学習"), all_steps, say(f"{ask.steps} steps", f"{ask.steps} ステップ"), sure
    )
    rounds = preview_rounds(ask)
    whole = all_steps
    if rounds:
        previews = preview_seconds(ask, speed).times(rounds)
        whole = whole.plus(previews)
        how = say(f"{rounds} rounds of {ask.prompts} prompts", f"{ask.prompts} プロンプト × {rounds} 回")
        yield _seconds("previews", say("previews", "プレビュー"), previews, how, "rough")
    how = say("without encoding, loading and saving", "エンコード・読み込み・保存を除く")
    yield _seconds("whole", say("whole run", "全体"), whole, how, sure)


def _money(ask: PlanRequest, time: tuple[Line, ...]) -> Iterator[Line]:
    whole = next((line for line in time if line.id == "whole"), None)
    if ask.price is None or whole is None or whole.amount is None or whole.low is None or whole.high is None:
        return
    hourly = ask.price / 3600
    how = say(f"{ask.price:g} an hour", f"1 時間あたり {ask.price:g}")
    yield Line(
        "cost", "money", say("cost", "費用"), whole.amount * hourly, "money", how, whole.sure,
        whole.low * hourly, whole.high * hourly,
    )  # fmt: skip


def _disk(ask: PlanRequest) -> Iterator[Line]:
    data, values = ask.data, ask.values
    if data.latents_to_write:
        how = say("shape of every latent that is not cached yet", "未キャッシュの潜在すべての形状から")
        yield _bytes("latents", say("latent caches", "潜在のキャッシュ"), data.latents_to_write, how, "exact")
    if data.text_to_write:
        how = say("length of every caption that is not cached yet", "未キャッシュのキャプションすべての長さから")
        yield _bytes("text", say("caption caches", "キャプションのキャッシュ"), data.text_to_write, how, "rough")
    parameters, matrices = ask.adapter_parameters, ask.adapted.modules
    one = disk.lora_tensor_bytes(parameters, matrices, values.get("save_precision"))
    count = disk.loras_kept(values, ask.steps, ask.steps_per_epoch)
    dialects = max(1, len(values.get("lora_dialects") or ()))
    each = disk.megabytes(one)
    how = say(f"{count * dialects} files of {each}", f"{each} × {count * dialects} ファイル")
    yield _bytes("loras", say("LoRA files", "LoRA ファイル"), count * dialects * one, how, "close")
    state = 4 * parameters + optimizer_bytes(ask)
    kept = int(values.get("keep_states") or 1) + 1
    how = say(f"{kept} resume states of {disk.megabytes(state)}, one of them being written",
              f"再開用の状態 {disk.megabytes(state)} × {kept}（書き込み中の 1 つを含む）")  # fmt: skip
    yield _bytes("states", say("resume states", "再開用の状態"), kept * state, how, "close")


def _notes(ask: PlanRequest) -> Iterator[str]:
    for name in _RESIDENCY:
        if name in ask.unbuilt:
            yield say(
                f"{name} is not built yet: it saves nothing today, and the plan counts without it.",
                f"{name} は未実装です。現在は何も節約されず、この計画にも含めていません。",
            )
    if ask.data.assumed:
        yield say(
            "The dataset has no files yet: one batch of its full resolution stands for them.",
            "データセットのファイルがまだないため、設定の解像度いっぱいの 1 バッチで代用しています。",
        )
    if not ask.transformer.source:
        yield say(
            "The model file is not at hand: the released model's sizes are counted.",
            "モデルファイルがないため、配布モデルのサイズで計算しています。",
        )
    machine = ask.machine
    if machine.total is not None and machine.others:
        yield say(
            f"Other processes hold {gib(machine.others)} of the card's {gib(machine.total)}.",
            f"他のプロセスが GPU メモリ {gib(machine.total)} のうち {gib(machine.others)} を使用中です。",
        )
    for kind, free in machine.disk_free.items():
        needed = sum(line.amount or 0 for line in _disk(ask) if line.id == kind)
        if needed > free:
            yield say(
                f"The disk for {kind} has {disk.gigabytes(free)} free, and {disk.gigabytes(int(needed))} will be written.",
                f"{kind} を書くディスクの空きは {disk.gigabytes(free)} ですが、{disk.gigabytes(int(needed))} を書き込みます。",
            )


def _seconds(name: str, title: str, value: Seconds, how: str, sure: Sure) -> Line:
    return Line(name, "time", title, value.middle, "seconds", how, sure, value.low, value.high)


def _bytes(name: str, title: str, amount: int, how: str, sure: Sure) -> Line:
    return Line(name, "disk", title, amount, "bytes", how, sure)
