"""Connections to SQLite files, as the code location sets them up."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from dagster_project import sqlite_connections
from dagster_project.sqlite_connections import MOST_OPEN

NORMAL, FULL = 1, 2


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_connections, "_open", type(sqlite_connections._open)())


def written(path: Path) -> int:
    """Write to a file as Dagster does, by a connection of its own; how that one syncs."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("PRAGMA journal_mode=WAL"))
        connection.execute(text("CREATE TABLE IF NOT EXISTS events (number INTEGER)"))
        connection.execute(text("INSERT INTO events VALUES (1)"))
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_a_close_between_two_events_is_not_the_last_one(tmp_path: Path) -> None:
    assert written(tmp_path / "a.db") == written(tmp_path / "a.db") == NORMAL
    log = tmp_path / "a.db-wal"
    assert log.is_file() and log.stat().st_size, "the last close would have written it into the file"
    with create_engine(f"sqlite:///{tmp_path / 'a.db'}").connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM events")).scalar_one() == 2


def test_few_files_stay_open(tmp_path: Path) -> None:
    for number in range(MOST_OPEN + 3):
        written(tmp_path / f"{number}.db")
        written(tmp_path / f"{number}.db")
    assert len(sqlite_connections._open) == MOST_OPEN
    assert not (tmp_path / "0.db-wal").exists() and (tmp_path / f"{MOST_OPEN + 2}.db-wal").exists()


def test_a_database_in_memory_is_left_alone() -> None:
    with create_engine("sqlite://").connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == FULL
    assert not sqlite_connections._open
