"""What a ``search_index`` artefact says: one row per indexed image, in the order of its vectors, and their shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from spn4cir_core.errors import StoreError
from spn4cir_core.index.text_rows import READ_TOGETHER, TextRows, Texts
from spn4cir_core.index.vector_shards import ShardList
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import read_json

IMAGES_FILE, ABOUT, VECTORS = "search_index.parquet", "index.json", "vectors"
TEXTS = ("image_id", "path", "caption", "pixel_sha256", "caption_source", "category", "corpus")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXTS), ("attributes", pa.map_(pa.string(), pa.string()))])
HELD_TEXT = pa.large_string()
"""One array holds the texts of all images, also where they are more than 2 GB."""


class IndexedImages(Sequence[dict[str, Any]]):
    """N indexed images, sorted by id; row i belongs to the i-th target of the index.

    They lie in columns: a row is made when it is read, with attributes as pairs.
    """

    def __init__(self, table: pa.Table) -> None:
        """``table``: the columns of :data:`SCHEMA`."""
        self.columns: Mapping[str, pa.Array] = {name: _whole(table[name], HELD_TEXT) for name in TEXTS}
        self.attributes: pa.MapArray = _whole(table["attributes"], SCHEMA.field("attributes").type)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> IndexedImages:
        """Of rows as dictionaries; columns that they lack are empty."""
        empty = {**dict.fromkeys(TEXTS, ""), "attributes": []}
        return cls(pa.Table.from_pylist([{**empty, **row} for row in rows], SCHEMA))

    def __len__(self) -> int:
        return len(self.attributes)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        texts = {name: column[row].as_py() for name, column in self.columns.items()}
        return {**texts, "attributes": self.attributes[row].as_py()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), READ_TOGETHER):
            parts = {**self.columns, "attributes": self.attributes}
            some = {name: column.slice(start, READ_TOGETHER) for name, column in parts.items()}
            yield from pa.table(some).to_pylist()

    def text(self, name: str, row: int) -> str:
        """One text of one image."""
        value: str = self.columns[name][row].as_py()
        return value

    def texts(self, name: str) -> Texts:
        """A text of each image."""
        return Texts(self.columns[name])

    @cached_property
    def row_of(self) -> TextRows:
        """Image id → row."""
        return TextRows(self.columns["image_id"])

    @cached_property
    def row_of_pixels(self) -> TextRows:
        """Hash of an image's pixels → row: an upload of an indexed picture is known by it."""
        return TextRows(self.columns["pixel_sha256"])


def _whole(column: pa.ChunkedArray, type_: pa.DataType) -> pa.Array:
    cast = column.cast(type_)
    return cast.chunk(0) if cast.num_chunks == 1 else cast.combine_chunks()


def read_indexed_images(search_index: Artifact) -> IndexedImages:
    """The images of a search index.

    Raises:
        StoreError: a column is missing, since another version wrote the artefact.
    """
    return IndexedImages(search_index.table(IMAGES_FILE, SCHEMA.names))


def read_shard_lists(search_index: Artifact) -> dict[str, ShardList]:
    """Name of vectors → their shards.

    Raises:
        StoreError: another version wrote the artefact.
    """
    about = read_json(search_index.file(ABOUT))
    try:
        return {name: ShardList.model_validate(listed) for name, listed in about[VECTORS].items()}
    except (AttributeError, KeyError, TypeError, ValidationError) as error:
        raise StoreError(
            f"the search index {search_index.fingerprint} is of another version; make it anew with: "
            "spn4cir run --select search_index"
        ) from error
