"""Settings of a FAISS index of candidate vectors, whether it is searched or measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spn4cir_core.engine.plugins import Settings


class IndexSettings(Settings):
    """Which kind of index it is, and how widely it is searched."""

    flat_up_to: int = Field(default=200_000, ge=1)
    """Above this many vectors (one per image, with SPRC 32) the index is what ``above`` says and a search approximate,
    with its recall measured; below, every image is compared."""
    above: Literal["ivf", "hnsw"] = "ivf"
    """``ivf`` is built faster and no larger than the vectors; ``hnsw`` is searched faster, built slowly, and larger."""
    probed_share: float = Field(default=0.1, gt=0, le=1)
    """Share of an IVF index's cells that a search looks into."""
    hnsw_links: int = Field(default=32, ge=2, le=512)
    """Links that each vector of an HNSW index has to others; eight bytes each."""
    hnsw_breadth: int = Field(default=128, ge=1)
    """Vectors that a search of an HNSW index goes on from at a time."""
