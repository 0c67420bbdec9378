"""The index's vectors in tables: only what has changed is read and written, and the answers are the index's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.index.sharded_index import ShardedVectors
from spn4cir_core.search import indexed_blend, vector_tables
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.index_table import read_indexed_images
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.search.vector_tables import IndexTables, TableChange
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import measured_store, recipe, weigh

REFERENCE, OTHER = np.full((20, 20, 3), 200, np.uint8), np.full((20, 20, 3), (200, 20, 20), np.uint8)
ALL = {"picture": 1.0, "modified_text": 0.7, "edited_caption": 2.0, "stage2": 0.5, "control": 0.4}


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    store = measured_store(tmp_path / "measured")
    weigh(store, **ALL)
    return store


def indexed(store: Store, images: str = "all") -> Artifact:
    made = recipe(store.root.parent / "pictures")
    settings = SearchSettings.model_validate({"images": images})
    return SEARCH_INDEX.run(made.model_copy(update={"search_index": settings}), store)[0]


def tables(store: Store, kind: str = "faiss") -> IndexTables:
    return IndexTables.named(f"{kind}:{store.root.parent / kind}", "measured")


def each(added: int, replaced: int, removed: int, unchanged: int) -> dict[str, TableChange]:
    change = TableChange(added, replaced, removed, unchanged)
    return dict.fromkeys(("stage2", "control", "picture"), change)


def same(hits: list[Hit], wanted: list[Hit]) -> None:
    assert [hit.image_id for hit in hits] == [hit.image_id for hit in wanted]
    np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in wanted], atol=1e-3)
    assert [hit.rank for hit in hits] == list(range(len(hits)))
    assert [hit.channels.keys() for hit in hits] == [hit.channels.keys() for hit in wanted]


@pytest.mark.parametrize("kind", ["faiss", "lancedb"])
def test_it_answers_as_the_index_does(own_store: Store, kind: str) -> None:
    if kind == "lancedb":
        pytest.importorskip("lancedb", reason="needs pip install 'spn4cir[lancedb]'")
    index = indexed(own_store)
    assert tables(own_store, kind).update(index) == each(36, 0, 0, 0)
    searcher, whole = tables(own_store, kind).searcher(index), Searcher.open(index)
    alone, whole_alone = searcher.beside(searcher.network), whole.beside(whole.network)
    for ours, theirs in ((searcher, whole), (alone, whole_alone)):
        same(ours.search(REFERENCE, "make it blue", 8), theirs.search(REFERENCE, "make it blue", 8))
        same(ours.search(None, "a red bar", 36, once="all"), theirs.search(None, "a red bar", 36, once="all"))
        several = {"image": [REFERENCE, OTHER], "text": "a bar", "top": 9, "weights": (1, 2)}
        same(ours.search(**several), theirs.search(**several))
        where = {"colour": ["red", "blue"], "label": "bar"}
        right = theirs.search(REFERENCE, "make it blue", 8, where=where)
        same(ours.search(REFERENCE, "make it blue", 8, where=where), right)
        filtered = tables(own_store, kind).searcher(index, where=where)
        filtered = filtered if ours is searcher else filtered.beside(searcher.network)
        same(filtered.search(REFERENCE, "make it blue", 8, where=where), right)
    picture = own_store.root.parent / "pictures" / "toys" / "04.png"
    assert "toys/04.png" not in {hit.image_id for hit in searcher.search(picture, "x", 36, once="all")}
    assert tables(own_store, kind).recall(index) == 1


def test_only_candidates_are_scored(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_blend, "CANDIDATES", 2)
    index = indexed(own_store)
    tables(own_store).update(index)
    searcher = tables(own_store).searcher(index)
    assert searcher.blend is not None
    read: list[int] = []
    contributions = type(searcher.blend.blend).contributions

    def counted(blend: object, gallery: object, queries: object, rows_K: np.ndarray | None = None) -> np.ndarray:
        read.append(36 if rows_K is None else len(rows_K))
        return contributions(blend, gallery, queries, rows_K)  # type: ignore[arg-type]

    monkeypatch.setattr(type(searcher.blend.blend), "contributions", counted)
    searcher.search(REFERENCE, "a red bar", 1)
    assert len(read) == 1 and read[0] <= 5 * 2


def test_a_change_costs_what_has_changed(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    few = indexed(own_store, "evaluation")
    assert tables(own_store).update(few) == each(18, 0, 0, 0)
    every = indexed(own_store)
    read: list[int] = []
    rows_of = ShardedVectors.__getitem__

    def counted(vectors: ShardedVectors, rows: int | np.ndarray) -> np.ndarray:
        read.append(np.size(rows))
        return rows_of(vectors, rows)

    monkeypatch.setattr(ShardedVectors, "__getitem__", counted)
    assert tables(own_store).update(every) == each(18, 0, 0, 18) and read == [18] * 3
    assert tables(own_store).update(every) == each(0, 0, 0, 36) and read[3:] == [0] * 3
    assert tables(own_store).update(few) == each(0, 0, 18, 18)
    assert len(tables(own_store).searcher(few).search(REFERENCE, "x", 36, once="all")) == 18


def test_images_without_vectors_are_in_no_table_and_come_once_they_have_some(own_store: Store) -> None:
    index = indexed(own_store)
    vectors = ShardedVectors.__getitem__

    def without_first(shards: ShardedVectors, rows: int | np.ndarray) -> np.ndarray:
        vectors_K = vectors(shards, rows)
        vectors_K[np.asarray(rows) == 0] = np.nan
        return vectors_K

    def cut() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ShardedVectors, "__getitem__", without_first)
            yield

    for _ in cut():
        assert tables(own_store).update(index) == each(35, 0, 0, 0)
        assert tables(own_store).update(index) == each(0, 0, 0, 35)
    assert tables(own_store).update(index) == each(1, 0, 0, 35)


def test_another_blend_or_an_empty_table_is_refused(own_store: Store) -> None:
    index = indexed(own_store)
    with pytest.raises(StoreError, match=r"table of '\w+' in faiss:\S+ is empty; fill it with: spn4cir vectors faiss:"):
        tables(own_store).searcher(index)
    tables(own_store).update(index)
    weigh(own_store, stage2=1.0, control=1.0, picture=0.1)
    other = indexed(own_store)
    with pytest.raises(StoreError, match=r"made with blend .* bring it up to date"):
        tables(own_store).searcher(other)
    assert tables(own_store).update(other) == each(0, 0, 0, 36)
    assert tables(own_store).searcher(other).search(None, "red", 3)


def test_a_table_of_another_corpus_is_refused_and_stays_as_it_was(own_store: Store, tmp_path: Path) -> None:
    index = indexed(own_store)
    tables(own_store).update(index)
    before = tables(own_store).table("picture").versions()
    with pytest.MonkeyPatch.context() as patch:
        others = [{**row, "image_id": f"shoes/{row['image_id']}"} for row in read_indexed_images(index)]
        patch.setattr(vector_tables, "read_indexed_images", lambda _: others)
        with pytest.raises(StoreError, match=r"holds 36 images of a recipe of this name, none .* another name"):
            tables(own_store).update(index)
    assert tables(own_store).table("picture").versions() == before
    assert tables(own_store).update(index) == each(0, 0, 0, 36)


def test_the_commands(own_store: Store, tmp_path: Path) -> None:
    indexed(own_store)
    pictures = own_store.root.parent / "pictures"
    file = tmp_path / "measured.toml"
    file.write_text(f'base = "folder"\nname = "measured"\n[images.reader]\nkind = "folder"\nfolder = "{pictures}"\n')
    table, words = f"faiss:{tmp_path / 'tables'}", ["--recipe", str(file), "--store", str(own_store.root)]
    filled = CliRunner().invoke(app, ["vectors", table, "--recall", *words], catch_exceptions=False)
    assert "picture: 36 images added" in filled.stdout and "of stage2 against every vector: 1.000" in filled.stdout
    shown = next(line for line in filled.stdout.splitlines() if line.startswith("search it: spn4cir "))
    searched = CliRunner().invoke(app, shlex.split(shown.removeprefix("search it: spn4cir ")), catch_exceptions=False)
    assert searched.exit_code == 0 and "toys/" in searched.stdout
    reference = ["--image", str(pictures / "toys" / "04.png")]
    words_of_search = ["search", *reference, *reference, "--text", "red", "--where", "colour=red", "--top", "4", *words]
    words_of_search += ["--sheet", str(tmp_path / "hits.jpg")]
    by_table, by_index = (
        re.findall(r"toys/\d\d", CliRunner().invoke(app, [*words_of_search, *more], catch_exceptions=False).stdout)
        for more in (["--vectors", table], [])
    )
    assert len(by_table) == 4 and by_table == by_index
    with pytest.raises(InputError, match="is not KIND:URI"):
        IndexTables.named("nonsense", "measured")
