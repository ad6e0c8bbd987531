"""``musubi-tui demo``: the whole way once, on a tiny model and real photographs, with a bar that it must pass.

There is no special trainer: it is ``models tiny`` and then ``train``, and a summary of what the run's own events say.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.config.language import say
from engine.families import family_names, get_family
from musubi_tui.cli import output
from musubi_tui.cli.family_option import require_family
from musubi_tui.terminal_width import cells

if TYPE_CHECKING:
    from engine.events.rundir import RunDirectory
    from musubi_tui.runs.snapshot import Snapshot

BAR = 0.7  # of the loss of predicting zero: what training on noise instead of pictures cannot reach
STEPS_FOR_THE_BAR = 200


@dataclass(frozen=True)
class Verdict:
    """What the demo proved. Losses are means over one fixed set of (item, noise, timestep); ``base`` is the loss of
    predicting zero on it."""

    run_dir: str
    steps: int
    before: float
    after: float
    base: float
    lora: tuple[str, ...]
    samples: tuple[tuple[int, str], ...]  # (step, path)

    @property
    def ratio(self) -> float:
        """The loss after training as a share of that of predicting zero."""
        return self.after / self.base

    @property
    def passed(self) -> bool | None:
        """Whether the bar was reached; None when the run was too short to be held to it."""
        return self.ratio <= BAR if self.steps >= STEPS_FOR_THE_BAR else None

    def as_json(self) -> dict[str, Any]:
        """What ``demo --json`` prints."""
        return {
            "run_dir": self.run_dir,
            "steps": self.steps,
            "validation": {"before": self.before, "after": self.after, "predicting_zero": self.base},
            "ratio": round(self.ratio, 4),
            "bar": BAR,
            "passed": self.passed,
            "lora": list(self.lora),
            "samples": [{"step": step, "path": path} for step, path in self.samples],
        }


@output.in_japanese(
    """小さなモデルの LoRA を実写写真で学習します（キャッシュ → 学習 → サンプル → 保存）。CPU で 1〜2 分です。

    通常のモデルファイル・データセット・プリセットを書き出すので、変更して何度でも学習できます。2 回目は既存のものを使います。
    学習後の予測が「ゼロ予測」より明らかに良くならなければ終了コード 1 です。
    """
)
def demo(
    family: Annotated[str, typer.Option("--family", help=say("Model family.", "モデルのファミリー。"))] = family_names()[0],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help=say("Where everything goes. Default: ./musubi-demo/FAMILY", "書き出し先。既定: ./musubi-demo/FAMILY")),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help=say("Training steps. Default: 200", "学習ステップ数。既定: 200"))
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help=say("Print the result as JSON.", "結果を JSON で出力します。"))] = False,
) -> None:  # fmt: skip
    """Train a LoRA of a tiny model on real photographs: cache, train, sample, save. A minute or two on a CPU.

    Writes ordinary model files, a dataset and a preset that you can change and train again; a second call uses what is there.
    Exit code 1 when the trained model does not predict clearly better than zero would.
    """
    spec = require_family(family) if family else get_family(family_names()[0])
    from musubi_tui.cli.models import write_tiny

    preset = write_tiny(spec, folder or Path("musubi-demo") / spec.name)
    run, code = _train(preset, steps)
    from musubi_tui.runs.snapshot import snapshot

    now = snapshot(run)
    if code != output.OK or now.state != "done":
        _say_how_to_go_on(now)
        raise typer.Exit(code)
    verdict = _judge(now)
    if as_json:
        output.print_json(verdict.as_json())
    else:
        _print(verdict, preset)
    if verdict.passed is False:
        _explain_failure(verdict)
        raise typer.Exit(output.JOB_FAILED)


def _train(preset: Path, steps: int | None) -> tuple[RunDirectory, int]:
    """Train the preset as ``train`` does, in the foreground; the run and its exit code."""
    from engine.config import load_config
    from musubi_tui.cli.following import listening, stay_with
    from musubi_tui.cli.live import make_display
    from musubi_tui.runs.creating import create_run
    from musubi_tui.runs.launching import launch

    changes: dict[str, Any] = {}
    if steps is not None:  # validate and sample at the end, whenever that is
        changes = {"max_train_steps": steps, "validate_every_n_steps": steps, "sample_every_n_steps": steps}
    loaded = load_config(preset, changes, check_files=True)
    shown = "".join(f" --set {key}={value}" for key, value in changes.items())
    output.narrate(f"$ {program()} train {preset}{shown}")
    run = create_run(loaded)
    with listening() as wishes:
        process = launch(run, device=loaded.config.run.device, hooks={})
        return run, stay_with(run, process, make_display(sys.stderr), wishes)


def _judge(now: Snapshot) -> Verdict:
    measured = [entry for entry in now.validation if entry["loss"] is not None and entry["base"]]
    if len(measured) < 2:
        output.narrate(
            say(
                "This preset measures no validation loss (validation_items): nothing to judge.",
                "このプリセットは検証 loss を測りません（validation_items）。判定はできません。",
            )
        )
        raise typer.Exit(output.OK)
    before, after = measured[0], measured[-1]
    return Verdict(
        run_dir=now.run_dir,
        steps=now.step,
        before=before["loss"],
        after=after["loss"],
        base=after["base"],
        lora=tuple(entry["path"] for entry in now.outputs if entry["kind"] == "lora"),
        samples=tuple((entry["step"], entry["path"]) for entry in now.outputs if entry["kind"] == "sample"),
    )


def _print(verdict: Verdict, preset: Path) -> None:
    share = f"{verdict.ratio:.2f}"
    rows = [
        (say("loss before", "学習前の loss"), f"{verdict.before:.3f}"),
        (say("loss after", "学習後の loss"), f"{verdict.after:.3f}"),
        (
            say("predicting zero", "ゼロ予測の loss"),
            f"{verdict.base:.3f}  "
            + say(f"→ {share} of it; the bar is {BAR}", f"→ その {share} 倍（基準 {BAR} 以下）"),
        ),
        *((say("LoRA", "LoRA"), shorten(path)) for path in verdict.lora),
        *(
            (say(f"sample, step {step}", f"サンプル（{step} ステップ）"), shorten(path))
            for step, path in verdict.samples
        ),
        (say("run", "run"), shorten(verdict.run_dir)),
    ]
    width = max(cells(name) for name, _ in rows)
    typer.echo(_headline(verdict))
    for name, text in rows:
        typer.echo(f"  {name}{' ' * (width - cells(name))}  {text}")
    me = program()
    typer.echo(say("\nNext:", "\n次は:"))
    for command, why in (
        (f"{me} runs show last", say("this run, in numbers", "この run の詳細")),
        (f"{me} presets show {preset}", say("what was trained; edit it", "学習した設定。編集できます")),
        (f"{me} train {preset} --set network_dim=32", say("train again, changed", "設定を変えて再学習")),
        (f"{me} presets list", say("presets for real models", "本物のモデル用プリセット")),
    ):
        typer.echo(f"  {command}   # {why}")


def _headline(verdict: Verdict) -> str:
    """The first line of the summary: what was shown, and on what it was measured."""
    if verdict.passed is None:
        return say(
            f"\nIt runs. {verdict.steps} steps are too few to judge the LoRA; {STEPS_FOR_THE_BAR} are enough.",
            f"\n動作しました。{verdict.steps} ステップでは LoRA を判定できません（{STEPS_FOR_THE_BAR} で十分です）。",
        )
    if verdict.passed:
        return say(
            "\n✓ It learned. On a fixed set of pictures, noise and noise levels:",
            "\n✓ 学習できました。固定した画像・ノイズ・ノイズ強度で測った値:",
        )
    return say("\n✗ It did not learn enough:", "\n✗ 学習が不十分です:")


def _explain_failure(verdict: Verdict) -> None:
    output.narrate(
        say(
            f"error: the loss ends at {verdict.ratio:.2f} of predicting zero, above the bar of {BAR}: this LoRA did not learn the "
            f"pictures. With an unchanged preset that is a bug; the log is {verdict.run_dir}/engine.log. With a preset of your own, "
            "look at learning_rate and max_train_steps.",
            f"エラー: 最終 loss はゼロ予測の {verdict.ratio:.2f} 倍で、基準 {BAR} を超えています。この LoRA は画像を学習できていません。"
            f"プリセットが元のままならバグです（ログ: {verdict.run_dir}/engine.log）。変更した場合は learning_rate と max_train_steps を確認してください。",
        )
    )


def _say_how_to_go_on(now: Snapshot) -> None:
    from engine.events.status import ALIVE, RESUMABLE

    if now.state in ALIVE:
        output.narrate(f"$ {program()} runs watch {now.id}")
    elif now.state in RESUMABLE:
        output.narrate(
            say(
                f"{now.state}: {now.reason or 'see ' + now.run_dir}. Go on: {program()} train --resume {now.id}",
                f"{now.state}: {now.reason or now.run_dir}。再開: {program()} train --resume {now.id}",
            )
        )


def program() -> str:
    """What to type for this program here: its name when the PATH has it, else the way it was started."""
    if shutil.which("musubi-tui"):
        return "musubi-tui"
    started = Path(sys.argv[0])
    return shorten(str(started.absolute())) if started.name == "musubi-tui" else "python -m musubi_tui"


def shorten(path: str) -> str:
    """``path`` relative to the working directory when it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
