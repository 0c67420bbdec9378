"""The blend over the images of a search index: vectors and captions in its folder, candidates, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from spn4cir_core.blend.blend import best_positions
from spn4cir_core.blend.evidence import CAPTION, PICTURE, TEXT, ComposedSide, Sentences, TextSide, composed_queries
from spn4cir_core.blend.fitted import FittedBlend, part_of, read_blend, title_of
from spn4cir_core.captions.base import CAPTIONERS, Captioner, ToCaption
from spn4cir_core.channels.base import ComposedQueries, Gallery, VectorChannel, WordChannel, check_lengths
from spn4cir_core.channels.frozen_composed import COMPOSED, FrozenComposed
from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.errors import StoreError
from spn4cir_core.images.files import ImageFiles, as_picture, pixel_sha256
from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.image_index import candidate_images
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.search.encoder import Encoder, Query
from spn4cir_core.search.index_table import IndexedImages, read_shard_lists
from spn4cir_core.search.indexed_captions import IndexedGallery, counted_captions, counts_words, read_words
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.caption_words import distinct_rows
from spn4cir_core.texts.word_kinds import WordKinds
from spn4cir_core.training.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

COMPARED_IN_FULL = 20_000
"""Up to so many images, all are scored; above, only the candidates of each channel."""
SCORED_TOGETHER = 8
"""Queries in one matrix product."""
CODES = "codes"
"""What an index of a shard is for that proposes candidates."""
CANDIDATES = 300
"""Best images of each channel in use that all channels score, in addition to the wanted number."""


class Scored(NamedTuple):
    """One image's score, its row in the index, and the part of the score of each channel in use, by title."""

    score: float
    row: int
    channels: dict[str, float]


def network_files(model: str) -> tuple[str, str]:
    """Description and weights of a trained network that is not the index's own."""
    return f"{model}.json", f"{model}.safetensors"


def vectors_in_use(blend: FittedBlend) -> list[str]:
    """Names of the vectors that the channels in use compare."""
    return sorted({channel.vectors for channel in blend.used_channels if isinstance(channel, VectorChannel)})


def reads_text_vectors(blend: FittedBlend) -> bool:
    """Whether a channel in use compares the modified text with pictures."""
    return any(isinstance(channel, VectorChannel) and channel.of_query == TEXT for channel in blend.used_channels)


