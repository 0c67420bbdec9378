"""A vector table in PostgreSQL with the extension pgvector. A change is one transaction; all values are parameters."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from typing_extensions import override

from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.index.base import ImageRow, MadeWith, Nearest, VectorTable, VectorTables, tags_of
from spn4cir_core.index.faiss_table import check_name

DSN = "SPN4CIR_PGVECTOR"
ABOUT = "spn4cir_vector_tables"
"""Name and :class:`MadeWith` of every table."""
CONNECT_S = 10
MOST_INDEXED_DIMENSIONS = 2000
"""Of pgvector's HNSW."""

FIRST_USE = 0x73706E34
"""Lock of those that come at once into a database without a table: IF NOT EXISTS fails for all but the first one."""


class PostgresTables(VectorTables):
    """Tables in a PostgreSQL database."""

    plugin_kind: ClassVar[str] = "pgvector"

    uri: str = ""
    """``postgresql://user@host/database``. Empty: what the environment variable SPN4CIR_PGVECTOR says, where a password
    may stand; recipes and command lines are seen by others."""
    hnsw: bool = False
    """Search through pgvector's HNSW graph, which may miss images; else every vector is compared."""

    @override
    def extras(self) -> tuple[str, ...]:
        return ("pgvector",)

    @override
    def open(self, name: str) -> PostgresTable:
        address = self.uri or os.environ.get(DSN, "")
        if not address:
            raise InputError(f"vector table 'pgvector': set the environment variable {DSN}, or give uri")
        return PostgresTable(address, check_name(name), self.hnsw)


class PostgresTable(VectorTable):
    """Every call is a connection of its own, so that none is lost by a restarted server."""

    def __init__(self, address: str, name: str, hnsw: bool) -> None:
        self._address, self._name, self._hnsw = address, name, hnsw
        with self._transaction() as transaction:
            transaction.execute("SELECT pg_advisory_xact_lock(%s)", (FIRST_USE,))
            transaction.execute("CREATE EXTENSION IF NOT EXISTS vector")
            transaction.execute(f"CREATE TABLE IF NOT EXISTS {ABOUT} (name text PRIMARY KEY, made_with text NOT NULL)")

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A cursor; what was executed counts if the block succeeds.

        Raises:
            InputError: the database cannot be reached, or refuses.
            MissingExtra: psycopg is not installed.
        """
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra("psycopg", "pgvector") from error
        try:
            with psycopg.connect(self._address, connect_timeout=CONNECT_S) as connection, connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:  # its address may hold a password, and is not shown
            raise InputError(f"vector table {self._name!r}: PostgreSQL: {str(error).strip()}") from error

    def _sql(self, text: str, **names: str) -> Any:
        from psycopg import sql

        own = {"table": self._name, **names}
        return sql.SQL(text).format(**{key: sql.Identifier(name) for key, name in own.items()})

    @override
    def made_with(self) -> MadeWith | None:
        with self._transaction() as transaction:
            transaction.execute(f"SELECT made_with FROM {ABOUT} WHERE name = %s", (self._name,))
            row = transaction.fetchone()
        return None if row is None else MadeWith(**json.loads(row[0]))

    @override
    def versions(self) -> dict[str, str]:
        if self.made_with() is None:
            return {}
        with self._transaction() as transaction:
            transaction.execute(self._sql("SELECT image_id, version FROM {table} WHERE token = 0"))
            return dict(transaction.fetchall())

    @override
    def change(
        self, made_with: MadeWith, removed: Collection[str], added: Sequence[ImageRow], vectors_NTD: np.ndarray
    ) -> None:
        before = self.made_with()
        stays = before is not None and before.encoder == made_with.encoder
        gone = sorted({*removed, *(row.image_id for row in added)})
        with self._transaction() as transaction:
            if stays:
                transaction.execute(self._sql("DELETE FROM {table} WHERE image_id = ANY(%s)"), (gone,))
            else:
                self._create(transaction, made_with.dim)
            self._add(transaction, added, vectors_NTD)
            transaction.execute(
                f"INSERT INTO {ABOUT} (name, made_with) VALUES (%s, %s) "
                "ON CONFLICT (name) DO UPDATE SET made_with = excluded.made_with",
                (self._name, json.dumps(asdict(made_with))),
            )

    def _create(self, transaction: Any, dim: int) -> None:
        transaction.execute(self._sql("DROP TABLE IF EXISTS {table}"))
        transaction.execute(
            self._sql(
                "CREATE TABLE {table} (image_id text, token int, version text NOT NULL, path text NOT NULL, "
                f"caption text NOT NULL, tags text[] NOT NULL, vector vector({dim:d}) NOT NULL, "
                "PRIMARY KEY (image_id, token))"
            )
        )
        transaction.execute(self._sql("CREATE INDEX ON {table} USING gin (tags)"))
        if self._hnsw and dim <= MOST_INDEXED_DIMENSIONS:
            transaction.execute(self._sql("CREATE INDEX ON {table} USING hnsw (vector vector_ip_ops)"))

    def _add(self, transaction: Any, added: Sequence[ImageRow], vectors_NTD: np.ndarray) -> None:
        copied = self._sql("COPY {table} (image_id, token, version, path, caption, tags, vector) FROM STDIN")
        with transaction.copy(copied) as copy:
            for row, vectors_TD in zip(added, vectors_NTD, strict=True):
                for token, vector_D in enumerate(vectors_TD):
                    tags = tags_of(row.metadata)
                    copy.write_row((row.image_id, token, row.version, row.path, row.caption, tags, _text(vector_D)))

    @override
    def search(
        self, query_D: np.ndarray, count: int, where: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> list[Nearest]:
        made_with = self.made_with()
        if made_with is None:
            return []
        conditions = " AND ".join("tags && %s" for _ in where) or "true"
        groups = [[f"{column}={value}" for value in sorted(values)] for column, values in where.items()]
        query = _text(query_D)
        with self._transaction() as transaction:
            if self._hnsw:
                transaction.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
            transaction.execute(
                self._sql(
                    "SELECT image_id, path, caption, -(vector <#> %s::vector) FROM {table} "
                    f"WHERE {conditions} ORDER BY vector <#> %s::vector LIMIT %s"
                ),
                (query, *groups, query, count * made_with.tokens),
            )
            rows = transaction.fetchall()
        best: dict[str, Nearest] = {}
        for one in (Nearest(*row) for row in rows):
            if one.image_id not in best or one.score > best[one.image_id].score:
                best[one.image_id] = one
        return sorted(best.values(), key=lambda one: (-one.score, one.image_id))[:count]


def _text(vector_D: np.ndarray) -> str:
    """A vector as pgvector reads it, with all digits of a float32."""
    return "[" + ",".join(map(repr, vector_D.astype(np.float32).tolist())) + "]"
