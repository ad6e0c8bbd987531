"""``musubi-tui doctor``: what this machine can do, what is missing, and what to do about it.

Nothing heavy is imported: versions come from package metadata, GPUs from the NVIDIA driver. ``--deep`` asks torch itself, in
a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from engine.config.language import say
from musubi_tui.cli import output
from musubi_tui.cli.arguments import JsonOption
from musubi_tui.machine.checks import Finding, Verdict, check_machine
from musubi_tui.machine.deep import check_torch
from musubi_tui.terminal_width import cells

_GLYPHS = {Verdict.OK: "✓", Verdict.NOTE: "•", Verdict.MISSING: "✗"}


@output.in_japanese(
    """Python、torch、パッケージ、GPU、メモリ、ディスク、ターミナルを調べ、不足ごとに対処を示します。

    終了コードは 0、学習に必要なものが足りなければ 3 です。GPU のないマシンでもその旨を示して合格とします。
    小さなモデル・テスト・計画系コマンドは動きます。
    """
)
def doctor(
    as_json: JsonOption = False,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help=say(
                "Also import torch in a process of its own and compute on each device (seconds).",
                "別プロセスで torch を読み込み、各デバイスで計算も試します（数秒）。",
            ),
        ),
    ] = False,
) -> None:
    """Look at Python, torch, packages, GPUs, memory, disks and the terminal, and say what to do about each gap.

    Exit code 0, or 3 when something that training needs is missing. A machine without a GPU is told so and passes: tiny
    models, the tests and every planning command work there.
    """
    findings = list(check_machine())
    if deep:
        findings.extend(check_torch())
    missing = [finding for finding in findings if finding.verdict is Verdict.MISSING]
    if as_json:
        output.print_json({"ok": not missing, "findings": [finding.as_json() for finding in findings]})
    else:
        _print(findings, len(missing))
    if missing:
        raise typer.Exit(output.MISSING_REQUIREMENT)


def _print(findings: Iterable[Finding], missing: int) -> None:
    rows = [(f"{_GLYPHS[found.verdict]} {_word(found.verdict)}", found) for found in findings]
    first = max(cells(mark) for mark, _ in rows)
    second = max(cells(found.title) for _, found in rows)
    for mark, found in rows:
        blanks = " " * (first - cells(mark)), " " * (second - cells(found.title))
        typer.echo(f"{mark}{blanks[0]}  {found.title}{blanks[1]}  {found.text}")
        if found.fix:
            typer.echo(" " * (first + second + 4) + f"→ {found.fix}")
    typer.echo(
        say(f"{missing} thing(s) are missing.", f"{missing} 件が不足しています。")
        if missing
        else say("Ready: nothing that training needs is missing.", "準備完了: 学習に必要なものは揃っています。")
    )


def _word(verdict: Verdict) -> str:
    return {
        Verdict.OK: say("ok", "OK"),
        Verdict.NOTE: say("note", "注意"),
        Verdict.MISSING: say("missing", "不足"),
    }[verdict]
