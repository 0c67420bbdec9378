"""Ranker: images stand for their captions, which a sentence encoder compares with the text."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.ranker import Ranker
from spn4cir_core.triplets.triplet import Picture


class SentenceRanker(Ranker):
    """Sees no pixel: as good as the captions are. Images without a caption are not ranked."""

    plugin_kind: ClassVar[str] = "sentences"
    encoder: SentenceEncoder = SentenceEncoder()
    query: Literal["joined", "sum"] = "sum"
    """Reference and text together: "caption, text" encoded as one sentence, or the sum of both vectors."""

    @override
    def fingerprint(self) -> str:
        return fingerprint({"settings": self, "encoder": self.encoder.fingerprint()})

    def can_rank(self, picture: Picture) -> bool:
        """Whether it has a caption."""
        return bool(picture.caption.strip())

    def images(self, pictures: list[Picture], cache: CachedVectors) -> np.ndarray:
        """Vectors of their captions; see the base class."""
        return self.texts([picture.caption for picture in pictures], cache)

    @override
    def texts(self, texts: list[str], cache: CachedVectors) -> np.ndarray:
        return cache.of_texts(self.encoder.fingerprint(), texts, self.encoder.start)

    @override
    def queries(self, references: list[Picture], texts: list[str], cache: CachedVectors) -> np.ndarray:
        if self.query == "sum":
            return super().queries(references, texts, cache)
        pairs = zip(references, texts, strict=True)
        return self.texts([f"{reference.caption}, {text}" for reference, text in pairs], cache)
