"""Does a sampled gallery keep the order of models? Rank correlations of recall on it with recall on the whole one.

Reads the trainings of ``benchmarks/soups.py`` (run that first, with the same store), which differ in recipe, seed and
start, asks their composed, image-only and summed queries, and compares their order on galleries of ``gallery_sample``
images with that on all pictures of the corpus. Galleries of as many images drawn at random beside the answers and the
reference images stand beside them.

    python -m benchmarks.gallery_orders icons/pictures --store soups/
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr

from benchmarks.paper_effects import KS
from benchmarks.soups import FIRST, GRID, Training, Trainings, corpus_with_validation, groups
from spn4cir_core.ablation.grid import load_grid
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.gallery_sample import sampled
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import load_checkpoint

MODES = ("composed", "image", "sum")


def drawn(query_set: QuerySet, queries: int, seed: int) -> QuerySet:
    """The set with some of its queries."""
    rows = np.random.default_rng(seed).permutation(len(query_set.queries))[:queries]
    return replace(query_set, queries=tuple(query_set.queries[row] for row in sorted(rows)))


def random_gallery(query_set: QuerySet, size: int, seed: int) -> QuerySet:
    """The set over its answers, its reference images, and others drawn at random up to a size."""
    staying = {image_id for query in query_set.queries for image_id in (*query.reference_ids, *query.target_ids)}
    others = [image_id for image_id in query_set.gallery_ids if image_id not in staying]
    rows = np.random.default_rng(seed).permutation(len(others))[: max(0, size - len(staying))]
    staying |= {others[row] for row in rows}
    return replace(query_set, gallery_ids=tuple(one for one in query_set.gallery_ids if one in staying))


def compared(whole_M: np.ndarray, part_M: np.ndarray) -> tuple[float, float, bool]:
    """Kendall's τ-b, Spearman's ρ, and whether a model that is best on the part is best on the whole too."""
    best = np.flatnonzero(part_M == part_M.max())
    return (
        float(kendalltau(whole_M, part_M).statistic),
        float(spearmanr(whole_M, part_M).statistic),
        bool(np.isclose(whole_M[best].max(), whole_M.max())),
    )


def main() -> None:
    """Ask everything at once, compare, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--store", type=Path, default=Path("soups"))
    parser.add_argument("--queries", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 500, 1000, 2000, 3000])
    parser.add_argument("--draws", type=int, default=5, help="Draws of queries and galleries.")
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    given = parser.parse_args()
    folder = corpus_with_validation(given.pictures, given.store.absolute() / "corpus", given.split_column)
    trainings = Trainings(folder, given.split_column, Store(given.store))
    levels = list(load_grid(GRID).axes["training"])
    members = [training for kind in groups(levels).values() for group in kind.values() for training in group]
    networks = {training.name: load_checkpoint(trainings.finished(training)) for training in members}
    artifacts = trainings.artifacts[Training(FIRST, 0).name]
    everything = tuple(sorted(read_manifest(artifacts["images"], *PICTURE)["image_id"].to_pylist()))
    whole = replace(trainings.query_set(), gallery_ids=everything)
    embeddings = read_embeddings(artifacts["image_embeddings"])
    query_sets: dict[tuple[int, int, int, str], QuerySet] = {}
    for count in given.queries:
        for draw in range(given.draws):
            queries = drawn(whole, count, draw)
            query_sets[count, len(everything), draw, "whole"] = queries
            for size in given.sizes:
                query_sets[count, size, draw, "gallery_sample"] = sampled(queries, size, embeddings, draw)
                query_sets[count, size, draw, "random"] = random_gallery(queries, size, draw)
    named = [replace(query_set, name=repr(key)) for key, query_set in query_sets.items()]
    answers = trainings.hits(networks, named, MODES)
    recalls = {key: _recalls(one) for key, one in zip(query_sets, answers, strict=True)}
    print(f"{recalls[next(iter(recalls))].shape[0]} models, gallery of {len(everything):,} pictures\n")
    print("| queries | images wanted | gallery | images ranked | Kendall τ: R@1; R@10 | Spearman ρ | best stays best |")
    print("|---|---|---|---|---|---|---|")
    for count in given.queries:
        for size in given.sizes:
            for how in ("gallery_sample", "random"):
                keys = [(count, size, draw, how) for draw in range(given.draws)]
                print(_line(count, size, how, keys, recalls, query_sets, len(everything)))


def _line(
    count: int,
    size: int,
    how: str,
    keys: Sequence[tuple[int, int, int, str]],
    recalls: dict[tuple[int, int, int, str], np.ndarray],
    query_sets: dict[tuple[int, int, int, str], QuerySet],
    everything: int,
) -> str:
    ranked = np.mean([len(query_sets[key].gallery_ids) for key in keys])
    cells = []
    for column in (0, KS.index(10)):
        measured = [
            compared(recalls[count, everything, key[2], "whole"][:, column], recalls[key][:, column]) for key in keys
        ]
        cells.append(np.array(measured, float).mean(0))
    values = [f"{cells[0][at]:.2f}; {cells[1][at]:.2f}" for at in (0, 1)]
    best = f"{100 * cells[0][2]:.0f} %; {100 * cells[1][2]:.0f} %"
    return f"| {count} | {size:,} | {how} | {ranked:,.0f} | {values[0]} | {values[1]} | {best} |"


def _recalls(hits: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
    """(M, K) recall of each model."""
    return np.stack([hits_QK.mean(0) for hits_QK in hits.values()])


if __name__ == "__main__":
    main()
