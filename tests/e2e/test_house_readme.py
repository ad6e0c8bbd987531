"""The README followed word for word: a folder of one's own pictures, trained with the tiny model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw


@pytest.mark.slow
def test_your_own_pictures(tmp_path: Path, repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Your own pictures\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL))
    assert script.count("musubi-tui") >= 5

    pictures = tmp_path / "Pictures"
    pictures.mkdir()
    for number in range(4):
        picture = Image.new("RGB", (160 + 40 * number, 160), (40, 60 * number, 90))
        ImageDraw.Draw(picture).ellipse((20, 20, 120, 140), fill=(220, 50 * number, 40))
        picture.save(pictures / f"bella {number}.jpg")
    activate = tmp_path / "work" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(
        f'musubi-tui() {{ "{sys.executable}" -m musubi_tui "$@"; }}\nexport PYTHONPATH="{repository}"\n'
    )

    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=tmp_path / "work",
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 items from 4 files" in done.stdout
    (lora,) = re.findall(r"^LoRA\s+(\S.*\.safetensors)", done.stdout, re.MULTILINE)
    assert Path(lora).stat().st_size > 0
