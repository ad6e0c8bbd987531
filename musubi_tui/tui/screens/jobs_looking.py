"""What the keys of Jobs show of the run under the cursor: its log, what it made, what can be done about a failure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config.language import say
from musubi_tui.runs.plain_text import clean
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.screens.jobs_actions import JobsActions
from musubi_tui.tui.twins import twin_of

if TYPE_CHECKING:
    from musubi_tui.runs.remedies import Remedy
    from musubi_tui.runs.snapshot import Snapshot
    from musubi_tui.tui.screens.preset.ask import Answer

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_MOST_OUTPUTS = 500


class JobsLooking(JobsActions):
    """Each opens a screen or a list above Jobs."""

    def open_draft(self) -> None:
        """The editor with the preset, which offers what was not saved; the wizard, which offers the walk."""
        draft = self.draft
        if draft is not None and draft.path:
            from musubi_tui.tui.screens.preset.launch import edit_preset

            self.musubi.run_worker(edit_preset(self.musubi, draft.path))
        elif draft is not None:
            from musubi_tui.tui.screens.wizard import WizardScreen

            self.app.push_screen(WizardScreen())

    def action_edit(self) -> None:
        """Edit the preset of the run, or go on with the draft."""
        if self.draft is not None:
            self.open_draft()
        else:
            super().action_edit()

    def action_delete(self) -> None:
        """Delete the run, or give the draft up, after asking."""
        from musubi_tui.presets.unfinished import give_up
        from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen

        draft = self.draft
        if draft is None:
            super().action_delete()
            return

        def forget() -> str:
            give_up(draft)
            return say(f"{draft.name} is given up.", f"{draft.name} の下書きを破棄しました。")

        def answered(choice: str | None) -> None:
            if choice:
                self.musubi.in_background(forget)

        title = say(f"Give up the draft {draft.name}?", f"下書き {draft.name} を破棄しますか？")
        stays = say(f"{draft.path} stays as it was saved.", f"{draft.path} は保存済みの内容のまま残ります。")
        text = stays if draft.path else say("The answers to the wizard go.", "ウィザードの回答を破棄します。")
        self.app.push_screen(
            ConfirmScreen(title, text, (Choice("yes", "y", say("give it up", "破棄する")),), ""), answered
        )

    def action_log(self) -> None:
        """Open the run with its log on the whole screen."""
        chosen = self._existing()
        if chosen is not None:
            self.musubi.open_run(Path(chosen.run_dir), log=True)

    def action_outputs(self) -> None:
        """List what the run made; enter shows a picture, or copies the path."""
        from engine.events.rundir import RunDirectory
        from musubi_tui.runs.snapshot import snapshot
        from musubi_tui.tui.screens.preset.ask import ListScreen

        chosen = self._existing()
        if chosen is None:
            return
        made = snapshot(RunDirectory(Path(chosen.run_dir))).outputs[-_MOST_OUTPUTS:]
        if not made:
            text = say(f"{chosen.name} has made nothing yet.", f"{chosen.name} にはまだ出力がありません。")
            self.musubi.tell(text)
            return
        folders = dict.fromkeys(os.path.dirname(str(output["path"])) for output in reversed(made))
        hint = "\n".join(clean(folder) for folder in list(folders)[:3])
        words = say(
            "enter shows a picture, or copies the path; {ask.close} leaves it",
            "enter で画像を表示、またはパスをコピー。{ask.close} で閉じる",
        )
        hint += "\n" + hinted(self.app, words)
        title = say(f"{chosen.name}: {len(made)} made, newest first", f"{chosen.name}: 出力 {len(made)} 件（新しい順）")

        def answered(path: str | None) -> None:
            if path:
                self._show_output(chosen, made, path)

        answers = [_answer_of(output) for output in reversed(made)]
        self.app.push_screen(ListScreen(clean(title), answers, hint=hint), answered)

    def _show_output(self, chosen: Snapshot, made: tuple[dict[str, Any], ...], path: str) -> None:
        from musubi_tui.tui.run_view import Picture
        from musubi_tui.tui.screens.picture import PictureScreen
        from musubi_tui.tui.widgets.picture import Gallery

        pictures = [one for one in made if str(one["path"]).lower().endswith(_PICTURES)]
        if not any(one["path"] == path for one in pictures):
            self.musubi.copy(path)
            return
        place = next(place for place, one in enumerate(pictures) if one["path"] == path)
        shown = [Picture(str(one["path"]), os.path.basename(str(one["path"])), None, one["step"]) for one in pictures]
        self.app.push_screen(PictureScreen(shown, place, Gallery()))

    def action_fixes(self) -> None:
        """Say why the run failed and what can be done; a change that fits is made in the next version of its preset."""
        chosen = self._existing()
        if chosen is None:
            return
        if chosen.state not in ("failed", "orphaned", "preempted", "stopped"):
            self.musubi.tell(say(f"{chosen.name} did not fail.", f"{chosen.name} は失敗していません。"))
            return
        found: list[tuple[str, str, list[Remedy], bool]] = []

        def read() -> str:
            from engine.events.rundir import RunDirectory
            from musubi_tui.runs.remedies import causes_of, remedies_of
            from musubi_tui.runs.snapshot import has_state, snapshot

            run = RunDirectory(Path(chosen.run_dir))
            now = snapshot(run)
            found.append((*causes_of(now), remedies_of(run, now), has_state(run)))
            return ""

        def done() -> None:
            self._offer(chosen, *found[0])

        self.musubi.in_background(read, done)

    def _offer(self, chosen: Snapshot, cause: str, advice: str, remedies: list[Remedy], saved: bool) -> None:
        from musubi_tui.tui.screens.preset.ask import Answer, ListScreen

        where = say("in the dataset's file", "データセットのファイルで")
        resume = say("go on from the last state", "最後の状態から再開")
        if not saved:
            resume = say("go on, from the start", "最初から再開")
        answers = [
            Answer(f"change {place}", clean(one.title), clean(one.cost + ("" if one.values else f"  ({where})")))
            for place, one in enumerate(remedies)
        ]
        answers += [
            Answer("resume", resume, twin_of("jobs.resume", chosen.id)),
            Answer("log", say("read its log", "ログを読む"), twin_of("jobs.log", chosen.id)),
            Answer("edit", say("edit its preset", "プリセットを編集"), ""),
        ]
        into = say(
            "A change goes into the next version of the preset.\n", "変更はプリセットの次のバージョンに書かれます。\n"
        )
        hint = (into if remedies else "") + hinted(
            self.app, say("enter chooses, {ask.close} leaves it", "enter で選択、{ask.close} で閉じる")
        )
        title = "\n".join(map(clean, filter(None, (f"{chosen.name}: {cause}", advice))))

        def answered(choice: str | None) -> None:
            if choice == "resume":
                self.action_resume()
            elif choice == "log":
                self.action_log()
            elif choice == "edit":
                self.action_edit()
            elif choice:
                self._apply(chosen, remedies[int(choice.split()[1])])

        self.app.push_screen(ListScreen(title, answers, hint=hint), answered)

    def _apply(self, chosen: Snapshot, remedy: Remedy) -> None:
        """Make the next version of the preset with the change in it and open it, or the preset whose dataset has to change."""
        from musubi_tui.tui.acting import version_with
        from musubi_tui.tui.screens.preset.launch import edit_preset

        if not remedy.values:
            self.musubi.tell(
                say(f"Set {remedy.title} in the dataset.", f"データセットで {remedy.title} を設定してください。")
            )
            self.action_edit()
            return
        made: list[str] = []

        def done() -> None:
            self.musubi.run_worker(edit_preset(self.musubi, made[0]))

        self.musubi.in_background(lambda: version_with(chosen.run_dir, remedy.values, remedy.title, made.append), done)


def _answer_of(output: dict[str, Any]) -> Answer:
    from musubi_tui.tui.screens.preset.ask import Answer

    path = str(output["path"])
    kinds = {"lora": "LoRA", "state": say("state", "状態"), "sample": say("sample", "サンプル")}
    size = _size(path)
    words = f"{output['step']:>8}  {kinds.get(output['kind'], output['kind']):<7} {size:>9}  {os.path.basename(path)}"
    return Answer(path, clean(words))


def _size(path: str) -> str:
    from musubi_tui.runs.removing import size_text

    try:
        facts = os.stat(path)
    except OSError:
        return say("gone", "なし")
    return "" if os.path.isdir(path) else size_text(facts.st_size)
