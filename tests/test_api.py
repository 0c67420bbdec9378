"""The Python API on a tiny pipeline, compared with the files and the network behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from PIL import Image

import spn4cir_core
from spn4cir_core.errors import InputError, RecipeError, StoreError
from spn4cir_core.flow import STAGES
from spn4cir_core.recipe import Recipe
from spn4cir_core.search.encoder import Encoder, Made
from spn4cir_core.search.models import Models
from spn4cir_core.search.search import Searcher
from spn4cir_core.store.artifacts import Artifact, Store
from tests.pipelines import tiny_recipe_file

TEXT = "make it red"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return spn4cir_core.load_recipe(tiny_recipe_file(tmp_path_factory.mktemp("recipe")))


@pytest.fixture(scope="module")
def store(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Store:
    opened = spn4cir_core.open_store(tmp_path_factory.mktemp("store"))
    spn4cir_core.run(recipe, opened)
    return opened


@pytest.fixture(scope="module")
def searcher(recipe: Recipe, store: Store) -> Searcher:
    return spn4cir_core.open_searcher(recipe, store)


@pytest.fixture(scope="module")
def encoder(recipe: Recipe, store: Store) -> Encoder:
    return spn4cir_core.open_encoder(recipe, store, device="cpu")


@pytest.fixture(scope="module")
def paths(recipe: Recipe, store: Store) -> list[Path]:
    root = recipe.images.reader.root(store.root)
    return [root / path for path in spn4cir_core.read_table(recipe, store, "images")["path"].to_pylist()]


def test_importing_the_package_loads_nothing_heavy_and_offers_every_name() -> None:
    script = (
        "import sys, spn4cir_core\n"
        "names = [getattr(spn4cir_core, name) for name in spn4cir_core.__all__]\n"
        "print(sorted({'torch', 'transformers', 'faiss'} & sys.modules.keys()), all(map(callable, names)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[] True"
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = spn4cir_core.no_such_name


def test_stages_run_in_the_order_of_the_flow_and_report_once_each(recipe: Recipe, store: Store, tmp_path: Path) -> None:
    done: list[tuple[str, bool]] = []
    labels: list[tuple[str, int, int]] = []

    def on_stage_done(artifact: Artifact, reused: bool) -> None:
        done.append((artifact.noun, reused))

    def progress(label: str, count: int, total: int) -> None:
        labels.append((label, count, total))

    fresh = tmp_path / "fresh"
    artifacts = spn4cir_core.run(recipe, fresh, ["captions", "images"], progress=progress, on_stage_done=on_stage_done)
    assert done == [("images", False), ("captions", False)] and list(artifacts) == ["images", "captions"]
    assert labels and all(0 <= count <= total for _, count, total in labels if total)
    done.clear()
    spn4cir_core.run(recipe, store, on_stage_done=on_stage_done)
    assert done == [(name, True) for name in STAGES]


def test_every_artefact_is_read_as_a_table(recipe: Recipe, store: Store) -> None:
    for name in STAGES:
        table = spn4cir_core.read_table(recipe, store, name)
        assert table.column_names and (len(table) or name == "false_negatives"), name
    assert spn4cir_core.read_table(recipe, store, "eval_report", "queries", ["query_id"]).column_names == ["query_id"]
    frame = spn4cir_core.read_table(recipe, store, "stage1_checkpoint").to_pandas()
    assert list(frame["step"]) == [1, 2, 3, 4]
    with pytest.raises(StoreError, match=r"no 'nothing'; it has .*triplets.parquet"):
        spn4cir_core.read_table(recipe, store, "triplets", "nothing")
    with pytest.raises(RecipeError, match="no artefact 'triplet'"):
        spn4cir_core.read_table(recipe, store, "triplet")


def test_an_artefact_that_was_not_made_is_a_clear_error(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no triplets in .*; make it with: spn4cir run"):
        spn4cir_core.read_table(recipe, tmp_path, "triplets")


def test_vectors_are_read_only_maps_in_the_order_of_the_table(recipe: Recipe, store: Store) -> None:
    for name in ("image_embeddings", "candidate_bank"):
        vectors = spn4cir_core.read_vectors(recipe, store, name)
        assert isinstance(vectors, np.memmap) and not vectors.flags.writeable
        assert len(vectors) == len(spn4cir_core.read_table(recipe, store, name))
        assert np.allclose(np.linalg.norm(np.asarray(vectors, np.float32), axis=-1), 1, atol=1e-2)


def test_paths_pictures_and_arrays_give_the_same_hits(searcher: Searcher, paths: list[Path]) -> None:
    picture = Image.open(paths[0])
    wanted = searcher.search(paths[0], TEXT, 5)
    for same in (str(paths[0]), picture, np.asarray(picture.convert("RGB"))):
        assert searcher.search(same, TEXT, 5) == wanted
    assert [hit.rank for hit in wanted] == list(range(5))


def test_many_queries_give_the_hits_of_each_alone(searcher: Searcher, paths: list[Path]) -> None:
    images, texts = [paths[0], None, paths[1], paths[2]], [TEXT, TEXT, None, ""]
    for made in ("composed", "sum"):
        many = searcher.search_many(images, texts, 4, made=made)  # type: ignore[arg-type]
        for hits, image, text in zip(many, images, texts, strict=True):
            alone = searcher.search(image, text, 4, made=made)  # type: ignore[arg-type]
            assert [hit.image_id for hit in hits] == [hit.image_id for hit in alone]
            assert np.allclose([hit.score for hit in hits], [hit.score for hit in alone], atol=1e-5)
    assert len(searcher.search_many(None, [TEXT, "blue"])) == len(searcher.search_many(paths[:2], TEXT)) == 2
    assert searcher.search_many([], TEXT) == []


def test_vectors_in_an_index_of_ones_own_find_what_the_trained_model_finds(
    encoder: Encoder, paths: list[Path], recipe: Recipe, store: Store
) -> None:
    targets_ND = encoder.encode_targets(paths)
    assert targets_ND.shape == (len(paths), encoder.dim) and targets_ND.dtype == np.float32
    queries_QD = encoder.encode_queries(paths[:3], TEXT)
    index = faiss.IndexFlatIP(encoder.dim)
    index.add(targets_ND)
    scores, rows = index.search(queries_QD, len(paths))
    trained = Models.of_recipe(recipe.name, recipe.images, store).open("stage2").searcher
    for query, hits in enumerate(trained.search_many(paths[:3], TEXT, 5, once="all")):
        others = rows[query] != query  # the reference image is never its own hit
        assert np.allclose(scores[query][others][:5], [hit.score for hit in hits], atol=1e-5)
        assert paths[rows[query][others][0]].as_posix().endswith(hits[0].path)


@pytest.mark.parametrize("made", ["composed", "sum"])
def test_a_searcher_without_its_blend_scores_as_an_index_of_ones_own(
    encoder: Encoder, searcher: Searcher, paths: list[Path], made: Made
) -> None:
    """The comparison of docs/extending.md."""
    scores_N = encoder.encode_targets(paths) @ encoder.encode_queries(paths[0], TEXT, made)[0]
    hits = searcher.beside(searcher.network).search(paths[0], TEXT, top=5, made=made, once="all")
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores_N[1:])[::-1][:5], atol=1e-5)


def test_what_cannot_be_encoded_is_named(encoder: Encoder, paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 images and 3 texts"):
        encoder.encode_queries(paths[:2], [TEXT] * 3)
    with pytest.raises(InputError, match=r"query 1: .* needs a reference image, a text, or both"):
        encoder.encode_queries([paths[0], None], [TEXT, " "])
    with pytest.raises(InputError, match=r"^a search needs a reference image, a text, or both"):
        encoder.encode_queries([None], [" "])
    with pytest.raises(InputError, match="no such file"):
        encoder.encode_targets([tmp_path / "missing.png"])
    with pytest.raises(InputError, match=r"an array \(4, 4, 3\) of float64"):
        encoder.encode_targets(np.zeros((4, 4, 3)))
    assert encoder.encode_targets([]).shape == (0, encoder.dim)


def test_a_folder_of_pictures_is_a_recipe(tmp_path: Path) -> None:
    assert spn4cir_core.load_recipe().name == "demo"
    recipe = spn4cir_core.load_recipe(images=tmp_path, overrides={"stage1_checkpoint": {"epochs": 2}})
    assert recipe.name == "folder" and recipe.stage1_checkpoint.epochs == 2
    assert recipe.images.reader.model_dump()["folder"] == tmp_path
