from __future__ import annotations

import pytest

from spn4cir_core.index.base import VECTOR_TABLES


@pytest.mark.parametrize(
    ("kind", "uri", "address"),
    [
        ("faiss", "tables", "faiss:tables"),
        ("pgvector", "", "pgvector:"),
        ("pgvector", "postgresql://me@host:5432/db", "pgvector:postgresql://me@host:5432/db"),
        ("pgvector", "postgresql://me:se-cr.et@host/db", "pgvector:postgresql://me:***@host/db"),
        ("pgvector", "host=h password=secret dbname=d", "pgvector:host=h password=*** dbname=d"),
        ("pgvector", "postgresql://host/db?password=secret&x=1", "pgvector:postgresql://host/db?password=***&x=1"),
        ("lancedb", "s3://bucket/v", "lancedb:s3://bucket/v"),
    ],
)
def test_an_address_that_is_shown_has_no_password(kind: str, uri: str, address: str) -> None:
    assert VECTOR_TABLES.build({"kind": kind, "uri": uri}).address == address
