"""Composed search: a reference image and a text in, the best images out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.blend.fitted import read_blend
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.files import ImageFiles, Picture, as_picture
from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.index.vector_shards import SEARCH
from spn4cir_core.reranking.base import RERANKERS
from spn4cir_core.reranking.reordered import Reranking
from spn4cir_core.search.encoder import Made, pair_up, shares
from spn4cir_core.search.filters import Where
from spn4cir_core.search.hits import Hit, hits_sheet
from spn4cir_core.search.index_table import ABOUT, IndexedImages, read_indexed_images, read_shard_lists
from spn4cir_core.search.indexed_blend import IndexedBlend
from spn4cir_core.search.ranking import ImageRanking
from spn4cir_core.search.repeats import Once, Repeats
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.search.unknown_words import unknown_words
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, load_network
from spn4cir_core.training.roles import STAGE2

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

log = logging.getLogger(__name__)


class Searcher(ImageRanking):
    """An opened search index. Needs its folder only: neither the store nor the other artefacts.

    It answers by the blend of channels; :meth:`beside` gives a searcher that answers by one trained encoder alone.
    """

    def __init__(
        self,
        index: VectorIndex,
        images: IndexedImages,
        load_network: Callable[[], Network],
        blend: IndexedBlend | None = None,
        repeats: Repeats | None = None,
        reranking: Reranking | None = None,
    ) -> None:
        super().__init__(index, images, load_network, blend, repeats)
        self.reranking = reranking
        """Puts the first hits of a composed query in order; None where the recipe names no reranker."""

    @classmethod
    def open(
        cls,
        artifact: Artifact,
        checkpoint: Artifact | None = None,
        files: ImageFiles | None = None,
        indexes: Mapping[str, VectorIndex] | None = None,
    ) -> Searcher:
        """Open a ``search_index`` artefact.

        Args:
            checkpoint: the stage-2 checkpoint the index must have been made with, if that is to be checked.
            files: opens the indexed pictures for a reranker; None: there is no reranking.
            indexes: by name of vectors, what proposes candidates; None: the artefact's own.

        Raises:
            StoreError: the index is damaged, its parts do not belong together, or it is of another checkpoint.
        """
        about = read_json(artifact.file(ABOUT))
        read_blend(artifact)
        if checkpoint is not None and about["checkpoint"] != checkpoint.fingerprint:
            raise StoreError(
                f"the search index {artifact.fingerprint} was made with checkpoint {about['checkpoint']}, the current "
                f"one is {checkpoint.fingerprint}; materialise search_index again"
            )
        images = read_indexed_images(artifact)
        vectors = ShardedVectors.open(artifact, STAGE2.name, read_shard_lists(artifact)[STAGE2.name])
        index = vectors.index(SEARCH) if indexes is None else indexes[STAGE2.name]
        if not len(images) == len(vectors) == about["images"] or index.d != about["dimensions"]:
            raise _mismatch(artifact, index, images)
        for name in (NETWORK, WEIGHTS):
            artifact.file(name)
        network = cache(partial(_load_checked, artifact, index, images))
        blend = IndexedBlend.open(artifact, about, images, {STAGE2.name: network}, indexes)
        reranker = RERANKERS.build(about["reranker"]) if "reranker" in about else None
        reranking = None if reranker is None or files is None else Reranking(reranker, files)
        return cls(index, images, network, blend, Repeats.open(artifact, images), reranking)

    @classmethod
    def of_recipe(cls, recipe: str, store: Store, files: ImageFiles | None = None) -> Searcher:
        """Open the current index of a recipe; ``files`` as :meth:`open`.

        Raises:
            StoreError: there is none, or as :meth:`open`.
        """
        return cls.open(current_index(recipe, store), files=files)

    def beside(self, network: Network, index: Any = None) -> Searcher:
        """Another network over the same images; without ``index`` both networks must share the target encoder."""
        return Searcher(self.index if index is None else index, self.rows, lambda: network, repeats=self.repeats)

    def search(
        self,
        image: Picture | Sequence[Picture] | None = None,
        text: str | None = None,
        top: int = 10,
        without: Collection[str] = (),
        made: Made = "composed",
        reference_id: str | Sequence[str | None] | None = None,
        once: Once = "pictures",
        weights: Sequence[float] = (),
        rerank: bool = False,
        where: Where = MappingProxyType({}),
    ) -> list[Hit]:
        """The best ``top`` images for a reference image, a text, or both; the reference image is never among them.

        Fewer where the index holds fewer. Best first, with ranks from 0.

        Args:
            image: a path, a PIL picture or an (H, W, 3) uint8 array (RGB). With several reference images the blend's
                scores are averaged, or a trained encoder's query vectors.
            text: the modified text, what should be different.
            without: image ids or paths that must not be among the hits.
            made: ``composed``: by the blend; ``sum``: by the trained encoder alone, with the sum of the vectors of
                image and text.
            reference_id: id of the reference image where it is one of the index, so that its caption is used; an
                indexed picture is also recognised by its pixels. One for each of several reference images.
            once: which repetitions are left out: near-duplicates, such as other sizes of one picture (``pictures``),
                these and other views of a product (``products``), or none (``all``).
            weights: one number above 0 for each of several reference images; empty: equal weights.
            rerank: whether the recipe's reranker puts the first hits in order. Where it gives no usable score the order
                stays, and the log says it.
            where: values of ``category``, ``corpus`` or attributes that a hit must have, such as ``{"colour": "red"}``;
                of several values of one column any.

        Raises:
            InputError: neither image nor text, a picture that cannot be read, ``top`` is less than 1, weights that
                are not one positive number for each reference image, reranking that is not possible, or ``where`` fits
                no image.
        """
        wanted = self.shortlisted(top) if rerank else top
        request = SearchRequest.of(image, text, wanted, without, made, reference_id, once, weights, where)
        self._log_notes([request])
        hits = self.answer([request])[0]
        if rerank:
            hits = self.reranked(hits, [picture for picture, _ in request.queries], text) or hits
        return hits[:top]

    def shortlisted(self, top: int) -> int:
        """How many hits to search for where ``top`` are wanted in a reranker's order."""
        return top if self.reranking is None else max(top, self.reranking.reranker.top)

    def reranked(self, hits: Sequence[Hit], references: Sequence[Picture | None], text: str | None) -> list[Hit] | None:
        """Hits of a composed query with the first ones in the reranker's order.

        Returns:
            None where it gives no usable score: the order stays.

        Raises:
            InputError: there is no reranker, or the query lacks reference image or text.
        """
        pictures = [as_picture(picture) for picture in references if picture is not None]
        if self.reranking is None:
            raise InputError("there is no reranker; give the recipe a table [rerank] and run search_index again")
        if not pictures or not (text or "").strip():
            raise InputError("only a query with a reference image and a text is reranked; give both, or do not rerank")
        order = self.reranking.order(pictures, (text or "").strip(), [hit.path for hit in hits])
        if order is None:
            return None
        ranked = [hits[position] for position in order] + list(hits[len(order) :])
        return [replace(hit, rank=rank, former_rank=hit.rank) for rank, hit in enumerate(ranked)]

    def search_many(
        self,
        images: Picture | Sequence[Picture | None] | None,
        texts: str | Sequence[str | None] | None = None,
        top: int = 10,
        without: Collection[str] = (),
        made: Made = "composed",
        reference_ids: Sequence[str | None] | None = None,
        once: Once = "pictures",
        where: Where = MappingProxyType({}),
    ) -> list[list[Hit]]:
        """Q lists of the best ``top`` images of each query; queries are encoded in batches. Arguments: :meth:`search`.

        A single image is used with every text, a single text with every image.

        Raises:
            InputError: as :meth:`search`, or the lists differ in length.
        """
        queries = pair_up(images, texts)
        ids = reference_ids or [None] * len(queries)
        alone_R = shares((), 1)
        requests = [
            SearchRequest([query], [reference_id], alone_R, top, without, made, once, where)
            for query, reference_id in zip(queries, ids, strict=True)
        ]
        self._log_notes(requests)
        return self.answer(requests)

    def _log_notes(self, requests: Sequence[SearchRequest]) -> None:
        """Log what the requests' texts lose, once for each text."""
        request_of = {request.queries[0][1]: request for request in reversed(requests)}
        for text in dict.fromkeys(request.queries[0][1] for request in requests):
            pictures, known = [picture for picture, _ in request_of[text].queries], request_of[text].reference_ids
            for note in filter(None, (self.unread(text, pictures, known), self.unknown(text))):
                log.warning("%s", note)

    def load_encoders(self) -> None:
        """Load every trained network that the blend uses; else each is loaded when a query first needs it."""
        for load in () if self.blend is None else self.blend.encoders.values():
            load()

    def unread(
        self,
        text: str | None,
        images: Sequence[Picture | None] = (None,),
        reference_ids: Sequence[str | None] = (),
    ) -> str:
        """A message where a trained encoder that counts reads only the beginning of a text; empty where none cuts it.

        Args:
            images: the reference images of the query; None where it has none.
            reference_ids: their ids, of those that are images of the index.
        """
        if not text:
            return ""
        ids = [*reference_ids, *[None] * len(images)][: len(images)]
        rows = self._references([(image, "") for image in images], ids)
        encoders = [self.encoder] if self.blend is None else self.blend.encoders_read(images, rows)
        return next(filter(None, (encoder.unread(text) for encoder in encoders)), "")

    def unknown(self, text: str | None) -> str:
        """A message on the words of a text that no caption and no encoder's vocabulary has; mostly empty."""
        others = () if self.blend is None else self.blend.encoders.values()
        captions = None if self.blend is None else self.blend.captions_by_word
        return unknown_words(
            text or "",
            lambda word: any(load().has_word(word) for load in others) or self.encoder.has_word(word),
            captions,
        )

    def uncaptioned(self, image: Picture | None, reference_id: str | None = None) -> str:
        """A message on the channels that search a reference image without a caption; empty where none is missing."""
        if self.blend is None or image is None:
            return ""
        (reference,) = self._references([(image, "")], [reference_id])
        return self.blend.uncaptioned(reference)

    def left_out(
        self,
        hits: Sequence[Hit],
        references: Sequence[int | None],
        once: Once = "pictures",
        where: Where = MappingProxyType({}),
    ) -> str:
        """A message on the near-duplicates that hits leave out; empty where there are none, or all are shown.

        Args:
            references: what :meth:`indexed` gives.
        """
        rows = [row for row in references if row is not None] + [self.rows.row_of[hit.image_id] for hit in hits]
        repeats, allowed_N = self.repeats.left_out(rows, once), self.filters.allowed(where)
        count = len(repeats) if allowed_N is None else sum(allowed_N[row] for row in repeats)
        noun = "near-duplicate or view" if once == "products" else "near-duplicate"
        return f"{count} {noun}{'s' * (count > 1)} left out" if count else ""

    def query(self, image: Picture | None, text: str | None, made: Made = "composed") -> np.ndarray:
        """(1, D) float32 unit vector of one query; arguments and errors as :meth:`Encoder.encode_queries`."""
        return self.encoder.encode_queries(image, text, made)

    contact_sheet = staticmethod(hits_sheet)
    """The query and its hits on one picture: :func:`~spn4cir_core.search.hits.hits_sheet`."""


