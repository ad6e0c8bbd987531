"""The registry of model families: one folder per family, ``spec.py`` without torch and ``model.py`` with it.

A new family is a folder with these two files and a line in ``_SPECS``. Nobody outside this package, ``engine.testing``
and the importers may branch on a family's name: ask its capabilities instead.
"""

from __future__ import annotations

from importlib import import_module

from engine.families.family import FamilySpec, ModelSlot, TaskSpec

__all__ = ["FamilySpec", "ModelSlot", "TaskSpec", "family_names", "family_of_network_module", "get_family"]

_SPECS = {
    "wan": "engine.families.wan.spec",
    "qwen_image": "engine.families.qwen_image.spec",
}


def family_names() -> tuple[str, ...]:
    """Names of the families that can be trained, in the order they are offered."""
    return tuple(_SPECS)


def get_family(name: str) -> FamilySpec:
    """The spec of one family. Raises ``KeyError`` with the known names for any other name."""
    if name not in _SPECS:
        raise KeyError(f"unknown family {name!r}; known: {', '.join(_SPECS)}")
    spec: FamilySpec = import_module(_SPECS[name]).SPEC
    return spec


def family_of_network_module(network_module: str) -> FamilySpec | None:
    """The family whose adapters Musubi Tuner builds with ``network_module`` (``networks.lora_wan`` …), if there is one."""
    for name in _SPECS:
        if get_family(name).network_module == network_module:
            return get_family(name)
    return None
