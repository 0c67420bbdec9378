"""The Python API: recipes, runs, artefacts, search and vectors. ``import spn4cir_core`` offers all of it, lazily."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.errors import RecipeError, StoreError
from spn4cir_core.flow import STAGES
from spn4cir_core.launch.launcher import Launch
from spn4cir_core.launch.recipe_source import claimed, own_name
from spn4cir_core.launch.run_flow import run as run_flow
from spn4cir_core.recipe import Recipe, recipe_of
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_store import open_store

if TYPE_CHECKING:
    import pyarrow as pa

    from spn4cir_core.search.encoder import Encoder
    from spn4cir_core.search.search import Searcher

__all__ = [
    "current_artifact",
    "load_recipe",
    "open_encoder",
    "open_searcher",
    "open_store",
    "read_table",
    "read_vectors",
    "run",
]

RecipeLike = Recipe | str | Path
"""A loaded recipe, the name of a packaged one, or the path of a TOML file."""
StoreLike = Store | str | Path
"""An opened store, its folder, or a URL such as ``s3://bucket/prefix``."""


def load_recipe(
    source: str | Path = "", overrides: Mapping[str, Any] | None = None, *, images: str | Path | None = None
) -> Recipe:
    """Load a packaged recipe by name, or a TOML file by path.

    Args:
        source: empty: ``folder`` where ``images`` is given, else ``demo``.
        overrides: tables that replace single keys, e.g. ``{"stage1_checkpoint": {"epochs": 8}}``.
        images: the folder of pictures, as ``spn4cir run --images``.

    Raises:
        RecipeError: unknown name, unreadable file, unknown key, or a value out of range.
    """
    return recipe_of(str(source), None if images is None else Path(images), overrides)


def run(
    recipe: RecipeLike,
    store: StoreLike,
    stages: Iterable[str] = STAGES,
    *,
    progress: Progress = silent,
    on_stage_done: Callable[[Artifact, bool], None] = lambda artifact, reused: None,
    processes: int = 1,
) -> dict[str, Artifact]:
    """Bring stages up to date, in the order of the flow. What is there already is not computed again.

    Args:
        stages: names of the stages; each needs its parents in the store. Default: all.
        progress: called as ``progress(label, done, total)`` during long work; ``total`` is 0 where it is unknown.
        on_stage_done: called after each stage with its artefact, and whether it was there already.
        processes: processes that run captions, embeddings and training together, at most one per GPU.

    Returns:
        Stage name → artefact. ``artifact.details`` holds counts and headline figures.

    Raises:
        Spn4cirError: a recipe, an input or the store cannot be used; the message says what to do.
    """
    opened = _store(store)
    named = claimed(_recipe(recipe), opened)
    return run_flow(named, opened, stages, progress, on_stage_done, Launch(processes=processes))


def read_table(
    recipe: RecipeLike, store: StoreLike, artefact: str, table: str = "", columns: list[str] | None = None
) -> pa.Table:
    """Read a table of a recipe's current artefact; ``.to_pandas()`` makes a data frame of it.

    Args:
        artefact: a name of the flow, such as ``"triplets"``.
        table: one of its tables without the ending, such as ``"refused"``; docs/artifacts.md lists them. Default: the
            one named like the artefact; recall of ``eval_report``, the metrics of a checkpoint, the annotated
            triplets of ``annotations``.
        columns: read these alone.

    Raises:
        StoreError: the recipe has no such artefact, or the artefact no such table.
    """
    import pyarrow as pa

    current = current_artifact(recipe, store, artefact)
    name = _file_of(current, table, (".parquet", ".jsonl", ".json"))
    if name.endswith(".parquet"):
        return current.table(name, columns)
    text = current.file(name).read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)
    if not isinstance(rows, list):
        raise StoreError(f"{name} of {artefact} is not a table; read {current.file(name)} as JSON")
    made = pa.Table.from_pylist(rows)
    return made if columns is None else made.select(columns)


