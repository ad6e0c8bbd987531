"""An engine's process imports diffusers without the packages that only slow its start, and can still import those."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from engine.lean_imports import COMPANIONS, import_diffusers_alone
import_diffusers_alone()
from diffusers.models.modeling_utils import ModelMixin
assert not {"peft", "bitsandbytes"} & set(sys.modules), "diffusers took them along"
import bitsandbytes.optim
assert bitsandbytes.optim.AdamW8bit and not set(COMPANIONS) & {name for name, module in sys.modules.items() if module is None}
"""


def test_what_diffusers_would_take_along_is_left_until_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
