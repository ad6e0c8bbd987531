"""What takes too long for a key press, on a thread and one at a time: looking at files and pictures, keeping the draft, the disk."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.message import Message
from textual.timer import Timer

from engine.config.language import say
from engine.config.load import check_source
from engine.config.problems import Problem
from engine.events.redaction import redact
from engine.planner.request import PlanRequest
from musubi_tui.presets import journal
from musubi_tui.presets.draft import Draft
from musubi_tui.presets.lineage import story_of
from musubi_tui.tui.screens.preset.editing import Editing
from musubi_tui.tui.screens.preset.plan import gather_request

CHECK_AFTER = 0.4  # seconds of rest after an edit
LOOK_EVERY = 2.0  # seconds between looks at the file on disk


class Checking(Editing):
    """``changed`` is told of every edit; the answers of threads come back as messages."""

    CHECKS: ClassVar[bool] = True  # whether files and pictures are looked at

    class Checked(Message):
        """The files and pictures of a text were looked at."""

        def __init__(
            self, draft: Draft, problems: tuple[Problem, ...], request: PlanRequest | None, why: str, story: str
        ) -> None:
            super().__init__()
            self.draft, self.problems, self.request, self.why, self.story = draft, problems, request, why, story

    class Disk(Message):
        """What became of the file on disk."""

        def __init__(self, draft: Draft, state: str) -> None:
            super().__init__()
            self.draft, self.state = draft, state

    class NotKept(Message):
        """The draft could not be kept."""

        def __init__(self, reason: str) -> None:
            super().__init__()
            self.reason = reason

    def __init__(self) -> None:
        super().__init__()
        self._check_timer: Timer | None = None
        self._checking = self._looking = self._keeping = False
        self._keep_again = False
        self._checked_text: str | None = None

    def on_mount(self) -> None:
        """Look at the disk now and then."""
        self.set_interval(LOOK_EVERY, self.look_at_disk)

    def changed(self) -> None:
        """Draw, keep, and check when the keys rest."""
        super().changed()
        self.keep()
        self.check_soon()

    # Files and pictures

    def check_soon(self) -> None:
        """Look at files and pictures after a rest."""
        if self._check_timer is not None:
            self._check_timer.stop()
        if self.CHECKS and self.draft is not None:
            self._check_timer = self.set_timer(CHECK_AFTER, self._check)

    def _check(self) -> None:
        draft = self.draft
        if draft is None or draft.facts.source is None or draft.text == self._checked_text:
            return
        if self._checking:  # one at a time: it is asked again when the running one ends
            return
        self._checking = True
        self._checked_text = draft.text
        self._look_at_files(draft)

    @work(thread=True, group="check", exit_on_error=False)
    def _look_at_files(self, draft: Draft) -> None:
        from musubi_tui.datasets.opening import scan_memory  # not before a preset is looked at

        facts = draft.facts
        try:
            found = tuple(check_source(facts.source, memory=scan_memory())) if facts.source is not None else ()
        except OSError as error:  # a disk that went away while it was read
            found = (Problem("unreadable_file", str(error), file=str(draft.path)),)
        self.post_message(self.Checked(draft, found, *gather_request(facts), redact(story_of(draft.path))))

    def on_checking_checked(self, message: Checked) -> None:
        """Show them, and look again when the text is another one by now."""
        self._checking = False
        if message.draft is self.draft:
            self.deep, self.story = message.problems, message.story
            if message.request is not None or self.request is None:
                self.request, self.no_plan = message.request, message.why
            self.draw()
            self.check_soon()

    # The draft on disk

    def keep(self) -> None:
        """Keep the draft for the case of a crash, off the path of the key."""
        if self._keeping:
            self._keep_again = True
        elif self.draft is not None:
            self._keeping = True
            self._keep(self.draft)

    @work(thread=True, group="keep", exit_on_error=False)
    def _keep(self, draft: Draft) -> None:
        reason = ""
        try:
            journal.keep(draft)
        except OSError as error:
            reason = str(error)
        self.post_message(self.NotKept(reason))

    def on_checking_not_kept(self, message: NotKept) -> None:
        """Once more when the draft changed meanwhile; say so when it cannot be kept."""
        self._keeping = False
        if message.reason:
            self.say_note(
                say(
                    f"The draft cannot be kept for a crash: {message.reason}",
                    f"下書きを保管できません: {message.reason}",
                )
            )
        if self._keep_again:
            self._keep_again = False
            self.keep()

    # Somebody else

    def look_at_disk(self) -> None:
        """Whether the file is still what was read; only while this screen is shown."""
        if self.draft is not None and self.draft.saved is not None and not self._looking and self.is_current:
            self._looking = True
            self._look(self.draft)

    @work(thread=True, group="disk", exit_on_error=False)
    def _look(self, draft: Draft) -> None:
        self.post_message(self.Disk(draft, draft.on_disk()))

    def on_checking_disk(self, message: Disk) -> None:
        """A clean draft follows the file; one with changes of its own stays, and that is said."""
        self._looking = False
        draft = message.draft
        if draft is not self.draft or message.state == "same":
            return
        self.disk_changed(draft, message.state)

    def disk_changed(self, draft: Draft, state: str) -> None:
        """Overridden where there is something to ask."""
