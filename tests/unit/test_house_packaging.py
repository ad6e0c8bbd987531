"""What lands on a user's disk: the wheel, both kinds of install, honest requirements, and the two set-up commands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from musubi_tui import __version__

_WHERE = "from musubi_tui.presets.library import presets_root as r; print(*sorted(p.name for p in r().glob('*.toml')))"


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:  # type: ignore[type-arg]
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree, built without network."""
    (path,) = WheelBuilder(str(repository)).build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    return Path(path)


def test_the_wheel_holds_both_packages_and_the_presets(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = [
        path.relative_to(repository).as_posix()
        for package in ("engine", "musubi_tui")
        for path in (repository / package).rglob("*.py")
    ]
    assert set(sources) <= names
    presets = {f"musubi_tui/_presets/{path.name}" for path in (repository / "presets").glob("*.*")}
    assert len(presets) > 1
    assert presets <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "benchmarks/")) or "__pycache__" in name]


def test_the_wheel_names_command_and_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"musubi_tui-{__version__}.dist-info"
    assert "musubi-tui = musubi_tui.__main__:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")


def test_both_kinds_of_install_find_the_same_presets(wheel: Path, repository: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)

    def found(root: Path) -> str:
        code = f"import sys; sys.path.insert(0, {str(root)!r}); {_WHERE}"
        return subprocess.run(
            [sys.executable, "-P", "-c", code], cwd="/", capture_output=True, text=True, check=True, timeout=60
        ).stdout

    assert found(tmp_path).strip()
    assert found(tmp_path) == found(repository)


def test_one_version(project: dict) -> None:  # type: ignore[type-arg]
    assert project["version"] == __version__


def _names(requirements: list[str]) -> dict[str, str]:
    parsed = (re.match(r"([A-Za-z0-9._-]+)(\[[^]]*\])?\s*([^;]*)", line) for line in requirements)
    return {match[1].lower(): match[3].strip() for match in parsed if match}


def test_textual_alone_is_pinned_exactly(project: dict) -> None:  # type: ignore[type-arg]
    ranges = _names(project["dependencies"])
    assert [name for name, wanted in ranges.items() if wanted.startswith("==")] == ["textual"]
    assert ranges["torch"].startswith(">=2.6")


def test_constraints_pin_every_requirement_once_without_local_tags(project: dict, repository: Path) -> None:  # type: ignore[type-arg]
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    pinned = [pin.partition("==")[0] for pin in pins]
    assert len(pinned) == len(set(pinned))
    extras = project["optional-dependencies"]
    wanted = _names([*project["dependencies"], *extras["demo"], *extras["dev"]])
    assert set(wanted) - {"musubi-tui"} <= set(pinned)


# Requirements that no line of ours imports: what they are for.
_UNSPOKEN = {
    "textual": "pinned for the full-screen app, whose screens are developed against exactly this version",
    "sentencepiece": "transformers builds the UMT5 tokenizer from spiece.model with it",
    "bitsandbytes": "imported by name when optimizer_type asks for it",
}
_MODULES = {
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml","pillow": "PIL", "nvidia-ml-py": "pynvml", "huggingface-hub": "huggingface_hub", "tree-sitter": "tree_sitter", "tree-sitter-toml": "tree_sitter_toml", "scikit-image": "skimage", "scikit-learn": "sklearn"}  # fmt: skip


def test_every_requirement_is_used(project: dict, repository: Path) -> None:  # type: ignore[type-arg]
    spoken: set[str] = set()
    for package in ("engine", "musubi_tui"):
        for path in (repository / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    spoken |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    spoken.add(node.module.partition(".")[0])
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    spoken.add(node.value.partition(".")[0])  # importlib.resources.files("skimage.data")
    wanted = _names([*project["dependencies"], *project["optional-dependencies"]["demo"]])
    unused = {name for name in wanted if _MODULES.get(name, name) not in spoken and name not in _UNSPOKEN}
    assert unused == set()


def test_make_sets_up_without_doing_it_twice(repository: Path, tmp_path: Path) -> None:
    """The recipe of `make demo`, with stand-ins for the interpreter and pip: installs once, then only runs the demo."""
    calls = tmp_path / "calls"
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text((repository / name).read_text(encoding="utf-8"), encoding="utf-8")
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("include-system-site-packages = false\n", encoding="utf-8")
    for name in ("python", "musubi-tui"):
        script = binaries / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\n', encoding="utf-8")
        script.chmod(0o755)

    def make_demo() -> list[str]:
        calls.write_text("", encoding="utf-8")
        subprocess.run(
            ["make", "demo", f"PYTHON={sys.executable}", "STEPS=3"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=60,
        )
        return calls.read_text(encoding="utf-8").splitlines()

    first, second = make_demo(), make_demo()
    (install,) = [line for line in first if "-m pip" in line]
    assert "install" in install
    assert "constraints.txt -e .[demo]" in install
    assert first[-1] == "musubi-tui demo --steps 3"
    assert second == ["musubi-tui demo --steps 3"]
