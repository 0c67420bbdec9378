"""A corpus that grows or shrinks: the index shares what has not changed, and answers as one made from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.index import vector_shards
from spn4cir_core.search import indexed_blend
from spn4cir_core.search import stage as stage_module
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.index_table import read_shard_lists
from spn4cir_core.search.indexed_captions import CAPTIONS_FILE, KINDS_FILE, WORDS_FILE
from spn4cir_core.search.search import Searcher, current_index
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.checksums import CHECKED
from spn4cir_core.texts import count_words
from tests.measured_store import NAME, image_rows, measured_store, recipe, weigh, write

CHANNELS = {"picture": 1.0, "edited_caption": 2.0, "stage2": 0.5, "control": 0.4}
REFERENCE = np.full((20, 20, 3), 200, np.uint8)
FEW = 31
WORDS = (KINDS_FILE, WORDS_FILE, CAPTIONS_FILE)


def own_store(folder: Path) -> Store:
    """Only the first FEW images are of the training split."""
    store = measured_store(folder)
    ids = [row["image_id"] for row in image_rows()]
    splits = pa.table({"image_id": ids, "split": ["train"] * FEW + ["evaluation"] * (len(ids) - FEW)})
    twins = pa.table({name: pa.array([], pa.string()) for name in ("image_a", "image_b", "found_by")})
    tables = {"splits.parquet": splits, "near_duplicates.parquet": twins}
    write(store, "splits", tables, ["images"], key="more")
    weigh(store, **CHANNELS)
    return store


def indexed(store: Store, images: str, **more: object) -> Artifact:
    settings = SearchSettings.model_validate({"images": images, **more})
    made = recipe(store.root.parent / "pictures").model_copy(update={"search_index": settings})
    return SEARCH_INDEX.run(made, store)[0]


def answers(index: Artifact) -> list[list[Hit]]:
    """By the blend, with several reference images, and by stage 2 alone."""
    searcher = Searcher.open(index)
    alone = searcher.beside(searcher.network)
    return [
        searcher.search(REFERENCE, "make it blue", 36, once="all"),
        searcher.search([REFERENCE, REFERENCE // 2], "a red bar", 5),
        searcher.search(None, "a red bar", 36, once="all", where={"colour": "red"}),
        alone.search(REFERENCE, "a red bar", 36, once="all"),
        searcher.search(REFERENCE, "a red bar", 7, made="sum"),
    ]


def shard_files(index: Artifact) -> dict[str, tuple[int, int]]:
    """Inode and time of change of the files of shards."""
    names = [name for name in index.summary["files"] if name.startswith("vectors/") and ".rows." not in name]
    states = {name: (index.path / name).stat() for name in names}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}


def test_new_pictures_are_one_shard_more_and_the_others_are_shared(tmp_path: Path) -> None:
    store = own_store(tmp_path / "grown")
    before = indexed(store, "train")
    grown = indexed(store, "all")
    old, new = shard_files(before), shard_files(grown)
    assert {name: new[name] for name in old} == old, "the same files: none is written anew"
    assert {name.partition("-")[0] for name in new.keys() - old.keys()} == {
        f"vectors/{name}" for name in ("picture", "stage2", "control")
    }
    names = ("stage2", "control", "picture")
    assert grown.details["shards_shared"] == 3 * FEW and grown.details["shards_written"] == 3 * (36 - FEW)
    assert {name: len(read_shard_lists(grown)[name].shards) for name in names} == dict.fromkeys(names, 2)
    grown.verify()
    made_anew = indexed(own_store(tmp_path / "new"), "all")
    assert answers(grown) == answers(made_anew)
    assert {name: grown.file(name).read_bytes() for name in WORDS} == {
        name: made_anew.file(name).read_bytes() for name in WORDS
    }


def test_captions_that_the_index_before_has_counted_are_not_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read, passes = own_store(tmp_path), count_words._read, list[set[str]]()

    def counting(captions: Sequence[str], *others: Any) -> Any:
        passes.append(set(captions))
        return read(captions, *others)

    monkeypatch.setattr(count_words, "_read", counting)
    indexed(store, "train")
    indexed(store, "all")
    first, second = passes
    assert first and not first & second and first | second >= {row["caption"] for row in image_rows()}


def test_pictures_that_are_gone_are_not_found_and_nothing_is_written(tmp_path: Path) -> None:
    store = own_store(tmp_path / "shrunk")
    whole = indexed(store, "all")
    few = indexed(store, "train")
    assert few.details["shards_written"] == 0 and shard_files(few) == shard_files(whole)
    assert answers(few) == answers(indexed(own_store(tmp_path / "new"), "train"))


@pytest.mark.parametrize("settings", [{}, {"flat_up_to": 20, "probed_share": 1.0}], ids=["flat", "ivf"])
def test_with_candidates_it_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, float]
) -> None:
    for module in (indexed_blend, stage_module):
        monkeypatch.setattr(module, "COMPARED_IN_FULL", 5)
    store = own_store(tmp_path / "grown")
    indexed(store, "train", **settings)
    grown = indexed(store, "all", **settings)
    right = indexed(own_store(tmp_path / "new"), "all", **settings)
    shards = read_shard_lists(grown)["stage2"].shards
    assert len(shards) == 2 and "codes" in shards[0].indexes and ("search" in shards[0].indexes) == bool(settings)
    assert (grown.details.get("recall@10", 1.0), right.details.get("recall@10", 1.0)) == (1.0, 1.0)
    for ours, theirs in zip(answers(grown), answers(right), strict=True):
        assert [hit.image_id for hit in ours] == [hit.image_id for hit in theirs]
        np.testing.assert_allclose([hit.score for hit in ours], [hit.score for hit in theirs], atol=1e-5)


def test_an_interrupted_build_leaves_the_old_index_and_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = own_store(tmp_path / "grown")
    before = indexed(store, "train")
    right = answers(before)
    saved = vector_shards.ShardWriter.save

    def cut(writer: vector_shards.ShardWriter, name: str, array: np.ndarray) -> None:
        if name.startswith("vectors/picture"):
            raise KeyboardInterrupt
        saved(writer, name, array)

    monkeypatch.setattr(vector_shards.ShardWriter, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        indexed(store, "all")
    assert current_index(NAME, store).fingerprint == before.fingerprint and answers(before) == right
    monkeypatch.undo()
    again = indexed(store, "all")
    undisturbed = own_store(tmp_path / "undisturbed")
    indexed(undisturbed, "train")
    assert again.summary["files"] == indexed(undisturbed, "all").summary["files"]
    before.verify()


def test_a_damaged_index_is_shared_with_nobody(tmp_path: Path) -> None:
    store = own_store(tmp_path)
    before = indexed(store, "train")
    next(before.path.glob("vectors/stage2-*.npy")).unlink()
    grown = indexed(store, "all")
    assert grown.details["shards_shared"] == 0
    grown.verify()


def test_a_shared_file_counts_as_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spn4cir_core.store.checksums.NOTED_BYTES", 1)
    monkeypatch.setattr("spn4cir_core.store.checksums._seen", set())
    store = own_store(tmp_path)
    answers(indexed(store, "train"))
    grown = indexed(store, "all")
    notes = store.root / CHECKED / "search_index" / grown.fingerprint / "vectors"
    assert {path.name for path in notes.iterdir()} >= {
        f"{shards.shards[0].name}.npy" for shards in read_shard_lists(grown).values()
    }
