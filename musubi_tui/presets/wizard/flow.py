"""The order of the wizard's questions: what comes next, going back, and never asking twice.

A question is a pure function of the answers so far and of what was found on this machine. Going back keeps every answer; an
answer that changes drops only the answers made from it, and of those a person typed, the text comes back as the proposal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.config.language import say
from engine.config.problems import UserError

Kind = Literal["choice", "text", "number", "folder"]
Answers = Mapping[str, Any]

PAGES: tuple[tuple[str, str], ...] = (
    ("goal", say("goal", "目的")),
    ("model", say("model", "モデル")),
    ("data", say("data", "データ")),
    ("fit", say("fit", "GPU")),
    ("length", say("length", "長さ")),
    ("samples", say("samples", "サンプル")),
    ("review", say("review", "確認")),
)


@dataclass(frozen=True)
class Choice:
    """One way to answer. ``unavailable`` says why it cannot be taken today, ``remedy`` what would change that."""

    value: str
    title: str
    note: str = ""
    unavailable: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Question:
    """One question. ``lines`` stand below it, ``why`` is one key away. ``check`` turns what was typed into the answer."""

    id: str
    page: str
    kind: Kind
    title: str
    default: Any
    why: str
    lines: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    check: Callable[[str], Any] = field(default=lambda text: text, compare=False)
    preview: Callable[[str], tuple[str, ...]] | None = field(default=None, compare=False)  # what a typed text would do

    def shown(self, text: str) -> tuple[str, ...]:
        """``lines``, and what ``text`` would do."""
        return (*self.lines, *(self.preview(text) if self.preview is not None else ()))

    def read(self, text: str) -> Any:
        """The answer in what a person typed. Raises ``UserError`` that says what is wrong with it."""
        text = text.strip()
        if self.kind != "choice":
            return self.check(text)
        for number, choice in enumerate(self.choices, 1):
            if text.lower() in (choice.value.lower(), str(number)):
                if choice.unavailable:
                    raise refused(self.id, choice.unavailable, choice.remedy)
                return choice.value
        known = ", ".join(
            choice.value + (say(f" (not now: {why})", f"（現在は不可: {why}）") if (why := choice.unavailable.rstrip("。.")) else "")
            for choice in self.choices
        )  # fmt: skip
        raise refused(
            self.id,
            say(f"{text!r} is none of the choices.", f"{text!r} は選択肢にありません。"),
            say(f"There are: {known}.", f"選択肢: {known}。"),
        )


@dataclass(frozen=True)
class Step:
    """A place in the order: the question's id, who builds it (None: not applicable now), and whose answers it is made from."""

    id: str
    page: str
    build: Callable[[Answers, Any], Question | None]
    made_from: tuple[str, ...] = ()


class Wizard:
    """One walk through the questions. ``around`` is what the builders look at."""

    def __init__(self, steps: Iterable[Step], around: Any) -> None:
        self.steps = {step.id: step for step in steps}
        self.around = around
        self.answers: dict[str, Any] = {}
        self.typed: set[str] = set()  # answers that a person gave, not the default
        self._proposals: dict[str, Any] = {}  # what was typed before its foundation changed
        self._at: str | None = None  # the question that was gone back to

    @property
    def question(self) -> Question | None:
        """What is asked now; None when everything is answered."""
        for step in self.steps.values():
            if step.id == self._at or (self._at is None and step.id not in self.answers):
                question = step.build(self.answers, self.around)
                if question is not None:
                    return self._with_proposal(question)
        return None

    def answer(self, text: str) -> None:
        """Answer the present question with what was typed; nothing typed takes the default. Raises ``UserError``."""
        question = self.question
        if question is None:
            raise ValueError("every question is answered")
        value = question.read(text) if text.strip() else question.default
        if question.kind in ("choice", "folder"):
            value = question.read(str(value))  # a default that cannot be taken is no answer either
        self._take(question.id, value, typed=bool(text.strip()) or question.id in self._proposals)

    def back(self) -> bool:
        """Go to the question before; False at the first one."""
        present = self.question
        ids = list(self.steps)
        place = ids.index(present.id) if present is not None else len(ids)
        for name in reversed(ids[:place]):
            if name in self.answers and self.steps[name].build(self.answers, self.around) is not None:
                self._at = name
                return True
        return False

    def withdraw(self, name: str) -> None:
        """Ask a question again whose answer could not be carried out; what was answered is proposed."""
        self._proposals[name] = self.answers.pop(name)
        self._at = name

    def restore(self, answers: Answers, typed: Iterable[str]) -> None:
        """Give the answers of an earlier walk again, as far as they still hold; what was typed after that is proposed."""
        wanted, by_hand = dict(answers), set(typed)
        for name, step in self.steps.items():
            if name not in wanted:
                continue
            question = step.build(self.answers, self.around)
            if question is None:
                continue
            try:
                value = question.read(as_typed(wanted[name]))
            except UserError:
                break
            self._take(name, value, typed=name in by_hand)
        self._proposals |= {name: wanted[name] for name in by_hand if name in wanted and name not in self.answers}

    def progress(self) -> list[tuple[str, str]]:
        """(page, "done" | "here" | "open") of every page."""
        question = self.question
        here = question.page if question is not None else PAGES[-1][0]
        pages = [page for page, _ in PAGES]
        return [(page, "here" if page == here else "done" if self._answered(page) else "open") for page in pages]

    def _answered(self, page: str) -> bool:
        steps = [step for step in self.steps.values() if step.page == page]
        return any(step.id in self.answers for step in steps)

    def _with_proposal(self, question: Question) -> Question:
        if question.id in self.answers:
            return replace(question, default=self.answers[question.id])
        if question.id in self._proposals:
            return replace(question, default=self._proposals[question.id])
        return question

    def _take(self, name: str, value: Any, *, typed: bool) -> None:
        changed = name in self.answers and self.answers[name] != value
        self.answers[name] = value
        self._at = None
        self._proposals.pop(name, None)
        self.typed.discard(name)
        if typed:
            self.typed.add(name)
        if changed:
            self._drop_what_is_made_from(name)

    def _drop_what_is_made_from(self, name: str) -> None:
        gone = {name}
        for step in self.steps.values():
            if gone & set(step.made_from):
                gone.add(step.id)
                if step.id in self.answers:
                    old = self.answers.pop(step.id)
                    if step.id in self.typed and step.id != name:
                        self._proposals[step.id] = old


def as_typed(value: Any) -> str:
    """An answer as a person would type it; what means "none" where it is empty."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or "-"


def refused(name: str, message: str, fix: str = "") -> UserError:
    """The complaint about an answer."""
    return UserError.of("wrong_answer", message, fix, key=name)
