"""Settings of the ``pairs`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from spn4cir_core.plugins import Settings


class PairSettings(Settings):
    """Which targets a reference image may be paired with.

    The window is half-open and counts from rank 0, the most similar other image of the same split. Bounds
    below 1 given as floats are shares of the ranking (0.40 to 0.80), integers are ranks (1 to 20).
    """

    window: tuple[int, int] | tuple[float, float] = (1, 20)
    mode: Literal["auto", "exact", "landmarks", "neighbours"] = "auto"
    per_reference: int = Field(default=1, ge=1)
    max_pairs: int | None = Field(default=None, ge=1)
    same_category: bool = False
    max_cosine: float = Field(default=0.995, gt=-1, le=1)
    """Pairs more similar than this are near-duplicates and not used."""
    references: Literal["all", "annotated"] = "all"
    landmarks: int = Field(default=2048, ge=16)

    @model_validator(mode="after")
    def _ordered(self) -> PairSettings:
        first, end = self.window
        if not 0 <= first < end:
            raise ValueError(f"window {self.window} is empty: it needs 0 <= first < end")
        if isinstance(end, float) and end > 1:
            raise ValueError(f"window {self.window}: shares of the ranking lie in 0.0 to 1.0; ranks are whole numbers")
        return self
