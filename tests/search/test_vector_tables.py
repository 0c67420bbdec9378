"""The index's images in a vector table: only what has changed is read and written, and it answers as stage 2 does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.index.base import VectorTable
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.search.vector_tables import (
    TableChange,
    TableSearcher,
    measured_table_recall,
    table_named,
    update_table,
)
from spn4cir_core.store import rows as stored_rows
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import measured_store, recipe, weigh

REFERENCE = np.full((20, 20, 3), 200, np.uint8)


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    return measured_store(tmp_path / "measured")


def indexed(store: Store, images: str) -> Artifact:
    made = recipe(store.root.parent / "pictures")
    settings = SearchSettings.model_validate({"images": images})
    return SEARCH_INDEX.run(made.model_copy(update={"search_index": settings}), store)[0]


def opened(store: Store) -> VectorTable:
    return table_named(f"faiss:{store.root.parent / 'tables'}", "measured")


def test_it_answers_as_stage_2_does(own_store: Store) -> None:
    index = indexed(own_store, "all")
    assert update_table(opened(own_store), index, own_store) == TableChange(36, 0, 0, 0)
    searcher, alone = TableSearcher.open(opened(own_store), index), Searcher.open(index)
    alone = alone.beside(alone.network)
    for where in ({}, {"colour": "red"}, {"colour": ["red", "blue"], "label": "bar"}):
        wanted = alone.search(REFERENCE, "make it blue", 8, once="all", where=where)
        hits = searcher.search(REFERENCE, "make it blue", 8, where)
        assert [hit.image_id for hit in hits] == [hit.image_id for hit in wanted]
        np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in wanted], atol=1e-5)
        assert [hit.rank for hit in hits] == list(range(len(hits)))
    picture = own_store.root.parent / "pictures" / "toys" / "04.png"
    near = searcher.search(picture, None, 36)
    assert "toys/04.png" not in {hit.image_id for hit in near} and near[0].caption
    assert "toys/05.png" not in {hit.image_id for hit in searcher.search(picture, "x", 36, without=["toys/05.png"])}
    assert measured_table_recall(opened(own_store), index, own_store) == 1
    with pytest.raises(InputError, match="top = 0"):
        searcher.search(picture, "x", 0)


def test_a_change_costs_what_has_changed(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second part file holds the new images' vectors: the first one's are not read again."""
    few = indexed(own_store, "evaluation")
    assert update_table(opened(own_store), few, own_store) == TableChange(18, 0, 0, 0)
    every = indexed(own_store, "all")
    read: list[tuple[str, bool]] = []
    whole = stored_rows.read_part

    def counted(part: Path, columns: list[str] | None = None) -> object:
        read.append((part.name, columns is None))
        return whole(part, columns)

    monkeypatch.setattr(stored_rows, "read_part", counted)
    assert update_table(opened(own_store), every, own_store) == TableChange(18, 0, 0, 18)
    assert len({name for name, _ in read}) == 2 and len([name for name, values in read if values]) == 1
    read.clear()
    assert update_table(opened(own_store), every, own_store) == TableChange(0, 0, 0, 36)
    assert not read
    assert update_table(opened(own_store), few, own_store) == TableChange(0, 0, 18, 18)
    hits = TableSearcher.open(opened(own_store), few).search(REFERENCE, "x", 36)
    assert len(hits) == 18


def test_another_blend_or_an_empty_table_is_refused(own_store: Store) -> None:
    index = indexed(own_store, "all")
    with pytest.raises(StoreError, match="is empty; fill it with: spn4cir vectors"):
        TableSearcher.open(opened(own_store), index)
    update_table(opened(own_store), index, own_store)
    weigh(own_store, stage2=1.0)
    other = indexed(own_store, "all")
    with pytest.raises(StoreError, match=r"made with blend .* bring it up to date"):
        TableSearcher.open(opened(own_store), other)
    assert update_table(opened(own_store), other, own_store) == TableChange(0, 0, 0, 36)
    assert TableSearcher.open(opened(own_store), other).search(None, "red", 3)


def test_the_commands(own_store: Store, tmp_path: Path) -> None:
    indexed(own_store, "all")
    pictures = own_store.root.parent / "pictures"
    file = tmp_path / "measured.toml"
    file.write_text(f'base = "folder"\nname = "measured"\n[images.reader]\nkind = "folder"\nfolder = "{pictures}"\n')
    table, words = f"faiss:{tmp_path / 'tables'}", ["--recipe", str(file), "--store", str(own_store.root)]
    filled = CliRunner().invoke(app, ["vectors", table, "--recall", *words], catch_exceptions=False)
    assert "36 images added" in filled.stdout and "against every vector: 1.000" in filled.stdout
    words_of_search = ["search", "--vectors", table, "--text", "red", "--where", "colour=red", "--top", "4", *words]
    searched = CliRunner().invoke(app, words_of_search, catch_exceptions=False)
    assert searched.stdout.count("toys/") == 4
    with pytest.raises(InputError, match="is not KIND:URI"):
        table_named("nonsense", "measured")
