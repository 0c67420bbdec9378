"""The images of a search index in a vector table outside the store: kept up to date by what changed, and searched."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.files import Picture, as_picture, pixel_sha256
from spn4cir_core.index.base import VECTOR_TABLES, ImageRow, MadeWith, VectorTable, VectorTables
from spn4cir_core.search.encoder import Encoder, pair_up
from spn4cir_core.search.filters import Where, metadata_of
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.index_table import IMAGES_FILE, read_indexed_images
from spn4cir_core.search.target_vectors import stored_vectors, target_fingerprint
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.checkpoints import Checkpoint, load_checkpoint
from spn4cir_core.training.roles import STAGE2

RECALL_QUERIES, RECALL_TOP = 100, 10


@dataclass(frozen=True)
class TableChange:
    """What an update did, in images."""

    added: int
    replaced: int
    removed: int
    unchanged: int


def table_named(spec: str, recipe: str) -> VectorTable:
    """The table of a recipe in ``KIND:URI``, such as ``lancedb:shoes.lance`` or ``pgvector:``.

    Raises:
        InputError: it is no such text, or the place cannot be reached.
        MissingExtra: its package is not installed.
        RecipeError: the kind is unknown.
    """
    kind, colon, uri = spec.partition(":")
    if not colon:
        kinds = ", ".join(VECTOR_TABLES.members)
        raise InputError(f"{spec!r} is not KIND:URI, such as lancedb:shoes.lance; kinds: {kinds}")
    tables: VectorTables = VECTOR_TABLES.build({"kind": kind, "uri": uri})
    return tables.open(f"spn4cir_{re.sub(r'[^A-Za-z0-9_]', '_', recipe)}"[:63])


def update_table(table: VectorTable, index: Artifact, store: Store) -> TableChange:
    """Make a table hold the images of a ``search_index``: only what is new or changed is read and written.

    Raises:
        StoreError: the vectors of a new image are not in the store.
    """
    wanted = made_with(index, load_checkpoint(index))
    before = table.made_with()
    there = table.versions() if before is not None and before.encoder == wanted.encoder else {}
    indexed = read_indexed_images(index)
    rows = [_image_row(row) for row in indexed]
    new = [number for number, row in enumerate(rows) if there.get(row.image_id) != row.version]
    removed = there.keys() - {row.image_id for row in rows}
    replaced = sum(rows[number].image_id in there for number in new)
    if new or removed or before != wanted:
        keys = [indexed[number]["pixel_sha256"] for number in new]
        vectors_NTD = stored_vectors(store, wanted.encoder, keys, wanted.tokens, wanted.dim)
        table.change(wanted, removed, [rows[number] for number in new], vectors_NTD)
    return TableChange(len(new) - replaced, replaced, len(removed), len(rows) - len(new))


def made_with(index: Artifact, checkpoint: Checkpoint) -> MadeWith:
    """What the vectors of a ``search_index`` were made with."""
    parents, network = index.summary["parents"], checkpoint.network
    encoder = target_fingerprint(checkpoint)
    return MadeWith(encoder, parents[STAGE2.artifact], parents["blend"], network.dim, network.target_tokens)


def _image_row(row: dict[str, Any]) -> ImageRow:
    says = {name: row[name] for name in ("path", "caption")} | {"metadata": metadata_of(row)}
    return ImageRow(row["image_id"], fingerprint(says | {"pixels": row["pixel_sha256"]}), **says)


class TableSearcher:
    """Answers by stage 2's vectors in a table; conditions are the engine's work."""

    def __init__(self, table: VectorTable, encoder: Encoder, id_of_pixels: dict[str, str]) -> None:
        self._table, self.encoder, self._id_of_pixels = table, encoder, id_of_pixels

    @classmethod
    def open(cls, table: VectorTable, index: Artifact) -> TableSearcher:
        """Search a table with the network of the ``search_index`` that it was updated from.

        Raises:
            StoreError: the table is empty, or was made with another checkpoint or blend.
        """
        checkpoint = load_checkpoint(index)
        own, wanted = table.made_with(), made_with(index, checkpoint)
        if own is None:
            raise StoreError("the vector table is empty; fill it with: spn4cir vectors")
        if own != wanted:
            other = next(one.name for one in fields(MadeWith) if getattr(own, one.name) != getattr(wanted, one.name))
            raise StoreError(
                f"the vector table was made with {other} {asdict(own)[other]}, the search index with "
                f"{asdict(wanted)[other]}; bring it up to date with: spn4cir vectors"
            )
        ids = index.table(IMAGES_FILE, ["pixel_sha256", "image_id"])
        pairs = zip(ids["pixel_sha256"].to_pylist(), ids["image_id"].to_pylist(), strict=True)
        return cls(table, Encoder(checkpoint.network), dict(pairs))

    def search(
        self,
        image: Picture | None = None,
        text: str | None = None,
        top: int = 10,
        where: Where = MappingProxyType({}),
        without: Collection[str] = (),
    ) -> list[Hit]:
        """The best ``top`` images for a reference image, a text, or both; the reference image is never among them.

        Args:
            where: what hits must have; see :meth:`Searcher.search`.
            without: image ids that must not be hits.

        Raises:
            InputError: neither image nor text, a picture that cannot be read, or ``top`` is less than 1.
        """
        if top < 1:
            raise InputError(f"top = {top}: ask for at least one image")
        (query,) = pair_up([image], [text])
        own = set() if image is None else {self._id_of_pixels.get(pixel_sha256(as_picture(image)), "")}
        left_out = {*without, *own}
        conditions = {column: {values} if isinstance(values, str) else set(values) for column, values in where.items()}
        query_D = self.encoder.encode_queries([query[0]], [query[1]])[0]
        nearest = self._table.search(query_D, top + len(left_out), conditions)
        hits = [one for one in nearest if one.image_id not in left_out][:top]
        return [Hit(one.image_id, one.path, one.caption, one.score, rank) for rank, one in enumerate(hits)]


def measured_table_recall(table: VectorTable, index: Artifact, store: Store, seed: int = 0) -> float:
    """Mean share of the ``RECALL_TOP`` best images that a table finds, by comparison with every vector.

    The queries are captions of images drawn at random; an image that scores as much as the last of the best counts as
    one of them. Every vector is read.
    """
    checkpoint = load_checkpoint(index)
    about, rows = made_with(index, checkpoint), read_indexed_images(index)
    keys = [row["pixel_sha256"] for row in rows]
    vectors_NTD = stored_vectors(store, about.encoder, keys, about.tokens, about.dim)
    drawn = np.random.default_rng(seed).permutation(len(rows))[:RECALL_QUERIES]
    captions = [rows[number]["caption"] or "a picture" for number in drawn]
    queries_QD = Encoder(checkpoint.network).encode_queries(None, captions)
    return float(np.mean([_share(table, query_D, vectors_NTD) for query_D in queries_QD]))


def _share(table: VectorTable, query_D: np.ndarray, vectors_NTD: np.ndarray) -> float:
    best = np.sort((vectors_NTD @ query_D).max(axis=1))[::-1][:RECALL_TOP]
    rounding = 1e-5
    scores: Sequence[float] = [one.score for one in table.search(query_D, RECALL_TOP)]
    return sum(bool(score >= best[-1] - rounding) for score in scores) / len(best)
