"""Composed search: a reference image and a text in, the best images out."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spn4cir_core.blend.fitted import read_blend
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles, Picture, PictureError, as_picture, pixel_sha256
from spn4cir_core.index.base import INDEXES
from spn4cir_core.index.image_index import best_images_of_each
from spn4cir_core.reranking.base import RERANKERS
from spn4cir_core.reranking.reordered import Reranking
from spn4cir_core.search.encoder import Encoder, Made, Query, pair_up, several, shares
from spn4cir_core.search.filters import Filters, Where
from spn4cir_core.search.index_table import read_indexed_images
from spn4cir_core.search.indexed_blend import IndexedBlend, Scored
from spn4cir_core.search.repeats import Once, Repeats
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.search.stage import ABOUT, INDEX
from spn4cir_core.search.unknown_words import unknown_words
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.checkpoints import NETWORK, WEIGHTS, load_network
from spn4cir_core.training.roles import STAGE2

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

log = logging.getLogger(__name__)
SHEET_COLUMNS = 6
MISSING = (200, 200, 200)
Ranking = Callable[[Sequence[tuple[slice, np.ndarray]], int], list[list[Scored]]]
"""From rows among encoded queries with their shares, one slice a request, and how many images are wanted, to these."""


@dataclass(frozen=True)
class Hit:
    """One image that a search returns.

    Attributes:
        image_id: its id in ``images.parquet``.
        path: of its file, relative to the folder of pictures, with forward slashes.
        caption: empty where it has none.
        score: by the blend, the sum of ``channels``, without a fixed range; by a trained encoder alone a cosine, from
            −1 to 1, the highest of the image's T. Higher is better.
        rank: its position among the hits of this query: 0 for the best. What people read (command line, page, contact
            sheet) is ``rank + 1``.
        channels: title of a channel → its part of the score, the largest first; empty for a trained encoder alone.
        former_rank: its position before a reranker put the first hits in order; None where none did.
    """

    image_id: str
    path: str
    caption: str
    score: float
    rank: int
    channels: dict[str, float] = field(default_factory=dict)
    former_rank: int | None = None


class Searcher:
    """An opened search index. Needs its folder only: neither the store nor the other artefacts.

    It answers by the blend of channels; :meth:`beside` gives a searcher that answers by one trained encoder alone.
    """

    def __init__(
        self,
        index: Any,
        rows: Sequence[dict[str, Any]],
        load_network: Callable[[], Network],
        blend: IndexedBlend | None = None,
        repeats: Repeats | None = None,
        reranking: Reranking | None = None,
    ) -> None:
        """``load_network`` is called when the network is first needed: a blend may do without."""
        self._index, self._rows, self._load_network, self._blend = index, rows, load_network, blend
        self.reranking = reranking
        """Puts the first hits of a composed query in order; None where the recipe names no reranker."""
        self._repeats = repeats or Repeats()
        self._row_of = {row["image_id"]: number for number, row in enumerate(rows)}
        self._row_of_pixels = {row["pixel_sha256"]: number for number, row in enumerate(rows)}
        self.filters = Filters(rows)
        """By category, corpus and attributes."""

    @classmethod
    def open(cls, artifact: Artifact, checkpoint: Artifact | None = None, files: ImageFiles | None = None) -> Searcher:
        """Open a ``search_index`` artefact.

        Args:
            checkpoint: the stage-2 checkpoint the index must have been made with, if that is to be checked.
            files: opens the indexed pictures for a reranker; None: there is no reranking.

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
        rows = read_indexed_images(artifact)
        try:
            index = INDEXES.build(about["kind"]).open(artifact.file(INDEX))
        except RuntimeError as error:
            raise StoreError(f"{artifact.path / INDEX} is damaged. Delete {artifact.path} and run again.") from error
        if len(rows) != about["images"] or index.ntotal % len(rows) or index.d != about["dimensions"]:
            raise _mismatch(artifact, index, rows)
        for name in (NETWORK, WEIGHTS):
            artifact.file(name)
        network = cache(partial(_load_checked, artifact, index, rows))
        blend = IndexedBlend.open(artifact, about, rows, {STAGE2.name: network})
        reranker = RERANKERS.build(about["reranker"]) if "reranker" in about else None
        reranking = None if reranker is None or files is None else Reranking(reranker, files)
        return cls(index, rows, network, blend, Repeats.open(artifact, rows), reranking)

    @classmethod
    def of_recipe(cls, recipe: str, store: Store, files: ImageFiles | None = None) -> Searcher:
        """Open the current index of a recipe; ``files`` as :meth:`open`.

        Raises:
            StoreError: there is none, or as :meth:`open`.
        """
        return cls.open(current_index(recipe, store), files=files)

    def beside(self, network: Network, index: Any = None) -> Searcher:
        """Another network over the same images; without ``index`` both networks must share the target encoder."""
        return Searcher(self._index if index is None else index, self._rows, lambda: network, repeats=self._repeats)

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

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """One row per indexed image (image_id, path, caption, category, corpus, attributes …), sorted by id."""
        return self._rows

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
        for text in dict.fromkeys(request.queries[0][1] for request in requests):
            for note in filter(None, (self.unread(text), self.unknown(text))):
                log.warning("%s", note)

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
        allowed = [self.filters.rows(request.where) for request in requests]
        first = [self._wanted(request, rows) for request, rows in zip(requests, allowed, strict=True)]
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
                    if len(answers[number]) < requests[number].top and wanted < len(self._rows):
                        missing.append(number)
            pending, factor = missing, 4 * factor
        return answers

    def _wanted(self, request: SearchRequest, allowed: Collection[int] | None) -> int:
        """Images to rank at first: of a filtered request so many more that enough of them may fit."""
        return request.wanted if allowed is None else request.wanted * -(-len(self._rows) // len(allowed))

    def _by_wanted(self, first: Sequence[int], numbers: Sequence[int], factor: int) -> dict[int, list[int]]:
        """Numbers of requests by how many images are ranked for them."""
        numbers_of: defaultdict[int, list[int]] = defaultdict(list)
        for number in numbers:
            numbers_of[min(len(self._rows), factor * first[number])].append(number)
        return numbers_of

    def unread(self, text: str | None) -> str:
        """A message where a trained encoder reads only the beginning of a text; empty where all read the whole."""
        encoders = [self.encoder] if self._blend is None else self._blend.encoders.values()
        return next(filter(None, (encoder.unread(text) for encoder in encoders)), "")

    def unknown(self, text: str | None) -> str:
        """A message on the words of a text that no caption and no encoder's vocabulary has; mostly empty."""
        others = () if self._blend is None else self._blend.encoders.values()
        captions = None if self._blend is None else self._blend.captions_by_word
        return unknown_words(
            text or "",
            lambda word: any(one.has_word(word) for one in others) or self.encoder.has_word(word),
            captions,
        )

    def uncaptioned(self, image: Picture | None, reference_id: str | None = None) -> str:
        """A message on the channels that search a reference image without a caption; empty where none is missing."""
        if self._blend is None or image is None:
            return ""
        (reference,) = self._references([(image, "")], [reference_id])
        return self._blend.uncaptioned(reference)

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
        rows = [row for row in references if row is not None] + [self._row_of[hit.image_id] for hit in hits]
        repeats, allowed = self._repeats.left_out(rows, once), self.filters.rows(where)
        count = len(repeats if allowed is None else repeats.intersection(allowed))
        noun = "near-duplicate or view" if once == "products" else "near-duplicate"
        return f"{count} {noun}{'s' * (count > 1)} left out" if count else ""

    def indexed(self, images: Sequence[Picture], reference_ids: Sequence[str | None] = ()) -> list[int | None]:
        """The rows of reference images; None for one that is no image of the index."""
        ids = [*reference_ids, *[None] * len(images)][: len(images)]
        return self._references([(image, "") for image in images], ids)

    def _references(self, queries: Sequence[Query], reference_ids: Sequence[str | None]) -> list[int | None]:
        """Rows of the reference images that are images of the index."""
        rows = []
        for (picture, _), reference_id in zip(queries, reference_ids, strict=True):
            row = self._row_of.get(reference_id or "")
            if row is None and picture is not None:
                row = self._row_of_pixels.get(pixel_sha256(as_picture(picture)))
            rows.append(row)
        return rows

    def _encoded(self, queries: Sequence[Query], references: Sequence[int | None], made: Made) -> Ranking:
        """What ranks the images for some of the queries, which are encoded once."""
        if self._blend is not None and made == "composed":
            return partial(self._blend.best, self._blend.compose(queries, references))
        pictures, texts = [picture for picture, _ in queries], [text for _, text in queries]
        return partial(self._nearest, self.encoder.encode_queries(pictures, texts, made))

    def _nearest(
        self, queries_QD: np.ndarray, weighted: Sequence[tuple[slice, np.ndarray]], wanted: int
    ) -> list[list[Scored]]:
        """The images nearest to the mean of each request's query vectors, best first."""
        mean_KD = np.stack([_mean_vector(queries_QD[part], share_R) for part, share_R in weighted])
        ranked = best_images_of_each(self._index, mean_KD, wanted, self.network.target_tokens)
        return [[Scored(*pair, {}) for pair in scored] for scored in ranked]

    def _hits(self, scored: Sequence[Scored], references: Sequence[int | None], request: SearchRequest) -> list[Hit]:
        """Hits, best first."""
        allowed = [
            (one, row)
            for one in self._repeats.without_repeats(scored, references, request.once)
            if not {(row := self._rows[one.row])["image_id"], row["path"]}.intersection(request.without)
        ]
        return [
            Hit(row["image_id"], row["path"], row["caption"], one.score, rank, one.channels)
            for rank, (one, row) in enumerate(allowed[: request.top])
        ]

    def query(self, image: Picture | None, text: str | None, made: Made = "composed") -> np.ndarray:
        """(1, D) float32 unit vector of one query; arguments and errors as :meth:`Encoder.encode_queries`."""
        return self.encoder.encode_queries(image, text, made)

    def contact_sheet(
        self, reference: Picture | Sequence[Picture] | None, text: str | None, hits: Sequence[Hit], files: ImageFiles
    ) -> Image.Image:
        """The query and its hits on one picture, labelled with rank (from 1), score and caption.

        A picture that can no longer be opened is a grey tile with the reason.

        Raises:
            InputError: a reference image cannot be read.
        """
        tiles = [_tile(hit, files) for hit in hits]
        label = f"query: {text}" if text else "query: this picture"
        pictures = several(reference)
        if pictures is None:
            pictures = [] if reference is None else [reference]
        if pictures:
            tiles[:0] = [(as_picture(picture).convert("RGB"), label) for picture in pictures]
        elif tiles:
            tiles[0] = (tiles[0][0], f"{label} → {tiles[0][1]}")
        return contact_sheet(tiles, SHEET_COLUMNS)


def _load_checked(artifact: Artifact, index: Any, rows: Sequence[Mapping[str, str]]) -> Network:
    network = load_network(artifact)
    if index.ntotal != len(rows) * network.target_tokens or index.d != network.dim:
        raise _mismatch(artifact, index, rows)
    return network


def _mismatch(artifact: Artifact, index: Any, rows: Sequence[Mapping[str, str]]) -> StoreError:
    return StoreError(
        f"the parts of {artifact.path} do not belong together: {index.ntotal} vectors of {index.d} dimensions for "
        f"{len(rows)} images. Delete it and run again."
    )


def _fitting(scored: Sequence[Scored], allowed: Collection[int] | None) -> Sequence[Scored]:
    """Those whose rows may be hits."""
    return scored if allowed is None else [one for one in scored if one.row in allowed]


def _mean_vector(queries_RD: np.ndarray, share_R: np.ndarray) -> np.ndarray:
    """(D,) float32 unit vector; of a single query its own."""
    if len(queries_RD) == 1:
        own_D: np.ndarray = queries_RD[0]
        return own_D
    mean_D: np.ndarray = share_R @ queries_RD
    return (mean_D / max(float(np.linalg.norm(mean_D)), 1e-12)).astype(np.float32)


def _tile(hit: Hit, files: ImageFiles) -> tuple[Image.Image, str]:
    label = f"{hit.rank + 1}. {hit.score:.2f} {hit.caption or hit.path}"
    try:
        return files.open(hit.path), label
    except PictureError as error:
        return Image.new("RGB", (1, 1), MISSING), f"{error.reason}: {label}"


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
