"""Settings of the ``splits`` stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from spn4cir_core.engine.plugins import Settings


class SplitSettings(Settings):
    """What counts as a near-duplicate, and how much is held out."""

    near_duplicates_by: tuple[Literal["phash", "embedding"], ...] = ("phash", "embedding")
    """How near-duplicates are found; ``[]`` turns it off, for corpora of pictures that differ in little."""
    near_duplicate_cosine: float = Field(default=0.98, gt=0, le=1)
    """Embeddings at least this similar belong to near-duplicates."""
    near_duplicate_bits: int = Field(default=4, ge=0, le=8)
    """Perceptual hashes that differ in at most this many of 64 bits belong to near-duplicates."""
    validation_share: float = Field(default=0.05, ge=0, lt=1)
    evaluation_share: float = Field(default=0.1, ge=0, lt=1)
    """Shares of the images that the corpus puts in no split itself."""

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> SplitSettings:
        if self.validation_share + self.evaluation_share >= 1:
            raise ValueError("validation_share and evaluation_share together must be below 1")
        return self


class SplitsInput(Settings):
    """The tables of a recipe that this stage reads."""

    splits: SplitSettings
    seed: int
