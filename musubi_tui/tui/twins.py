"""The command that does at the shell what an action does here, by the action's id. RUN stands for the run that is meant.

An action that only looks around on the screen has none; those ids are listed too, so that a test can tell a forgotten one.
"""

from __future__ import annotations

TWINS: dict[str, str] = {
    "jobs.new": "musubi-tui train PRESET --detach",
    "jobs.open": "musubi-tui runs open RUN",
    "jobs.resume": "musubi-tui runs resume RUN",
    "jobs.pause": "musubi-tui runs pause RUN",
    "jobs.stop": "musubi-tui runs stop RUN",
    "jobs.edit": "musubi-tui presets edit PRESET",
    "jobs.log": "musubi-tui runs logs RUN",
    "jobs.outputs": "musubi-tui runs show RUN",
    "jobs.fixes": "musubi-tui runs fixes RUN",
    "jobs.duplicate": "musubi-tui presets duplicate RUN",
    "jobs.archive": "musubi-tui runs archive RUN",
    "jobs.archived": "musubi-tui runs list --archived",
    "jobs.compare": "musubi-tui runs compare RUN RUN",
    "jobs.earlier": "musubi-tui queue move RUN N",
    "jobs.later": "musubi-tui queue move RUN N",
    "jobs.delete": "musubi-tui runs rm RUN",
    "jobs.cancel_hook": "musubi-tui runs cancel-hooks RUN",
    "jobs.fetch": "musubi-tui runs show RUN",
    "run.fetch": "musubi-tui runs show RUN",
    "app.cancel_hook": "musubi-tui runs cancel-hooks RUN",
    "jobs.price": "musubi-tui runs price PRICE",
    "run.pause": "musubi-tui runs pause RUN",
    "run.save": "musubi-tui runs save RUN",
    "run.sample": "musubi-tui runs sample RUN",
    "run.sample_of": "musubi-tui runs sample RUN --prompt TEXT",
    "run.stop": "musubi-tui runs stop RUN",
    "run.headroom": "musubi-tui runs headroom RUN",
    "run.note": "musubi-tui runs note RUN TEXT",
    "run.tune": "musubi-tui runs set RUN learning_rate_factor=0.5",
    "compare.winner": "musubi-tui runs winner RUN --over RUN",
    "compare.axis": "musubi-tui runs compare RUN RUN --by time",
    "compare.all": "musubi-tui runs compare RUN RUN --all",
    "preset.save": "musubi-tui presets set FILE key=value",
    "preset.edit": "musubi-tui presets set FILE key=value",
    "preset.toggle": "musubi-tui presets set FILE key=value",
    "preset.step_up": "musubi-tui presets set FILE key=value",
    "preset.step_down": "musubi-tui presets set FILE key=value",
    "preset.reset": "musubi-tui presets set FILE key=none",
    "preset.diff": "musubi-tui presets diff FILE OTHER",
    "preset.problems": "musubi-tui presets check FILE",
    "preset.changed": "musubi-tui presets diff FILE",
    "preset.explain": "musubi-tui presets options WORD",
    "preset.save_as": "musubi-tui presets copy FILE NEW",
    "preset.launch": "musubi-tui train FILE --detach",
    "preset.plan": "musubi-tui plan FILE",
    "preset.history": "musubi-tui presets versions FILE",
    "preset.next_version": "musubi-tui presets duplicate FILE --note TEXT",
    "preset.open": "musubi-tui presets list",
    "app.preset": "musubi-tui presets list",
    "app.jobs": "musubi-tui runs list",
    "app.run": "musubi-tui runs watch RUN",
    "app.compare": "musubi-tui runs compare RUN RUN",
    "app.help": "musubi-tui --help",
}
LOOKING = frozenset({
    "jobs.filter", "jobs.sort", "jobs.reverse", "jobs.clear", "jobs.mark", "jobs.up", "jobs.down", "jobs.page_up",
    "jobs.page_down", "jobs.first", "jobs.last",
    "compare.log", "compare.validation", "compare.copy", "compare.add", "compare.remove", "compare.left", "compare.right",
    "compare.far_left", "compare.far_right", "compare.up", "compare.down", "compare.picture", "compare.filter",
    "compare.clear", "compare.run_before", "compare.run_next", "compare.merge",
    "preset.undo", "preset.redo", "preset.fix", "preset.search", "preset.section_before", "preset.section_next", "preset.expert",
    "preset.everything", "preset.back", "preset.toml", "preset.editor", "preset.copy_value", "preset.up", "preset.down",
    "preset.page_up", "preset.page_down", "preset.first", "preset.last",
    "text.up", "text.down", "text.page_up", "text.page_down", "text.first", "text.last", "text.edit",
    "picker.find", "picker.down", "picker.up", "picker.complete", "picker.back",
    "app.palette", "app.zoom", "app.copy_twin", "app.quit", "app.explain", "app.jump", "app.go",
})  # fmt: skip


def twin_of(action: str, run: str = "") -> str:
    """The command with the run's id in it; empty for an action that only looks around."""
    command = TWINS.get(action, "")
    return command.replace("RUN", run, 1) if run else command
