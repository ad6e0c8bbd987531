"""One walk through the wizard, whichever face it has: the flow with this machine, downloads, headless answers, the result."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.config.language import say
from engine.config.problems import ConfigError, Problem, UserError
from musubi_tui.presets.wizard import downloading, writing
from musubi_tui.presets.wizard.around import Around, slots_for
from musubi_tui.presets.wizard.flow import Wizard
from musubi_tui.presets.wizard.model_page import file_lines
from musubi_tui.presets.wizard.questions import STEPS
from musubi_tui.presets.wizard.words import chosen


class Session:
    """The wizard on this machine. ``out`` is the proposed folder."""

    def __init__(self, around: Around | None = None, out: Path | None = None) -> None:
        self.around = around or Around.here()
        self.flow = Wizard(STEPS, self.around)
        self.out = out

    def answer(self, text: str, tell: downloading.Tell = lambda name, done, total: None) -> None:
        """Answer the present question; where the answer says so, files are downloaded now. Raises ``UserError``: then the
        question is asked again."""
        question = self.flow.question
        if question is not None and question.id == "folder" and not text.strip() and self.out is not None:
            text = str(self.out)
        self.flow.answer(text)
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

    def missing(self) -> list[str]:
        """Options whose files are not here."""
        return file_lines(self.flow.answers, self.around)[1] if "model" in self.flow.answers else []

    def _download(self, folder: Path, tell: downloading.Tell) -> None:
        missing = self.missing()
        slots = [slot for slot in slots_for(*chosen(self.flow.answers)) if slot.option in missing]
        downloading.fetch(downloading.look_up(slots), folder, tell)
        self.around.forget_files()

    def write(self) -> writing.Written:
        """Write the version folder."""
        return writing.write(self.flow.answers, self.around)


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


def answer_all(session: Session, given: Mapping[str, Any], tell: downloading.Tell, file: Path | None = None) -> None:
    """Answer every question from ``given``, and what is not given with its default. Raises ``UserError``."""
    while (question := session.flow.question) is not None:
        value = given.get(question.id, "")
        text = " | ".join(value) if isinstance(value, list) else _text(value)
        if question.id in ("prompts", "trigger") and question.id in given and not text:
            text = "-"
        try:
            session.answer(text, tell)
        except UserError as error:
            error.problems = tuple(_in_file(problem, file) for problem in error.problems)
            raise


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_file(problem: Problem, file: Path | None) -> Problem:
    return replace(problem, file=str(file) if file else problem.file)
