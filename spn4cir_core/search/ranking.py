"""Ranks the images of an index: requests that come together are encoded and scored together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.images.files import Picture, as_picture, pixel_sha256
from spn4cir_core.index.base import VectorIndex
from spn4cir_core.index.image_index import best_images_of_each
from spn4cir_core.search.encoder import Encoder, Made, Query
from spn4cir_core.search.filters import Filters
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.index_table import IndexedImages
from spn4cir_core.search.indexed_blend import IndexedBlend, Scored
from spn4cir_core.search.repeats import Repeats
from spn4cir_core.search.search_request import SearchRequest

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

Ranking = Callable[[Sequence[tuple[slice, np.ndarray]], int], list[list[Scored]]]
"""From rows among encoded queries with their shares, one slice a request, and how many images are wanted, to these."""


class ImageRanking:
    """The images of an index, and what ranks them: a blend of channels, or one trained encoder alone."""

    def __init__(
        self,
        index: VectorIndex,
        images: IndexedImages,
        load_network: Callable[[], Network],
        blend: IndexedBlend | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        """``load_network`` is called when the network is first needed: a blend may do without."""
        self.index, self.rows, self.blend, self.repeats = index, images, blend, repeats or Repeats()
        self._load_network = load_network
        self.filters = Filters(images)
        """By category, corpus and attributes."""

    @cached_property
    def network(self) -> Network:
        """The network that encodes the queries.

        Raises:
            StoreError: it does not belong to the index.
        """
        return self._load_network()

    @cached_property
    def encoder(self) -> Encoder:
        """Encodes queries and targets into the space of the index."""
        return Encoder(self.network)

    def answer(self, requests: Sequence[SearchRequest]) -> list[list[Hit]]:
        """The hits of each request, as :meth:`search` gives them for it alone; all are encoded and scored in batches.

        Raises:
            InputError: a picture cannot be read.
        """
        answers: list[list[Hit]] = [[] for _ in requests]
        numbers_of: defaultdict[Made, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            numbers_of[request.made].append(number)
        for made, numbers in numbers_of.items():
            for number, hits in zip(numbers, self._answer([requests[at] for at in numbers], made), strict=True):
                answers[number] = hits
        return answers

    def _answer(self, requests: Sequence[SearchRequest], made: Made) -> list[list[Hit]]:
        queries = [query for request in requests for query in request.queries]
        references = self._references(queries, [one for request in requests for one in request.reference_ids])
        ends = np.cumsum([len(request) for request in requests]).tolist()
        parts = [slice(end - len(request), end) for end, request in zip(ends, requests, strict=True)]
        allowed = [self.filters.allowed(request.where) for request in requests]
        first = [self._wanted(request, fits_N) for request, fits_N in zip(requests, allowed, strict=True)]
        ranking = self._encoded(queries, references, made)
        answers: list[list[Hit]] = [[] for _ in requests]
        pending, factor = list(range(len(requests))), 1
        while pending:
            missing: list[int] = []
            for wanted, numbers in self._by_wanted(first, pending, factor).items():
                weighted = [(parts[number], requests[number].share_R) for number in numbers]
                for number, scored in zip(numbers, ranking(weighted, wanted), strict=True):
                    fitting = _fitting(scored, allowed[number])
                    answers[number] = self._hits(fitting, references[parts[number]], requests[number])
                    if len(answers[number]) < requests[number].top and wanted < len(self.rows):
                        missing.append(number)
            pending, factor = missing, 4 * factor
        return answers

    def _wanted(self, request: SearchRequest, allowed_N: np.ndarray | None) -> int:
        """Images to rank at first: of a filtered request so many more that enough of them may fit."""
        fewer = 1 if allowed_N is None else -(-len(self.rows) // int(np.count_nonzero(allowed_N)))
        return request.wanted * fewer

    def _by_wanted(self, first: Sequence[int], numbers: Sequence[int], factor: int) -> dict[int, list[int]]:
        """Numbers of requests by how many images are ranked for them."""
        numbers_of: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            numbers_of[min(len(self.rows), factor * first[number])].append(number)
        return numbers_of

    def indexed(self, images: Sequence[Picture], reference_ids: Sequence[str | None] = ()) -> list[int | None]:
        """The rows of reference images; None for one that is no image of the index."""
        ids = [*reference_ids, *[None] * len(images)][: len(images)]
        return self._references([(image, "") for image in images], ids)

    def _references(self, queries: Sequence[Query], reference_ids: Sequence[str | None]) -> list[int | None]:
        """Rows of the reference images that are images of the index."""
        rows = []
        for (picture, _), reference_id in zip(queries, reference_ids, strict=True):
            row = self.rows.row_of.get(reference_id or "")
            if row is None and picture is not None:
                row = self.rows.row_of_pixels.get(pixel_sha256(as_picture(picture)))
            rows.append(row)
        return rows

    def _encoded(self, queries: Sequence[Query], references: Sequence[int | None], made: Made) -> Ranking:
        """What ranks the images for some of the queries, which are encoded once."""
        if self.blend is not None and made == "composed":
            return partial(self.blend.best, self.blend.compose(queries, references))
        pictures, texts = [picture for picture, _ in queries], [text for _, text in queries]
        return partial(self._nearest, self.encoder.encode_queries(pictures, texts, made))

    def _nearest(
        self, queries_QD: np.ndarray, weighted: Sequence[tuple[slice, np.ndarray]], wanted: int
    ) -> list[list[Scored]]:
        """The images nearest to the mean of each request's query vectors, best first."""
        mean_KD = np.stack([_mean_vector(queries_QD[part], share_R) for part, share_R in weighted])
        ranked = best_images_of_each(self.index, mean_KD, wanted, self.network.target_tokens)
        return [[Scored(*pair, {}) for pair in scored] for scored in ranked]

    def _hits(self, scored: Sequence[Scored], references: Sequence[int | None], request: SearchRequest) -> list[Hit]:
        """Hits, best first."""
        without, text = set(request.without), self.rows.text
        hits: list[Hit] = []
        for one in self.repeats.without_repeats(scored, references, request.once):
            if len(hits) == request.top:
                break
            image_id, path = text("image_id", one.row), text("path", one.row)
            if image_id not in without and path not in without:
                caption = text("caption", one.row)
                hits.append(Hit(image_id, path, caption, one.score, len(hits), one.channels))
        return hits


def _fitting(scored: Sequence[Scored], allowed_N: np.ndarray | None) -> Sequence[Scored]:
    """Those whose rows may be hits."""
    return scored if allowed_N is None else [one for one in scored if allowed_N[one.row]]


def _mean_vector(queries_RD: np.ndarray, share_R: np.ndarray) -> np.ndarray:
    """(D,) float32 unit vector; of a single query its own."""
    if len(queries_RD) == 1:
        own_D: np.ndarray = queries_RD[0]
        return own_D
    mean_D: np.ndarray = share_R @ queries_RD
    return (mean_D / max(float(np.linalg.norm(mean_D)), 1e-12)).astype(np.float32)
