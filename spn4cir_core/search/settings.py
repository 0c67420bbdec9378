"""Settings of the ``search_index`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.plugins import Settings


class SearchSettings(Settings):
    """What the index holds and how it is searched."""

    images: Literal["all", "evaluation", "train"] = "all"
    """Which split's images are found; ``all`` whatever their split."""
    flat_up_to: int = Field(default=200_000, ge=1)
    """Above this many vectors (one per image, with SPRC 32) the index is IVF and a search approximate; below, every
    image is compared."""
    probed_share: float = Field(default=0.1, gt=0, le=1)
    """Share of an IVF index's cells that a search looks into."""
