"""The README followed word for word: a folder of one's own pictures, trained with the tiny model."""

from __future__ import annotations

import os
import re
from pathlib import Path

from PIL import Image, ImageDraw

from tests.e2e.preloaded import Preloaded

SHORT = (
    "musubi-tui presets set my-lora/preset.toml max_train_steps=12 validate_every_n_steps=12 save_every_n_steps=none"
)


def test_your_own_pictures(tmp_path: Path, repository: Path, shell: Preloaded) -> None:
    """With one command added: 12 steps instead of 200. That 200 learn is what the main job's test shows."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    section = re.search(r"^## Your own pictures\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL))
    assert script.count("musubi-tui") >= 5
    script = script.replace("musubi-tui train", f"{SHORT}\nmusubi-tui train")

    pictures = tmp_path / "Pictures"
    pictures.mkdir()
    for number in range(4):
        picture = Image.new("RGB", (160 + 40 * number, 160), (40, 60 * number, 90))
        ImageDraw.Draw(picture).ellipse((20, 20, 120, 140), fill=(220, 50 * number, 40))
        picture.save(pictures / f"bella {number}.jpg")
    activate = tmp_path / "work" / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text("")
    done = shell.script(script, tmp_path / "work", {**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 items from 4 files" in done.stdout
    (lora,) = re.findall(r"^LoRA\s+(\S.*\.safetensors)", done.stdout, re.MULTILINE)
    assert Path(lora).stat().st_size > 0
