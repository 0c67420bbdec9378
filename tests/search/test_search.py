from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.evaluation.encode import encode_gallery
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.recipe import Recipe
from spn4cir_core.search.search import Searcher, current_index
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import load_network
from tests.measured_store import NAME, image_rows, measured_store, recipe, write_checkpoint


def with_search(chosen: Recipe, **settings: object) -> Recipe:
    return chosen.model_copy(update={"search_index": SearchSettings.model_validate(settings)})


def files(store: Store) -> ImageFiles:
    return ImageFiles(store.root.parent / "pictures")


def test_hits_equal_a_slow_scan_of_every_picture(store: Store, index: Artifact) -> None:
    import torch

    checkpoint = store.current(NAME, "stage2_checkpoint")
    assert checkpoint is not None
    network = load_network(checkpoint)
    paths = [row["path"] for row in image_rows()]
    gallery = encode_gallery(network, network.read_images([files(store).open(path) for path in paths]))
    reference = files(store).open(paths[4])
    images = torch.from_numpy(network.read_images([reference]))
    opened = Searcher.open(index)
    searcher = opened.beside(opened.network)
    for image, text in ((reference, "a red circle"), (reference, None), (None, "a red circle"), (reference, " ")):
        tokens = network.tokenize([text]) if text and text.strip() else None
        with torch.inference_mode():
            query = network.encode_query(images if image else None, tokens).numpy()[0]
        scores = gallery @ query
        hits = searcher.search(image, text, 36, once="all")
        others = np.delete(scores, 4) if image else scores
        assert len({hit.image_id for hit in hits}) == len(others)
        assert [hit.rank for hit in hits] == list(range(len(others)))
        assert np.allclose([hit.score for hit in hits], np.sort(others)[::-1], atol=1e-5)
        assert np.allclose([hit.score for hit in hits], [scores[paths.index(hit.path)] for hit in hits], atol=1e-5)
        assert hits[0].caption in {row["caption"] for row in image_rows()}


def test_images_that_are_not_wanted_leave_room_for_others(store: Store, index: Artifact) -> None:
    searcher, reference = Searcher.open(index), files(store).open("toys/04.png")
    every = searcher.search(reference, "a red circle", 10)
    gone = {every[0].path, every[2].image_id}
    rest = searcher.search(reference, "a red circle", 8, without=gone)
    assert [hit.image_id for hit in rest] == [hit.image_id for hit in every if hit.image_id not in gone]
    assert [hit.rank for hit in rest] == list(range(8))
    assert searcher.search(reference, None, 1000, without=[row["path"] for row in image_rows()]) == []


@pytest.mark.parametrize(("text", "top"), [(None, 5), ("  ", 5), ("red", 0)])
def test_searches_that_cannot_be_made_are_refused(index: Artifact, text: str | None, top: int) -> None:
    with pytest.raises(InputError, match=r"^a search needs a reference image, a text|at least one"):
        Searcher.open(index).search(None, text, top)


def test_an_unknown_word_still_gives_hits(index: Artifact) -> None:
    assert len(Searcher.open(index).search(None, "zzz qqq", 3)) == 3


def test_only_the_chosen_split_is_found(store: Store) -> None:
    chosen = with_search(recipe(store.root.parent / "pictures"), images="evaluation")
    small, _ = SEARCH_INDEX.run(chosen, store)
    hits = Searcher.open(small).search(None, "a red circle", 100, once="all")
    assert sorted(hit.image_id for hit in hits) == [
        row["image_id"] for row in image_rows() if row["split"] == "evaluation"
    ]


