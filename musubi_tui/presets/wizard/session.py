"""One walk through the wizard, whichever face it has: the flow with this machine, downloads, headless answers, the result."""

from __future__ import annotations

import contextlib
import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem, UserError
from musubi_tui.presets.wizard import downloading, drafts, writing
from musubi_tui.presets.wizard.around import Around, slots_for
from musubi_tui.presets.wizard.flow import Choice, Question, Wizard
from musubi_tui.presets.wizard.model_page import file_lines
from musubi_tui.presets.wizard.questions import STEPS
from musubi_tui.presets.wizard.telling import so_far
from musubi_tui.presets.wizard.words import chosen

DRAFT = "draft"  # the question that stands before all others where a walk was left half-way


class Session:
    """The wizard on this machine. ``out`` is the folder that the command line names, so it is the one proposed.

    A walk that a person makes calls ``remember`` first: then its answers are kept, and earlier unfinished walks are offered.
    """

    def __init__(self, around: Around | None = None, out: Path | None = None) -> None:
        self.around = around or Around.here()
        self.flow = Wizard(STEPS, self.around)
        self.out = out
        self._draft: drafts.WizardDraft | None = None
        self._offered: list[drafts.WizardDraft] = []

    # Unfinished walks

    def remember(self) -> None:
        """Keep every answer from now on, and offer the walks that were left half-way."""
        self._draft = drafts.new_draft(self.around.cwd)
        self._offered = [one for one in drafts.kept() if one.answers and _told(one, self.around)]

    def keep(self) -> bool:
        """Write the answers so far down; whether there was anything to write. Raises ``OSError``."""
        if self._draft is None or not self.flow.answers:
            return False
        self._draft = drafts.keep(
            replace(self._draft, answers=dict(self.flow.answers), typed=tuple(sorted(self.flow.typed)), folders=tuple(self.around.extra))
        )  # fmt: skip
        return True

    def _go_on_with(self, choice: str) -> None:
        offered, self._offered = self._offered, []
        if not choice.isdigit():
            return
        self._draft = draft = offered[int(choice) - 1]
        self.around.go_to(draft.cwd if draft.cwd.is_dir() else self.around.cwd, draft.folders)
        self.flow.restore(draft.answers, draft.typed)
        if self.flow.answers.get("files") == "download" and "models_folder" in self.flow.answers and self.missing():
            self.flow.withdraw("models_folder")  # so that Enter goes on with the download

    # The walk

    @property
    def question(self) -> Question | None:
        """What is asked now; None when everything is answered."""
        if self._offered:
            return which_draft(self._offered, self.around)
        question = self.flow.question
        if (
            question is not None
            and question.id == "folder"
            and self.out is not None
            and "folder" not in self.flow.answers
        ):
            return replace(question, default=str(self.out))
        return question

    def answer(self, text: str, tell: downloading.Tell = lambda name, done, total: None) -> None:
        """Answer the present question; where the answer says so, files are downloaded now. Raises ``UserError``: then the
        question is asked again."""
        question = self.question
        if question is not None and question.id == DRAFT:
            self._go_on_with(question.read(text or str(question.default)))
            return
        if question is not None and question.id == "folder" and not text.strip():
            text = str(question.default)
        self.flow.answer(text)
        with contextlib.suppress(OSError):  # a state home that cannot be written is no reason to stop
            self.keep()
        if question is None or question.id != "models_folder":
            return
        folder = Path(self.flow.answers["models_folder"])
        if folder not in self.around.extra:
            self.around.extra.insert(0, folder)
        self.around.forget_files()
        if self.flow.answers["files"] == "download" and self.missing():
            try:
                self._download(folder, tell)
            except UserError:
                self.flow.withdraw("models_folder")
                raise

    def back(self) -> bool:
        """Go to the question before; False at the first one."""
        return not self._offered and self.flow.back()

    def finish_with_form(self) -> None:
        """Take the default of everything that is still open, and ask for the full form at the end. Raises ``UserError``."""
        while (question := self.question) is not None:
            self.answer("form" if question.id == "then" else "")

    def go_back(self) -> None:
        """``back``, and the first question stays."""
        self.back()

    def missing(self) -> list[str]:
        """Options whose files are not here."""
        return file_lines(self.flow.answers, self.around)[1] if "model" in self.flow.answers else []

    def _download(self, folder: Path, tell: downloading.Tell) -> None:
        missing = self.missing()
        slots = [slot for slot in slots_for(*chosen(self.flow.answers)) if slot.option in missing]
        downloading.fetch(downloading.look_up(slots), folder, tell)
        self.around.forget_files()

    def write(self) -> writing.Written:
        """Write the version folder; the walk is finished. Raises ``UserError``."""
        written = writing.write(self.flow.answers, self.around)
        if self._draft is not None:
            drafts.forget(self._draft.name)
        return written


