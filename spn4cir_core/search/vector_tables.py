"""The vectors of a search index in tables outside the store: kept up to date by what changed, and searched."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.index.base import VECTOR_TABLES, ImageRow, MadeWith, VectorTable, VectorTables
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.search.filters import Where, metadata_of
from spn4cir_core.search.index_table import read_indexed_images, read_shard_lists
from spn4cir_core.search.search import Searcher
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.roles import STAGE2

RECALL_QUERIES, RECALL_TOP = 100, 10
ROUNDING = 1e-5
"""What an engine's float32 score may be off by."""


@dataclass(frozen=True)
class TableChange:
    """What an update did, in images."""

    added: int
    replaced: int
    removed: int
    unchanged: int


class TableIndex:
    """A vector table as an index of the N images of a search index; images of other ids are left out."""

    def __init__(
        self, table: VectorTable, made_with: MadeWith, row_of: Mapping[str, int], where: Mapping[str, Collection[str]]
    ) -> None:
        self._table, self._made_with, self._row_of, self._where = table, made_with, row_of, where

    @property
    def ntotal(self) -> int:
        """V = N · T."""
        return len(self._row_of) * self._made_with.tokens

    @property
    def d(self) -> int:
        """D, the dimensions of a vector."""
        return self._made_with.dim

    def search(self, queries_QD: np.ndarray, k: int, /) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`VectorIndex.search`: of each image its best score, at the row of its first vector."""
        tokens = self._made_with.tokens
        score_QK = np.full((len(queries_QD), k), -np.inf, np.float32)
        row_QK = np.full((len(queries_QD), k), -1, np.int64)
        for query, query_D in enumerate(queries_QD):
            nearest = self._table.search(query_D, -(-k // tokens), self._where)
            known = [(one.score, self._row_of[one.image_id]) for one in nearest if one.image_id in self._row_of]
            for at, (score, row) in enumerate(known):
                score_QK[query, at], row_QK[query, at] = score, row * tokens
        return score_QK, row_QK


class IndexTables:
    """The tables of one recipe: one for each name of vectors that its search index has."""

    def __init__(self, tables: VectorTables, recipe: str) -> None:
        self._tables, self._recipe = tables, re.sub(r"[^A-Za-z0-9_]", "_", recipe)

    @classmethod
    def named(cls, spec: str, recipe: str) -> IndexTables:
        """Those of a recipe in ``KIND:URI``, such as ``lancedb:shoes.lance`` or ``pgvector:``.

        Raises:
            InputError: it is no such text.
            RecipeError: the kind is unknown.
        """
        kind, colon, uri = spec.partition(":")
        if not colon:
            kinds = ", ".join(VECTOR_TABLES.members)
            raise InputError(f"{spec!r} is not KIND:URI, such as lancedb:shoes.lance; kinds: {kinds}")
        return cls(VECTOR_TABLES.build({"kind": kind, "uri": uri}), recipe)

    @property
    def address(self) -> str:
        """``KIND:URI``, without a password."""
        return self._tables.address

    def table(self, name: str) -> VectorTable:
        """The table of the vectors of that name.

        Raises:
            InputError: the engine cannot be reached.
            MissingExtra: its package is not installed.
        """
        ending = "" if name == STAGE2.name else f"__{name}"
        return self._tables.open(f"spn4cir_{self._recipe}"[: 63 - len(ending)] + ending)

    def update(self, index: Artifact) -> dict[str, TableChange]:
        """Make the tables hold the images of a ``search_index``: only what is new or changed is read and written.

        An image without vectors of a name, such as one without a caption, is in no table of that name.

        Returns:
            By name of vectors.

        Raises:
            StoreError: a table is another corpus's.
        """
        rows = [_image_row(row) for row in read_indexed_images(index)]
        return {
            name: _update(self.table(name), made_with(index, vectors), rows, vectors, name, self.address)
            for name, vectors in _vectors(index).items()
        }

    def searcher(
        self, index: Artifact, files: ImageFiles | None = None, where: Where = MappingProxyType({})
    ) -> Searcher:
        """What answers as the ``search_index`` does, among the candidates that the tables propose.

        Args:
            index: what the tables were updated from.
            files: as of :meth:`Searcher.open`.
            where: conditions that the engine keeps too, as of :meth:`Searcher.search`: hits must be asked for with them
                or stricter ones.

        Raises:
            StoreError: a table is empty, or was made with another checkpoint or blend.
        """
        row_of = read_indexed_images(index).row_of
        conditions = {column: {values} if isinstance(values, str) else set(values) for column, values in where.items()}
        indexes = {}
        for name, vectors in _vectors(index).items():
            table, wanted = self.table(name), made_with(index, vectors)
            _check(table.made_with(), wanted, name, self.address)
            indexes[name] = TableIndex(table, wanted, row_of, conditions)
        return Searcher.open(index, files=files, indexes=indexes)

    def recall(self, index: Artifact, seed: int = 0) -> float:
        """Mean share of the ``RECALL_TOP`` best images by stage 2 that its table finds, against every vector.

        Queries are captions of images drawn at random; an image that scores as much as the last of the best counts as
        one of them.
        """
        searcher, table = Searcher.open(index), self.table(STAGE2.name)
        vectors = _vectors(index)[STAGE2.name].whole()
        drawn = np.random.default_rng(seed).permutation(len(searcher.rows))[:RECALL_QUERIES]
        captions = [searcher.rows.text("caption", number) or "a picture" for number in drawn.tolist()]
        queries_QD = searcher.encoder.encode_queries(None, captions)
        return float(np.mean([_share(table, query_D, vectors) for query_D in queries_QD]))


def made_with(index: Artifact, vectors: ShardedVectors) -> MadeWith:
    """What vectors of a ``search_index`` were made with."""
    parents = index.summary["parents"]
    return MadeWith(vectors.listed.space, parents[STAGE2.artifact], parents["blend"], vectors.shape[-1], vectors.tokens)


def _vectors(index: Artifact) -> dict[str, ShardedVectors]:
    return {name: ShardedVectors.open(index, name, listed) for name, listed in read_shard_lists(index).items()}


def _update(
    table: VectorTable, wanted: MadeWith, rows: list[ImageRow], vectors: ShardedVectors, name: str, address: str
) -> TableChange:
    before = table.made_with()
    versions = {} if before is None else table.versions()
    if versions and versions.keys().isdisjoint(row.image_id for row in rows):  # else it would lose all that it has
        raise StoreError(
            f"the table of {name!r} in {address} holds {len(versions):,} images of a recipe of this name, none of "
            "which is in this search index: it is another corpus's. Give the recipe another name, or use another "
            "database or folder; if these pictures were all replaced, delete the table first"
        )
    rows = [replace(row, version=f"{row.version}-{key.hex()}") for row, key in zip(rows, vectors.keys(), strict=True)]
    there = versions if before is not None and before.encoder == wanted.encoder else {}
    new = np.array([number for number, row in enumerate(rows) if there.get(row.image_id) != row.version], np.int64)
    vectors_NTD = vectors[new].reshape(len(new), wanted.tokens, wanted.dim)
    has_vectors_N = np.isfinite(vectors_NTD).all(axis=(1, 2))
    without = {rows[number].image_id for number in new[~has_vectors_N]}
    new, vectors_NTD = new[has_vectors_N], vectors_NTD[has_vectors_N]
    removed = there.keys() - ({row.image_id for row in rows} - without)
    replaced = sum(rows[number].image_id in there for number in new)
    if len(new) or removed or before != wanted:
        table.change(wanted, removed, [rows[number] for number in new], vectors_NTD)
    return TableChange(len(new) - replaced, replaced, len(removed), len(rows) - len(new) - len(without))


def _check(own: MadeWith | None, wanted: MadeWith, name: str, address: str) -> None:
    command = f"spn4cir vectors {shlex.quote(address)}"
    if own is None:
        raise StoreError(f"the table of {name!r} in {address} is empty; fill it with: {command}")
    if own != wanted:
        other = next(one.name for one in fields(MadeWith) if getattr(own, one.name) != getattr(wanted, one.name))
        raise StoreError(
            f"the table of {name!r} in {address} was made with {other} {asdict(own)[other]}, the search index with "
            f"{asdict(wanted)[other]}; bring it up to date with: {command}"
        )


def _image_row(row: dict[str, Any]) -> ImageRow:
    says = {name: row[name] for name in ("path", "caption")} | {"metadata": metadata_of(row)}
    return ImageRow(row["image_id"], fingerprint(says), **says)


def _share(table: VectorTable, query_D: np.ndarray, vectors: np.ndarray) -> float:
    score_N = (vectors @ query_D).reshape(len(vectors), -1).max(axis=1)
    best = np.sort(score_N)[::-1][:RECALL_TOP]
    scores = [one.score for one in table.search(query_D, RECALL_TOP)]
    return float(np.count_nonzero(np.array(scores) >= best[-1] - ROUNDING) / len(best))
