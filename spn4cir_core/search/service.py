"""An opened index for many threads: random pictures, thumbnails, searches."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spn4cir_core.engine.freed_memory import freed_memory_kept
from spn4cir_core.errors import InputError, Spn4cirError
from spn4cir_core.images.files import ImageFiles, ListedPicture, PictureError, as_picture
from spn4cir_core.images.sandboxed_decoder import ConfinedDecoder
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.models import Model, Models, Opened
from spn4cir_core.search.pictures_in_memory import PicturesInMemory
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.search_request import SearchRequest
from spn4cir_core.search.waiting_requests import WaitingRequests

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)
UPLOAD_PIXELS = 50_000_000
PICTURES_DECODED = 4
"""At a time."""
PIXELS_IN_MEMORY = 4 * UPLOAD_PIXELS
ANSWERED_TOGETHER = 64
WARM_UP_TEXT = "another colour"
THUMBNAIL_PX, THUMBNAIL_QUALITY, THUMBNAILS_IN_MEMORY = 320, 85, 2048

ORDER_STAYS = "The reranker gave no usable answer: the order is that of the search."


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


@contextmanager
def _of_index() -> Iterator[None]:
    """Pictures that cannot be opened here are those of the index.

    Raises:
        NoSuchImage: one of them cannot; its detail holds the folder's place on this machine: nothing for a client.
    """
    try:
        yield
    except PictureError as error:
        raise NoSuchImage(f"a picture of the index cannot be opened any more: {error.reason}") from error


@dataclass(frozen=True)
class _About:
    """What is to be known of a search once its pictures are no longer needed."""

    searcher: Searcher
    vectors: str
    references: Sequence[int | None]
    notes: Sequence[str]
    wanted: RequestedSearch


@dataclass(frozen=True)
class _CheckedSearch:
    """A checked search: its pictures, those of the index first, and among them the uploads."""

    opened: Opened
    request: SearchRequest
    pictures: Sequence[Image.Image | ListedPicture]
    uploads: Sequence[Image.Image]
    wanted: RequestedSearch

    @property
    def searcher(self) -> Searcher:
        return self.opened.searcher

    def about(self) -> _About:
        known, pictures = self.request.reference_ids[: len(self.pictures)], list(self.pictures)
        (_, query_text), *_ = self.request.queries
        of_text = self.searcher.unread(query_text, pictures or [None], known), self.searcher.unknown(query_text)
        uncaptioned = map(self.searcher.uncaptioned, pictures if self.wanted.text.strip() else (), known)
        references = self.searcher.indexed(pictures, known)
        return _About(self.searcher, self.opened.vectors, references, [*of_text, *uncaptioned], self.wanted)

    def fitted(self) -> list[Image.Image]:
        """The pictures as small as the reranker needs them."""
        reranking = self.searcher.reranking
        return [] if reranking is None else reranking.fitted([as_picture(picture) for picture in self.pictures])


class SearchService:
    """A few models for many threads: requests that wait are answered together, few pictures are open at once."""

    def __init__(
        self, models: Models, files: ImageFiles, on_batch: Callable[[int], None] = lambda requests: None
    ) -> None:
        """``on_batch`` is called with the number of requests that are answered together."""
        self._models, self._files, self._on_batch, self.is_warm = models, files, on_batch, False
        self._uploads = ConfinedDecoder(min(UPLOAD_PIXELS, files.max_pixels))
        self._images = models.indexed.rows
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
        with freed_memory_kept():  # and given back: what was read of an index of a million images are 300 MB
            self._models.indexed.load_encoders()
            try:
                self.search(RequestedSearch(text=WARM_UP_TEXT, query="text", top=1))
                drawn = [image.image_id for image in self.draw(1, 0)]
                self.search(RequestedSearch(drawn, text=WARM_UP_TEXT, top=1))
            except InputError as error:
                log.warning("search: the first picture cannot be searched with: %s", error)
            gc.unfreeze()
            gc.collect()  # what is left of an index before
        gc.freeze()  # models and words stay for good: looking through them for garbage takes longer than a search
        self.is_warm = True

    def __len__(self) -> int:
        """How many images can be found."""
        return len(self._images)

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
        drawn = random.Random(seed).sample(range(len(self)), min(count, len(self)))
        return [IndexedImage(*(self._images.text(name, row) for name in ("image_id", "caption"))) for row in drawn]

    def image(self, image_id: str) -> IndexedImage:
        """One image of the index.

        Raises:
            NoSuchImage: the index does not hold it.
        """
        return IndexedImage(image_id, self._images.text("caption", self._row(image_id)))

    def _row(self, image_id: str) -> int:
        row = self._images.row_of.get(image_id)
        if row is None:
            raise NoSuchImage(f"no image {image_id!r} in the index")
        return row

    def filters(self) -> Mapping[str, Mapping[str, int]]:
        """Column → how many images have each of its values; see :class:`~spn4cir_core.search.filters.Filters`."""
        return self._models.indexed.filters.values()

    def thumbnail(self, image_id: str) -> bytes:
        """A JPEG of at most 320 px a side.

        Raises:
            NoSuchImage: the index does not hold it, or its file cannot be opened any more.
        """
        return self._thumbnails(self.image(image_id).image_id)

    def search(self, wanted: RequestedSearch) -> SearchResult:
        """The best images for reference images and a text.

        Raises:
            NoSuchImage: the index does not hold one of the reference images, or its file cannot be opened any more.
            NoSuchModel: there is no such model, or it cannot be opened.
            PictureError: the upload is no picture that can be used.
            InputError: the query needs an image or a text that is missing, there are too many reference images, or
                the query cannot be reranked.
        """
        checked = self._checked(wanted)
        with self._in_memory.holding(checked.uploads), _of_index():
            hits, about = self._waiting((checked.searcher, checked.request)), checked.about()
            small = checked.fitted() if wanted.rerank else []
        del checked  # a reranker takes its time, and needs the small ones only
        text = wanted.text.strip()
        return self._result(about, hits, self._reranked(about.searcher, hits, small, text) if wanted.rerank else None)

    async def search_soon(self, wanted: RequestedSearch) -> SearchResult:
        """As :meth:`search`, of what does not :attr:`~RequestedSearch.takes_long`; no thread waits for the answer."""
        checked = self._checked(wanted)
        with _of_index():
            hits = await asyncio.wrap_future(self._waiting.submit((checked.searcher, checked.request)))
        return self._result(checked.about(), hits, None)

    def _checked(self, wanted: RequestedSearch) -> _CheckedSearch:
        wanted.check_references()
        if wanted.rerank and not self.reranks:
            raise InputError("this index has no reranker; a recipe with a table [rerank] gives it one")
        for image_id in wanted.image_ids:
            self._row(image_id)
        opened = self._models.open(wanted.model)
        decoded: list[Image.Image] = []
        listed = [] if wanted.query == "text" else [*map(self._listed, wanted.image_ids)]
        if wanted.uploads and wanted.query != "text":
            with self._decoding:
                decoded = [*map(self._uploads.decode, wanted.uploads)]
        wanted.check_text()  # after the pictures: of a broken one, that is what to mend first
        pictures: list[Image.Image | ListedPicture] = [*listed, *decoded]
        known = [*wanted.image_ids, *[None] * len(wanted.uploads)][: len(pictures)]
        request = SearchRequest.of(
            pictures or None,
            None if wanted.query == "image" else wanted.text,
            opened.searcher.shortlisted(wanted.top) if wanted.rerank else wanted.top,
            wanted.image_ids,
            "sum" if wanted.query == "sum" else "composed",
            known,
            weights=wanted.weights if pictures else (),
            where=wanted.where,
        )
        opened.searcher.filters.allowed(wanted.where)  # refused here, where no other request waits beside it
        return _CheckedSearch(opened, request, pictures, decoded, wanted)

    def _result(self, about: _About, hits: list[Hit], reranked: list[Hit] | None) -> SearchResult:
        shown = (reranked or hits)[: about.wanted.top]
        stays = ORDER_STAYS if about.wanted.rerank and reranked is None else ""
        left_out = about.searcher.left_out(shown, about.references, where=about.wanted.where)
        note = " ".join(f"{one.rstrip('.')}." for one in filter(None, dict.fromkeys([*about.notes, stays, left_out])))
        return SearchResult(shown, about.vectors, note, self.fingerprint, reranked is not None)

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

    def _listed(self, image_id: str) -> ListedPicture:
        row = self._row(image_id)
        path, pixels = (self._images.text(name, row) for name in ("path", "pixel_sha256"))
        with _of_index():
            self._files.locate(path)
        return ListedPicture(self._files, path, pixels)

    def _make_thumbnail(self, image_id: str) -> bytes:
        with self._decoding, _of_index():
            picture = self._files.open(self._images.text("path", self._row(image_id)))
            picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=THUMBNAIL_QUALITY, subsampling=0)
        return stream.getvalue()
