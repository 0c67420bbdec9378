"""Settings of the ``pairs`` stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spn4cir_core.engine.plugins import Named, NamedChoice, Settings
from spn4cir_core.pairs.base import MINERS
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint


class PairSettings(Settings):
    """Which targets a reference image may be paired with.

    The window is half-open and counts from rank 0, the most similar other image of the same split. Bounds
    given as floats are shares of the ranking (0.40 to 0.80), integers are ranks (1 to 20). An end beyond
    the last rank means the last rank.
    """

    window: tuple[int, int] | tuple[float, float] = (1, 20)
    mode: Annotated[Named, NamedChoice(MINERS)] = "auto"
    """``exact`` ranks all images block by block; ``landmarks`` estimates ranks (wide windows of large corpora);
    ``neighbours`` asks FAISS (windows that end at 2,048 or before); ``auto`` takes the cheapest of these that fits.
    ``{ kind = "caption_overlap", least_share = 0.4, most_words_apart = 3 }`` pairs images whose captions share most
    words, ``one_phrase_apart`` the look-alikes among images whose captions differ in one phrase; the window then counts
    for nothing. A miner of your own works as ``"package.module:Class"``."""
    per_reference: int = Field(default=1, ge=1)
    """Distinct targets of one reference image."""
    max_pairs: int | None = Field(default=None, ge=1)
    """Keep a random choice of this many pairs."""
    same_category: bool = False
    pair_views: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether two images of one product (``splits.groups_are = "products"``) may be a pair, as views of it."""
    max_cosine: float = Field(default=0.995, gt=-1, le=1.01)
    """Pairs at least this similar are near-duplicates and not used; above 1 nothing is refused."""
    references: Literal["all", "annotated"] = "all"
    """``annotated``: only images that are the reference image of an annotated triplet."""
    images: Annotated[Literal["split", "annotated"], OmitDefaultFromFingerprint()] = "split"
    """Which images are ranked, and may be targets: all of the split, or those of annotated triplets alone, as published
    (FashionIQ: 25,136 of 45,429, so that ranks 10,000 to 20,000 are 40 to 80 % of the ranking)."""
    landmarks: int = Field(default=1024, ge=16)
    """Least number of landmark images; a narrow window takes more."""

    @model_validator(mode="after")
    def _ordered(self) -> PairSettings:
        first, end = self.window
        if not 0 <= first < end:
            raise ValueError(f"window {self.window} is empty: it needs 0 <= first < end")
        if isinstance(end, float) and end > 1:
            raise ValueError(f"window {self.window}: shares of the ranking lie in 0.0 to 1.0; ranks are whole numbers")
        return self


class PairsInput(Settings):
    """The tables of a recipe that this stage reads."""

    pairs: PairSettings
    seed: int
