"""Which of the paper's claims hold where we can train: positives help, negatives help, both add up, which negatives.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``, and a file of true triplets, which are the annotated set. A broken run goes on where it ended:

    python benchmarks/paper_effects.py icons/pictures --triplets icons/true_triplets.csv --store effects/ --seeds 0 1 2

The published structure is in ``paper_effects.toml``. In-batch training for as long as stage 2 is the control.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from spn4cir_core.ablation.grid import Result, load_grid, run_grid
from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.recall import bootstrap_means, hits_at, interval
from spn4cir_core.recipe import merge
from spn4cir_core.store.artifacts import Artifact, Store

GRID = Path(__file__).with_suffix(".toml")
KS = (1, 5, 10)
DRAWS = 2000
Trained = tuple[str, str]
"""Level of the grid, model."""
PLAIN: Trained = ("annotated", "control")
CONTRASTS: tuple[tuple[str, Trained, Trained], ...] = (
    ("published positives help, in batch", ("+ published positives", "control"), PLAIN),
    ("our positives help, in batch", ("+ our positives", "control"), PLAIN),
    ("the bank helps, annotated alone", ("annotated", "stage2"), PLAIN),
    (
        "the bank helps, with published positives",
        ("+ published positives", "stage2"),
        ("+ published positives", "control"),
    ),
    ("the bank helps, with our positives", ("+ our positives", "stage2"), ("+ our positives", "control")),
    ("both add up, published positives", ("+ published positives", "stage2"), PLAIN),
    ("both add up, our positives", ("+ our positives", "stage2"), PLAIN),
    ("both add up, our positives and guards", ("+ our positives, guards", "stage2"), PLAIN),
    ("replaced references beat targets", ("annotated, references replaced", "stage1"), PLAIN),
    ("replaced texts beat targets", ("annotated, texts replaced", "stage1"), PLAIN),
    ("replaced queries beat targets", ("annotated, queries replaced", "stage1"), PLAIN),
)


def corpus_with_triplets(pictures: Path, triplets: Path, folder: Path) -> Path:
    """A copy of the pictures and their tables, with the true triplets as the corpus's annotated ones."""
    if not folder.is_dir():
        scratch = folder.with_suffix(".part")
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(pictures, scratch, copy_function=shutil.copyfile)
        shutil.copyfile(triplets, scratch / "triplets.csv")
        scratch.rename(folder)
    return folder


def hits_of(report: Artifact, model: str) -> tuple[np.ndarray, list[str]]:
    """(Q, K) hits of the composed queries, in the order of their ids, and their references."""
    ranks = report.table("ranks.parquet").filter((pc.field("model") == model) & (pc.field("query") == "composed"))
    ranks = ranks.sort_by("query_id")
    queries = report.table("queries.parquet").select(["query_id", "reference_id"]).sort_by("query_id")
    assert queries["query_id"].to_pylist() == ranks["query_id"].to_pylist()
    return hits_at(ranks["rank"].to_numpy(), KS), queries["reference_id"].to_pylist()


def tables(results: Sequence[Result], store: Store) -> str:
    """Recall of everything trained, and the paper's claims as paired differences, in points with 95 % intervals.

    Intervals are over queries (those of one reference picture drawn together), hits averaged over seeds; ± is the
    standard deviation over seeds.
    """
    hits: dict[Trained, list[np.ndarray]] = {}
    references: list[str] = []
    for result in results:
        report = store.current(result.recipe, "eval_report")
        for model in ("stage1", "control", "stage2") if report else ():
            hits_QK, references = hits_of(report, model)  # type: ignore[arg-type]
            hits.setdefault((result.levels["training"], model), []).append(hits_QK)
    lines = [
        "| training | model | R@1 | R@5 | R@10 | seeds |",
        "|---|---|---|---|---|---|",
        *(
            f"| {level} | {model} | {' | '.join(_mean(seeds, k) for k in range(len(KS)))} | {len(seeds)} |"
            for (level, model), seeds in hits.items()
            if model == "stage1" or "replaced" not in level
        ),
        "",
        "| claim | R@1 | R@10 | holds |",
        "|---|---|---|---|",
    ]
    for claim, one, other in CONTRASTS:
        if one in hits and other in hits:
            difference = np.mean(hits[one], axis=0) - np.mean(hits[other], axis=0)
            low, high = interval(bootstrap_means(difference, references, DRAWS, 0))
            cells = [
                f"{100 * difference[:, k].mean():+.1f} ({100 * low[k]:+.1f} to {100 * high[k]:+.1f})" for k in (0, 2)
            ]
            verdict = "yes" if low[0] > 0 else "no: it hurts" if high[0] < 0 else "not beyond chance"
            lines.append(f"| {claim} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines)


def _mean(seeds: Sequence[np.ndarray], k: int) -> str:
    recalls = [100 * hits_QK[:, k].mean() for hits_QK in seeds]
    return f"{np.mean(recalls):.1f}" + (f" ± {np.std(recalls, ddof=1):.1f}" if len(recalls) > 1 else "")


def main() -> None:
    """Prepare the corpus, run the grid, print both tables after each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("effects"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    parser.add_argument("--share", type=float, default=1.0, help="Part of the grid's steps, for a quick look.")
    given = parser.parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    folder = corpus_with_triplets(given.pictures, given.triplets, given.store.absolute() / "corpus")
    grid = load_grid(GRID)
    reader = {"kind": "folder", "folder": str(folder), "split_column": given.split_column}
    levels = {name: shortened(level, given.share) for name, level in grid.axes["training"].items()}
    recipe = shortened(merge(grid.recipe, {"images": {"reader": reader}}), given.share)
    grid = grid.model_copy(update={"seeds": tuple(given.seeds), "axes": {"training": levels}, "recipe": recipe})
    store = Store(given.store)

    def on_cells_done(results: Sequence[Result], cells: int, seconds: float) -> None:
        print(
            f"{len(results)} of {cells} cells, {seconds / 60:.1f} min: {results[-1].error or results[-1].levels}",
            flush=True,
        )
        (given.store / "paper_effects.md").write_text(tables(results, store) + "\n", encoding="utf-8")

    print(tables(run_grid(grid, store, silent, on_cells_done), store))


def shortened(tables: dict, share: float) -> dict:  # type: ignore[type-arg]
    """The tables with their numbers of steps multiplied by a share."""
    return {
        key: shortened(value, share) if isinstance(value, dict) else round(value * share) if key == "steps" else value
        for key, value in tables.items()
    }


if __name__ == "__main__":
    main()
