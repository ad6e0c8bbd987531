"""The checks of ``musubi-tui doctor``: each yields findings with a verdict, a sentence and what to do."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from engine.config.language import language, say
from engine.config.problems import ConfigError
from engine.planner.host_memory import memory_bytes
from musubi_tui.machine.gpus import Gpu, read_gpus
from musubi_tui.runs.home import file_system, find_home

GIB = 1 << 30
_ENOUGH_DISK = 20 * GIB  # caches, states and LoRAs of a first project; model files come on top


class Verdict(Enum):
    """``MISSING`` stops training; ``NOTE`` is worth knowing."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``values`` is what a program reads: bytes, versions, names."""

    code: str
    verdict: Verdict
    title: str
    text: str
    fix: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The finding as ``doctor --json`` prints it."""
        return {"code": self.code, "verdict": self.verdict.value, "text": self.text, "fix": self.fix, **self.values}


def check_machine() -> Iterator[Finding]:
    """All findings, cheapest and most fundamental first."""
    yield _system()
    yield _python()
    yield from _packages()
    gpus = read_gpus()
    yield _torch(gpus)
    yield from _gpus(gpus)
    yield _memory()
    yield _home()
    yield _disk()
    yield _cores()
    yield _text()


def _system() -> Finding:
    name = f"{platform.system()} {platform.release()} ({platform.machine()})"
    title = say("System", "OS")
    if sys.platform == "win32":
        return Finding(
            "system",
            Verdict.MISSING,
            title,
            say(f"{name}: runs need POSIX signals and sessions.", f"{name}: POSIX のシグナルとセッションが必要です。"),
            say("Use WSL2: `wsl --install`, then install inside it.", "WSL2 を使ってください: `wsl --install` の後、その中に導入します。"),
        )  # fmt: skip
    wsl = "microsoft" in platform.release().lower()
    return Finding("system", Verdict.OK, title, f"{name}{', WSL2' if wsl else ''}", values={"name": name, "wsl": wsl})


def _python() -> Finding:
    version = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Finding(
        "python",
        Verdict.OK if good else Verdict.NOTE,
        "Python",
        f"{version}, {sys.executable}",
        "" if good else say("Tested with 3.11 to 3.13.", "動作確認は 3.11〜3.13 です。"),
        {"version": version, "executable": sys.executable},
    )


def _packages() -> Iterator[Finding]:
    """Every requirement of this version, held against what is installed; one line when all fit."""
    installed: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for requirement in requirements():
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append((requirement.name, say("not installed", "未導入")))
            continue
        installed[requirement.name] = version
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append((requirement.name, f"{version}, {requirement.specifier}"))
    title = say("Packages", "パッケージ")
    if not problems:
        known = ", ".join(f"{name} {installed[name]}" for name in ("diffusers", "transformers", "safetensors"))
        yield Finding("packages", Verdict.OK, title, f"{len(installed)}: {known} …", values={"installed": installed})
    for name, why in problems:
        fix = (
            say(
                "pip install torch, in the build that fits this machine (docs/install.md).",
                "このマシンに合う torch を pip で導入してください（docs/install.md）。",
            )
            if name == "torch"
            else f"{Path(sys.executable).name} -m pip install '{_requirement_text(name)}'"
        )
        yield Finding("packages", Verdict.MISSING, title, f"{name}: {why}", fix, {"package": name})


def requirements() -> list[Requirement]:
    """What this version needs: from its installed metadata, else from the pyproject.toml of the working tree."""
    try:
        lines = metadata.requires("musubi-tui") or []
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [Requirement(line) for line in lines]


def _requirement_text(name: str) -> str:
    return next(f"{item.name}{item.specifier}" for item in requirements() if item.name == name)


def _torch(gpus: list[Gpu]) -> Finding:
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Finding("torch", Verdict.MISSING, "torch", say("not installed", "未導入"))
    values: dict[str, Any] = {"version": version}
    build = Version(version).local or ""
    if gpus and build == "cpu":
        return Finding(
            "torch",
            Verdict.MISSING,
            "torch",
            say(f"{version} is a CPU build, but there is an NVIDIA GPU.", f"{version} は CPU 版ですが、NVIDIA GPU があります。"),
            say("Install a CUDA build: see docs/install.md.", "CUDA 版を導入してください（docs/install.md）。"),
            values,
        )  # fmt: skip
    return Finding("torch", Verdict.OK, "torch", version, values=values)


def _gpus(gpus: list[Gpu]) -> Iterator[Finding]:
    if not gpus:
        apple = sys.platform == "darwin" and platform.machine() == "arm64"
        yield Finding(
            "gpu",
            Verdict.NOTE,
            "GPU",
            say("Apple silicon: training here is not tested.", "Apple シリコン: ここでの学習は未検証です。")
            if apple
            else say("no NVIDIA GPU: tiny models, tests and planning only.", "NVIDIA GPU なし: 小さなモデル、テスト、計画のみ。"),
            say("For real models rent one: docs/install.md.", "本物のモデルには GPU を借りてください: docs/install.md。"),
        )  # fmt: skip
    for gpu in gpus:
        yield Finding(
            "gpu",
            Verdict.OK,
            f"GPU {gpu.index}",
            say(
                f"{gpu.name}, {gpu.total / GIB:.0f} GiB, {gpu.free / GIB:.0f} free, driver {gpu.driver} (CUDA {gpu.cuda})",
                f"{gpu.name}、{gpu.total / GIB:.0f} GiB（空き {gpu.free / GIB:.0f}）、ドライバー {gpu.driver}（CUDA {gpu.cuda}）",
            ),
            values=gpu.as_json(),
        )


def _memory() -> Finding:
    total, available, limited = memory_bytes()
    text = say(
        f"{total / GIB:.0f} GiB, {available / GIB:.0f} free", f"{total / GIB:.0f} GiB（空き {available / GIB:.0f}）"
    )
    if limited:
        text += say(" (the container's limit)", "（コンテナの上限）")
    return Finding(
        "memory",
        Verdict.OK,
        say("Memory", "メモリ"),
        text,
        values={"total": total, "available": available, "limited_by_container": limited},
    )


def _home() -> Finding:
    title = say("Runs live in", "run の場所")
    try:
        home = find_home()
    except ConfigError as error:
        problem = error.problems[0]
        return Finding("home", Verdict.MISSING, title, f"{problem.location()}: {problem.message}", problem.fix)
    values = {"home": str(home.path), "survives": home.survives, "reason": home.reason}
    existing = next(path for path in (home.path, *home.path.parents) if path.exists())
    if (
        not existing.is_dir()
        or file_system(existing) in ("proc", "sysfs")
        or not os.access(existing, os.W_OK | os.X_OK)
    ):
        return Finding(
            "home",
            Verdict.MISSING,
            title,
            say(
                f"{home.path}: {existing} is not a folder that can be written ({home.reason}).",
                f"{home.path}: {existing} は書き込めるフォルダーではありません（{home.reason}）。",
            ),
            say(
                "Set MUSUBI_TUI_HOME to a folder that can be written.",
                "MUSUBI_TUI_HOME に書き込めるフォルダーを設定してください。",
            ),
            values,
        )
    if home.survives:
        return Finding("home", Verdict.OK, title, f"{home.path}  ({home.reason})", values=values)
    return Finding(
        "home",
        Verdict.NOTE,
        title,
        say(
            f"{home.path}: gone when this container stops ({home.reason}).",
            f"{home.path}: コンテナを止めると消えます（{home.reason}）。",
        ),
        say(
            "Put runs on the volume that stays: export MUSUBI_TUI_HOME=/workspace/musubi-tui",
            "残るボリュームに置いてください: export MUSUBI_TUI_HOME=/workspace/musubi-tui",
        ),
        values,
    )


def _disk() -> Finding:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    small = free < _ENOUGH_DISK
    return Finding(
        "disk",
        Verdict.NOTE if small else Verdict.OK,
        say("Disk here", "ここのディスク"),
        say(f"{free / GIB:.0f} GiB free in {folder}", f"{folder} の空き {free / GIB:.0f} GiB"),
        say(
            "Enough for the demo; models and caches of a real project want more.",
            "デモには十分ですが、実際のモデルとキャッシュには足りません。",
        )
        if small
        else "",
        {"folder": str(folder), "free": free},
    )


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cores", Verdict.OK, say("CPU cores", "CPU コア"), str(cores), values={"cores": cores})


def _text() -> Finding:
    """Whether Japanese and box drawing arrive on the screen as they should."""
    encoding = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    terminal = os.environ.get("TERM", "") or "?"
    values = {"language": language(), "encoding": encoding, "terminal": terminal, "tty": sys.stdout.isatty()}
    title = say("Text", "文字")
    text = f"{encoding}, TERM={terminal}, {say('English', '日本語')}"
    if encoding.replace("-", "") == "utf8":
        return Finding("text", Verdict.OK, title, text, values=values)
    return Finding(
        "text",
        Verdict.NOTE,
        title,
        text,
        say(
            "export LANG=C.UTF-8 (or en_US.UTF-8), or captions may print as ?.",
            "export LANG=ja_JP.UTF-8 としないと文字が ? になることがあります。",
        ),
        values,
    )
