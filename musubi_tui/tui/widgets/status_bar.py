"""The line above the keys: the active run, the GPUs, memory and disk. Each part is drawn only when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.events import Click
from textual.widgets import Static

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.runs.state_words import state_word
from musubi_tui.terminal_width import cells
from musubi_tui.tui.glyphs import UNICODE, Glyphs
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.numbers import duration, fit, percent
from musubi_tui.tui.view import View, WaitingHook
from musubi_tui.tui.widgets.lines import Lines, justify

if TYPE_CHECKING:
    from musubi_tui.machine.load import MachineLoad
    from musubi_tui.runs.snapshot import Snapshot


_BAR_LEAST, _BAR_MOST = 4, 20  # cells of the bar of the GPU


class Part(Static):
    """A text that is drawn again only when it is another one."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str = "") -> None:
        super().__init__(text, markup=False, id=id, classes=classes)
        self.text = text

    def show(self, text: str) -> None:
        """Show ``text``."""
        if text != self.text:
            moved = cells(text) != cells(self.text)
            self.text = text
            self.update(text, layout=moved)


class StatusBar(Lines):
    """The line itself; ``tell`` gives it the facts. A click on the active run opens it. One widget: five cost a tenth of a start."""

    DEFAULT_CSS = "StatusBar { height: 1; width: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._view, self._glyphs = View(), UNICODE
        self._run_ends = 0  # the first cell behind the active run

    def tell(self, view: View, glyphs: Glyphs = UNICODE) -> None:
        """Show these facts; what has not changed costs nothing."""
        self._view, self._glyphs = view, glyphs
        hook, load = (view.hooks[0] if view.hooks else None), view.machine
        run = f" {f'! {hinted(self.app, hook_text(hook))}' if hook else active_text(view.active, glyphs)} "
        machine = [f" {text} " for text in machine_texts(load) if text] if load else []
        room = self.size.width - cells(run) - sum(map(cells, machine)) - 3
        if load is not None and room >= _BAR_LEAST:
            machine[0] = f" {gpu_text(load, glyphs, min(room, _BAR_MOST))} "
        self._run_ends = self.size.width - sum(map(cells, machine))
        self.show([justify([(run, "")], [(text, "muted") for text in machine], self.size.width)])

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.tell(self._view, self._glyphs)

    async def on_click(self, event: Click) -> None:
        """Open the run."""
        event.stop()
        if event.x < self._run_ends:
            await self.app.run_action("mode('run')")


def machine_texts(load: MachineLoad) -> tuple[str, str, str]:
    """GPUs, memory and disk in words; empty what is not known."""
    free = load.disk_free
    return gpu_text(load), memory_text(load), "" if free is None else say(f"disk {free}G free", f"空き {free}G")


def hook_text(hook: WaitingHook) -> str:
    """``on_finish 20 s: ^g cancels``; it changes every ten seconds."""
    if hook.state != "waiting":
        return say(f"{hook.name} is running", f"{hook.name} を実行中")
    if not hook.left:
        return say(f"{hook.name} starts", f"{hook.name} を開始します")
    left = f"{hook.left} s" if hook.left < 120 else f"{hook.left // 60} min"
    return say(
        f"{hook.name} {left}: {{app.cancel_hook}} cancels", f"{hook.name} {left}: {{app.cancel_hook}} で取り消し"
    )


def active_text(active: Snapshot | None, glyphs: Glyphs) -> str:
    """``▸ name 43% 1h56``, with the word for every state but running."""
    if active is None:
        return say("nothing runs", "実行中の run なし")
    name = fit(clean(active.name), 24, ellipsis=glyphs.ellipsis).rstrip()
    word = "" if active.state == "running" else state_word(active.state)
    parts = [
        glyphs.state(active.state),
        name,
        word,
        percent(active.step, active.max_steps),
        duration(active.eta_seconds),
    ]
    return " ".join(filter(None, parts))


def gpu_text(load: MachineLoad, glyphs: Glyphs = UNICODE, bar: int = 0) -> str:
    """``H200 ▕█████▏97% 71°C 412W``, its bar of so many cells; the name alone while nothing runs here."""
    if not load.gpus:
        return say("no GPU", "GPU なし")
    first = max(load.gpus, key=lambda gpu: gpu.percent or 0)
    count = f"{len(load.gpus)}x " if len(load.gpus) > 1 else ""
    if not load.busy:
        return count + first.name
    facts = [f"{value}{unit}" for value, unit in ((first.percent, "%"), (first.celsius, "°C"), (first.watts, "W")) if value is not None]  # fmt: skip
    if bar and first.percent is not None:
        left, right = "[]" if glyphs.name == "ascii" else "▕▏"
        facts[0] = f"{left}{glyphs.bar(first.percent / 100, bar)}{right}{facts[0]}"
    return " ".join([count + first.name, *facts])


def memory_text(load: MachineLoad) -> str:
    """``RAM 61/128G``; what there is while nothing runs here."""
    return f"RAM {load.ram_used}/{load.ram_total}G" if load.busy else f"RAM {load.ram_total}G"