def read_vectors(
    recipe: RecipeLike, store: StoreLike, artefact: str = "image_embeddings", name: str = ""
) -> np.ndarray:
    """Open an artefact's vectors as a read-only memory map; row i belongs to row i of its table.

    Args:
        artefact: ``image_embeddings``: (N, D) by the frozen image encoder that pairs are mined with;
            ``candidate_bank``: (N, D), or (N, T, D) where a target has T vectors, by stage 1's target encoder.
        name: another array of the artefact without its ending, such as ``"references"`` of ``candidate_bank``.

    Raises:
        StoreError: the recipe has no such artefact, or the artefact no such vectors.
    """
    current = current_artifact(recipe, store, artefact)
    if artefact == "image_embeddings" and not name:
        from spn4cir_core.embeddings.vectors import open_vectors

        return open_vectors(current)
    path = current.file(_file_of(current, name, (".npy",)))
    vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return vectors


def open_searcher(recipe: RecipeLike, store: StoreLike) -> Searcher:
    """Open a recipe's search index with the network that encodes its queries.

    ``searcher.search(image, text)`` gives the hits of one query, best first, ``searcher.search_many(images, texts)``
    those of many; ``hit.rank`` is 0 for the best, and higher scores are better. With ``search(…, rerank=True)`` the
    recipe's reranker puts the first hits in order.

    Raises:
        StoreError: the recipe has no search index in this store, or the index is damaged.
    """
    from spn4cir_core.images.files import image_files
    from spn4cir_core.search.search import Searcher

    opened = _store(store)
    own = own_name(_recipe(recipe), opened)
    return Searcher.of_recipe(own.name, opened, image_files(own.images, opened))


def open_encoder(
    recipe: RecipeLike, store: StoreLike, checkpoint: str = "stage2_checkpoint", device: str = "auto"
) -> Encoder:
    """Open a recipe's trained network, to encode queries and targets for an index of your own.

    ``encoder.encode_targets(images)`` gives (N, D), ``encoder.encode_queries(images, texts)`` (Q, D) float32 unit
    vectors; the inner product of the two is the score.

    Args:
        checkpoint: ``stage2_checkpoint``, or another checkpoint of the flow.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda:1`` …

    Raises:
        StoreError: the recipe has no such checkpoint in this store.
    """
    from spn4cir_core.search.encoder import Encoder
    from spn4cir_core.training.checkpoints import load_network

    return Encoder(load_network(current_artifact(recipe, store, checkpoint)), device)


def current_artifact(recipe: RecipeLike, store: StoreLike, artefact: str) -> Artifact:
    """The artefact that the recipe made last: ``artifact.path`` is its folder, ``artifact.details`` its figures.

    Raises:
        RecipeError: there is no stage of that name.
        StoreError: the recipe has not made it in this store.
    """
    if artefact not in STAGES:
        raise RecipeError(f"no artefact {artefact!r}; the artefacts are {', '.join(STAGES)}")
    opened = _store(store)
    loaded = own_name(_recipe(recipe), opened)
    current = opened.current(loaded.name, artefact)
    if current is None:
        raise StoreError(f"recipe {loaded.name!r} has no {artefact} in {opened}; make it with: spn4cir run")
    return current


def _file_of(artifact: Artifact, name: str, endings: tuple[str, ...]) -> str:
    """The file of that name with one of the endings; by default the main one, or the one named like the artefact."""
    if not name:
        main = STAGES[artifact.noun].main_file
        named_alike = (f"{artifact.noun}{ending}" for ending in endings)
        present = (file for file in named_alike if file in artifact.summary["files"])
        return main if main.endswith(endings) else next(present, f"{artifact.noun}{endings[0]}")
    known = sorted(str(file) for file in artifact.summary["files"] if file.endswith(endings))
    wanted = next((file for file in known if file == name or file.rpartition(".")[0] == name), None)
    if wanted is None:
        raise StoreError(f"{artifact.noun} has no {name!r}; it has {', '.join(known) or 'none'}")
    return wanted


def _recipe(recipe: RecipeLike) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _store(store: StoreLike) -> Store:
    return store if isinstance(store, Store) else open_store(store)