def which_draft(offered: Sequence[drafts.WizardDraft], around: Around) -> Question:
    """Whether to go on with a walk that was left half-way."""
    choices = [Choice(str(number), _when(one), _told(one, around)) for number, one in enumerate(offered, 1)]
    return Question(
        DRAFT,
        "goal",
        "choice",
        say("You left half-way the last time. Go on from there?", "途中でやめた回答があります。続けますか？"),
        choices[0].value,
        say(
            "Answers are kept from the first one on, until the preset is written. Whatever you choose here, the others stay and are "
            "offered the next time; the eight newest are kept.",
            "回答は最初のものから、プリセットを書くまで残ります。ここで何を選んでも他の回答は残り、次回も選べます（新しい 8 件まで）。",
        ),
        choices=(*choices, Choice("new", say("begin anew", "最初から始める"))),
    )  # fmt: skip


def _told(draft: drafts.WizardDraft, around: Around) -> str:
    """The answers of a draft in one line; nothing where another version of the program gave them, or a hand spoilt them."""
    try:
        return so_far(draft.answers, around)
    except (KeyError, TypeError, ValueError):
        return ""


def _when(draft: drafts.WizardDraft) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(draft.seconds))


def read_answers(path: Path) -> dict[str, Any]:
    """Answers of a TOML or JSON file. Raises ``ConfigError`` for unknown names and broken files."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        found: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError.of("missing_file", say(f"cannot be read: {error.strerror or error}.", f"読めません: {error.strerror or error}。"), file=path) from error  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise ConfigError.of("not_toml", say(f"is not TOML or JSON: {error}", f"TOML / JSON として読めません: {error}"), file=path) from error  # fmt: skip
    known = [step.id for step in STEPS]
    if not isinstance(found, Mapping):
        raise ConfigError.of(
            "wrong_type", say("the answers must be a table.", "回答はテーブルで書いてください。"), file=path
        )
    problems = []
    for name, value in found.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            fix = (
                say(f"Did you mean {close[0]}?", f"{close[0]} のことですか。")
                if close
                else say(f"Known: {', '.join(known)}.", f"使える名前: {', '.join(known)}。")
            )
            problems.append(
                Problem(
                    "unknown_key",
                    say(f"there is no question {name!r}.", f"{name!r} という質問はありません。"),
                    fix,
                    str(path),
                    key=name,
                )
            )
        elif isinstance(value, Mapping) or (isinstance(value, list) and not all(isinstance(one, str) for one in value)):
            problems.append(Problem("wrong_type", say(f"{name} must be a text or a number.", f"{name} は文字列か数値にしてください。"), "", str(path), key=name))  # fmt: skip
    if problems:
        raise ConfigError(problems)
    return dict(found)


def answer_all(
    session: Session, given: Mapping[str, Any], tell: downloading.Tell, file: Path | None = None
) -> list[str]:
    """Answer every question from ``given``, and what is not given with its default; the names that nothing asked for.

    Raises ``UserError``.
    """
    while (question := session.question) is not None:
        value = given.get(question.id, "")
        text = " | ".join(value) if isinstance(value, list) else _text(value)
        if question.id in ("prompts", "trigger") and question.id in given and not text:
            text = "-"
        try:
            session.answer(text, tell)
        except UserError as error:
            error.problems = tuple(_in_file(problem, file) for problem in error.problems)
            raise
    return [name for name in given if name not in session.flow.answers]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_file(problem: Problem, file: Path | None) -> Problem:
    return replace(problem, file=str(file) if file else problem.file)
