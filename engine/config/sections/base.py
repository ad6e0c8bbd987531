"""The base of all section models: strict, immutable, built only when first used."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of options. Values are checked strictly: text is never taken for a number."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False, protected_namespaces=()
    )