def _load_checked(artifact: Artifact, index: Any, images: IndexedImages) -> Network:
    network = load_network(artifact)
    if index.ntotal != len(images) * network.target_tokens or index.d != network.dim:
        raise _mismatch(artifact, index, images)
    return network


def _mismatch(artifact: Artifact, index: Any, images: IndexedImages) -> StoreError:
    return StoreError(
        f"the parts of {artifact.path} do not belong together: {index.ntotal} vectors of {index.d} dimensions for "
        f"{len(images)} images. Delete it and run again."
    )


def current_index(recipe: str, store: Store) -> Artifact:
    """The index that the recipe made last; the log warns where the recipe has been trained again since.

    Raises:
        StoreError: the recipe has no search index in this store.
    """
    index = store.current(recipe, "search_index")
    if index is None:
        raise StoreError(f"recipe {recipe!r} has no search index in {store}; make it with: spn4cir run")
    newest, own = store.current(recipe, STAGE2.artifact), index.summary["parents"][STAGE2.artifact]
    if newest is not None and newest.fingerprint != own:
        log.warning(
            "the search index %s answers with checkpoint %s, but %s has been trained since; bring it up to date with: "
            "spn4cir run --select search_index",
            index.fingerprint,
            own,
            newest.fingerprint,
        )
    return index
