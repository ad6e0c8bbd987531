"""The wizard on the screen: one question at a time, its choices or a field, why it is asked, and what was answered so far.

Looking (model files, pictures, plans) and downloading happen on a thread; the screen only shows the question that came of it.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Input, OptionList
from textual.widgets.option_list import Option

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.presets.wizard.flow import PAGES, Question
from musubi_tui.presets.wizard.session import DRAFT, Session
from musubi_tui.presets.wizard.telling import Download, choice_rows, so_far
from musubi_tui.tui.keymap import hinted, key
from musubi_tui.tui.numbers import fit
from musubi_tui.tui.screens.dialog import AnswersOnce
from musubi_tui.tui.widgets.field import Field
from musubi_tui.tui.widgets.lines import Lines, justify
from musubi_tui.tui.widgets.plain import Plain

if TYPE_CHECKING:
    from musubi_tui.tui.app import MusubiApp

_TITLES = {
    "goal": say("What to learn", "学習すること"), "model": say("Model and files", "モデルとファイル"), "data": say("Pictures or clips", "画像・動画"),
    "fit": say("Fit to the GPU", "GPU に合わせる"), "length": say("Length", "長さ"), "samples": say("Previews", "プレビュー"), "review": say("Review", "確認"),
}  # fmt: skip
_MARKS = {"unicode": {"done": "✓", "here": "▸", "open": "○"}, "ascii": {"done": "+", "here": ">", "open": "."}}
_LEAST_TOLD = 2  # lines below the question that stay in sight
_KEPT = say("Your answers are kept: {jobs.new} goes on with them.", "回答は残してあります。{jobs.new} で続けられます。")
# What the logic writes, for terminals that draw ASCII only.
_ASCII = str.maketrans({"█": "#", "░": ".", "▕": "|", "▏": "|", "✓": "+", "–": "-", "×": "x", "·": "-"})


class WizardScreen(AnswersOnce[None]):
    """Closes when the run has started, the files are written, or the person leaves; then the answers are kept."""

    CSS_PATH = "wizard.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        key("wizard.back", "escape", "back", say("back", "戻る"), show=True),
        key("wizard.why", "w,f1", "why", say("why", "説明"), show=True, display="w"),
        key("wizard.form", "e", "form", say("full form", "詳細フォーム"), show=True),
        key("wizard.keep", "ctrl+s", "keep", say("save draft", "下書き保存"), show=True),
        key("wizard.leave", "q", "leave", say("leave", "終了"), show=True),
        key("wizard.leave_field", "ctrl+g", "leave", say("leave, from a field too", "入力欄からも終了")),
    ]

    class Looked(Message):
        """The thread is done: the question that is asked now, or what went wrong."""

        def __init__(self, question: Question | None, error: str = "") -> None:
            super().__init__()
            self.question, self.error = question, error

    class Downloading(Message):
        """How far a download is."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self._session = session
        self._question: Question | None = None
        self._busy = True
        self._why = False
        self._stopped = False  # the person does not want the download any more
        self._download: Download | None = None
        self._written = ""  # the preset, once it is
        self._highlighted: int | None = None  # the choice under the cursor, once it was moved

    @property
    def musubi(self) -> MusubiApp:
        """The app, by its type."""
        return cast("MusubiApp", self.app)

    def compose(self) -> ComposeResult:
        """The frame: where one is, the question, what was answered."""
        yield Lines(id="head", rows=2)
        with Vertical(id="page"):
            yield Plain(id="title")
            yield Plain(id="wrong")  # near the top: a long page must not push it out of sight
            with VerticalScroll(id="told", can_focus=False):
                yield Plain(id="lines")
            yield OptionList(id="choices", markup=False)
            yield Field(id="field", compact=True)
            yield Plain(id="why")
        yield Lines(id="sofar", rows=1)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look around."""
        self._work(lambda: None)

    def on_resize(self) -> None:
        """The lines of the frame follow the width."""
        self.call_after_refresh(self._show_frame)
        self.call_after_refresh(self._make_room)

    def cli_twin(self) -> str:
        """The same questions at a plain prompt."""
        answers = self._session.flow.answers if self._session else {}
        out = f" --out {shlex.quote(str(answers['folder']))}" if "folder" in answers else ""
        return f"musubi-tui wizard{out}"

    # Work on a thread

    def _work(self, job: Callable[[], None], remark: str = say("Looking …", "確認中 …")) -> None:
        self._busy = True
        self._remark(remark)
        self.run_worker(lambda: self._look(job), thread=True, exclusive=True, group="wizard")

    def _look(self, job: Callable[[], None]) -> None:
        """On the thread: do the job, then build the next question."""
        try:
            if self._question is None:  # the first look
                session = self._session or Session()
                session.remember()
                self._session = session
            job()
            found = self.Looked(self._session.question if self._session else None)
        except UserError as error:
            found = self.Looked(self._question, "\n".join(str(problem) for problem in error.problems))
        self.post_message(found)

    def on_wizard_screen_looked(self, message: Looked) -> None:
        """Show the question, or end."""
        self._busy, self._download = False, None
        if message.question is None and not message.error:
            self._finish()
            return
        again = message.question is not None and self._question is not None and message.question.id == self._question.id
        self._question = message.question
        self._why = self._why and again
        self._show(message.error, keep=again and bool(message.error))

    def on_wizard_screen_downloading(self, message: Downloading) -> None:
        """Tell how far it is."""
        if self._busy:
            self._remark(self._plain(message.text))

    def on_unmount(self) -> None:
        """A download does not outlive the screen; what is there of it stays."""
        self._stopped = True

    # Showing

    def _remark(self, text: str) -> None:
        if self.is_mounted:
            wrong = self.query_one("#wrong", Plain)
            wrong.update(text)
            wrong.display = bool(text)
            self.call_after_refresh(self._make_room)

    def _show(self, error: str = "", *, keep: bool = False) -> None:
        """The question, and what is wrong; ``keep``: with what was typed, which needs a letter changed and not all of it anew."""
        question = self._question
        if question is None:
            return
        choices, box = self.query_one(OptionList), self.query_one(Input)
        self.query_one("#title", Plain).update(question.title)
        self._show_lines(box.value if keep and question.kind != "choice" else str(question.default))
        choosing = question.kind == "choice"
        choices.display, box.display = choosing, not choosing
        if choosing:
            self._highlighted = None
            choices.clear_options()
            rows = self._rows(question)
            choices.add_options([Option(row, id=choice.value, disabled=bool(choice.unavailable)) for row, choice in zip(rows, question.choices, strict=True)])  # fmt: skip
            values = [choice.value for choice in question.choices]
            choices.highlighted = values.index(question.default) if question.default in values else 0
            choices.focus()
        else:
            if not keep:
                box.value = f"{question.default:g}" if isinstance(question.default, float) else str(question.default)
            box.cursor_position = len(box.value)
            box.focus()
        self._show_why()
        self.refresh_bindings()
        self._remark(error)
        self._show_frame()

    def _show_lines(self, text: str) -> None:
        """What stands below the question, and what the text in the field would do."""
        lines = self._question.shown(text) if self._question is not None else ()
        self.query_one("#lines", Plain).update(self._plain("\n".join(lines)))
        self.query_one("#told").display = bool(lines)
        self.call_after_refresh(self._make_room)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what it would do."""
        event.stop()
        if self._question is not None and self._question.preview is not None and not self._busy:
            self._show_lines(event.value)

    def _rows(self, question: Question) -> list[str]:
        """The choices; the one under the cursor has a sign, not only a colour."""
        values = [choice.value for choice in question.choices]
        chosen = self._highlighted if self._highlighted is not None else values.index(question.default) if question.default in values else 0  # fmt: skip
        mark = self.musubi.glyphs.cursor
        return [
            f"{mark if place == chosen else ' '} {self._plain(row)}" for place, row in enumerate(choice_rows(question))
        ]

    def _plain(self, text: str) -> str:
        return text.translate(_ASCII) if self.musubi.glyphs.name == "ascii" else text

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Move the sign."""
        question = self._question
        if question is None or event.option_index == self._highlighted:
            return
        self._highlighted = event.option_index
        for place, row in enumerate(self._rows(question)):
            if event.option_list.get_option_at_index(place).prompt != row:
                event.option_list.replace_option_prompt_at_index(place, row)

    def _show_why(self) -> None:
        question = self._question
        if question is not None:
            shown = self._why or question.kind != "choice"
            self.query_one("#why", Plain).update(question.why if shown else "")
            self.call_after_refresh(self._make_room)

    def _make_room(self) -> None:
        """The lines below the question scroll in what the rest leaves of the page, so that the explanation is seen whole."""
        if not self.is_mounted:
            return
        page, told = self.query_one("#page"), self.query_one("#told")
        others = [one for one in page.children if one.display and one is not told]
        room = page.content_size.height - sum(one.outer_size.height + one.styles.margin.top for one in others)
        room -= told.styles.margin.top
        told.styles.max_height = max(_LEAST_TOLD, min(room, page.content_size.height * 3 // 5))

    def _show_frame(self) -> None:
        if self._session is None or self._question is None or not self.is_mounted:
            return
        progress = self._session.flow.progress()
        names = dict(PAGES)
        place = [page for page, _ in PAGES].index(self._question.page)
        marks = _MARKS[self.musubi.glyphs.name]
        width = self.size.width
        title = say(f" New run · {place + 1} of {len(PAGES)} · ", f" 新しい run · {place + 1}/{len(PAGES)} · ")
        head = [(title, "muted"), (_TITLES[self._question.page], "bold")]
        leave = "wizard.leave" if self._question.kind == "choice" else "wizard.leave_field"  # in a field q is a letter
        keys = hinted(
            self.app,
            say("enter next  {wizard.back} back  {%s} leave ", "enter 次へ  {wizard.back} 戻る  {%s} 終了 ") % leave,
        )
        trail = [(f" {marks[state]}{names[page]} ", "accent" if state == "here" else "muted" if state == "open" else "") for page, state in progress]  # fmt: skip
        self.query_one("#head", Lines).show([justify(head, [(keys, "muted")], width), trail])
        told = say(" so far: ", " ここまで: ") + so_far(self._session.flow.answers, self._session.around)
        self.query_one("#sofar", Lines).show([[(fit(told, width, ellipsis=self.musubi.glyphs.ellipsis), "muted")]])

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In a field the explanation stands already, and keys are letters; before a draft is chosen there is nothing to fill in."""
        if self._question is None or action not in ("why", "form"):
            return True
        return self._question.kind == "choice" and (action == "why" or self._question.id != DRAFT)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take the choice."""
        event.stop()
        self._take(str(event.option.id))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed."""
        event.stop()
        self._take(event.value)

    def _take(self, text: str) -> None:
        session, question = self._session, self._question
        if self._busy or session is None or question is None:
            return
        self._stopped = False
        fetching = question.id == "models_folder" and session.flow.answers.get("files") == "download"
        remark = [say("Asking the hub what there is …", "ハブに問い合わせ中 …")] if fetching else []
        self._work(lambda: session.answer(text, self._tell), *remark)

    def _tell(self, name: str, done: int, total: int) -> None:
        """On the thread: how far a download is. Raises ``UserError`` when the person does not want it any more."""
        if self._stopped:
            raise UserError.of(
                "stopped",
                say("The download was stopped; what is there of it is kept.", "ダウンロードを中止しました。途中までのファイルは残ります。"),
                say("Enter goes on with it.", "Enter で続きから再開します。"),
            )  # fmt: skip
        if self._download is None or self._download.name != name:
            self._download = Download(name, done, time.monotonic())
        text = self._download.told(done, total, time.monotonic(), self.musubi.glyphs.bar)
        if text:
            self.post_message(self.Downloading(text))

    def action_why(self) -> None:
        """Show or hide the sentence that explains the term."""
        self._why = not self._why
        self._show_why()

    def action_form(self) -> None:
        """Defaults for all that is still open, then the full form with every option."""
        if not self._busy and self._session is not None:
            self._work(self._session.finish_with_form)

    def action_back(self) -> None:
        """The question before; leave at the first one."""
        session = self._session
        if self._busy and self._download is not None:
            self._stopped = True
            self._remark(say("Stopping …", "中止中 …"))
        if self._busy or session is None:
            return
        if self._question is None or self._question.id in (DRAFT, next(iter(session.flow.steps))):
            self.action_leave()
        else:
            self._work(session.go_back)

    def action_keep(self) -> None:
        """Keep the answers so far, and say so."""
        try:
            done = self._session is not None and self._session.keep()
        except OSError as error:
            self.musubi.tell(say(f"The draft cannot be kept: {error.strerror}.", f"下書きを保存できません: {error.strerror}"), wrong=True)  # fmt: skip
            return
        self.musubi.tell(_KEPT if done else say("Nothing is answered yet.", "まだ回答がありません。"))

    def action_leave(self) -> None:
        """Back to the app; no preset is written, and the answers are kept."""
        if self._session is not None and self._session.flow.answers:
            self.musubi.tell(_KEPT)
        self.dismiss(None)

    # The end

    def _finish(self) -> None:
        """Write, and start what was asked for."""
        session = self._session
        assert session is not None
        self._busy = True
        self._remark(say("Writing …", "書き込み中 …"))
        app, home = self.musubi, self.musubi.home

        def finish() -> str:
            from musubi_tui.presets.wizard.writing import smoke_values
            from musubi_tui.tui.steering import start

            written = session.write()
            told = say(f"Written: {written.preset}", f"作成しました: {written.preset}")
            then = session.flow.answers["then"]
            if then in ("write", "form"):
                self._written = str(written.preset)
                return told
            return f"{told}\n{start(str(written.preset), home, smoke_values() if then == 'smoke' else None, app.put_cursor_on)}"

        self.musubi.in_background(finish, self._ended, self._refused)

    def _ended(self) -> None:
        form = self._session is not None and self._session.flow.answers.get("then") == "form"
        app = self.musubi
        if self.is_attached:
            self.dismiss(None)
        if form and self._written:
            from musubi_tui.tui.screens.preset.launch import edit_preset

            app.run_worker(edit_preset(app, self._written))

    def _refused(self, text: str) -> None:
        """Something was wrong after all: back to the last question."""
        if self.is_attached and self._session is not None:
            self._session.back()
            self._question = self._session.question
            self._busy = False
            self._show(text)
