"""``doctor --deep``: torch asked in a process of its own, since importing it costs seconds and may crash."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from engine.config.language import say
from musubi_tui.machine.checks import Finding, Verdict

_TIMEOUT_SECONDS = 180

# Runs in the other process. Prints one line of JSON, last.
_QUESTIONS = """
import json, time
start = time.perf_counter()
import torch, diffusers, transformers
answers = {"import_seconds": round(time.perf_counter() - start, 1), "cuda_build": torch.version.cuda or "", "devices": []}
for index in range(torch.cuda.device_count()):
    device = torch.device("cuda", index)
    try:
        x = torch.ones(64, 64, device=device, dtype=torch.bfloat16)
        good, why = bool(float((x @ x)[0, 0]) == 64.0), ""
    except Exception as error:
        good, why = False, str(error).splitlines()[0]
    major, minor = torch.cuda.get_device_capability(device)
    answers["devices"].append({"name": torch.cuda.get_device_name(device), "capability": f"{major}.{minor}", "computes_bf16": good, "why": why})
print(json.dumps(answers))
"""


def check_torch() -> Iterator[Finding]:
    """What torch says: import time, CUDA build, and one small multiplication on each device."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _QUESTIONS],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield _broken(say(f"no answer in {_TIMEOUT_SECONDS} s", f"{_TIMEOUT_SECONDS} 秒以内に応答なし"))
        return
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        yield _broken(lines[-1] if lines else say(f"exit code {done.returncode}", f"終了コード {done.returncode}"))
        return
    answers = json.loads(done.stdout.splitlines()[-1])
    built = f"CUDA {answers['cuda_build']}" if answers["cuda_build"] else say("no CUDA", "CUDA なし")
    seconds = answers["import_seconds"]
    yield Finding(
        "torch_import",
        Verdict.OK,
        "import torch",
        say(
            f"{seconds} s with diffusers and transformers, {built}",
            f"diffusers・transformers 込みで {seconds} 秒、{built}",
        ),
        values={"seconds": seconds, "cuda_build": answers["cuda_build"]},
    )
    for device in answers["devices"]:
        good = device["computes_bf16"]
        yield Finding(
            "torch_device",
            Verdict.OK if good else Verdict.MISSING,
            "torch.cuda",
            say(f"{device['name']}, compute capability {device['capability']}", f"{device['name']}、compute capability {device['capability']}")
            + ("" if good else f": {device['why']}"),
            "" if good else say("This torch build does not fit the card or driver: docs/install.md.", "この torch はカードやドライバーに合いません: docs/install.md。"),
            device,
        )  # fmt: skip


def _broken(why: str) -> Finding:
    return Finding(
        "torch_import",
        Verdict.MISSING,
        "import torch",
        why,
        say("Reinstall torch in the build that fits this machine: docs/install.md.", "このマシンに合う torch を入れ直してください: docs/install.md。"),
    )  # fmt: skip
