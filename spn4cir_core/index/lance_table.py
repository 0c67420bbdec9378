"""A vector table in LanceDB: a folder or an S3 prefix, searched from disk. Its versions make a change whole."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from typing_extensions import override

from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.index.base import ImageRow, MadeWith, Nearest, VectorTable, VectorTables, tags_of
from spn4cir_core.index.faiss_table import check_name

ABOUT = "_about"
"""Ending of the table that says which version of the vectors is current: one row, replaced as a whole."""
QUIET = ("LANCEDB_LOG", "error")
"""LanceDB otherwise warns that a new table is new; a level that the user's environment names stays."""
NEVER, OLD_VERSIONS = timedelta(days=36_500), timedelta(days=7)
"""Age from which on versions are deleted: before the new one is the current one, and after."""


class LanceTables(VectorTables):
    """Tables in a LanceDB database."""

    plugin_kind: ClassVar[str] = "lancedb"

    uri: str
    """A folder, or a URL such as ``s3://bucket/prefix``."""

    @override
    def extras(self) -> tuple[str, ...]:
        return ("lancedb",)

    @override
    def open(self, name: str) -> LanceTable:
        check_name(name)
        if not self.uri:
            raise InputError("vector table 'lancedb' needs a folder or an address, such as lancedb:shoe_vectors")
        os.environ.setdefault(*QUIET)  # read when it is imported
        try:
            import lancedb
        except ImportError as error:
            raise MissingExtra("lancedb", "lancedb") from error
        try:
            return LanceTable(lancedb.connect(self.uri), name)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"LanceDB at {self.uri!r} cannot be opened: {error}") from error


class LanceTable(VectorTable):
    """Searched at the version that the table ``NAME_about`` names; what an interrupted change wrote is behind it."""

    def __init__(self, database: Any, name: str) -> None:
        self._database, self._name = database, name
        self._read()

    def _read(self) -> None:
        self._table: Any = None
        self._made_with: MadeWith | None = None
        if self._name + ABOUT not in self._names():
            return
        (about,) = self._database.open_table(self._name + ABOUT).to_arrow().to_pylist()
        self._made_with = MadeWith(**json.loads(about["made_with"]))
        self._table = self._database.open_table(about["table"])
        self._table.checkout(about["version"])

    def _names(self) -> set[str]:
        return set(self._database.list_tables().tables)

    @override
    def made_with(self) -> MadeWith | None:
        return self._made_with

    @override
    def versions(self) -> dict[str, str]:
        if self._table is None:
            return {}
        rows = self._table.search().where("token = 0").select(["image_id", "version"]).to_arrow()
        return dict(zip(rows["image_id"].to_pylist(), rows["version"].to_pylist(), strict=True))

    @override
    def change(
        self, made_with: MadeWith, removed: Collection[str], added: Sequence[ImageRow], vectors_NTD: np.ndarray
    ) -> None:
        stays = self._made_with is not None and self._made_with.encoder == made_with.encoder
        rows = _as_arrow(added, vectors_NTD, made_with.dim)
        if stays:
            table = self._database.open_table(self._table.name)
            table.checkout(self._table.version)
            table.restore()  # what an interrupted change wrote behind the current version
            gone = sorted({*removed, *(row.image_id for row in added)})
            for start in range(0, len(gone), 1000):
                table.delete(f"image_id IN ({', '.join(map(_quoted, gone[start : start + 1000]))})")
            if added:
                table.add(rows)
        else:
            table = self._database.create_table(f"{self._name}_{made_with.encoder[:12]}", rows, mode="overwrite")
        table.optimize(cleanup_older_than=NEVER)  # puts the small files of many changes together
        about = {"table": table.name, "version": table.version, "made_with": json.dumps(asdict(made_with))}
        self._database.create_table(self._name + ABOUT, pa.Table.from_pylist([about]), mode="overwrite")
        table.optimize(cleanup_older_than=OLD_VERSIONS)
        self._read()

    @override
    def search(
        self, query_D: np.ndarray, count: int, where: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> list[Nearest]:
        if self._table is None or self._made_with is None:
            return []
        request = self._table.search(query_D.astype(np.float32), vector_column_name="vector").distance_type("dot")
        conditions = [_any_of(column, values) for column, values in where.items()]
        if conditions:
            request = request.where(" AND ".join(conditions), prefilter=True)
        rows = request.limit(count * self._made_with.tokens).select(["image_id", "path", "caption", "_distance"])
        best: dict[str, Nearest] = {}
        for row in rows.to_arrow().to_pylist():  # 1 - inner product, best first
            one = Nearest(row["image_id"], row["path"], row["caption"], 1 - float(row["_distance"]))
            best.setdefault(one.image_id, one)
        return sorted(best.values(), key=lambda one: (-one.score, one.image_id))[:count]


def _as_arrow(rows: Sequence[ImageRow], vectors_NTD: np.ndarray, dim: int) -> pa.Table:
    """One row per vector: token t of image n is vector t of it."""
    tokens = vectors_NTD.shape[1] if len(rows) else 1
    repeated = [row for row in rows for _ in range(tokens)]
    flat = pa.array(np.ascontiguousarray(vectors_NTD, np.float32).reshape(-1))
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(row, name) for row in repeated], pa.string())
        for name in ("image_id", "version", "path", "caption")
    }
    columns["tags"] = pa.array([tags_of(row.metadata) for row in repeated], pa.list_(pa.string()))
    columns["token"] = pa.array([token for _ in rows for token in range(tokens)], pa.int32())
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, dim)
    return pa.table(columns)


def _quoted(text: str) -> str:
    """A text as SQL has it; the engine takes no parameters."""
    return "'" + text.replace("'", "''") + "'"


def _any_of(column: str, values: Collection[str]) -> str:
    tags = ", ".join(_quoted(f"{column}={value}") for value in sorted(values))
    return f"array_has_any(tags, [{tags}])"
