"""Interface of a channel, and the plain inputs that channels read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.errors import InputError
from spn4cir_core.texts.caption_editor import EditedCaption, edit_caption
from spn4cir_core.texts.caption_words import CaptionWords
from spn4cir_core.texts.word_kinds import WordKinds

RARE_WORDS = 10
"""Captions with a query's rarest words among which the best ones are looked for, for each one wanted."""


@dataclass(frozen=True)
class Gallery:
    """N pictures that are searched.

    Attributes:
        captions: one each, None or empty where a picture has none.
        vectors: by name, (N, D) float32 unit vectors, or (N, T, D) where a picture has T; a row of NaN where it has
            none. ``picture``: the frozen image encoder's; ``caption``: the sentence encoder's; any other name: the
            target vectors of a trained network.
        together: queries in one matrix product, zeros where there are fewer: a product of one shape gives a query the
            same scores, to the last bit, whoever asks beside it. 0: all in one product, whatever their number.
    """

    captions: Sequence[str | None]
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    together: int = 0

    def __post_init__(self) -> None:
        """Check that everything has one row a picture."""
        for name, vectors_ND in self.vectors.items():
            if vectors_ND.ndim not in (2, 3) or len(vectors_ND) != len(self.captions):
                raise InputError(
                    f"the gallery has {len(self.captions)} captions, but its {name!r} vectors have the shape "
                    f"{vectors_ND.shape}; give one row for each picture"
                )

    @cached_property
    def captioned_N(self) -> np.ndarray:
        """(N,) bool: which pictures have a caption."""
        return np.array([bool(caption) for caption in self.captions], bool)

    @cached_property
    def captioned_share(self) -> float:
        """Share of the pictures that have a caption; 1 of an empty gallery."""
        return float(self.captioned_N.mean()) if len(self.captioned_N) else 1.0

    @cached_property
    def words(self) -> CaptionWords:
        """The captions as a sparse matrix, counted at the first use."""
        return CaptionWords.of(self.captions)

    def products(self, query_QD: np.ndarray, target_VD: np.ndarray) -> np.ndarray:
        """(Q, V) float32 inner products; ``together`` says how many queries at a time.

        BLAS takes half the time for many rows times a few columns than for the other way round.
        """
        if not self.together:
            product_QV: np.ndarray = query_QD @ target_VD.T
            return product_QV
        product_QV = np.empty((len(query_QD), len(target_VD)), np.float32)
        for start in range(0, len(query_QD), self.together):
            some_BD = query_QD[start : start + self.together]
            block_BD = np.zeros((self.together, query_QD.shape[1]), np.float32)
            block_BD[: len(some_BD)] = some_BD
            product_QV[start : start + len(some_BD)] = (target_VD @ block_BD.T).T[: len(some_BD)]
        return product_QV


@dataclass(frozen=True)
class ComposedQueries:
    """Q queries: a reference image and a modified text each.

    Attributes:
        reference_captions: None or empty where the reference image has none.
        edited: the reference's caption as the text changes it.
        vectors: by the gallery's names, (Q, D) float32 unit vectors that are compared with the gallery's. ``picture``:
            the reference image's; ``caption``: those of the edited captions; any other name: the trained query
            encoder's. ``text``: the modified text's in the space of ``picture``, by an encoder that reads texts;
            ``composed``: of both together, by one that reads both in one.
        references: whether each has a reference image; None: all have.
    """

    modified_texts: Sequence[str]
    reference_captions: Sequence[str | None]
    edited: Sequence[EditedCaption]
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    references: Sequence[bool] | None = None

    @property
    def has_reference_Q(self) -> np.ndarray:
        """(Q,) bool: which queries have a reference image."""
        return np.ones(len(self), bool) if self.references is None else np.array(self.references, bool)

    @classmethod
    def of(
        cls,
        modified_texts: Sequence[str],
        reference_captions: Sequence[str | None],
        vectors: Mapping[str, np.ndarray],
        kinds: WordKinds,
    ) -> ComposedQueries:
        """With captions edited by the rules of :mod:`spn4cir_core.texts.caption_editor`."""
        pairs = [(caption or "", text) for caption, text in zip(reference_captions, modified_texts, strict=True)]
        edited = {pair: edit_caption(*pair, kinds) for pair in dict.fromkeys(pairs)}  # equal pairs once
        return cls(modified_texts, reference_captions, [edited[pair] for pair in pairs], vectors)

    def __len__(self) -> int:
        return len(self.modified_texts)

    def take(self, rows: Sequence[int]) -> ComposedQueries:
        """Those queries, in that order."""
        return ComposedQueries(
            [self.modified_texts[row] for row in rows],
            [self.reference_captions[row] for row in rows],
            [self.edited[row] for row in rows],
            {name: vectors_QD[list(rows)] for name, vectors_QD in self.vectors.items()},
            None if self.references is None else [self.references[row] for row in rows],
        )


