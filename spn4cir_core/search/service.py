"""An opened index for many threads: random pictures, thumbnails, searches."""

from __future__ import annotations

import gc
import io
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from spn4cir_core.errors import InputError, Spn4cirError
from spn4cir_core.images.files import ImageFiles, PictureError
from spn4cir_core.images.sandboxed_decoder import ConfinedDecoder
from spn4cir_core.search.filters import Where
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.models import INDEXED, Model, Models
from spn4cir_core.search.pictures_in_memory import PicturesInMemory
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.search.waiting_requests import WaitingRequests
from spn4cir_core.training.roles import ModelName

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)
UPLOAD_PIXELS = 50_000_000
PICTURES_DECODED = 4
"""At a time."""
PIXELS_IN_MEMORY = 4 * UPLOAD_PIXELS
ANSWERED_TOGETHER = 64
MOST_REFERENCES = 4
WARM_UP_TEXT = "another colour"
THUMBNAIL_PX, THUMBNAIL_QUALITY, THUMBNAILS_IN_MEMORY = 320, 85, 2048

ORDER_STAYS = "The reranker gave no usable answer: the order is that of the search."

QueryKind = Literal["composed", "image", "text", "sum"]


class NoSuchImage(InputError):
    """An id that the index does not hold, or whose file is gone."""


