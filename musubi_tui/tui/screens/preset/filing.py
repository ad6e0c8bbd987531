"""The draft and its file: opened, saved, saved elsewhere, edited outside, compared, started. Whatever could lose work asks first."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from textual.app import SuspendNotSupported

from engine.config.language import say
from engine.config.preset_folders import own_presets_folder, presets_root
from engine.config.problems import ConfigError, UserError
from engine.config.toml_text import toml_value
from musubi_tui.presets import journal, versus
from musubi_tui.presets.completing import working_folder
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.journal import KeptDraft
from musubi_tui.presets.library import find_preset
from musubi_tui.presets.versus import Side
from musubi_tui.tui.keymap import hinted
from musubi_tui.tui.screens.confirm import Choice, ConfirmScreen
from musubi_tui.tui.screens.preset.ask import PathScreen
from musubi_tui.tui.screens.preset.checking import Checking
from musubi_tui.tui.screens.preset.diff import DiffScreen
from musubi_tui.tui.screens.preset.figures import Figures
from musubi_tui.tui.screens.preset.picker import Picker
from musubi_tui.tui.widgets.grid import PropertyGrid
from musubi_tui.tui.widgets.toml_view import TomlText

Then = Callable[[], None]


class Filing(Checking):
    """Everything that reads or writes a file."""

    # Opening

    def open_word(self, word: str) -> None:
        """Edit a preset: a path, or a name of the library. What cannot be opened is told in the picker."""
        self.run_worker(self._open(word), group="open", exclusive=True)

    async def _open(self, word: str) -> None:
        def read() -> Draft:
            draft = Draft.open(find_preset(os.path.expanduser(word)))
            _ = (
                draft.facts.lines_of_pairs,
                toml_value(""),
            )  # reading a long text, and imports, belong here, not into the first paint
            return draft

        try:
            draft = await asyncio.to_thread(read)
        except (UserError, OSError, ValueError) as error:
            if self.draft is None or self.has_class("-picking"):
                self.query_one(Picker).tell(str(error))
            else:
                self.say_note(str(error))
            return
        self.take(draft)

    def take(self, draft: Draft) -> None:
        """Edit this draft from now on. Unsaved changes of the one before are kept and offered when it is opened again."""
        if self.text_is_edited:
            self.leave_text()
        self.draft, self.deep, self.note, self.story = draft, (), "", ""
        self._checked_text = None
        self.request, self.no_plan = None, ""
        self.figures = Figures()
        journal.note_recent(draft.path)
        self.query_one(TomlText).load_text("")
        self.set_class(False, "-picking")
        if draft.facts.syntax is not None:
            self.show_broken()
        else:
            self.query_one(PropertyGrid).focus()
        self.call_after_refresh(self.draw)
        self.check_soon()
        found = journal.kept(draft.path)
        if found is not None and found.text != draft.text:
            self._offer_kept(found)

    def show_broken(self) -> None:
        """Text that is no TOML is edited as text, with the cursor on the error."""
        syntax = self.draft.facts.syntax if self.draft else None
        if syntax is not None:
            self.edit_text(syntax.line or 1, syntax.column or 1)
            self.query_one(TomlText).mark_error(syntax.line)

    def _offer_kept(self, found: KeptDraft) -> None:
        draft = self.draft
        if draft is None:
            return
        when = datetime.fromtimestamp(found.seconds).strftime("%Y-%m-%d %H:%M")
        same = draft.saved is not None and draft.saved.digest == found.digest
        text = say(f"They were kept on {when}.", f"{when} に保管されたものです。")
        if found.elsewhere:
            text += say(
                " Another musubi-tui still has this file open.", " 別の musubi-tui がこのファイルを開いています。"
            )
        if not same:
            text += say(" The file has changed since.", " その後ファイルが変更されています。")
        choices = (
            Choice(
                "take",
                "r",
                hinted(
                    self.app,
                    say("go on with them ({preset.undo} undoes it)", "続きから編集する（{preset.undo} で取り消し）"),
                ),
            ),
            Choice("drop", "x", say("throw them away", "破棄する")),
        )

        def answer(chosen: str | None) -> None:
            if chosen == "take":
                self.attempt(lambda: draft.replace(found.text))
                self.show_broken()
            elif chosen == "drop":
                journal.forget(draft.path)

        title = say(
            f"{draft.path.name} has changes that were not saved.", f"{draft.path.name} に未保存の変更があります。"
        )
        self.app.push_screen(ConfirmScreen(title, text, choices, ""), answer)

    def action_open(self) -> None:
        """Choose another file; this draft stays as it is."""
        if self.text_is_edited:
            self.take_text()
        self.add_class("-picking")
        self.query_one(Picker).load()

    # Saving

    def action_save(self) -> None:
        """Write the file. Always allowed, whatever is wrong with it."""
        if self.text_is_edited:
            self.take_text()
        self.save()

    def save(self, then: Then | None = None, *, overwrite: bool = False) -> None:
        """Write, and go on with ``then``. Asks where the file belongs to the program, or somebody else changed it."""
        draft = self.draft
        if draft is None:
            return
        if is_shipped(draft.path):
            self._ask_where(
                say("Shipped presets stay as they are: save yours as …", "同梱プリセットは変更できません。保存先:"),
                then,
            )
            return
        try:
            draft.save(overwrite=overwrite)
        except ConfigError as error:
            if error.problems[0].code == "changed_on_disk":
                self._ask_about_disk(then)
            else:
                self._refused(error)
            return
        self._saved(then)

    def _saved(self, then: Then | None) -> None:
        draft = self.draft
        assert draft is not None
        self.note = say(f"saved {draft.path.name}", f"保存しました: {draft.path.name}")
        self._checked_text = None  # what it changed since its parent is another thing now
        self.changed()
        if then is not None:
            then()

    def _refused(self, error: ConfigError) -> None:
        problem = error.problems[0]
        hint = say("{preset.save_as} saves elsewhere.", "{preset.save_as} で別の場所に保存できます。")
        self.say_note(f"{problem.message} {hint}")

    def action_save_as(self) -> None:
        """Ask for another file."""
        if self.text_is_edited:
            self.take_text()
        self._ask_where(say("Save as", "名前を付けて保存"), None)

    def _ask_where(self, title: str, then: Then | None) -> None:
        draft = self.draft
        if draft is None:
            return
        start = own_presets_folder() / draft.path.name if is_shipped(draft.path) else draft.path
        hint = say(
            "Relative paths in a preset count from its folder.", "相対パスはプリセットのフォルダーから数えます。"
        )

        def answer(word: str | None) -> None:
            if word:
                self._save_to(Path(word), then)

        self.app.push_screen(PathScreen(title, str(start), working_folder(), kind="file", hint=hint), answer)

    def _save_to(self, path: Path, then: Then | None, *, overwrite: bool = False) -> None:
        draft = self.draft
        assert draft is not None
        before = draft.path
        try:
            own = own_presets_folder()
            if path.parent == own:
                own.mkdir(parents=True, exist_ok=True)
            draft.save_as(path, overwrite=overwrite)
        except OSError as error:
            self.say_note(str(error))
        except ConfigError as error:
            if error.problems[0].code != "file_exists":
                self._refused(error)
                return
            choices = (Choice("yes", "y", say("replace it", "置き換える")),)

            def answer(chosen: str | None) -> None:
                if chosen:
                    self._save_to(path, then, overwrite=True)

            self.app.push_screen(ConfirmScreen(str(error), "", choices, ""), answer)
        else:
            journal.forget(before)
            journal.note_recent(draft.path)
            self.deep, self._checked_text = (), None
            self._saved(then)

    # Somebody else

    def disk_changed(self, draft: Draft, state: str) -> None:
        """A clean draft follows the file; one with changes stays, and the head line says so until it is saved or reloaded."""
        if self.busy:
            return
        if self.text_is_edited:
            self.take_text()
        if state == "other" and not draft.dirty:
            try:
                draft.reload()
            except (ConfigError, OSError) as error:
                self.say_note(str(error))
                return
            self.note = hinted(
                self.app,
                say(
                    "somebody else changed the file: read again ({preset.undo} undoes it)",
                    "ファイルが外部で変更されたため再読み込みしました（{preset.undo} で取り消し）",
                ),
            )
            self.changed()
        elif state == "other":
            self._note_once(
                say(
                    "somebody else changed the file: {preset.save} asks what to do",
                    "ファイルが外部で変更されました。{preset.save} で対応を選べます",
                )
            )
        else:
            self._note_once(
                say(
                    "the file is gone: {preset.save} writes it again",
                    "ファイルがなくなりました。{preset.save} で書き直します",
                )
            )

    def _note_once(self, text: str) -> None:
        if self.note != hinted(self.app, text):
            self.say_note(text)

    def _ask_about_disk(self, then: Then | None) -> None:
        draft = self.draft
        assert draft is not None
        text = hinted(
            self.app,
            say(
                "Saving now would throw that away. Reloading takes the file; your changes can be brought back with {preset.undo}.",
                "このまま保存すると外部の変更が失われます。再読み込みしても、自分の変更は {preset.undo} で戻せます。",
            ),
        )
        choices = (
            Choice("reload", "r", say("reload the file", "再読み込みする")),
            Choice("overwrite", "o", say("overwrite it with the draft", "下書きで上書きする")),
            Choice("elsewhere", "s", say("save the draft elsewhere", "別の場所に保存する")),
            Choice("diff", "d", say("see how they differ", "違いを見る")),
        )

        def answer(chosen: str | None) -> None:
            if chosen == "reload":
                self.attempt(draft.reload)
            elif chosen == "overwrite":
                self.save(then, overwrite=True)
            elif chosen == "elsewhere":
                self._ask_where(say("Save as", "名前を付けて保存"), then)
            elif chosen == "diff":
                self._open_diff(lambda: versus.disk_side(draft))

        title = say(f"Somebody else changed {draft.path.name}.", f"{draft.path.name} が外部で変更されました。")
        self.app.push_screen(ConfirmScreen(title, text, choices, ""), answer)

    # Comparing, editing outside

    def action_diff(self) -> None:
        """Against the saved file when something is not saved, else against the base or the defaults."""
        draft = self.draft
        if draft is None:
            return
        if draft.dirty:
            self._open_diff(lambda: versus.saved_side(draft))
        elif draft.facts.has_base:
            self._open_diff(lambda: versus.base_side(draft))
        else:
            self._open_diff(lambda: versus.default_side(draft))

    def _open_diff(self, find: Callable[[], Side]) -> None:
        assert self.draft is not None
        try:
            side = find()
        except (UserError, OSError) as error:
            self.say_note(str(error))
            return
        self.app.push_screen(DiffScreen(self.draft, side))

    def action_editor(self) -> None:
        """Hand the text to the person's editor, and show what came back."""
        from musubi_tui.tui.screens.preset.outside import edit_outside

        draft = self.draft
        if draft is None:
            return
        if self.text_is_edited:
            self.take_text()
        before = draft.text
        wrong = ""
        try:
            with self.app.suspend():  # nothing may be raised through it: Textual would not take the terminal back
                try:
                    after = edit_outside(before, draft.path.name)
                except (UserError, OSError) as error:
                    wrong = str(error)
        except SuspendNotSupported:
            wrong = say("There is no terminal here for another editor.", "ここでは他のエディターを開けません。")
        if wrong:
            self.say_note(wrong)
            return
        if after == before:
            self.say_note(say("nothing was changed", "変更はありません"))
            return
        side = Side(say("before", "編集前"), draft.facts.reading.values if draft.facts.reading else {}, before)
        self.attempt(lambda: draft.replace(after))
        if self.text_is_edited:
            self.query_one(TomlText).load_text(after)
        self.app.push_screen(DiffScreen(draft, side), lambda _: self.show_broken())

    # Starting

    def action_launch(self) -> None:
        """Start a run, or let it wait in the queue. Errors block it, and nothing else does."""
        draft = self.draft
        if draft is None:
            return
        if self.text_is_edited:
            self.take_text()
        errors = [problem for problem in self.problems if problem.severity == "error"]
        if errors:
            count = len(errors)
            self.say_note(
                say(
                    f"{count} error{'s' if count > 1 else ''} to mend before a start; ! shows {'them' if count > 1 else 'it'}",
                    f"開始する前に {count} 件のエラーを直してください（! で表示）",
                )
            )
            return
        saves = say("Your changes are saved first. ", "変更を保存してから開始します。") if draft.dirty else ""
        text = saves + say("The run goes to ", "run の保存先: ") + str(self.musubi.home.path)
        choices = (
            Choice("now", "n", say("start now", "今すぐ開始")),
            Choice("queue", "q", say("wait in the queue for a free GPU", "キューに入れて GPU の空きを待つ")),
        )

        def answer(chosen: str | None) -> None:
            if chosen and draft.dirty:
                self.save(lambda: self._launch(chosen))
            elif chosen:
                self._launch(chosen)

        title = say(f"Start a run of {draft.path.name}?", f"{draft.path.name} の run を開始しますか？")
        file = shlex.quote(str(draft.path))
        twin = f"musubi-tui train {file} --detach\nmusubi-tui queue add {file}"
        self.app.push_screen(ConfirmScreen(title, text, choices, twin, complete=True), answer)

    def _launch(self, how: str) -> None:
        from musubi_tui.tui.acting import enqueue
        from musubi_tui.tui.screens.allowing import Hooks, with_hooks_asked
        from musubi_tui.tui.steering import hooks_of, start

        assert self.draft is not None
        path, home = self.draft.path, self.musubi.home
        file = shlex.quote(str(path))

        def done() -> None:
            self.note = ""
            self.musubi.switch_mode("jobs")

        def go(hooks: Hooks) -> None:
            self.say_note(say("starting …", "開始中 …") if how == "now" else say("queueing …", "キューに追加中 …"))
            made = self.musubi.put_cursor_on

            def job() -> str:
                if how == "now":
                    return start(str(path), home, made=made, hooks=hooks)
                return enqueue(str(path), home, made, hooks)

            self.musubi.in_background(job, done, self.say_note)

        title = say(f"Start a run of {path.name}?", f"{path.name} の run を開始しますか？")
        twin = f"musubi-tui train {file} --detach" if how == "now" else f"musubi-tui queue add {file}"
        with_hooks_asked(self.musubi, title, twin, lambda: hooks_of(str(path)), go, refused=self.say_note)


def is_shipped(path: Path) -> bool:
    """Whether a file belongs to the program."""
    return presets_root().resolve() in path.parents
