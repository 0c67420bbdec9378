"""Removes repetitions from a list of hits: the reference image, and near-duplicates of an earlier hit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spn4cir_core.index.text_rows import as_numbers
from spn4cir_core.search.index_table import IndexedImages
from spn4cir_core.search.indexed_blend import Scored
from spn4cir_core.splits.split_tables import NEAR_DUPLICATES_FILE, SAME_GROUP
from spn4cir_core.store.artifacts import Artifact

Once = Literal["pictures", "products", "all"]
"""Which repetitions are left out: near-duplicates (``pictures``), also other views of a product, or none (``all``)."""
REPEATS_SCHEMA = pa.schema([("image_a", pa.string()), ("image_b", pa.string()), ("is_view", pa.bool_())])


@dataclass(frozen=True)
class Repeats:
    """Rows of the index that show the same thing.

    Attributes:
        near: row → rows of its near-duplicates.
        views: row → rows of other images of its product.
    """

    near: Mapping[int, Sequence[int]] = field(default_factory=dict)
    views: Mapping[int, Sequence[int]] = field(default_factory=dict)

    @classmethod
    def open(cls, artifact: Artifact, images: IndexedImages) -> Repeats:
        """Read them from a ``search_index`` artefact; none where it was made before they were stored."""
        if NEAR_DUPLICATES_FILE not in artifact.summary["files"]:
            return cls()
        pairs = artifact.table(NEAR_DUPLICATES_FILE)
        one_K, other_K = (_rows_of(pairs[column], images) for column in ("image_a", "image_b"))
        near: defaultdict[int, list[int]] = defaultdict(list)
        views: defaultdict[int, list[int]] = defaultdict(list)
        for one, other, is_view in zip(one_K, other_K, pairs["is_view"].to_pylist(), strict=True):
            links = views if is_view else near
            links[one].append(other)
            links[other].append(one)
        return cls(dict(near), dict(views))

    def of(self, row: int, once: Once) -> Iterator[int]:
        """Rows of the images that repeat this one."""
        if once != "all":
            yield from self.near.get(row, ())
        if once == "products":
            yield from self.views.get(row, ())

    def left_out(self, rows: Iterable[int], once: Once) -> set[int]:
        """Rows of the images that repeat one of these, and are none of them."""
        shown = set(rows)
        return {repeat for row in shown for repeat in self.of(row, once)} - shown

    def without_repeats(
        self, scored: Iterable[Scored], references: Iterable[int | None], once: Once
    ) -> Iterator[Scored]:
        """The scored images in order, without the reference images and without those that repeat an earlier one."""
        rows = [row for row in references if row is not None]
        gone = {*rows, *(repeat for row in rows for repeat in self.of(row, once))}
        for one in scored:
            if one.row not in gone:
                yield one
                gone.update(self.of(one.row, once))


def _rows_of(image_ids: pa.ChunkedArray, images: IndexedImages) -> list[int]:
    """Rows of some images, by one pass over all."""
    encoded = image_ids.cast(images.columns["image_id"].type).combine_chunks().dictionary_encode()
    number_N = pc.index_in(images.columns["image_id"], value_set=encoded.dictionary)
    row_of_number = np.empty(len(encoded.dictionary), np.int64)
    row_of_number[as_numbers(number_N.drop_null())] = as_numbers(pc.indices_nonzero(number_N.is_valid()))
    rows: list[int] = row_of_number[as_numbers(encoded.indices)].tolist()
    return rows


def repeats_table(splits: Artifact, image_ids: pa.Array) -> pa.Table:
    """Pairs of indexed images that show the same, from the near-duplicates of a ``splits`` artefact."""
    table = splits.table(NEAR_DUPLICATES_FILE, columns=["image_a", "image_b", "found_by"])
    for column in ("image_a", "image_b"):
        table = table.filter(pc.is_in(table[column], value_set=image_ids))
    is_view = pc.equal(table["found_by"], SAME_GROUP)
    return pa.table([table["image_a"], table["image_b"], is_view], schema=REPEATS_SCHEMA)