@dataclass(frozen=True)
class IndexedImage:
    """An image of the index."""

    image_id: str
    caption: str


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and whose candidate vectors they were found among (empty: the index's own model's).

    ``note`` says what is to be known of the answer, such as that a text was cut; ``index`` is the index's fingerprint.
    """

    hits: list[Hit]
    vectors: str
    note: str = ""
    index: str = ""
    reranked: bool = False


class SearchService:
    """A few models for many threads: requests that wait are answered together, few pictures are open at once."""

    def __init__(
        self, models: Models, files: ImageFiles, on_batch: Callable[[int], None] = lambda requests: None
    ) -> None:
        """``on_batch`` is called with the number of requests that are answered together."""
        self._models, self._files, self._on_batch, self.is_warm = models, files, on_batch, False
        self._uploads = ConfinedDecoder(min(UPLOAD_PIXELS, files.max_pixels))
        self._rows = {row["image_id"]: row for row in models.indexed.rows}
        self._waiting = WaitingRequests(self._answer_together, ANSWERED_TOGETHER)
        self._decoding, self._in_memory = (
            threading.BoundedSemaphore(PICTURES_DECODED),
            PicturesInMemory(PIXELS_IN_MEMORY),
        )
        self._reranker = threading.Lock()
        self._thumbnails = lru_cache(THUMBNAILS_IN_MEMORY)(self._make_thumbnail)

    def close(self) -> None:
        """End the process that decodes uploads; a later upload starts another."""
        self._uploads.close()

    def current(self) -> SearchService:
        """Itself: it answers from one index for good."""
        return self

    def warm_up(self) -> None:
        """Answer one search, so that the first client need not wait until every model is loaded."""
        try:
            self.search([], [], WARM_UP_TEXT, "text", 1)
            self.search(list(self._rows)[:1], [], WARM_UP_TEXT, "composed", 1)
        except InputError as error:
            log.warning("search: the first picture cannot be searched with: %s", error)
        gc.unfreeze()
        gc.collect()  # what is left of an index before
        gc.freeze()  # rows and captions stay for good: looking through them for garbage takes longer than a search
        self.is_warm = True

    def __len__(self) -> int:
        """How many images can be found."""
        return len(self._rows)

    @property
    def fingerprint(self) -> str:
        """Of the index; empty where it lies in no store."""
        return self._models.fingerprint

    @property
    def reranks(self) -> bool:
        """Whether a reranker can put the first hits in order."""
        return self._models.indexed.reranking is not None

    def models(self) -> list[Model]:
        """All models, those that cannot answer with the reason."""
        return self._models.listed()

    def draw(self, count: int, seed: int) -> list[IndexedImage]:
        """At most ``count`` images in random order; a seed always draws the same."""
        drawn = random.Random(seed).sample(list(self._rows), min(count, len(self._rows)))
        return [self.image(image_id) for image_id in drawn]

    def image(self, image_id: str) -> IndexedImage:
        """One image of the index.

        Raises:
            NoSuchImage: the index does not hold it.
        """
        if image_id not in self._rows:
            raise NoSuchImage(f"no image {image_id!r} in the index")
        return IndexedImage(image_id, self._rows[image_id]["caption"])

    def filters(self) -> Mapping[str, Mapping[str, int]]:
        """Column → how many images have each of its values; see :class:`~spn4cir_core.search.filters.Filters`."""
        return self._models.indexed.filters.values()

    def thumbnail(self, image_id: str) -> bytes:
        """A JPEG of at most 320 px a side.

        Raises:
            NoSuchImage: the index does not hold it, or its file cannot be opened any more.
        """
        return self._thumbnails(self.image(image_id).image_id)

    def search(
        self,
        image_ids: Sequence[str],
        uploads: Sequence[bytes],
        text: str,
        query: QueryKind,
        top: int,
        model: ModelName = INDEXED,
        weights: Sequence[float] = (),
        rerank: bool = False,
        where: Where = MappingProxyType({}),
    ) -> SearchResult:
        """The best ``top`` images for reference images (of the index, then uploads) and a text.

        ``query``: which of the two make the query, and how. A reference image of the index is never among its own
        hits. ``weights`` are of the reference images in that order; none: all count alike. With ``rerank`` the first
        hits are put in order by the recipe's reranker; other searches do not wait for it. ``where`` is what hits must
        have.

        Raises:
            NoSuchImage: the index does not hold one of ``image_ids``, or its file cannot be opened any more.
            NoSuchModel: there is no such model, or it cannot be opened.
            PictureError: the upload is no picture that can be used.
            InputError: ``query`` needs an image or a text that is missing, there are too many reference images, or
                the query cannot be reranked.
        """
        text = text.strip()
        if len(image_ids) + len(uploads) > MOST_REFERENCES:
            raise InputError(f"a query has at most {MOST_REFERENCES} reference images; leave some out")
        if query != "text" and not (image_ids or uploads):
            raise InputError(f"a query of kind {query!r} needs a reference image: choose or upload one")
        if rerank and (query != "composed" or model != INDEXED):
            raise InputError("only a composed query of the index's own model is reranked")
        if rerank and not self.reranks:
            raise InputError("this index has no reranker; a recipe with a table [rerank] gives it one")
        without = [self.image(image_id).image_id for image_id in image_ids]
        opened = self._models.open(model)
        with self._decoding:
            pictures = [] if query == "text" else [*map(self._open, image_ids), *map(self._uploads.decode, uploads)]
        if query != "image" and not text:  # after the pictures: of a broken one, that is what to mend first
            raise InputError(f"a query of kind {query!r} needs a text: say what should be different")
        query_text = None if query == "image" else text
        known = [*image_ids, *[None] * len(uploads)][: len(pictures)]
        made: Literal["composed", "sum"] = "sum" if query == "sum" else "composed"
        own_weights = weights if pictures else ()
        wanted = opened.searcher.shortlisted(top) if rerank else top
        request = SearchRequest.of(
            pictures or None, query_text, wanted, without, made, known, weights=own_weights, where=where
        )
        opened.searcher.filters.rows(where)  # refused here, where no other request waits beside it
        with self._in_memory.holding(pictures):
            hits = self._waiting((opened.searcher, request))
            uncaptioned = [*map(opened.searcher.uncaptioned, pictures if text else (), known)]
            reranking = opened.searcher.reranking if rerank else None
            small = [] if reranking is None else reranking.fitted(pictures)
            references = opened.searcher.indexed(pictures, known)
        del pictures, request  # a reranker takes its time, and needs the small ones only
        reranked = self._reranked(opened.searcher, hits, small, text) if rerank else None
        stays = ORDER_STAYS if rerank and reranked is None else ""
        shown = (reranked or hits)[:top]
        of_text = opened.searcher.unread(query_text), opened.searcher.unknown(query_text)
        notes = [*of_text, *uncaptioned, stays, opened.searcher.left_out(shown, references, where=where)]
        note = " ".join(f"{one.rstrip('.')}." for one in filter(None, dict.fromkeys(notes)))
        return SearchResult(shown, opened.vectors, note, self.fingerprint, reranked is not None)

    def _reranked(
        self, searcher: Searcher, hits: Sequence[Hit], references: Sequence[Image.Image], text: str
    ) -> list[Hit] | None:
        """None where the reranker gives no usable score, or cannot be used at all, which the log says."""
        try:
            with self._reranker:
                return searcher.reranked(hits, references, text)
        except Spn4cirError as error:
            log.warning("the reranker cannot be used: %s", error)
            return None

    def _answer_together(self, pairs: Sequence[tuple[Searcher, SearchRequest]]) -> list[list[Hit]]:
        """The hits of each request, by its own model."""
        self._on_batch(len(pairs))
        answers: list[list[Hit]] = [[] for _ in pairs]
        for searcher in {id(searcher): searcher for searcher, _ in pairs}.values():
            numbers = [number for number, (own, _) in enumerate(pairs) if own is searcher]
            for number, hits in zip(numbers, searcher.answer([pairs[number][1] for number in numbers]), strict=True):
                answers[number] = hits
        return answers

    def _open(self, image_id: str) -> Image.Image:
        try:
            return self._files.open(self._rows[image_id]["path"])
        except PictureError as error:  # its detail holds the folder's place on this machine: nothing for a client
            raise NoSuchImage(f"the picture of {image_id!r} cannot be opened any more: {error.reason}") from error

    def _make_thumbnail(self, image_id: str) -> bytes:
        with self._decoding:
            picture = self._open(image_id)
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=THUMBNAIL_QUALITY, subsampling=0)
        return stream.getvalue()
