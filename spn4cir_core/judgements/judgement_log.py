"""All judgements of a store in one SQLite file: rows are added, and never changed or removed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from typing import Any

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.judgements.judgement import Judgement, Purpose, query_id
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint

FILE = "judgements.sqlite"
MOST_JUDGEMENTS = 1_000_000
"""Further ones are refused: whoever reaches the page must not be able to fill the disk."""
BUSY_SECONDS = 30.0
"""How long a writer waits for another one."""
COLUMNS = (
    "judgement_id",
    "given_at",
    "judge",
    "model",
    "model_fingerprint",
    "index_fingerprint",
    "reference_ids",
    "modified_text",
    "image_id",
    "rank",
    "verdict",
    "shown_ids",
    "stratum",
    "stratum_queries",
)
NEWER_COLUMNS = {"stratum": "TEXT NOT NULL DEFAULT ''", "stratum_queries": "INTEGER NOT NULL DEFAULT 0"}
"""Columns that a log from before has not."""
LISTS = ("reference_ids", "shown_ids")
"""Columns that hold a JSON list."""
TABLES = """
CREATE TABLE IF NOT EXISTS judgements (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    recipe TEXT NOT NULL,
    query_id TEXT NOT NULL,
    judgement_id TEXT NOT NULL UNIQUE,
    given_at TEXT NOT NULL,
    judge TEXT NOT NULL,
    model TEXT NOT NULL,
    model_fingerprint TEXT NOT NULL,
    index_fingerprint TEXT NOT NULL,
    reference_ids TEXT NOT NULL,
    modified_text TEXT NOT NULL,
    image_id TEXT NOT NULL,
    rank INTEGER,
    verdict TEXT NOT NULL CHECK (verdict IN ('right', 'wrong', 'unsure', 'none', 'withdrawn')),
    shown_ids TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS judgements_of_query ON judgements (recipe, query_id, judge);
CREATE TABLE IF NOT EXISTS purposes (
    recipe TEXT NOT NULL,
    image_id TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('train', 'validation', 'evaluation')),
    PRIMARY KEY (recipe, image_id)
);
"""


class JudgementLog:
    """The judgements of one recipe in a store, in the order in which they came.

    Several processes may read and write at once: the file is in write-ahead mode, and a judgement is on the disk when
    :meth:`add` returns.
    """

    def __init__(self, store: Store, recipe: str) -> None:
        self.path, self.recipe = store.root / FILE, recipe

    def add(self, judgements: Sequence[Judgement], purposes: Mapping[str, Purpose]) -> int:
        """Append judgements, and decide the purpose of images that none has been decided for; returns how many are new.

        A judgement whose ``judgement_id`` is there already is left out; one that another recipe of the store has gets
        an id of its own, always the same.

        Args:
            purposes: of every image that the judgements speak of; one that was decided before stays.

        Raises:
            InputError: the log is full.
            StoreError: the file cannot be written, or is damaged.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            (last,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM judgements").fetchone()
            if last + len(judgements) > MOST_JUDGEMENTS:
                raise InputError(f"{self.path} holds {last:,} judgements, and at most {MOST_JUDGEMENTS:,} are kept")
            rows = [(self.recipe, image_id, purpose) for image_id, purpose in sorted(purposes.items())]
            connection.executemany("INSERT INTO purposes VALUES (?, ?, ?) ON CONFLICT DO NOTHING", rows)
            names = ("recipe", "query_id", *COLUMNS)
            values = ", ".join("?" for _ in names)
            statement = f"INSERT INTO judgements ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"
            own = [self._with_own_id(connection, each) for each in judgements]
            rows_of_all = [(self.recipe, each.query_id, *_values(each)) for each in own]
            return sum(connection.execute(statement, row).rowcount for row in rows_of_all)

    def purposes(self, image_ids: Sequence[str] | None = None) -> dict[str, Purpose]:
        """What judgements on these images serve, for the images it has been decided for; default: of all."""
        select = "SELECT image_id, purpose FROM purposes WHERE recipe = ?"
        if image_ids is None:
            return dict(self._read(select, (self.recipe,)))
        one = f"{select} AND image_id = ?"
        return dict(row for image_id in image_ids for row in self._read(one, (self.recipe, image_id)))

    def judgements(self, first: int | None = None) -> list[Judgement]:
        """All judgements, or the ``first`` ones; these are the same whatever has been added since."""
        select = f"SELECT {', '.join(COLUMNS)} FROM judgements WHERE recipe = ? ORDER BY number LIMIT ?"
        return [_judgement(row) for row in self._read(select, (self.recipe, -1 if first is None else first))]

    def of_query(self, reference_ids: Sequence[str], modified_text: str, judge: str) -> dict[str, str]:
        """The last verdict of a judge on each image of a query, by image id; empty id: on the whole query."""
        select = "SELECT image_id, verdict FROM judgements WHERE recipe = ? AND query_id = ? AND judge = ?"
        own = (self.recipe, query_id(tuple(reference_ids), modified_text), judge)
        verdicts = dict(self._read(f"{select} ORDER BY number", own))
        return {image_id: verdict for image_id, verdict in verdicts.items() if verdict != "withdrawn"}

    def __len__(self) -> int:
        """How many judgements there are."""
        rows = self._read("SELECT COUNT(*) FROM judgements WHERE recipe = ?", (self.recipe,))
        return int(rows[0][0]) if rows else 0

    def other_recipes(self) -> list[str]:
        """Names of the other recipes of the store that have judgements."""
        rows = self._read("SELECT DISTINCT recipe FROM judgements WHERE recipe <> ? ORDER BY recipe", (self.recipe,))
        return [name for (name,) in rows]

    def _with_own_id(self, connection: sqlite3.Connection, judgement: Judgement) -> Judgement:
        select = "SELECT 1 FROM judgements WHERE judgement_id = ? AND recipe <> ?"
        if connection.execute(select, (judgement.judgement_id, self.recipe)).fetchone() is None:
            return judgement
        return replace(judgement, judgement_id=fingerprint([self.recipe, judgement.judgement_id]))

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The rows; none where nothing has been judged yet."""
        if not self.path.is_file():
            return []
        with self._transaction() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection whose statements are carried out together, or not at all.

        Raises:
            StoreError: the file cannot be read or written, or is damaged.
        """
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")  # on the disk, not only with the operating system
                connection.executescript(TABLES)
                _add_newer_columns(connection)
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise StoreError(
                f"{self.path} cannot be read or written ({error}). Check the disk; if the file is damaged, move it "
                "away and bring back a copy with: spn4cir judgements import"
            ) from error


def _add_newer_columns(connection: sqlite3.Connection) -> None:
    with connection:
        there = {row[1] for row in connection.execute("PRAGMA table_info(judgements)")}
        if there.issuperset(NEWER_COLUMNS):
            return
        connection.execute("BEGIN IMMEDIATE")  # another process may be adding them
        there = {row[1] for row in connection.execute("PRAGMA table_info(judgements)")}
        for name, kind in NEWER_COLUMNS.items():
            if name not in there:
                connection.execute(f"ALTER TABLE judgements ADD COLUMN {name} {kind}")


def _values(judgement: Judgement) -> tuple[Any, ...]:
    """The values of :data:`COLUMNS`."""
    values = asdict(judgement) | {name: json.dumps(getattr(judgement, name)) for name in LISTS}
    return tuple(values[name] for name in COLUMNS)


def _judgement(values: Sequence[Any]) -> Judgement:
    row = dict(zip(COLUMNS, values, strict=True))
    return Judgement(**(row | {name: tuple(json.loads(row[name])) for name in LISTS}))
