"""What every ranker is: a frozen model that places the images of a split by a text, an image, or both."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from pydantic import Field

from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.ranks import on_grid
from spn4cir_core.triplets.triplet import Picture


class Ranker(Plugin):
    """Vectors of images, texts and queries, whose cosine says how well they fit. Settings are fields.

    All vectors are int16 multiples of 1/4000 of unit length (``ranks.on_grid``).
    """

    max_candidates: int = Field(default=20_000, ge=2)
    """In a larger split so many images, drawn by a hash of their ids, are ranked."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of weights and settings: all that decides a vector.

        Raises:
            InputError: the weights are missing.
        """

    def can_rank(self, picture: Picture) -> bool:
        """Whether the image has what the ranker needs of it."""
        return True

    @abstractmethod
    def images(self, pictures: list[Picture], cache: CachedVectors) -> np.ndarray:
        """(B, D) vectors of images as candidates."""

    @abstractmethod
    def texts(self, texts: list[str], cache: CachedVectors) -> np.ndarray:
        """(B, D) vectors of modified texts alone."""

    def queries(self, references: list[Picture], texts: list[str], cache: CachedVectors) -> np.ndarray:
        """(B, D) vectors of reference image and modified text together: the normalised sum of both, unless redefined.

        The sum is what the evaluation report has as the training-free query ``sum``.
        """
        sums_BD = self.images(references, cache).astype(np.int32) + self.texts(texts, cache)
        return on_grid(sums_BD)
