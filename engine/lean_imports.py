"""Importing diffusers without the optional packages it would import along, which no stage of ours uses through it.

Where peft, bitsandbytes and SciPy are installed, diffusers imports them with its models, and they import half of torch's compiler:
more than a third of an engine's start. Our adapters are our own, and the optimizers that need bitsandbytes import it themselves.
"""

from __future__ import annotations

import sys

COMPANIONS = ("peft", "bitsandbytes", "scipy")


def in_own_process() -> bool:
    """Whether this process was started as ``python -m engine``, and is nobody else's."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec is not None and spec.name == "engine.__main__"


def import_diffusers_alone() -> None:
    """Let diffusers look for its companions while they cannot be found; afterwards they can be imported as ever.

    ``None`` in ``sys.modules`` is Python's own way to say that a module is not there. Whatever is imported already stays.
    """
    hidden = [name for name in COMPANIONS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # typeshed knows no None here
    try:
        import diffusers.utils  # noqa: F401 - looks for all of them once, when it is imported
    finally:
        for name in hidden:
            del sys.modules[name]
