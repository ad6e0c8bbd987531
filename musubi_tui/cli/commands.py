"""The command line: one file per command or command group, imported only when it is used.

A new command is a row in ``COMMANDS`` and a file beside this one. The row carries the short help, so that
``musubi-tui --help`` imports no command at all; everything longer lives in the command's own docstring.
stdout is data, stderr is narration. Exit codes are in ``musubi_tui.cli.output``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.config.language import say


@dataclass(frozen=True)
class Entry:
    """Where a command lives and the one sentence that the overview prints about it."""

    module: str
    attribute: str  # a typer.Typer (kind "group") or a plain function (kind "command")
    kind: Literal["group", "command"]
    help: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry(
        "musubi_tui.cli.demo",
        "demo",
        "command",
        say(
            "Train a tiny model on real photographs, start to finish: a minute or two on a CPU.",
            "小さなモデルを本物の写真で最初から最後まで学習します（CPU で 1〜2 分）。",
        ),
    ),
    "wizard": Entry(
        "musubi_tui.cli.wizard",
        "wizard",
        "command",
        say("Questions that end in a preset you can train.", "質問に答えて、学習できるプリセットを作ります。"),
    ),
    "presets": Entry(
        "musubi_tui.cli.presets",
        "app",
        "group",
        say("List, show, check and edit presets.", "プリセットの一覧・表示・検査・編集。"),
    ),
    "data": Entry(
        "musubi_tui.cli.data",
        "app",
        "group",
        say("Look at a dataset before anything is trained on it.", "学習の前にデータセットを調べます。"),
    ),
    "cache": Entry(
        "musubi_tui.cli.train",
        "cache",
        "command",
        say(
            "Encode pictures and captions; train does it too.",
            "画像とキャプションをエンコードします（train も自動で行います）。",
        ),
    ),
    "plan": Entry(
        "musubi_tui.cli.plan",
        "plan",
        "command",
        say(
            "Memory, time, money and disk of a preset, before it starts.",
            "開始前にメモリ・時間・費用・ディスクを見積もります。",
        ),
    ),
    "train": Entry(
        "musubi_tui.cli.train",
        "train",
        "command",
        say("Train a preset, or resume a run.", "プリセットを学習、または中断した run を再開します。"),
    ),
    "runs": Entry(
        "musubi_tui.cli.runs",
        "app",
        "group",
        say("List, show, watch and control runs.", "run の一覧・表示・監視・操作。"),
    ),
    "queue": Entry(
        "musubi_tui.cli.queue",
        "app",
        "group",
        say("Line up trainings, one per GPU.", "学習を順番待ちにします（GPU ごとに 1 件）。"),
    ),
    "models": Entry(
        "musubi_tui.cli.models",
        "app",
        "group",
        say(
            "Which model files a family needs; make a tiny set.",
            "必要なモデルファイルの一覧と、小さなモデル一式の作成。",
        ),
    ),
    "serve": Entry(
        "musubi_tui.cli.serve",
        "serve",
        "command",
        say("The app in a browser, on localhost.", "アプリをブラウザーで表示します（localhost）。"),
    ),
    "doctor": Entry(
        "musubi_tui.cli.doctor",
        "doctor",
        "command",
        say("What this machine can do, and what is missing.", "このマシンでできること、足りないもの。"),
    ),
}