@dataclass(frozen=True)
class IndexedBlend:
    """Scores the images of an index for composed queries."""

    blend: FittedBlend
    """Channels with their calibration and weights."""
    gallery: Gallery
    """Captions and vectors of the indexed images, in the order of the index."""
    row_of_pixels: Mapping[str, int]
    """Row of each picture by the hash of its pixels: an upload of an indexed picture has its caption."""
    kinds: WordKinds
    """Learnt from the indexed captions."""
    sentences: Sentences | None
    """The sentence encoder; None where no channel has one or its package is missing."""
    encoders: Mapping[str, Callable[[], Encoder]]
    """Model → its trained network's encoder, loaded at the first call, for the networks in use."""
    encode_pictures: Callable[[Sequence[Image.Image]], np.ndarray]
    """The frozen image encoder, loaded at its first picture."""
    text_side: TextSide | None
    """Its text side, where a channel in use reads it."""
    composed_side: ComposedSide | None
    """Its reading of pictures and texts together, where a channel in use has it."""
    indexes: Mapping[str, VectorIndex]
    """Indexes by name of vectors; empty where all images are compared."""
    caption_upload: Callable[[Image.Image], str] | None = None
    """Captions a picture that the index does not hold, as the corpus was captioned; None: nothing does."""

    @classmethod
    def open(
        cls,
        artifact: Artifact,
        about: Mapping[str, Any],
        images: IndexedImages,
        own: Mapping[str, Callable[[], Network]],
        indexes: Mapping[str, VectorIndex] | None = None,
    ) -> IndexedBlend:
        """Open what the folder of a ``search_index`` holds.

        Args:
            about: the content of ``index.json``: the image encoder, and what captions uploads.
            images: in the order of the vectors.
            own: model → its network, of those that are already open.
            indexes: by name of vectors, what proposes the candidates; None: codes of the artefact, where there are more
                images than are compared.

        Raises:
            StoreError: an older version made the index, without a blend.
        """
        blend, files = read_blend(artifact), artifact.summary["files"]
        names, encoder = vectors_in_use(blend), _encoder(about["image_encoder"])
        sharded = {name: _open_vectors(artifact, name) for name in names}
        are_proposed = indexes is not None or len(images) > COMPARED_IN_FULL
        if indexes is None:
            indexes = {name: one.index(CODES) for name, one in sharded.items()} if are_proposed else {}
        vectors: dict[str, Any] = {name: one if are_proposed else one.whole() for name, one in sharded.items()}
        captions = counted_captions(images, blend)
        words, kinds = read_words(artifact)
        sentences = Sentences.of(blend.sentence_encoder) if CAPTION in names else None
        return cls(
            blend,
            IndexedGallery(captions, vectors, SCORED_TOGETHER, counted=words),
            images.row_of_pixels,
            kinds or WordKinds.learn(captions),
            sentences,
            {name: _encoder_of(artifact, name, own) for name in names if _is_trained(name, files, own)},
            FirstUse(encoder.start),
            TextSide.of(encoder) if reads_text_vectors(blend) else None,
            ComposedSide.of(encoder) if any(isinstance(one, FrozenComposed) for one in blend.used_channels) else None,
            indexes,
            None if about.get("captioner") is None else _upload_captions(about["captioner"]),
        )

    @property
    def reads_captions(self) -> bool:
        """Whether a channel in use reads captions."""
        return any(channel.reads_captions for channel in self.blend.used_channels)

    @property
    def captions_by_word(self) -> Gallery | None:
        """The gallery, where captions are read and their words are counted in any case, or few."""
        few = len(self.gallery.captions) <= COMPARED_IN_FULL
        return self.gallery if counts_words(self.blend) or (few and self.reads_captions) else None

    def uncaptioned(self, reference: int | None) -> str:
        """Says by which channels a reference image without a caption is searched; empty where it has one, or none
        counts.

        Args:
            reference: row of the reference image; None for a picture that the index does not hold.
        """
        has_caption = bool(self.caption_upload if reference is None else self.gallery.captions[reference])
        if has_caption or not self.reads_captions or not self.gallery.captioned_N.any():
            return ""
        titles = [title_of(channel.name) for channel in self.blend.channels if channel.without_reference]
        return f"The reference image has no caption; searched by {', '.join(titles) or 'what pictures look like'}."

    def best(
        self, composed: ComposedQueries, weighted: Sequence[tuple[slice, np.ndarray]], wanted: int
    ) -> list[list[Scored]]:
        """The ``wanted`` best images of each request, best first, equal scores by row.

        Args:
            composed: queries by :meth:`compose`.
            weighted: of each request which of the queries are its own, and what each of them counts, 1 in sum.
        """
        if self.indexes or len(self.gallery.captions) > COMPARED_IN_FULL:
            rows_of = self._candidates(composed, max(wanted, CANDIDATES))
            return [
                self._best_candidates(part_of(composed, part), rows_of[part], share_R, wanted)
                for part, share_R in weighted
            ]
        rows_N = np.arange(len(self.gallery.captions))
        parts_UN = self._contributions(composed, [row for part, _ in weighted for row in range(part.start, part.stop)])
        return [
            self._sorted(_shared([next(parts_UN) for _ in share_R], share_R), rows_N, wanted) for _, share_R in weighted
        ]

    def _best_candidates(
        self, queries: ComposedQueries, rows_of: Sequence[np.ndarray], share_R: np.ndarray, wanted: int
    ) -> list[Scored]:
        """The best images of one request, among the candidates of each of its queries."""
        rows_K = distinct_rows(rows_of)
        return self._sorted(
            _shared([*self.blend.contributions(self.gallery, queries, rows_K)], share_R), rows_K, wanted
        )

    def _contributions(self, composed: ComposedQueries, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """What each channel in use adds to the score of every image, (U, N), for some of the queries.

        Queries are scored ``SCORED_TOGETHER`` at a time, so that the scores of all images take little memory.
        """
        for start in range(0, len(rows), SCORED_TOGETHER):
            with one_blas_thread():
                some = composed.take(rows[start : start + SCORED_TOGETHER])
                parts_QUN = self.blend.contributions(self.gallery, some)
            yield from parts_QUN

    def _candidates(self, queries: ComposedQueries, count: int) -> list[np.ndarray]:
        """Rows of the best images of each channel in use, for each query; all queries pass over an index together."""
        rows_of: list[list[np.ndarray]] = [[] for _ in range(len(queries))]
        for channel in self.blend.used_channels:
            vectors_QD = channel.query_vectors(queries) if isinstance(channel, VectorChannel) else None
            if isinstance(channel, VectorChannel) and vectors_QD is not None:
                asking = np.flatnonzero(~np.isnan(vectors_QD).any(axis=1))
                tokens = self.gallery.vectors[channel.vectors].shape[1] if self._has_tokens(channel.vectors) else 1
                proposed = candidate_images(self.indexes[channel.vectors], vectors_QD[asking], count, tokens)
                for number, images in zip(asking.tolist(), proposed, strict=True):
                    rows_of[number].append(images)
            elif isinstance(channel, WordChannel):
                for number, own in enumerate(rows_of):
                    own.append(channel.best_rows(self.gallery, part_of(queries, slice(number, number + 1)), count))
        first = np.arange(min(count, len(self.gallery.captions)))
        return [np.concatenate(rows) if any(map(len, rows)) else first for rows in rows_of]

    def _has_tokens(self, name: str) -> bool:
        return self.gallery.vectors[name].ndim == 3

    def _sorted(self, parts_UK: np.ndarray, rows_K: np.ndarray, wanted: int) -> list[Scored]:
        """The best of some rows, which are given in ascending order."""
        score_K = parts_UK.sum(axis=0)
        best_B = best_positions(score_K, wanted)
        parts_BU = parts_UK[:, best_B].T
        order_BU = np.argsort(-np.abs(parts_BU), axis=1, kind="stable")
        parts_BU = np.take_along_axis(parts_BU, order_BU, 1)
        channels = [
            dict(zip([self._titles[number] for number in order], parts, strict=True))
            for order, parts in zip(order_BU.tolist(), parts_BU.tolist(), strict=True)
        ]
        return [*map(Scored, score_K[best_B].tolist(), rows_K[best_B].tolist(), channels)]

    @cached_property
    def _titles(self) -> list[str]:
        names = self.blend.names
        return [title_of(names[number]) for number in self.blend.used]

    def compose(self, queries: Sequence[Query], references: Sequence[int | None]) -> ComposedQueries:
        """The queries as channels read them: every picture and text is encoded.

        Args:
            queries: pictures and texts, either may be missing.
            references: rows of the reference images, where they are images of the index.
        """
        rows = [self._row(picture, row) for (picture, _), row in zip(queries, references, strict=True)]
        captions = [self._caption(picture, row) for (picture, _), row in zip(queries, rows, strict=True)]
        pictures, texts = [picture for picture, _ in queries], [text for _, text in queries]
        needed = {name: [self._counts(name, bool(caption)) for caption in captions] for name in self.encoders}
        vectors = {
            name: _encode_some(load(), queries, needed[name])
            for name, load in self.encoders.items()
            if any(needed[name])
        }
        if PICTURE in self.gallery.vectors:
            vectors[PICTURE] = self._picture_vectors(pictures, rows)
        if self.composed_side is not None:
            composed_QD = self.composed_side.vectors(pictures, texts, as_picture)
            vectors |= {} if composed_QD is None else {COMPOSED: composed_QD}
        needs_sentence = [self._counts(CAPTION, bool(caption)) for caption in captions]
        composed = composed_queries(
            texts, captions, vectors, self.kinds, self.sentences, self.text_side, needs_sentence
        )
        return replace(composed, references=[picture is not None for picture in pictures])

    def encoders_read(self, pictures: Sequence[Any], rows: Sequence[int | None]) -> list[Encoder]:
        """Encoders of the trained networks that count for queries by these pictures, or by none (None).

        Args:
            rows: of each picture its row, where it is one of the index.
        """
        captioned = {
            bool(self.gallery.captions[row] if row is not None else picture is not None and self.caption_upload)
            for picture, row in zip(pictures, rows, strict=True)
        }
        return [load() for name, load in self.encoders.items() if any(self._counts(name, one) for one in captioned)]

    def _counts(self, of_query: str, reference_has_caption: bool) -> bool:
        """Whether a channel with a weight in this gallery reads the query's vector of that name."""
        blend = self.blend.blend
        readers = [
            number
            for number in blend.used
            if isinstance(channel := blend.channels[number], VectorChannel) and channel.of_query == of_query
        ]
        return any(blend.counts(number, self.gallery, reference_has_caption) for number in readers)

    def _caption(self, picture: Any, row: int | None) -> str | None:
        """The caption in the index, or one made for an upload."""
        if row is not None:
            return self.gallery.captions[row]
        return None if picture is None or self.caption_upload is None else self.caption_upload(as_picture(picture))

    def _row(self, picture: Any, row: int | None) -> int | None:
        if row is not None or picture is None:
            return row
        return self.row_of_pixels.get(pixel_sha256(as_picture(picture)))

    def _picture_vectors(self, pictures: Sequence[Any], rows: Sequence[int | None]) -> np.ndarray:
        """(Q, D) float32; those of indexed images are there already, a query without a picture has NaN."""
        known_ND = self.gallery.vectors[PICTURE]
        vectors_QD = np.full((len(pictures), known_ND.shape[1]), np.nan, np.float32)
        for number, row in enumerate(rows):
            if row is not None:
                vectors_QD[number] = known_ND[row]
        new = [number for number, row in enumerate(rows) if row is None and pictures[number] is not None]
        if new:
            encoded_BD = np.asarray(self.encode_pictures([as_picture(pictures[number]) for number in new]), np.float32)
            check_lengths(encoded_BD.shape[1], known_ND.shape[1])
            vectors_QD[new] = encoded_BD / np.maximum(np.linalg.norm(encoded_BD, axis=1, keepdims=True), 1e-12)
        return vectors_QD


def _encode_some(encoder: Encoder, queries: Sequence[Query], needed: Sequence[bool]) -> np.ndarray:
    """(Q, D) float32; NaN of the queries that do not need it."""
    rows = np.flatnonzero(needed).tolist()
    encoded_BD = encoder.encode_queries([queries[row][0] for row in rows], [queries[row][1] for row in rows])
    vectors_QD = np.full((len(queries), encoded_BD.shape[1]), np.nan, np.float32)
    vectors_QD[rows] = encoded_BD
    return vectors_QD


def _upload_captions(table: Mapping[str, Any]) -> Callable[[Image.Image], str]:
    """Captions one picture by the captioner of that table, loaded at its first picture."""
    captioner: Captioner = CAPTIONERS.build(dict(table))
    caption = FirstUse(lambda: captioner.start(ImageFiles(Path())))
    upload = ToCaption("", "", "", "")

    def of(picture: Image.Image) -> str:
        return caption([upload], [picture])[0] or ""

    return of


def _encoder(table: Mapping[str, Any]) -> ImageEncoder:
    encoder: ImageEncoder = IMAGE_ENCODERS.build(dict(table))
    return encoder


def _open_vectors(artifact: Artifact, name: str) -> ShardedVectors:
    listed = read_shard_lists(artifact)
    if name not in listed:
        raise StoreError(
            f"{artifact.noun} {artifact.fingerprint} has no vectors {name!r}; delete {artifact.path} and run"
        )
    return ShardedVectors.open(artifact, name, listed[name])


def _shared(parts_RUK: Sequence[np.ndarray], share_R: np.ndarray) -> np.ndarray:
    """(U, K) sum of R queries' contributions by their shares."""
    return parts_RUK[0] if len(share_R) == 1 else np.einsum("r,ruk->uk", share_R, np.stack(parts_RUK))


def _is_trained(name: str, files: Mapping[str, Any], own: Mapping[str, Callable[[], Network]]) -> bool:
    return name in own or network_files(name)[0] in files


def _encoder_of(artifact: Artifact, name: str, own: Mapping[str, Callable[[], Network]]) -> Callable[[], Encoder]:
    return cache(lambda: Encoder(_network(artifact, name, own)))


def _network(artifact: Artifact, name: str, own: Mapping[str, Callable[[], Network]]) -> Network:
    if name in own:
        return own[name]()
    described, weights = (artifact.file(file) for file in network_files(name))
    return read_checkpoint(described, weights, f"{artifact.noun} {artifact.fingerprint}").network