class Channel(Plugin):
    """One source of evidence. Higher scores are better; their scale is free, since the blend calibrates them."""

    title: ClassVar[str]
    """What the report and the page call it."""
    reads_captions: ClassVar[bool] = False
    """Whether a picture without a caption has no score in it."""

    @abstractmethod
    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """Scores (Q, N) float32, or (Q, K) of the given rows of the gallery.

        NaN where the picture or the query lacks what the channel reads: the blend takes that as an average score.
        """


class VectorChannel(Channel):
    """Cosine of the query's and the picture's vectors of one name."""

    vectors: str

    @property
    def of_query(self) -> str:
        """Name of the query's vectors, where it is another one."""
        return self.vectors

    def query_vectors(self, queries: ComposedQueries) -> np.ndarray | None:
        """(Q, D) vectors that are compared with the gallery's; None where the queries have none."""
        return queries.vectors.get(self.of_query)

    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """One matrix product; all NaN where either side has no vectors of the name.

        Some rows for one query are a matrix times a vector: the other way round takes BLAS fifty times as long.
        """
        vectors_QD = self.query_vectors(queries)
        if self.vectors not in gallery.vectors or vectors_QD is None or np.isnan(vectors_QD).all():
            columns = len(gallery.captions) if rows_K is None else len(rows_K)
            return np.full((len(queries), columns), np.nan, np.float32)
        target_ND = gallery.vectors[self.vectors]
        target_KD = target_ND if rows_K is None else target_ND[rows_K]
        query_QD = np.asarray(vectors_QD, np.float32)
        check_lengths(query_QD.shape[1], target_KD.shape[-1])
        target_VD = target_KD.reshape(-1, query_QD.shape[1])
        alone = rows_K is not None and len(query_QD) == 1
        score_QV = (target_VD @ query_QD[0])[None] if alone else gallery.products(query_QD, target_VD)
        return score_QV if target_KD.ndim == 2 else score_QV.reshape(len(query_QD), *target_KD.shape[:2]).max(-1)


def check_lengths(query: int, picture: int) -> None:
    """Check that vectors of a query and of a picture have as many numbers.

    Raises:
        InputError: they do not: a model behind the same name or path gives other vectors now.
    """
    if query != picture:
        raise InputError(
            f"the encoder gives queries {query} numbers, the pictures' vectors have {picture}: the model behind its "
            "name has changed since; pin its revision, and embed the pictures anew: "
            "spn4cir run --select image_embeddings+"
        )


class WordChannel(Channel):
    """Words of the query's in the gallery's captions, by BM25's weights."""

    reads_captions = True

    whole_caption: ClassVar[bool] = False
    """Whether the words are those of a whole caption, so that a caption with more words is a worse answer."""

    @abstractmethod
    def query_words(self, queries: ComposedQueries, number: int) -> Sequence[str]:
        """The words that query ``number`` looks for; none where it has nothing to say."""

    def scores(self, gallery: Gallery, queries: ComposedQueries, rows_K: np.ndarray | None = None) -> np.ndarray:
        """Touches only captions that have one of the query's words."""
        columns = len(gallery.captions) if rows_K is None else len(rows_K)
        score_QK = np.empty((len(queries), columns), np.float32)
        for number in range(len(queries)):
            words = self.query_words(queries, number)
            score_QK[number] = (gallery.words.cosine if self.whole_caption else gallery.words.coverage)(words, rows_K)
        return score_QK

    def best_rows(self, gallery: Gallery, query: ComposedQueries, count: int) -> np.ndarray:
        """Rows of the ``count`` best captions that have a rare word of the one query; fewer where fewer have one."""
        rows_K = gallery.words.rows_with(self.query_words(query, 0), RARE_WORDS * count)
        score_K = self.scores(gallery, query, rows_K)[0]
        return rows_K if len(rows_K) <= count else rows_K[np.argpartition(-score_K, count)[:count]]


CHANNELS = Room(
    "channel",
    {
        "frozen_composed": "spn4cir_core.channels.frozen_composed:FrozenComposed",
        "picture": "spn4cir_core.channels.picture:Picture",
        "trained": "spn4cir_core.channels.trained:Trained",
        "modified_text": "spn4cir_core.channels.modified_text:ModifiedText",
        "edited_caption": "spn4cir_core.channels.edited_caption:EditedCaptionWords",
        "edited_caption_meaning": "spn4cir_core.channels.edited_caption:EditedCaptionMeaning",
        "reference_caption": "spn4cir_core.channels.reference_caption:ReferenceCaption",
        "removed_words": "spn4cir_core.channels.removed_words:RemovedWords",
        "missing_caption": "spn4cir_core.channels.missing_caption:MissingCaption",
        "text_to_picture": "spn4cir_core.channels.text_to_picture:TextToPicture",
    },
)
TRAINING_FREE = (
    *("picture", "modified_text", "edited_caption", "edited_caption_meaning", "reference_caption"),
    *("removed_words", "text_to_picture"),
)
"""Kinds that need no training, in the order of the report."""
