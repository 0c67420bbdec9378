"""Settings of the ``search_index`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings


class SearchSettings(Settings):
    """What the index holds and how it is searched."""

    images: Literal["all", "evaluation", "train"] = "all"
    flat_up_to: int = Field(default=200_000, ge=1)
    """Above this many images the index is IVF; below, every image is compared."""
