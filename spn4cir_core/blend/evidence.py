"""What channels read of a corpus: captions, vectors of the frozen encoder, and vectors of sentences."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from spn4cir_core.captions.caption_table import caption_sources, read_captions
from spn4cir_core.channels.base import ComposedQueries, Gallery
from spn4cir_core.embeddings.vectors import Embeddings, read_embeddings
from spn4cir_core.errors import MissingExtra
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.models.text_features import text_features
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.word_kinds import WordKinds

PICTURE, CAPTION = "picture", "caption"
"""Names of the vectors of the frozen image encoder and of the sentence encoder."""


@dataclass(frozen=True)
class Sentences:
    """Unit vectors of sentences, each distinct sentence encoded once."""

    encode: Callable[[Sequence[str]], np.ndarray]
    vector_of: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: SentenceEncoder | None, store: Store | None = None) -> Sentences | None:
        """None where there is no encoder, or its package is not installed.

        Args:
            store: keeps the vectors; None: they are in this process's memory alone.
        """
        try:
            if encoder is None or not encoder.fingerprint():
                return None
        except MissingExtra:
            return None
        return cls(FirstUse(encoder.start) if store is None else partial(text_features, encoder, store=store))

    def vectors(self, sentences: Sequence[str | None]) -> np.ndarray:
        """(N, D) float32; a row of NaN for an empty sentence."""
        new = sorted({sentence for sentence in sentences if sentence and sentence not in self.vector_of})
        if new:
            self.vector_of.update(zip(new, self.encode(new), strict=True))
        dim = len(next(iter(self.vector_of.values()))) if self.vector_of else 1
        missing_D = np.full(dim, np.nan, np.float32)
        rows = [self.vector_of[sentence] if sentence else missing_D for sentence in sentences]
        return np.array(rows, np.float32).reshape(len(rows), dim)


@dataclass(frozen=True)
class Evidence:
    """Captions and vectors of a corpus, by image id."""

    captions: Mapping[str, str]
    embeddings: Embeddings
    sentences: Sentences | None
    kinds: WordKinds

    @classmethod
    def of(
        cls,
        captions: Artifact,
        embeddings: Artifact,
        encoder: SentenceEncoder | None,
        store: Store,
        sources: Collection[str] | None = None,
    ) -> Evidence:
        """What the two artefacts hold. Captions without a word that says something count as missing.

        Args:
            store: keeps the vectors of sentences.
            sources: where captions that count are from; None: anywhere. Weights that were fitted on titles say nothing
                of tags.
        """
        source_of = caption_sources(captions)
        texts = {
            image_id: text
            for image_id, text in read_captions(captions).items()
            if caption_words(text) and (sources is None or source_of[image_id] in sources)
        }
        return cls(texts, read_embeddings(embeddings), Sentences.of(encoder, store), WordKinds.learn(texts.values()))

    def gallery(self, image_ids: Sequence[str], trained: Mapping[str, np.ndarray]) -> Gallery:
        """The pictures as a gallery; ``trained`` holds their target vectors by model, in the same order."""
        captions = [self.captions.get(image_id) for image_id in image_ids]
        vectors = {PICTURE: self.pictures(image_ids), **trained}
        if self.sentences is not None:
            vectors[CAPTION] = self.sentences.vectors(captions)
        return Gallery(captions, vectors)

    def queries(
        self,
        reference_ids: Sequence[str | None],
        modified_texts: Sequence[str],
        trained: Mapping[str, np.ndarray],
    ) -> ComposedQueries:
        """Composed queries; without a reference id a text alone, with an empty text a picture alone.

        Args:
            trained: (Q, D) query vectors by model.
        """
        captions = [self.captions.get(image_id or "") for image_id in reference_ids]
        pictures_QD = self.pictures(reference_ids)
        return composed_queries(modified_texts, captions, {PICTURE: pictures_QD, **trained}, self.kinds, self.sentences)

    def without_reference_captions(self, queries: ComposedQueries) -> ComposedQueries:
        """The same queries, of reference images that have no caption."""
        vectors = {name: vectors_QD for name, vectors_QD in queries.vectors.items() if name != CAPTION}
        captions = [None] * len(queries)
        return composed_queries(queries.modified_texts, captions, vectors, self.kinds, self.sentences)

    def pictures(self, image_ids: Sequence[str | None]) -> np.ndarray:
        """(N, D) float32 unit vectors of the frozen image encoder; a row of NaN where an image has none."""
        row_of, vectors_ND = self._row_of, self.embeddings.vectors_ND
        rows_N = np.array([row_of.get(image_id or "", -1) for image_id in image_ids], np.int64)
        pictures_ND = np.asarray(vectors_ND[rows_N], np.float32)
        pictures_ND[rows_N < 0] = np.nan
        return pictures_ND

    @property
    def _row_of(self) -> Mapping[str, int]:
        cached: Mapping[str, int] | None = self.__dict__.get("_rows")
        if cached is None:
            cached = self.embeddings.row_of
            object.__setattr__(self, "_rows", cached)
        return cached


def composed_queries(
    modified_texts: Sequence[str],
    reference_captions: Sequence[str | None],
    vectors: Mapping[str, np.ndarray],
    kinds: WordKinds,
    sentences: Sentences | None,
) -> ComposedQueries:
    """Queries with edited captions and, where there is a sentence encoder, the vectors of those."""
    queries = ComposedQueries.of(modified_texts, reference_captions, vectors, kinds)
    if sentences is None:
        return queries
    edited_QD = sentences.vectors([edited.caption for edited in queries.edited])
    return ComposedQueries(modified_texts, reference_captions, queries.edited, {**vectors, CAPTION: edited_QD})