def test_folder_is_self_contained(index: Artifact, store: Store, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(index.path, copied)
    searcher = Searcher.open(Artifact("search_index", copied, index.summary))
    reference = files(store).open("toys/04.png")
    assert searcher.search(reference, "a bar") == Searcher.open(index).search(reference, "a bar")


def test_index_of_another_checkpoint_is_refused(index: Artifact, store: Store, tmp_path: Path) -> None:
    current = store.current(NAME, "stage2_checkpoint")
    Searcher.open(index, current)
    other = write_checkpoint(measured_store(tmp_path), "stage2_checkpoint", seed=9)
    with pytest.raises(StoreError, match="materialise search_index again"):
        Searcher.open(index, other)


def test_a_recipe_trained_anew_since_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = measured_store(tmp_path)
    index, _ = SEARCH_INDEX.run(recipe(tmp_path / "pictures"), store)
    assert current_index(NAME, store).fingerprint == index.fingerprint
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    newest = write_checkpoint(store, "stage2_checkpoint", seed=9)
    assert current_index(NAME, store).fingerprint == index.fingerprint
    assert newest.fingerprint in caplog.text and "--select search_index" in caplog.text


@pytest.mark.parametrize(
    "name", ["vectors/stage2.rows.npy", "search_index.parquet", "model.safetensors", "network.json"]
)
def test_damaged_folders_are_refused(index: Artifact, tmp_path: Path, name: str) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(index.path, copied)
    (copied / name).unlink()
    with pytest.raises(StoreError, match=name):
        Searcher.open(Artifact("search_index", copied, index.summary))


def test_parts_of_two_indexes_are_refused(index: Artifact, store: Store, tmp_path: Path) -> None:
    small, _ = SEARCH_INDEX.run(with_search(recipe(store.root.parent / "pictures"), images="train"), store)
    copied = tmp_path / "copy"
    shutil.copytree(index.path, copied)
    name = "vectors/stage2.rows.npy"
    shutil.copyfile(small.file(name), copied / name)
    names = {**index.summary["files"], name: small.summary["files"][name]}
    with pytest.raises(StoreError, match="do not belong together"):
        Searcher.open(Artifact("search_index", copied, {**index.summary, "files": names}))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_same_inputs_same_bytes_by_any_number_of_threads(index: Artifact, tmp_path: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    again, _ = SEARCH_INDEX.run(recipe(tmp_path / "pictures"), measured_store(tmp_path))
    assert again.summary["files"] == index.summary["files"]
    assert torch.get_num_threads() == threads


def test_contact_sheet_shows_query_and_hits(store: Store, index: Artifact) -> None:
    searcher, reference = Searcher.open(index), files(store).open("toys/04.png")
    hits = searcher.search(reference, "a bar", 5)
    with_picture = searcher.contact_sheet(reference, "a bar", hits, files(store))
    assert with_picture.width > 5 * 128
    assert searcher.contact_sheet(None, "a bar", hits, files(store)).width < with_picture.width
    alone = [searcher.contact_sheet(none, "a bar", hits, files(store)).tobytes() for none in (None, [])]
    assert alone[0] == alone[1], "an empty list is no reference image"


def test_several_references_are_the_weighted_mean_of_their_scores(store: Store, index: Artifact) -> None:
    blended, paths = Searcher.open(index), ["toys/04.png", "toys/11.png", "toys/20.png"]
    pictures = [files(store).open(path) for path in paths]
    for searcher in (blended, blended.beside(blended.network)):
        one = searcher.search([pictures[0]], "a red circle", 36, once="all")
        assert one == searcher.search(pictures[0], "a red circle", 36, once="all"), "one is exactly as it was"
        together = searcher.search(pictures, "a red circle", 36, once="all", weights=(2, 1, 1))
        assert not {hit.path for hit in together}.intersection(paths) and len(together) == 33
        apart = [
            {hit.path: hit.score for hit in searcher.search(picture, "a red circle", 36, once="all")}
            for picture in pictures
        ]
        mean = {hit.path: (2 * a[hit.path] + b[hit.path] + c[hit.path]) / 4 for hit in together for a, b, c in [apart]}
        ordered = sorted(mean.values(), reverse=True)
        assert np.allclose([mean[hit.path] for hit in together], ordered, atol=1e-5)


@pytest.mark.parametrize("weights", [(1,), (1, 0), (1, -1), (1, float("nan")), (1, 2, 3)])
def test_weights_that_fit_no_reference_are_refused(store: Store, index: Artifact, weights: tuple[float, ...]) -> None:
    pictures = [files(store).open(path) for path in ("toys/04.png", "toys/11.png")]
    with pytest.raises(InputError, match="weights"):
        Searcher.open(index).search(pictures, "red", weights=weights)
