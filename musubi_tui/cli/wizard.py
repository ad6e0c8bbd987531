"""``musubi-tui wizard``: questions at a plain prompt, or answers from a file; a commented preset at the end."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import UserError
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.cli.output import INTERRUPTED, OK, harmless, in_japanese, narrate, print_json, print_problems, tenths

if TYPE_CHECKING:
    from musubi_tui.presets.wizard.flow import Question
    from musubi_tui.presets.wizard.session import Session
    from musubi_tui.presets.wizard.writing import Written


@in_japanese(
    """質問に答えてプリセットを作ります。目的、モデルとファイル、画像、GPU、長さ、サンプルを順に尋ね、v1 フォルダーに
    説明付きの preset.toml・dataset.toml・prompts.txt を書きます。

    Enter で既定値、w で用語の説明、b で戻り、q で終了します。--answers を付けると質問せずに作成します。
    回答はすべて残り、途中でやめた場合は次回続きから始められます。コマンドラインの指定は回答ファイルより優先されます。

      musubi-tui wizard

      musubi-tui wizard --answers answers.toml
    """
)
def wizard(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help=say("Folder in which v1/ is made.", "v1/ を作るフォルダー。"),
            show_default=False,
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            metavar="FILE",
            help=say(
                "Answers as TOML or JSON; what is left out takes its default.",
                "TOML / JSON の回答。省略した項目は既定値。",
            ),
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Ask for goal, model, pictures, GPU, length and samples, and write a commented preset that can be trained.

    Enter takes the default, w explains the term, b goes back, q leaves. With --answers nothing is asked.

      musubi-tui wizard

      musubi-tui wizard --answers answers.toml

    Every answer is kept: a walk that was left half-way is offered the next time.

    The answers file holds any of: goal, model, files, models_folder, data, trigger, captions, caption_text, card, price, fit,
    steps, prompts, name, folder, then. Options of the command line count more.
    """  # fmt: skip
    from musubi_tui.presets.wizard.session import Session, answer_all, read_answers

    session = Session(out=out.absolute() if out is not None else None)
    if answers is not None:
        given = read_answers(answers)
        given.setdefault("then", "write")
        if out is not None:  # what was typed counts more than what a file says
            given["folder"] = str(out.absolute())
        unasked = answer_all(session, given, tenths(), answers)
        if unasked:
            narrate(say(f"Not asked here, so without effect: {', '.join(unasked)}", f"今回は質問がなく、使われなかった回答: {', '.join(unasked)}"))  # fmt: skip
    elif not sys.stdin.isatty():
        raise UserError.of(
            "usage",
            say("The wizard asks questions, and nobody is there to answer.", "ウィザードは質問しますが、端末がありません。"),
            say("Give --answers FILE; `musubi-tui wizard --help` lists them.", "--answers FILE を指定してください（一覧は `musubi-tui wizard --help`）。"),
        )  # fmt: skip
    elif not _ask_all(session):
        narrate(say("Nothing was written.", "何も書きませんでした。"))
        if session.flow.answers:
            narrate(say("Your answers are kept: `musubi-tui wizard`, or n in the app, goes on with them.", "回答は残してあります。`musubi-tui wizard` かアプリの n で続けられます。"))  # fmt: skip
        return INTERRUPTED
    written = session.write()
    return _afterwards(session, written, as_json)


