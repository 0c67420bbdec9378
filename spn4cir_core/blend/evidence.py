"""What channels read of a corpus: captions, vectors of the frozen encoder, and vectors of sentences."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from spn4cir_core.captions.caption_table import caption_sources, read_captions
from spn4cir_core.captions.readings import Readings
from spn4cir_core.channels.base import ComposedQueries, Gallery
from spn4cir_core.channels.frozen_composed import COMPOSED
from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.embeddings.vectors import Embeddings, read_embeddings
from spn4cir_core.errors import MissingExtra
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.manifest import PICTURE as PICTURE_COLUMNS
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.sentence_encoder import SentenceEncoder
from spn4cir_core.models.text_features import text_features
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.word_kinds import WordKinds

PICTURE, CAPTION, TEXT = "picture", "caption", "text"
"""Names of the vectors of the frozen image encoder, of the sentence encoder, and of texts in the space of pictures."""

COMPOSED_AT_ONCE = 16
"""Pictures that are open at the same time."""


MOST_REMEMBERED = 1 << 16
"""Sentences whose vectors a server remembers, 1.5 kB each: people go on asking for others."""


@dataclass(frozen=True)
class Sentences:
    """Unit vectors of sentences, each distinct sentence encoded once while it is remembered."""

    encode: Callable[[Sequence[str]], np.ndarray]
    vector_of: dict[str, np.ndarray] = field(default_factory=dict)
    most: int | None = None
    """Sentences that are remembered, those that came last; None: all."""

    @classmethod
    def of(cls, encoder: SentenceEncoder | None, store: Store | None = None) -> Sentences | None:
        """None where there is no encoder, or its package is not installed.

        Args:
            store: keeps the vectors; None: they are in this process's memory alone, the last 65,536.
        """
        if encoder is None:
            return None
        try:
            encoder.source()
        except MissingExtra:
            return None
        if store is None:
            return cls(FirstUse(encoder.start), most=MOST_REMEMBERED)
        return cls(partial(text_features, encoder, store=store))

    def vectors(self, sentences: Sequence[str | None]) -> np.ndarray:
        """(N, D) float32; a row of NaN for an empty sentence."""
        new = sorted({sentence for sentence in sentences if sentence and sentence not in self.vector_of})
        if new:
            self.vector_of.update(zip(new, self.encode(new), strict=True))
        dim = len(next(iter(self.vector_of.values()))) if self.vector_of else 1
        missing_D = np.full(dim, np.nan, np.float32)
        rows = [self.vector_of[sentence] if sentence else missing_D for sentence in sentences]
        if self.most is not None:
            for sentence in list(islice(self.vector_of, max(0, len(self.vector_of) - self.most))):
                del self.vector_of[sentence]
        return np.array(rows, np.float32).reshape(len(rows), dim)


def encoder_of(embeddings: Artifact) -> ImageEncoder | None:
    """The encoder that made the embeddings; None where they do not say it."""
    table = embeddings.summary["settings"].get("image_embeddings", {}).get("encoder")
    encoder: ImageEncoder | None = None if table is None else IMAGE_ENCODERS.build(table)
    return encoder


def picture_opener(images: Artifact, files: ImageFiles) -> Callable[[str], Image.Image]:
    """What opens a picture of the manifest by its image id."""
    rows = read_manifest(images, *PICTURE_COLUMNS).to_pylist()
    known = {row["image_id"]: (row["path"], row["pixel_sha256"]) for row in rows}
    return lambda image_id: files.open_known(known[image_id])


@dataclass(frozen=True)
class TextSide:
    """Unit vectors of texts in the space of an image encoder, loaded at the first text."""

    encode: Callable[[Sequence[str]], np.ndarray]

    @classmethod
    def of(cls, encoder: ImageEncoder | None) -> TextSide | None:
        """None where the encoder reads no texts."""
        return cls(FirstUse(encoder.start_texts)) if encoder is not None and encoder.reads_texts else None

    @classmethod
    def of_embeddings(cls, embeddings: Artifact) -> TextSide | None:
        """That of the encoder which made the embeddings."""
        return cls.of(encoder_of(embeddings))

    def vectors(self, texts: Sequence[str]) -> np.ndarray | None:
        """(Q, D) float32; a row of NaN for an empty text, None where all are empty."""
        distinct = sorted(set(filter(None, texts)))
        if not distinct:
            return None
        encoded_ND = np.asarray(self.encode(distinct), np.float32)
        encoded_ND /= np.maximum(np.linalg.norm(encoded_ND, axis=1, keepdims=True), 1e-12)
        missing_1D = np.full((1, encoded_ND.shape[1]), np.nan, np.float32)
        row_of = {text: row for row, text in enumerate(distinct)}
        vectors_QD: np.ndarray = np.concatenate([encoded_ND, missing_1D])[[row_of.get(text, -1) for text in texts]]
        return vectors_QD


@dataclass(frozen=True)
class ComposedSide:
    """Unit vectors of a picture and a text together, by an encoder that reads both in one, loaded at first use."""

    encode: Callable[[Sequence[tuple[Image.Image, str]]], np.ndarray]

    @classmethod
    def of(cls, encoder: ImageEncoder | None) -> ComposedSide | None:
        """None where the encoder does not compose."""
        return cls(FirstUse(encoder.start_composed)) if encoder is not None and encoder.composes else None

    def vectors(
        self, references: Sequence[Any], texts: Sequence[str], open_picture: Callable[[Any], Image.Image]
    ) -> np.ndarray | None:
        """(Q, D) float32; NaN where reference or text is missing, or refused; None where no row has both."""
        both = [row for row, reference in enumerate(references) if reference is not None and texts[row]]
        if not both:
            return None
        parts = [
            self.encode([(open_picture(references[row]), texts[row]) for row in both[start : start + COMPOSED_AT_ONCE]])
            for start in range(0, len(both), COMPOSED_AT_ONCE)
        ]
        encoded_BD = np.concatenate(parts).astype(np.float32)
        vectors_QD = np.full((len(references), encoded_BD.shape[1]), np.nan, np.float32)
        vectors_QD[both] = encoded_BD / np.maximum(np.linalg.norm(encoded_BD, axis=1, keepdims=True), 1e-12)
        return vectors_QD


@dataclass(frozen=True)
class Evidence:
    """Captions and vectors of a corpus, by image id."""

    captions: Mapping[str, str]
    embeddings: Embeddings
    sentences: Sentences | None
    kinds: WordKinds
    text_side: TextSide | None = None
    composed_side: ComposedSide | None = None
    open_picture: Callable[[str], Image.Image] | None = None
    """Opens an image by its id, for the composed side."""
    readings: Readings | None = None
    """What else pictures may be called, where the captioner says so."""

    @classmethod
    def of(
        cls,
        captions: Artifact,
        embeddings: Artifact,
        encoder: SentenceEncoder | None,
        store: Store,
        sources: Collection[str] | None = None,
        open_picture: Callable[[str], Image.Image] | None = None,
    ) -> Evidence:
        """What the two artefacts hold. Captions without a word that says something count as missing.

        Args:
            store: keeps the vectors of sentences.
            sources: where captions that count are from; None: anywhere. Weights that were fitted on titles say nothing
                of tags.
            open_picture: opens an image by its id, where the channel ``frozen_composed`` takes part.
        """
        source_of = caption_sources(captions)
        texts = {
            image_id: text
            for image_id, text in read_captions(captions).items()
            if caption_words(text) and (sources is None or source_of[image_id] in sources)
        }
        kinds, text_side = WordKinds.learn(texts.values()), TextSide.of_embeddings(embeddings)
        sentences = Sentences.of(encoder, store)
        composed_side = None if open_picture is None else ComposedSide.of(encoder_of(embeddings))
        readings = Readings.read(captions)
        return cls(
            texts, read_embeddings(embeddings), sentences, kinds, text_side, composed_side, open_picture, readings
        )

    def gallery(self, image_ids: Sequence[str], trained: Mapping[str, np.ndarray]) -> Gallery:
        """The pictures as a gallery; ``trained`` holds their target vectors by model, in the same order."""
        captions = [self.captions.get(image_id) for image_id in image_ids]
        vectors = {PICTURE: self.pictures(image_ids), **trained}
        if self.sentences is not None:
            vectors[CAPTION] = self._meanings(image_ids, captions, self.sentences)
        return Gallery(captions, vectors)

    def meanings(self, image_ids: Sequence[str]) -> np.ndarray:
        """(N, D) float32 vectors of the images' captions; NaN for an image without one. Needs ``sentences``."""
        assert self.sentences is not None
        captions = [self.captions.get(image_id) for image_id in image_ids]
        any_caption = next(iter(self.captions.values()), None)  # D is known from a caption alone
        self.sentences.vectors([any_caption])
        return self._meanings(image_ids, captions, self.sentences)

    def meaning_key(self, image_id: str) -> str:
        """What the vector of an image's caption is made of; empty where it has none."""
        caption = self.captions.get(image_id)
        if not caption or self.readings is None or image_id not in self.readings.row_of:
            return caption or ""
        return repr(self.readings.of(image_id))

    def _meanings(self, image_ids: Sequence[str], captions: Sequence[str | None], sentences: Sentences) -> np.ndarray:
        """(N, D) float32 vectors of captions; of a picture with readings the mean of theirs."""
        vectors_ND = sentences.vectors(captions)
        if self.readings is not None:
            read = self.readings.row_of
            rows = [
                row for row, (image, text) in enumerate(zip(image_ids, captions, strict=True)) if text and image in read
            ]
            if rows:
                vectors_ND[rows] = self.readings.mean_vectors([image_ids[row] for row in rows], sentences.vectors)
        return vectors_ND

    def drawn_captions(self, image_ids: Sequence[str], seed: int) -> list[str | None]:
        """One caption each, of readings one as likely as it is: what a person might have called the picture."""
        random = np.random.default_rng(seed)
        captions = [self.captions.get(image_id) for image_id in image_ids]
        if self.readings is None:
            return captions
        return [
            caption and (self.readings.drawn(image_id, random) or caption)
            for image_id, caption in zip(image_ids, captions, strict=True)
        ]

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
        vectors = {PICTURE: pictures_QD, **trained}
        if self.composed_side is not None and self.open_picture is not None:
            composed_QD = self.composed_side.vectors(reference_ids, modified_texts, self.open_picture)
            vectors |= {} if composed_QD is None else {COMPOSED: composed_QD}
        queries = composed_queries(modified_texts, captions, vectors, self.kinds, self.sentences, self.text_side)
        return replace(queries, references=[reference is not None for reference in reference_ids])

    def encode_captions(self, reference_ids: Sequence[str | None], modified_texts: Sequence[str]) -> None:
        """Encode the edited captions of many queries in one go, where :meth:`queries` would a few at a time."""
        if self.sentences is not None:
            captions = (self.captions.get(image_id or "") or "" for image_id in reference_ids)
            pairs = sorted(set(zip(captions, modified_texts, strict=True)))
            self.sentences.vectors([edit_caption(caption, text, self.kinds).caption for caption, text in pairs])

    def with_captions_of(self, image_ids: Collection[str]) -> Evidence:
        """The same without the captions of all other images."""
        captions = {image_id: self.captions[image_id] for image_id in image_ids if image_id in self.captions}
        return replace(self, captions=captions)

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
    text_side: TextSide | None = None,
    needs_sentence: Sequence[bool] | None = None,
) -> ComposedQueries:
    """Queries with edited captions and, where there are encoders for them, the vectors of those and of the texts.

    Args:
        needs_sentence: of each query whether its edited caption is encoded; None: of all.
    """
    queries = ComposedQueries.of(modified_texts, reference_captions, vectors, kinds)
    needed = [True] * len(queries) if needs_sentence is None else needs_sentence
    captions = [edited.caption if needs else None for edited, needs in zip(queries.edited, needed, strict=True)]
    added: dict[str, np.ndarray] = {}
    if sentences is not None and any(captions):
        added[CAPTION] = sentences.vectors(captions)
    texts_QD = None if text_side is None else text_side.vectors(modified_texts)
    if texts_QD is not None:
        added[TEXT] = texts_QD
    return replace(queries, vectors={**vectors, **added})
