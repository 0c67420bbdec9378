"""One contract for the vector tables of FAISS, LanceDB and pgvector, against the engines themselves."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.index.base import VECTOR_TABLES, ImageRow, MadeWith, VectorTable
from tests.postgres import postgres_server, programs

MADE_WITH = MadeWith(encoder="encoder", checkpoint="one", blend="blend", dim=16, tokens=2)
COLOURS = ("red", "green", "it's blue")
Open = Callable[[], VectorTable]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a server that has the extension."""
    pytest.importorskip("psycopg", reason="needs pip install 'spn4cir[pgvector]'")
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL on this machine")
    with postgres_server(folder) as access:
        host, port, user, password = (access[f"DAGSTER_PG_{name}"] for name in ("HOST", "PORT", "USER", "PASSWORD"))
        address = f"postgresql://{user}:{password}@{host}:{port}/postgres"
        if not has_pgvector(address):
            pytest.skip("this PostgreSQL has no extension pgvector")
        yield address


def has_pgvector(address: str) -> bool:
    import psycopg

    with psycopg.connect(address) as connection:
        return connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone() is not None


@pytest.fixture(params=["faiss", "lancedb", "pgvector"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens one table of each engine, as another process would."""
    if request.param == "lancedb":
        pytest.importorskip("lancedb", reason="needs pip install 'spn4cir[lancedb]'")
    uri = request.getfixturevalue("postgres") if request.param == "pgvector" else str(tmp_path)
    name = f"toys_{abs(hash(str(tmp_path)))}"
    return lambda: VECTOR_TABLES.build({"kind": request.param, "uri": uri}).open(name)  # type: ignore[no-any-return]


@pytest.fixture
def opened_beside(opened: Open, request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the table of another corpus in the same database or folder."""
    kind = request.node.callspec.params["opened"]
    uri = request.getfixturevalue("postgres") if kind == "pgvector" else str(tmp_path)
    name = f"Shoes_{abs(hash(str(tmp_path)))}"
    return lambda: VECTOR_TABLES.build({"kind": kind, "uri": uri}).open(name)  # type: ignore[no-any-return]


def row(number: int, version: str = "1") -> ImageRow:
    metadata = {"colour": COLOURS[number % 3], "category": f"kind {number % 2}"}
    return ImageRow(f"toys/{number}'s.png", version, f"path/{number}.png", f'a "toy" {number}', metadata)


def vectors(numbers: Sequence[int], salt: int = 0) -> np.ndarray:
    """(N, 2, 16) unit vectors, each row's own."""
    made = [np.random.default_rng([number, salt]).normal(size=(2, 16)) for number in numbers]
    array = np.array(made, np.float32).reshape(len(made), 2, 16)
    return array / np.linalg.norm(array, axis=2, keepdims=True)


def assert_is_exact(
    table: VectorTable, held: Mapping[int, np.ndarray], where: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Every engine's recall against comparison with all vectors is 1 with its default settings, filtered or not."""
    fitting = [
        number
        for number in held
        if all(row(number).metadata[column] in values for column, values in (where or {}).items())
    ]
    for query_D in vectors(range(1000, 1004))[:, 0]:
        scores = {number: float((held[number] @ query_D).max()) for number in fitting}
        wanted = sorted(scores, key=lambda number: -scores[number])[:10]
        nearest = table.search(query_D, 10, where or {})
        assert [one.image_id for one in nearest] == [row(number).image_id for number in wanted]
        np.testing.assert_allclose([one.score for one in nearest], [scores[number] for number in wanted], atol=1e-5)
        assert [(one.path, one.caption) for one in nearest] == [
            (row(number).path, row(number).caption) for number in wanted
        ]


def test_add_replace_remove_and_filter(opened: Open) -> None:
    table = opened()
    assert table.made_with() is None and table.versions() == {}
    assert table.search(vectors([0])[0, 0], 3) == []
    first = list(range(40))
    held = dict(zip(first, vectors(first), strict=True))
    table.change(MADE_WITH, [], [row(number) for number in first], vectors(first))
    assert opened().made_with() == MADE_WITH
    assert_is_exact(opened(), held)
    new, other = [3, 7], vectors([3, 7], salt=1)
    gone = [row(0).image_id, row(39).image_id]
    new_rows, new_vectors = [*(row(number, "2") for number in new), row(50)], np.concatenate([other, vectors([50])])
    table.change(MADE_WITH, gone, new_rows, new_vectors)
    held |= {3: other[0], 7: other[1], 50: vectors([50])[0]}
    del held[0], held[39]
    assert opened().versions() == {row(number).image_id: "2" if number in new else "1" for number in held}
    for again in (table, opened()):
        assert_is_exact(again, held)
        assert_is_exact(again, held, {"colour": ["it's blue"]})
        assert_is_exact(again, held, {"colour": ["red", "green"], "category": ["kind 1"]})
        assert again.search(vectors([0])[0, 0], 3, {"colour": ["') OR ('1'='1"]}) == []


def test_many_small_changes(opened: Open) -> None:
    held: dict[int, np.ndarray] = {}
    for number in range(12):
        removed = [row(number - 1).image_id] if number % 3 == 2 else []
        opened().change(MADE_WITH, removed, [row(number)], vectors([number]))
        held[number] = vectors([number])[0]
        if removed:
            del held[number - 1]
    assert_is_exact(opened(), held)
    opened().change(MADE_WITH, [row(number).image_id for number in held], [], vectors([]))
    assert opened().versions() == {} and opened().search(vectors([0])[0, 0], 3) == []


def test_another_encoder_replaces_everything(opened: Open) -> None:
    opened().change(MADE_WITH, [], [row(0), row(1)], vectors([0, 1]))
    same = MadeWith("encoder", "two", "blend", 16, 2)
    opened().change(same, [], [], vectors([]))
    assert opened().made_with() == same and len(opened().versions()) == 2
    other = MadeWith("another", "three", "blend", 8, 1)
    narrower = vectors([4])[:, :1, :8]
    opened().change(other, [], [row(4)], narrower)
    assert opened().made_with() == other and list(opened().versions()) == [row(4).image_id]
    (nearest,) = opened().search(narrower[0, 0], 5)
    assert nearest.score == pytest.approx(float(narrower[0, 0] @ narrower[0, 0]), abs=1e-5)


class PulledPlug(Exception):
    """What a killed process would not come back from."""


@pytest.mark.parametrize("moment", ["before the rows", "behind the rows"])
def test_an_interrupted_change_leaves_the_table_as_it_was(
    opened: Open, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = list(range(10))
    opened().change(MADE_WITH, [], [row(number) for number in first], vectors(first))
    table = opened()
    with monkeypatch.context() as patch:
        pull_the_plug(patch, table, moment)
        with pytest.raises(PulledPlug):
            table.change(MADE_WITH, [row(1).image_id], [row(3, "2"), row(20)], vectors([3, 20], salt=1))
    held = dict(zip(first, vectors(first), strict=True))
    assert_is_exact(opened(), held)
    assert set(opened().versions().values()) == {"1"}
    opened().change(MADE_WITH, [row(1).image_id], [row(20)], vectors([20]))
    del held[1]
    assert_is_exact(opened(), held | {20: vectors([20])[0]})


def pull_the_plug(patch: pytest.MonkeyPatch, table: VectorTable, moment: str) -> None:
    """Let a step of a change fail as if the process ended there: before or behind the writing of rows."""
    from spn4cir_core.index import faiss_table, lance_table, postgres_table

    def ends(*words: Any, **more: Any) -> Any:
        raise PulledPlug

    before = moment == "before the rows"
    if isinstance(table, faiss_table.FaissTable):
        patch.setattr(faiss_table.FaissTable, "_write", ends) if before else patch.setattr(
            faiss_table, "write_json", ends
        )
    elif isinstance(table, lance_table.LanceTable):
        patch.setattr(lance_table, "_as_arrow", ends) if before else patch.setattr(lance_table, "asdict", ends)
    elif isinstance(table, postgres_table.PostgresTable):
        patch.setattr(postgres_table.PostgresTable, "_add", ends) if before else patch.setattr(
            postgres_table, "asdict", ends
        )


def test_names_and_places_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = VECTOR_TABLES.build({"kind": "faiss", "uri": str(tmp_path)})
    for name in ("", "../x", "a b", 'a"; DROP TABLE x', "9x", "x" * 64):
        with pytest.raises(InputError, match="letters, digits and underscores"):
            tables.open(name)
    (tmp_path / "file").touch()
    table = VECTOR_TABLES.build({"kind": "faiss", "uri": str(tmp_path / "file")}).open("toys")
    with pytest.raises(InputError, match="name a folder that you may write"):
        table.change(MADE_WITH, [], [row(0)], vectors([0]))
    for kind in ("faiss", "lancedb"):
        with pytest.raises(InputError, match=f"'{kind}' needs a folder"):
            VECTOR_TABLES.build({"kind": kind, "uri": ""}).open("toys")
    monkeypatch.delenv("SPN4CIR_PGVECTOR", raising=False)
    with pytest.raises(InputError, match="SPN4CIR_PGVECTOR"):
        VECTOR_TABLES.build("pgvector").open("toys")


def test_an_address_that_fails_is_not_shown() -> None:
    pytest.importorskip("psycopg", reason="needs pip install 'spn4cir[pgvector]'")
    tables = VECTOR_TABLES.build({"kind": "pgvector", "uri": "postgresql://me:secret@127.0.0.1:1/none"})
    with pytest.raises(InputError, match="PostgreSQL") as raised:
        tables.open("toys")
    assert "secret" not in str(raised.value)


def test_a_graph_of_pgvector_finds_nearly_all(postgres: str) -> None:
    """HNSW is approximate: its recall against every vector is stated by ``spn4cir vectors --recall``."""
    numbers = list(range(200))
    held = vectors(numbers)
    opened = VECTOR_TABLES.build({"kind": "pgvector", "uri": postgres, "hnsw": True})
    opened.open("graph").change(MADE_WITH, [], [row(number) for number in numbers], held)
    shares = []
    for query_D in vectors(range(1000, 1020))[:, 0]:
        wanted = set(np.argsort(-(held @ query_D).max(axis=1))[:10].tolist())
        nearest = opened.open("graph").search(query_D, 10)
        shares.append(len({int(one.path[5:-4]) for one in nearest} & wanted) / 10)
        blue = opened.open("graph").search(query_D, 10, {"colour": ["it's blue"]})
        assert len(blue) == 10 and all(int(one.path[5:-4]) % 3 == 2 for one in blue)
    assert np.mean(shares) > 0.8


def test_lancedb_does_not_warn_that_a_new_table_is_new(tmp_path: Path) -> None:
    """In a process of its own: the level is read when the library is imported."""
    pytest.importorskip("lancedb", reason="needs pip install 'spn4cir[lancedb]'")
    program = """
import sys
from spn4cir_core.index.base import VECTOR_TABLES
from tests.index.test_vector_tables import MADE_WITH, row, vectors
table = VECTOR_TABLES.build({"kind": "lancedb", "uri": sys.argv[1]}).open("toys")
table.change(MADE_WITH, [], [row(0)], vectors([0]))
print(table.versions())
"""
    environment = {name: value for name, value in os.environ.items() if name != "LANCEDB_LOG"}
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    assert row(0).image_id in ast.literal_eval(ended.stdout) and ended.stderr == ""


def test_lancedb_on_s3(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lancedb", reason="needs pip install 'spn4cir[lancedb]'")
    access = {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1", "ALLOW_HTTP": "true"}
    for name, value in (access | {"ENDPOINT": f"http://127.0.0.1:{s3_port}"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)

    def opened() -> VectorTable:
        table: VectorTable = VECTOR_TABLES.build({"kind": "lancedb", "uri": "s3://bucket/tables"}).open("toys")
        return table

    opened().change(MADE_WITH, [], [row(number) for number in range(20)], vectors(range(20)))
    opened().change(MADE_WITH, [row(1).image_id], [row(2, "2"), row(30)], vectors([2, 30]))
    held = dict(zip(range(20), vectors(range(20)), strict=True)) | {30: vectors([30])[0]}
    del held[1]
    assert_is_exact(opened(), held)


def test_two_corpora_in_one_database_leave_each_other_alone(opened: Open, opened_beside: Open) -> None:
    other_made, numbers = replace(MADE_WITH, encoder="another", dim=8, tokens=1), [1, 2, 3]
    other_vectors = vectors(numbers)[:, :1, :8]
    opened().change(MADE_WITH, [], [row(number) for number in range(5)], vectors(range(5)))
    opened_beside().change(other_made, [], [row(number, "9") for number in numbers], other_vectors)
    held = dict(zip(range(5), vectors(range(5)), strict=True))
    assert_is_exact(opened(), held)
    nearest = opened_beside().search(other_vectors[0, 0], 9)
    assert {one.image_id for one in nearest} == {row(number).image_id for number in numbers}
    opened().change(replace(MADE_WITH, encoder="retrained"), [], [row(7)], vectors([7]))
    assert opened_beside().made_with() == other_made
    assert opened_beside().versions() == {row(number).image_id: "9" for number in numbers}
    assert opened().versions() == {row(7).image_id: "1"}


def test_corpora_that_come_into_a_new_database_at_once_all_get_a_table(postgres: str) -> None:
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE new_one")
    tables = VECTOR_TABLES.build({"kind": "pgvector", "uri": postgres.replace("/postgres", "/new_one")})
    together = threading.Barrier(8)

    def come(number: int) -> None:
        together.wait()
        tables.open(f"corpus_{number}").change(MADE_WITH, [], [row(number)], vectors([number]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert [tables.open(f"corpus_{number}").versions() for number in range(8)] == [
        {row(number).image_id: "1"} for number in range(8)
    ]
