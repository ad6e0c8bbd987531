"""``musubi-tui train`` and ``musubi-tui cache``: from a preset to a run that outlives this terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.config.language import say
from engine.config.problems import ConfigError, Problem, UserError
from musubi_tui.cli.arguments import JsonOption, PresetArgument, SetOption
from musubi_tui.cli.output import OK, harmless, in_japanese, narrate, print_json, print_problems

if TYPE_CHECKING:
    from engine.config import Config, LoadedConfig
    from engine.events.rundir import RunDirectory
    from engine.planner.lines import Plan

DetachOption = Annotated[
    bool,
    typer.Option("--detach", "-d", help=say("Return at once; the run goes on.", "すぐに戻ります。実行は続きます。")),
]
PlainOption = Annotated[
    bool,
    typer.Option("--plain", help=say("Lines instead of bars that update in place.", "バーではなく行で表示します。")),
]
StrictOption = Annotated[
    bool,
    typer.Option("--strict", help=say("Options that are not built yet are errors.", "未実装の項目をエラーにします。")),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help=say("Check everything and print the resolved run.toml; start nothing.", "検査して解決済みの run.toml を表示し、何も開始しません。")),
]  # fmt: skip
HooksOption = Annotated[
    bool,
    typer.Option("--allow-hooks", help=say("Let the preset's on_finish, on_error and on_preempt commands run.", "プリセットの on_finish / on_error / on_preempt コマンドの実行を許可します。")),
]  # fmt: skip


@in_japanese(
    """プリセットを学習します。未キャッシュの画像・クリップ・キャプションをエンコードし、LoRA を学習・保存し、run フォルダーを残します。

    run は独立したセッションで動くため、ターミナルを閉じても止まりません。前面では Ctrl-C で保存して停止し（終了コード 75）、
    2 回目で即時終了します。Ctrl-D は表示だけを切り離します。

      musubi-tui train preset.toml --set max_train_steps=500

      musubi-tui train --resume last
    """
)
def train(
    preset: PresetArgument = "",
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            metavar="RUN",
            help=say("Go on with a run from its newest complete state.", "run を最新の状態から再開します。"),
        ),
    ] = "",
    overrides: SetOption = None,
    detach: DetachOption = False,
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
    allow_hooks: HooksOption = False,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> int:
    """Train a preset: encode what is not cached, train the LoRA, save it, and leave a run directory.

    The run lives in a session of its own: closing the terminal does not stop it. In the foreground Ctrl-C saves and stops
    (exit code 75), a second one leaves at once; Ctrl-D only detaches.

      musubi-tui train preset.toml --set max_train_steps=500

      musubi-tui train --resume last
    """  # fmt: skip
    if bool(preset) == bool(resume):
        raise UserError.of(
            "usage",
            say(
                "Give either a preset or --resume RUN.", "プリセットか --resume RUN のどちらか一方を指定してください。"
            ),
            say("`musubi-tui train --help` explains both.", "説明は `musubi-tui train --help` にあります。"),
        )
    if not preset:
        return resume_run(resume, overrides, detach=detach, plain=plain, as_json=as_json, allow_hooks=allow_hooks)
    return _start(preset, overrides, "train", None, detach, strict, dry_run, plain, as_json, allow_hooks)


@in_japanese(
    """プリセットの画像・クリップ・キャプションをキャッシュファイルにエンコードします。最新のものは再エンコードしません。

    musubi-tui cache preset.toml

    musubi-tui cache preset.toml --only text

    musubi-tui cache preset.toml --processes 4

    musubi-tui cache preset.toml --prune
    """
)
def cache(
    preset: PresetArgument,
    only: Annotated[
        str,
        typer.Option(
            "--only",
            metavar="latents|text",
            help=say("Only pictures, or only captions.", "画像のみ、またはキャプションのみ。"),
        ),
    ] = "",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            help=say(
                "Encode with so many processes, one per GPU; default: cache_processes of the preset.",
                "このプロセス数でエンコードします（GPU ごとに 1 つ）。既定はプリセットの cache_processes。",
            ),
            show_default=False,
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help=say(
                "Show the cache files that nothing needs any more; encode nothing.",
                "不要になったキャッシュファイルを表示します（エンコードはしません）。",
            ),
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=say("With --prune: remove them.", "--prune と一緒に: 削除します。"))
    ] = False,
    overrides: SetOption = None,
    detach: DetachOption = False,
    strict: StrictOption = False,
    dry_run: DryRunOption = False,
    plain: PlainOption = False,
    as_json: JsonOption = False,
) -> int:
    """Encode pictures and captions of a preset into cache files. What is current is not encoded again.

      musubi-tui cache preset.toml

      musubi-tui cache preset.toml --only text

      musubi-tui cache preset.toml --processes 4

      musubi-tui cache preset.toml --prune
    """  # fmt: skip
    stages = {"": ("cache_latents", "cache_text"), "latents": ("cache_latents",), "text": ("cache_text",)}
    if only not in stages:
        raise UserError.of(
            "usage",
            say(f"--only takes latents or text, not {only!r}.", f"--only は latents か text です（{only!r} は不可）。"),
            key="only",
        )
    if prune:
        from musubi_tui.cli.pruning import prune as prune_caches

        return prune_caches(preset, parse_overrides(overrides), only=only, yes=yes, as_json=as_json)
    if yes:
        raise UserError.of("usage", say("--yes belongs to --prune.", "--yes は --prune と一緒に使います。"), key="yes")
    if processes:
        overrides = [*(overrides or ()), f"cache_processes={processes}"]
    return _start(preset, overrides, "cache", stages[only], detach, strict, dry_run, plain, as_json)


def resume_run(
    word: str, overrides: Sequence[str] | None, *, detach: bool, plain: bool, as_json: bool, allow_hooks: bool = False
) -> int:
    """Go on with a run; the exit code."""
    from musubi_tui.runs.finding import find_run, is_training
    from musubi_tui.runs.live_values import written_value
    from musubi_tui.runs.resuming import prepare_resume, run_option

    run = find_run(word, is_training)
    changes = {key: written_value(key, value) for key, value in parse_overrides(overrides).items()}
    prepare_resume(run, changes, tell=narrate)
    narrate(say(f"Resuming {run.id}.", f"{run.id} を再開します。"))
    device = str(run_option(run, "run", "device") or "auto")
    hooks = _hooks(run, None, allow_hooks)
    return _run(run, device=device, secrets={}, hooks=hooks, detach=detach, plain=plain, as_json=as_json)


def parse_overrides(overrides: Sequence[str] | None) -> dict[str, str]:
    """``["a=1", "b=2"]`` as a dictionary. Raises ``UserError``."""
    values: dict[str, str] = {}
    for entry in overrides or ():
        key, equals, value = entry.partition("=")
        if not equals or not key.strip():
            raise UserError.of(
                "usage",
                say(f"--set {entry!r} has no value.", f"--set {entry!r} に値がありません。"),
                say("Write --set key=value.", "--set key=value と書いてください。"),
                key=key.strip(),
            )
        values[key.strip()] = value
    return values


def _start(
    preset: str,
    overrides: Sequence[str] | None,
    kind: str,
    stages: tuple[str, ...] | None,
    detach: bool,
    strict: bool,
    dry_run: bool,
    plain: bool,
    as_json: bool,
    allow_hooks: bool = False,
) -> int:
    from engine.config import secrets_environment
    from musubi_tui.presets.library import find_preset
    from musubi_tui.runs.creating import create_run, discard, dry_run_text

    loaded = load_preset(find_preset(preset), parse_overrides(overrides), strict)
    if dry_run:
        text = dry_run_text(loaded, kind=kind, stages=stages)
        plan = _plan(loaded) if kind == "train" else None
        if as_json:
            print_json({"ok": True, "kind": kind, "run_toml": text, "warnings": [w.as_json() for w in loaded.warnings],
                        "plan": plan.as_json() if plan else None})  # fmt: skip
        else:
            sys.stdout.write(text)
        return OK
    run = create_run(loaded, kind=kind, stages=stages)
    config = loaded.config
    try:
        _introduce(run)
        hooks = _hooks(run, config, allow_hooks)
    except BaseException:  # also where nobody can be told (a full disk behind 2>): no run stays that waits for nothing
        discard(run)
        raise
    return _run(run, device=str(config.run.device), secrets=secrets_environment(config), hooks=hooks, detach=detach, plain=plain, as_json=as_json)  # fmt: skip


def _plan(loaded: LoadedConfig) -> Plan | None:
    """The plan of a run that is not started, told in a few lines; None for a family that cannot be planned."""
    from engine.config.problems import MissingRequirement
    from musubi_tui.cli.plan import brief_lines, plan_of

    try:
        plan = plan_of(loaded)
    except MissingRequirement as error:
        print_problems(_as_warnings(error.problems))
        return None
    for line in brief_lines(plan):
        narrate(line)
    return plan


def _hooks(run: RunDirectory, config: Config | None, allowed: bool) -> dict[str, str]:
    """What allows the engine its hooks: the user's own always, the preset's only when allowed; tells of those that are not."""
    from musubi_tui.runs.hooking import hooks_environment, hooks_of_preset, hooks_of_run

    named = hooks_of_run(run, allowed=allowed) if config is None else hooks_of_preset(config)
    tell_hooks(named, allowed=allowed)
    return hooks_environment(run, named if allowed else None)


def tell_hooks(named: Mapping[str, list[str]], *, allowed: bool) -> None:
    """Which commands a preset brings along, and whether they will run."""
    from engine.events.redaction import redacted_command

    for name, words in named.items():
        line = harmless(redacted_command(words))
        if allowed:
            narrate(say(f"{name} will run: {line}", f"{name} で実行: {line}"))
        else:
            narrate(say(f"{name} will not run without --allow-hooks: {line}", f"{name} は --allow-hooks がないため実行しません: {line}"))  # fmt: skip


def load_preset(preset: Path, overrides: dict[str, str], strict: bool, *, check_files: bool = True) -> LoadedConfig:
    """A preset with its overrides, checked; warnings are told, or errors when ``strict``. Raises ``ConfigError``."""
    from engine.config import load_config

    loaded = load_config(preset, overrides, check_files=check_files)
    unbuilt = [warning for warning in loaded.warnings if warning.code == "not_built_yet"]
    if strict and unbuilt:
        raise ConfigError([replace(warning, severity="error") for warning in unbuilt])
    print_problems(_as_warnings(loaded.warnings))
    return loaded


def _as_warnings(problems: Sequence[Problem]) -> list[Problem]:
    return [replace(problem, severity="warning") for problem in problems]


def _introduce(run: RunDirectory) -> None:
    from musubi_tui.cli.following import how_to_watch
    from musubi_tui.runs.home import survives

    narrate(say(f"Run {run.id}.", f"run {run.id}。") + how_to_watch(run))
    where = say(f"States and events: {run.path}", f"状態とイベント: {run.path}")
    if not survives(run.path):
        where += say(
            " - on the container's own disk: gone when it stops. Set MUSUBI_TUI_HOME to a volume.",
            "（コンテナのディスク上: 停止すると消えます。MUSUBI_TUI_HOME にボリュームを指定してください）",
        )
    narrate(where)


def _run(
    run: RunDirectory,
    *,
    device: str,
    secrets: dict[str, str],
    hooks: dict[str, str],
    detach: bool,
    plain: bool,
    as_json: bool,
) -> int:
    """Launch, then stay or leave; the exit code."""
    from engine.events.status import ALIVE, true_state
    from musubi_tui.cli.following import exit_code, listening, stay_with
    from musubi_tui.cli.live import make_display
    from musubi_tui.runs.launching import launch

    offset = run.events.stat().st_size if run.events.exists() else 0
    if detach:
        launch(run, device=device, secrets=secrets, hooks=hooks)
        alive = true_state(run) in ALIVE
        _report(run, as_json, short=True)
        return OK if alive else exit_code(run)
    with listening() as wishes:
        process = launch(run, device=device, secrets=secrets, hooks=hooks)
        code = stay_with(run, process, make_display(sys.stderr, plain=plain or as_json), wishes, offset=offset)
    _report(run, as_json, short=False)
    return code


def _report(run: RunDirectory, as_json: bool, *, short: bool) -> None:
    """stdout is data: the id of a run that goes on, the files of one that ended, or all of it as JSON."""
    from engine.events.status import ALIVE
    from musubi_tui.runs.fetching import fetch_line, is_away
    from musubi_tui.runs.plain_text import clean
    from musubi_tui.runs.snapshot import snapshot

    now = snapshot(run)
    if as_json:
        print_json(now.as_json())
        return
    if short:
        sys.stdout.write(f"{run.id}\n")
        return
    if now.state in ALIVE:
        return
    reason = "" if now.errors else now.reason  # an error has been told in full
    ended = reason if reason.startswith(now.state) else now.state + (f" ({reason})" if reason else "")
    narrate(f"{run.id}: {ended}")
    if now.state in ("preempted", "stopped") or (now.state == "failed" and now.step):
        narrate(say(f"Go on with: musubi-tui train --resume {run.id}", f"再開: musubi-tui train --resume {run.id}"))
    for output in now.outputs:
        if output["kind"] != "state":
            sys.stdout.write(f"{output['path']}\n")
    home = fetch_line(now) if is_away(now) else ""
    if home:
        narrate(say("Bring it home: ", "持ち帰る: ") + clean(home))
