"""The laws of the house: who may import whom, what a starting command loads, and where a family's name may stand."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from engine.families import family_names

HEAVY = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "textual",
    "numpy",
    "scipy",
    "av",
    "cv2",
    "plotext",
    "pydantic",
)

_PROBE = """
import json, sys
from musubi_tui.cli.root import run
code = run(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(sys.modules)}), file=sys.stderr)
"""


def modules_after(*arguments: str, **environment: str) -> set[str]:
    """Modules of a fresh process that ran one command line to a successful end."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    report = json.loads(done.stderr.splitlines()[-1])
    assert report["code"] == 0, done.stderr
    return set(report["modules"])


def loaded(modules: set[str], *names: str) -> set[str]:
    return {name for name in names if name in modules or any(module.startswith(name + ".") for module in modules)}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["presets", "list"], ["runs", "list"]], ids=" ".join)
def test_commands_that_print_load_nothing_heavy(arguments: list[str]) -> None:
    modules = modules_after(*arguments)
    assert loaded(modules, *HEAVY) == set()
    assert loaded(modules, "engine.config.schema", "engine.config.sections", "PIL", "tomlkit") == set()


def test_the_overview_loads_no_command() -> None:
    modules = modules_after("--help")
    commands = {name for name in modules if name.startswith("musubi_tui.cli.")}
    assert commands == {f"musubi_tui.cli.{name}" for name in ("arguments", "commands", "guard", "output", "root")}
    assert loaded(modules, "musubi_tui.runs", "musubi_tui.presets", "engine.data", "engine.families") == set()


def test_the_app_does_not_wait_for_what_reads_command_lines() -> None:
    code = (
        "import sys; sys.argv = ['musubi-tui']\n"
        "import musubi_tui.cli.guard, musubi_tui.cli.opening as opening\n"
        "import musubi_tui.tui.app, musubi_tui.tui.screens.jobs, musubi_tui.tui.images, musubi_tui.tui.link\n"
        "print(*(name for name in ('typer', 'musubi_tui.cli.root', 'pydantic', 'numpy', 'PIL') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_looking_at_a_dataset_needs_no_torch(tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (96, 64), (index * 40, 90, 120)).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.txt").write_text(f"picture {index}", encoding="utf-8")
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(
        f'[general]\nresolution = [64, 64]\ncaption_extension = ".txt"\nbatch_size = 1\nenable_bucket = true\n'
        f"[[datasets]]\nimage_directory = '{tmp_path}'\ncache_directory = '{tmp_path / 'cache'}'\n",
        encoding="utf-8",
    )
    modules = modules_after("data", "buckets", str(dataset), "--json", "--family", family_names()[0])
    assert loaded(modules, "torch", "diffusers", "transformers", "accelerate", "textual", "cv2") == set()


@pytest.mark.parametrize("room", ["engine.config", "engine.events", "engine.data", "engine.planner", "engine.job"])
def test_rooms_without_torch(room: str) -> None:
    code = (
        f"import importlib, pkgutil, sys; room = importlib.import_module({room!r})\n"
        "for found in pkgutil.iter_modules(getattr(room, '__path__', [])):\n"
        "    if found.name != 'loader':\n"
        "        importlib.import_module(room.__name__ + '.' + found.name)\n"
        "import engine.families as f; [f.get_family(name) for name in f.family_names()]\n"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_import_laws(repository: Path) -> None:
    """The contracts of pyproject.toml, with their reasons, hold (import-linter reads the import graph, not a running program)."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# A family's name may be spoken where families live, where tiny ones are made, and where foreign files are read.
_MAY_NAME_FAMILIES = ("engine/families/", "engine/testing/", "musubi_tui/presets/import")


def family_branches(tree: ast.AST, names: frozenset[str]) -> Iterator[int]:
    """Line numbers where a family's name is compared, matched, used as a key, or looked up."""

    def is_name(node: ast.AST | None) -> bool:
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return any(is_name(element) for element in node.elts)
        return isinstance(node, ast.Constant) and node.value in names

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            suspects = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            suspects = [node.value]
        elif isinstance(node, ast.Dict):
            suspects = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Subscript):
            suspects = [node.slice]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("startswith", "get")
        ):
            suspects = list(node.args)
        else:
            continue
        if any(is_name(suspect) for suspect in suspects):
            yield node.lineno if hasattr(node, "lineno") else 0


def test_no_branch_on_a_family_name(repository: Path) -> None:
    names = frozenset(family_names()) | {"framepack", "hunyuan_video", "flux_kontext"}
    offenders = []
    for package in ("engine", "musubi_tui"):
        for path in sorted((repository / package).rglob("*.py")):
            relative = path.relative_to(repository).as_posix()
            if not relative.startswith(_MAY_NAME_FAMILIES):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                offenders += [f"{relative}:{line}" for line in family_branches(tree, names)]
    assert offenders == [], "ask the family's capabilities instead of its name"


@pytest.mark.parametrize(
    "source",
    [
        "if family == 'wan': pass",
        "x = family in ('wan', 'qwen_image')",
        "match family:\n    case 'wan': pass",
        "table = {'wan': 1}",
        "y = table['qwen_image']",
        "z = name.startswith('wan')",
    ],
)
def test_the_search_for_branches_finds_them(source: str) -> None:
    assert list(family_branches(ast.parse(source), frozenset({"wan", "qwen_image"})))
