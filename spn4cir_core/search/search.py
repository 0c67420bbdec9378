"""Composed search: a reference image and a text in, the best images out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spn4cir_core.blend.fitted import read_blend
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.contact_sheet import contact_sheet
from spn4cir_core.images.files import ImageFiles, Picture, PictureError, as_picture, pixel_sha256
from spn4cir_core.index.base import INDEXES
from spn4cir_core.index.image_index import best_images_of_each
from spn4cir_core.search.encoder import Encoder, Made, Query, pair_up, several, shares
from spn4cir_core.search.index_table import read_indexed_images
from spn4cir_core.search.indexed_blend import IndexedBlend, Scored
from spn4cir_core.search.repeats import Once, Repeats
from spn4cir_core.search.stage import ABOUT, INDEX
from spn4cir_core.store.artifacts import Artifact, Store, read_json
from spn4cir_core.training.checkpoints import load_network
from spn4cir_core.training.roles import STAGE2

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

log = logging.getLogger(__name__)
SHEET_COLUMNS = 6
MISSING = (200, 200, 200)


@dataclass(frozen=True)
class Hit:
    """One image found.

    Attributes:
        score: of the blend, the sum of ``channels``; of a trained encoder alone a cosine, the highest of an image's.
        rank: from 0.
        channels: what each channel of the blend gave to the score, by its title, the largest part first.
    """

    image_id: str
    path: str
    caption: str
    score: float
    rank: int
    channels: dict[str, float] = field(default_factory=dict)


class Searcher:
    """An opened search index. Needs its folder only: neither the store nor the other artefacts.

    It answers by the blend of channels; :meth:`beside` gives a searcher that answers by one trained encoder alone.
    """

    def __init__(
        self,
        index: Any,
        rows: Sequence[dict[str, str]],
        network: Network,
        blend: IndexedBlend | None = None,
        repeats: Repeats | None = None,
    ) -> None:
        self._index, self._rows, self._network, self._blend = index, rows, network, blend
        self._repeats = repeats or Repeats()
        self._row_of = {row["image_id"]: number for number, row in enumerate(rows)}
        self._row_of_pixels = {row["pixel_sha256"]: number for number, row in enumerate(rows)}
        self.encoder = Encoder(network)
        """Of queries and targets, in the space of the index."""

    @classmethod
    def open(cls, artifact: Artifact, checkpoint: Artifact | None = None) -> Searcher:
        """Open a ``search_index`` artefact.

        Args:
            checkpoint: the stage-2 checkpoint the index must have been made with, if that is to be checked.

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
        network = load_network(artifact)
        complete = index.ntotal == len(rows) * network.target_tokens and len(rows) == about["images"]
        if not (complete and index.d == network.dim == about["dimensions"]):
            raise StoreError(
                f"the parts of {artifact.path} do not belong together: {index.ntotal} vectors of {index.d} dimensions, "
                f"{len(rows)} images, a network of {network.dim} dimensions. Delete it and run again."
            )
        blend = IndexedBlend.open(artifact, about, rows, {STAGE2.name: network})
        return cls(index, rows, network, blend, Repeats.open(artifact, rows))

    @classmethod
    def of_recipe(cls, recipe: str, store: Store) -> Searcher:
        """Open the current index of a recipe.

        Raises:
            StoreError: there is none, or as :meth:`open`.
        """
        return cls.open(current_index(recipe, store))

    def beside(self, network: Network, index: Any = None) -> Searcher:
        """Another network over the same images; with no index of its own, its target encoder must be this one's."""
        return Searcher(self._index if index is None else index, self._rows, network, repeats=self._repeats)

    @property
    def network(self) -> Network:
        """The network that encodes the queries."""
        return self._network

    @property
    def rows(self) -> Sequence[dict[str, str]]:
        """image_id, path and caption of every image that can be found, sorted by id."""
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
    ) -> list[Hit]:
        """The best ``top`` images for a reference image, a text, or both; the reference image is never among them.

        Args:
            image: a path, a PIL picture or an (H, W, 3) uint8 array. Of several reference images the mean counts: of
                the blend's scores, or of a trained encoder's query vectors.
            without: image ids or paths that must not be found.
            made: ``sum`` asks the trained encoder alone, with the sum of image and text.
            reference_id: id of the reference image where it is one of the index. Its caption takes part then; an
                indexed picture is also recognised by its pixels. Of several reference images one each.
            once: what is shown once: near-duplicates, such as other sizes of one picture (``pictures``), or all views
                of a product (``products``); ``all`` shows everything.

            weights: of several reference images, above 0, one each; empty: all count alike.

        Raises:
            InputError: neither image nor text, a picture that cannot be read, ``top`` is less than 1, or weights that
                are not one positive number for each reference image.
        """
        given = several(image)
        pictures: list[Any] = [image] if given is None else given or [None]
        ids = [reference_id] if reference_id is None or isinstance(reference_id, str) else list(reference_id)
        if len(pictures) == 1:
            shares(weights, 1)
            return self.search_many(pictures, [text], top, without, made, ids[:1] or None, once)[0]
        return self._search_several(pictures, text, top, without, made, ids, once, shares(weights, len(pictures)))

    def _search_several(
        self,
        pictures: Sequence[Picture],
        text: str | None,
        top: int,
        without: Collection[str],
        made: Made,
        reference_ids: Sequence[str | None],
        once: Once,
        share_R: np.ndarray,
    ) -> list[Hit]:
        """One query with several reference images, each of which has a share of the score."""
        self._check(top, [text])
        queries = pair_up(pictures, text)
        references = self._references(queries, [*reference_ids, *[None] * len(queries)][: len(queries)])
        wanted = top + len(without) + len(queries)
        while True:
            wanted = min(len(self._rows), wanted)
            hits = self._hits(
                self._ranked_together(queries, references, share_R, wanted, made), references, top, without, once
            )
            if len(hits) >= top or wanted == len(self._rows):
                return hits
            wanted *= 4

    def search_many(
        self,
        images: Picture | Sequence[Picture | None] | None,
        texts: str | Sequence[str | None] | None = None,
        top: int = 10,
        without: Collection[str] = (),
        made: Made = "composed",
        reference_ids: Sequence[str | None] | None = None,
        once: Once = "pictures",
    ) -> list[list[Hit]]:
        """The best ``top`` images of each of Q queries, which are encoded in batches. Arguments as :meth:`search`.

        A single image belongs to every text, a single text to every image.

        Raises:
            InputError: as :meth:`search`, or the lists differ in length.
        """
        queries = pair_up(images, texts)
        self._check(top, [text for _, text in queries])
        references = self._references(queries, reference_ids or [None] * len(queries))
        answers: list[list[Hit]] = [[] for _ in queries]
        pending, wanted = list(range(len(queries))), top + len(without) + 1
        while pending:
            wanted = min(len(self._rows), wanted)
            ranked = self._ranked([queries[at] for at in pending], [references[at] for at in pending], wanted, made)
            for at, scored in zip(pending, ranked, strict=True):
                answers[at] = self._hits(scored, [references[at]], top, without, once)
            pending = [at for at in pending if len(answers[at]) < top] if wanted < len(self._rows) else []
            wanted *= 4
        return answers

    def _check(self, top: int, texts: Sequence[str | None]) -> None:
        """Warn of texts whose end is not read.

        Raises:
            InputError: ``top`` is less than 1.
        """
        if top < 1:
            raise InputError(f"top = {top}: ask for at least one image")
        for text in texts:
            if note := self.unread(text):
                log.warning("%s", note)

    def unread(self, text: str | None) -> str:
        """Says that a trained encoder reads the beginning of a text only; empty where each reads the whole."""
        encoders = [self.encoder] if self._blend is None else self._blend.encoders.values()
        return next(filter(None, (encoder.unread(text) for encoder in encoders)), "")

    def uncaptioned(self, image: Picture | None, reference_id: str | None = None) -> str:
        """Says by which channels a reference image without a caption is searched; empty where that changes nothing."""
        if self._blend is None or image is None:
            return ""
        (reference,) = self._references([(image, "")], [reference_id])
        return self._blend.uncaptioned(reference)

    def _references(self, queries: Sequence[Query], reference_ids: Sequence[str | None]) -> list[int | None]:
        """Rows of the reference images that are images of the index."""
        rows = []
        for (picture, _), reference_id in zip(queries, reference_ids, strict=True):
            row = self._row_of.get(reference_id or "")
            if row is None and picture is not None:
                row = self._row_of_pixels.get(pixel_sha256(as_picture(picture)))
            rows.append(row)
        return rows

    def _ranked(
        self, queries: Sequence[Query], references: Sequence[int | None], wanted: int, made: Made
    ) -> list[list[Scored]]:
        """The best images of each query, best first."""
        if self._blend is not None and made == "composed":
            return self._blend.best(queries, references, wanted)
        pictures, texts = [picture for picture, _ in queries], [text for _, text in queries]
        queries_QD = self.encoder.encode_queries(pictures, texts, made)
        ranked = best_images_of_each(self._index, queries_QD, wanted, self._network.target_tokens)
        return [[Scored(*pair, {}) for pair in scored] for scored in ranked]

    def _ranked_together(
        self,
        queries: Sequence[Query],
        references: Sequence[int | None],
        share_R: np.ndarray,
        wanted: int,
        made: Made,
    ) -> list[Scored]:
        """The best images of one query that has several reference images, best first."""
        if self._blend is not None and made == "composed":
            return self._blend.best_together(queries, references, share_R, wanted)
        pictures, texts = [picture for picture, _ in queries], [text for _, text in queries]
        mean_D = share_R @ self.encoder.encode_queries(pictures, texts, made)
        query_1D = (mean_D / max(float(np.linalg.norm(mean_D)), 1e-12)).astype(np.float32)[None]
        (scored,) = best_images_of_each(self._index, query_1D, wanted, self._network.target_tokens)
        return [Scored(*pair, {}) for pair in scored]

    def _hits(
        self,
        scored: Sequence[Scored],
        references: Sequence[int | None],
        top: int,
        without: Collection[str],
        once: Once,
    ) -> list[Hit]:
        """Hits, best first."""
        wanted = [
            (one, row)
            for one in self._repeats.left_out(scored, references, once)
            if not {(row := self._rows[one.row])["image_id"], row["path"]}.intersection(without)
        ]
        return [
            Hit(row["image_id"], row["path"], row["caption"], one.score, rank, one.channels)
            for rank, (one, row) in enumerate(wanted[:top])
        ]

    def query(self, image: Picture | None, text: str | None, made: Made = "composed") -> np.ndarray:
        """(1, D) float32 unit vector of one query; see :meth:`Encoder.encode_queries`."""
        return self.encoder.encode_queries(image, text, made)

    def contact_sheet(
        self, reference: Picture | Sequence[Picture] | None, text: str | None, hits: Sequence[Hit], files: ImageFiles
    ) -> Image.Image:
        """The query and its hits on one picture, captioned with rank, score and caption.

        A picture that cannot be opened any more is a grey tile that says so.
        """
        tiles = [_tile(hit, files) for hit in hits]
        label = f"query: {text}" if text else "query: this picture"
        pictures = several(reference) or ([] if reference is None else [reference])
        if pictures:
            tiles[:0] = [(as_picture(picture).convert("RGB"), label) for picture in pictures]
        elif tiles:
            tiles[0] = (tiles[0][0], f"{label} → {tiles[0][1]}")
        return contact_sheet(tiles, SHEET_COLUMNS)


def _tile(hit: Hit, files: ImageFiles) -> tuple[Image.Image, str]:
    label = f"{hit.rank + 1}. {hit.score:.2f} {hit.caption or hit.path}"
    try:
        return files.open(hit.path), label
    except PictureError as error:
        return Image.new("RGB", (1, 1), MISSING), f"{error.reason}: {label}"


def current_index(recipe: str, store: Store) -> Artifact:
    """The index that the recipe made last; the log warns where the recipe has been trained anew since.

    Raises:
        StoreError: there is none.
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
