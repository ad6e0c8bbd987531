"""What the keys of Jobs do to the run under the cursor: questions first where something is lost or costs, then a job on a thread."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.runs.state_words import takes_no_commands
from musubi_tui.tui.runs_table import DRAFT
from musubi_tui.tui.screens.mode import ModeScreen
from musubi_tui.tui.twins import twin_of
from musubi_tui.tui.widgets.run_list import RunList

if TYPE_CHECKING:
    from musubi_tui.presets.unfinished import Unfinished
    from musubi_tui.runs.snapshot import Snapshot
    from musubi_tui.runs.stopping import StopTime
    from musubi_tui.tui.screens.allowing import Hooks

GONE = "gone"
DONE_SECONDS = 15.0  # as long as the run screen shows an answer


class JobsActions(ModeScreen):
    """One command at a time per run: the next one waits for the answer, or for ten seconds without one."""

    def __init__(self) -> None:
        super().__init__()
        self._made: list[str] = []  # presets of the versions made here, newest first
        self._waiting: dict[str, str] = {}  # folder of a run -> the command without an answer
        self._done = (
            "",
            "",
            0.0,
        )  # what was done last: folder of the run, its command at the shell, until when that is copied

    def cli_twin(self) -> str:
        """Just after an action on the run under the cursor the command that does the same; else ``runs show`` of it."""
        folder, done, until = self._done
        if self.draft is not None:
            return f"musubi-tui presets edit {shlex.quote(self.draft.path)}" if self.draft.path else "musubi-tui wizard"
        if self.chosen is None:
            return "musubi-tui runs list"
        if done and folder == self.chosen.run_dir and time.monotonic() < until:
            return done
        return f"musubi-tui runs show {shlex.quote(self.chosen.id)}"

    @property
    def chosen(self) -> Snapshot | None:
        """The run under the cursor; a draft is none."""
        run = self.query_one(RunList).run
        return None if run is None or run.state == DRAFT else run

    @property
    def draft(self) -> Unfinished | None:
        """The draft under the cursor."""
        run = self.query_one(RunList).run
        drafts = self.musubi.view.drafts if run is not None and run.state == DRAFT else ()
        return next((one for one in drafts if run is not None and run.run_dir == f"{DRAFT}:{one.file}"), None)

    # Starting and going on

    def action_new(self) -> None:
        """Ask for a preset and start it."""
        from musubi_tui.tui.screens.start import StartScreen

        runs = [now.run_dir for now in self.musubi.view.runs]
        if self.chosen is not None:  # the one under the cursor first
            runs = [self.chosen.run_dir, *runs]
        self.app.push_screen(StartScreen(self.musubi.home, [*self._made, *runs]))

    def action_resume(self) -> None:
        """Go on with the run, whatever ended it; one that is done gets more steps."""
        chosen = self._existing()
        if chosen is None:
            return
        if chosen.state == "done" and chosen.kind == "cache":
            self.musubi.tell(
                say(f"{chosen.name} is a cache run: there is nothing to train further.",
                    f"{chosen.name} はキャッシュの run です。続けて学習するものはありません。")
            )  # fmt: skip
        elif chosen.state == "done":
            self._ask_about_hooks(chosen, lambda hooks: self._train_further(chosen, hooks))
        else:
            self._ask_about_hooks(chosen, lambda hooks: self._go_on(chosen, hooks))

    def _go_on(self, chosen: Snapshot, hooks: Hooks) -> None:
        """Resume it; of one that has spent its budget ask first how much more."""
        from musubi_tui.tui.acting import Standing, go_on, standing_of

        home, tell = self.musubi.home.path, self.musubi.tell
        found: list[Standing] = []

        def look() -> str:
            found.append(standing_of(home, chosen.run_dir))
            return ""

        def go() -> None:
            number, spent = found[0]
            if spent is not None:
                self._raise_limit(chosen, hooks, *spent)
                return
            twin = (
                twin_of("jobs.resume", shlex.quote(chosen.id)) if number is None else f"musubi-tui queue run {number}"
            )
            self._in_background(chosen, "resume", lambda: go_on(home, chosen.run_dir, hooks, tell), twin)

        self.musubi.in_background(look, go)

    def _raise_limit(self, chosen: Snapshot, hooks: Hooks, key: str, limit: float, reason: str) -> None:
        from musubi_tui.tui.acting import go_on_with_more
        from musubi_tui.tui.screens.ask import AskScreen

        twin = twin_of("jobs.resume", shlex.quote(chosen.id)) + (" --allow-hooks" if hooks else "")
        self.app.push_screen(
            AskScreen(
                say(f"Go on with {chosen.name}?", f"{chosen.name} を再開しますか？"),
                say(
                    f"It would stop again at once: {reason}. Up to how much in all?",
                    f"再開してもすぐに停止します: {reason}。合計いくつまで続けますか？",
                ),
                lambda answer: go_on_with_more(chosen.run_dir, key, answer, hooks),
                lambda answer: f"{twin} --set {key}={shlex.quote(answer) if answer else 'N'}",
                value=f"{2 * limit:g}",
            )
        )

    def _ask_about_hooks(self, chosen: Snapshot, go: Callable[[Hooks], None]) -> None:
        """Commands of the run's preset are shown before it goes on; ``go`` gets those that may run."""
        from musubi_tui.tui.screens.allowing import with_hooks_asked
        from musubi_tui.tui.steering import hooks_to_resume

        title = say(f"Go on with {chosen.name}?", f"{chosen.name} を再開しますか？")
        twin = twin_of("jobs.resume", shlex.quote(chosen.id))
        with_hooks_asked(self.musubi, title, twin, lambda: hooks_to_resume(chosen.run_dir), go)

    def _train_further(self, chosen: Snapshot, hooks: Hooks) -> None:
        from musubi_tui.tui.acting import train_further
        from musubi_tui.tui.screens.ask import AskScreen

        title = say(f"Train {chosen.name} further?", f"{chosen.name} の学習を続けますか？")
        text = say(
            f"It is done with {chosen.step} steps. Until which step in all? It goes on from its last state.",
            f"{chosen.step} ステップで完了しています。合計何ステップまで続けますか？最後の状態から再開します。",
        )
        twin = twin_of("jobs.resume", shlex.quote(chosen.id)) + (" --allow-hooks" if hooks else "")
        self.app.push_screen(
            AskScreen(
                title,
                text,
                lambda steps: train_further(chosen.run_dir, steps, hooks),
                lambda steps: f"{twin} --set max_train_steps={steps or 'N'}",
                value=str(chosen.step + max(1, chosen.step // 2)),
            )
        )

    def action_edit(self) -> None:
        """Open the preset the run was made of in the editor."""
        from engine.events.rundir import RunDirectory
        from musubi_tui.runs.origin import preset_of
        from musubi_tui.tui.screens.preset.launch import edit_preset

        chosen = self._existing()
        if chosen is None:
            return
        try:
            preset = preset_of(RunDirectory(Path(chosen.run_dir)))
        except UserError as error:
            self.musubi.tell(str(error), wrong=True)
            return
        self.musubi.run_worker(edit_preset(self.musubi, str(preset)))

    def action_duplicate(self) -> None:
        """Ask for a note and make the next version of the run's preset."""
        from musubi_tui.tui.acting import describe_next_version, next_version
        from musubi_tui.tui.screens.ask import AskScreen

        chosen = self._existing()
        if chosen is None:
            return
        try:
            files = describe_next_version(chosen.run_dir)
        except UserError as error:
            self.musubi.tell(str(error), wrong=True)
            return
        twin = twin_of("jobs.duplicate", shlex.quote(chosen.id))
        self.app.push_screen(
            AskScreen(
                say("Make the next version of the preset?", "プリセットの次のバージョンを作成しますか？"),
                files,
                lambda note: next_version(chosen.run_dir, note, lambda preset: self._made.insert(0, preset)),
                lambda note: f"{twin} --note {shlex.quote(note)}" if note else twin,
                hint=say("a note: what you want to try", "メモ: 試したいこと"),
                may_be_empty=True,
            )
        )

    # Steering

    def action_pause(self) -> None:
        """Pause the run, or go on when it is paused."""
        chosen = self._alive()
        if chosen is not None:
            self._steer(chosen, "resume" if chosen.state == "paused" else "pause")

    def action_stop(self) -> None:
        """Ask when to stop."""
        from musubi_tui.tui.screens.stopping import when_to_stop

        chosen = self._alive()
        if chosen is None:
            return

        def stop(when: str | None) -> None:
            if when:
                self._steer(chosen, "stop", when=when)

        bound = self._stop_time(chosen)
        self.app.push_screen(when_to_stop(chosen.name, chosen.id, bound, trains=chosen.kind == "train"), stop)

    def _stop_time(self, chosen: Snapshot) -> StopTime | None:
        """How long a safe stop takes: the list knows only what is cheap to read, the card all of it."""
        from engine.events.rundir import RunDirectory
        from musubi_tui.runs.snapshot import snapshot
        from musubi_tui.runs.stopping import StopTime

        detail = self.musubi.view.detail
        whole = detail.now if detail and detail.now.run_dir == chosen.run_dir else None
        if whole is None:
            try:
                whole = snapshot(RunDirectory(Path(chosen.run_dir)))
            except OSError:  # gone this moment: nothing is known of it
                return None
        return None if whole.stop_seconds is None else StopTime(whole.stop_seconds, whole.stop_measured)

    def action_fetch(self) -> None:
        """Copy and show the line that brings home what the run made."""
        from musubi_tui.tui.screens.fetching import show_fetch

        chosen = self._existing()
        if chosen is not None:
            show_fetch(self.musubi, chosen.run_dir, twin_of("jobs.fetch", shlex.quote(chosen.id)))

    # Order, archive, deletion, price

    def action_shift(self, by: int) -> None:
        """Earlier or later in the queue."""
        from musubi_tui.tui.acting import shift

        chosen = self.chosen
        if chosen is None or chosen.run_dir not in self.musubi.view.queue:
            text = say("Only what waits in this machine's queue can be moved.", "移動できるのはこのマシンのキューで待機中のものだけです。")  # fmt: skip
            self.musubi.tell(text)
            return
        self._in_background(chosen, "queue move", lambda: shift(self.musubi.home.path, chosen.run_dir, by))

    def action_archive(self) -> None:
        """Take the run off the list, or put it back."""
        from musubi_tui.tui.acting import archive

        chosen = self.chosen
        if chosen is None:
            self._say_nothing_chosen()
            return
        away = chosen.run_dir not in self.musubi.view.archived
        self._in_background(chosen, "archive", lambda: archive(chosen.run_dir, away=away))

    def action_delete(self) -> None:
        """Say what goes, ask, delete."""
        from musubi_tui.tui.acting import delete, describe_deletion
        from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen

        chosen = self.chosen
        if chosen is None:
            self._say_nothing_chosen()
            return
        home = self.musubi.home.path
        try:
            text = describe_deletion(home, chosen.run_dir)
        except (UserError, OSError) as error:
            self.musubi.tell(str(error), wrong=True)
            return

        def answered(choice: str | None) -> None:
            if choice:
                self._in_background(chosen, "delete", lambda: delete(home, chosen.run_dir, self.musubi.tell))

        title = say(f"Delete {chosen.name} for good?", f"{chosen.name} を完全に削除しますか？")
        choices = (Choice("yes", "y", say("delete it", "削除する")),)
        waits = chosen.run_dir in self.musubi.view.queue
        run = shlex.quote(chosen.id)
        twin = f"musubi-tui queue rm {run}" if waits else f"{twin_of('jobs.delete', run)} --yes"
        self.app.push_screen(ConfirmScreen(title, text, choices, twin, complete=True), answered)

    def action_price(self) -> None:
        """Ask what an hour of this machine costs."""
        from musubi_tui.tui.acting import set_price
        from musubi_tui.tui.screens.ask import AskScreen

        known = self.musubi.view.price
        self.app.push_screen(
            AskScreen(
                say("What does an hour of this machine cost?", "このマシンの 1 時間あたりの料金は？"),
                say(
                    "A number in your currency. Money spent and projected is counted from it.",
                    "通貨は任意です。使った費用と見込みの計算に使います。",
                ),
                set_price,
                lambda price: twin_of("jobs.price").replace("PRICE", shlex.quote(price) if price else "PRICE"),
                value="" if known is None else f"{known:g}",
                hint="2.49",
            )
        )

    # What all of them share

    def _existing(self) -> Snapshot | None:
        """The run under the cursor where its folder is still there; else says why not."""
        chosen = self.chosen
        if chosen is None:
            self._say_nothing_chosen()
        elif chosen.state == GONE:
            text = say(
                f"The folder of {chosen.name} was moved or deleted.",
                f"{chosen.name} のフォルダーは移動または削除されています。",
            )
            self.musubi.tell(text)
        else:
            return chosen
        return None

    def _alive(self) -> Snapshot | None:
        """The run under the cursor when it can obey; else says why not."""
        from engine.events.status import ALIVE

        chosen = self._existing()
        if chosen is not None and chosen.state not in ALIVE:
            self.musubi.tell(takes_no_commands(chosen.name, chosen.state))
            return None
        return chosen

    def _say_nothing_chosen(self) -> None:
        if self.draft is not None:
            self.musubi.tell(
                say(
                    "That is a draft and no run yet: {jobs.open} opens it.",
                    "まだ run ではない下書きです。{jobs.open} で開きます。",
                )
            )
            return
        self.musubi.tell(say("There is no run under the cursor.", "カーソル位置に run がありません。"))

    def _steer(self, chosen: Snapshot, command: str, **arguments: str) -> None:
        from musubi_tui.tui.steering import steer

        words = "".join(f" --{name} {value}" for name, value in arguments.items())
        twin = f"musubi-tui runs {command} {shlex.quote(chosen.id)}{words}"
        self._in_background(chosen, command, lambda: steer(chosen.run_dir, command, arguments), twin)

    def _in_background(self, chosen: Snapshot, command: str, job: Callable[[], str], twin: str = "") -> None:
        if chosen.run_dir in self._waiting:
            self.musubi.tell(say(f"{self._waiting[chosen.run_dir]} has no answer yet.", f"{self._waiting[chosen.run_dir]} の応答待ちです。"))  # fmt: skip
            return
        self._waiting[chosen.run_dir] = command
        self._done = (chosen.run_dir, twin, time.monotonic() + DONE_SECONDS)
        self.show(self.musubi.view)

        def answered() -> None:
            self._waiting.pop(chosen.run_dir, None)
            if self.is_mounted:
                self.show(self.musubi.view)

        self.musubi.in_background(job, answered)