def _afterwards(session: Session, written: Written, as_json: bool) -> int:
    """Tell what was written, and start what was asked for."""
    then = session.flow.answers["then"]
    if as_json:
        paths = {"preset": written.preset, "dataset": written.dataset, "prompts": written.prompts, "then": then}
        print_json({**paths, "captions": written.captions, "missing": session.missing()})
    else:
        for path in (written.preset, written.dataset, written.prompts):
            if path is not None:
                sys.stdout.write(f"{path}\n")
    quoted = shlex.quote(str(written.preset))
    if written.captions:
        undo = f"musubi-tui data doctor {shlex.quote(str(written.dataset))} --undo"
        narrate(say(f"{written.captions} captions written beside the pictures. Take them back: {undo}", f"キャプションを {written.captions} 件書きました。取り消し: {undo}"))  # fmt: skip
    if then in ("write", "form"):
        lacking = still_to_do(session, written)
        for line in lacking:
            narrate(harmless(line))
        first = say("Then train it", "その後に学習") if lacking else say("Train it", "学習")
        narrate(f"{first}: musubi-tui train {quoted}")
        if then == "form":
            narrate(
                say(
                    f"The full form: musubi-tui presets edit {quoted}",
                    f"詳細フォーム: musubi-tui presets edit {quoted}",
                )
            )
        return OK
    from musubi_tui.cli.train import train
    from musubi_tui.presets.wizard.writing import smoke_values

    overrides = [f"{key}={value}" for key, value in smoke_values().items()] if then == "smoke" else None
    code = train(preset=str(written.preset), overrides=overrides)
    if then == "smoke" and code == OK:
        narrate(
            say(f"It works. The whole run: musubi-tui train {quoted}", f"動作しました。本番: musubi-tui train {quoted}")
        )
    return code


def still_to_do(session: Session, written: Written) -> list[str]:
    """What must be there before the preset can train; nothing where all is."""
    from musubi_tui.presets.wizard.model_page import missing_lines
    from musubi_tui.presets.wizard.words import pictures_of

    answers, around = session.flow.answers, session.around
    lines = missing_lines(answers, around, written.preset)
    if not pictures_of(answers, around).count:
        lines.append(
            say(
                f"Put your files into {answers['data']} first.",
                f"先に {answers['data']} に画像や動画を入れてください。",
            )
        )
    return lines


def _ask_all(session: Session) -> bool:
    """Ask until everything is answered; False when the person leaves."""
    session.remember()
    page = ""
    while (question := session.question) is not None:
        if question.page != page:
            page = question.page
            _print_progress(session)
        if not _ask(session, question):
            return False
    return True


def _ask(session: Session, question: Question) -> bool:
    """One question and its answer; False when the person leaves."""
    narrate()
    _print(question.title)
    for line in question.shown(str(question.default)):
        _print(line, 2)
    width = max((len(choice.value) for choice in question.choices), default=0)
    for number, choice in enumerate(question.choices, 1):
        note = choice.unavailable or choice.note
        words = [choice.title if choice.title != choice.value else "", f"({note})" if note else ""]
        _print(f"{number:>2} {choice.value:<{width}}  {'  '.join(filter(None, words))}", 2, width + 7)
    while True:
        try:
            text = input(f"[{harmless(_shown(question.default))}] > ").strip()
        except (EOFError, KeyboardInterrupt):
            narrate()
            return False
        if text in ("q", "quit"):
            return False
        if text == "w":
            _print(question.why, 2)
            continue
        if text == "b":
            if not session.back():
                narrate(say("This is the first question.", "最初の質問です。"))
                continue
            return True
        try:
            session.answer(text, tenths())
        except UserError as error:
            print_problems(error.problems)
            continue
        if text and question.preview is not None:
            for line in question.preview(text):
                _print(line, 2)
        return True


def _print(text: str, indent: int = 0, further: int | None = None) -> None:
    """A line for the person, broken at blanks where the terminal ends; the lines after the first begin ``further`` in."""
    from musubi_tui.tui.numbers import wrapped

    columns = shutil.get_terminal_size().columns
    begin = " " * indent + text[: len(text) - len(text.lstrip())]
    rest = " " * (len(begin) if further is None else further)
    first, *others = wrapped(harmless(text.strip()), max(20, columns - max(len(begin), len(rest)) - 1))
    narrate(begin + first)
    for line in others:
        narrate(rest + line)


def _print_progress(session: Session) -> None:
    from musubi_tui.presets.wizard.flow import PAGES

    titles = dict(PAGES)
    marks = {"done": "✓", "here": "▸", "open": "○"}
    narrate()
    narrate("  ".join(f"{marks[state]}{titles[page]}" for page, state in session.flow.progress()))
    if session.flow.answers:
        return
    narrate(
        say(
            "Enter takes what stands in brackets. w explains, b goes back, q leaves.",
            "Enter で [ ] の値を使います。w 説明、b 戻る、q 終了。",
        )
    )


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
