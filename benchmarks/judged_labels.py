"""What soft labels of a reranker bring to stage 2 beside the candidate bank: ``judged_labels`` against ``bank``.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``, a file of true triplets, which are the annotated set, and an encoder of pictures and texts, such as
``examples/train_small_clip/train.py`` makes from the titles of the training pictures. The judge is that example's
reranker. A broken run goes on where it ended:

    PYTHONPATH=. python -m benchmarks.judged_labels icons/pictures --triplets icons/true_triplets.csv \\
        --encoder encoder --store judged/

Stage 1, its control and all other settings are those of ``paper_effects.toml``, row "true".
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.paper_effects import Claim, Trained, all_hits, corpus_with_triplets, grid_on, tables
from spn4cir_core.ablation.grid import Grid, Result, run_grid
from spn4cir_core.engine.progress import silent
from spn4cir_core.store.artifacts import Store

JUDGE = "examples.train_small_clip.reranker:EditedTitle"
SLOW = 1e-4
CONTROL: Trained = ("true", "control")
CLAIMS: tuple[Claim, ...] = (
    ("soft labels beat the bank", ("true, judged labels", "stage2"), ("true", "stage2")),
    ("both beat the bank", ("true, bank and judged labels", "stage2"), ("true", "stage2")),
    ("soft labels beat the control", ("true, judged labels", "stage2"), CONTROL),
    ("a tenth of the rate: soft labels beat the bank", ("true, slow judged", "stage2"), ("true, slow bank", "stage2")),
    ("a tenth of the rate: both beat the bank", ("true, slow both", "stage2"), ("true, slow bank", "stage2")),
    ("a tenth of the rate: soft labels beat the control", ("true, slow judged", "stage2"), CONTROL),
    ("a tenth of the rate: both beat the control", ("true, slow both", "stage2"), CONTROL),
)


def judged_grid(folder: Path, split_column: str, encoder: Path, top: int) -> Grid:
    """The rows: the bank, the reranker's soft labels, both, each at stage 1's rate and at a tenth of it."""
    grid = grid_on(folder, split_column)
    reranker = {
        "kind": JUDGE,
        "titles": str(folder / "metadata.csv"),
        "encoder": {"kind": "sentence_transformers", "model": str(encoder.absolute())},
        "top": top,
    }
    bank, judged = {"kind": "bank"}, {"kind": "judged_labels", "reranker": reranker}
    both = {"kind": "mixture", "parts": [bank, judged]}
    true = grid.axes["training"]["true"]
    stage2: dict[str, dict[str, Any]] = {
        "true": {},
        "true, judged labels": {"objective": judged},
        "true, bank and judged labels": {"objective": both},
        "true, slow bank": {"learning_rate": SLOW},
        "true, slow judged": {"learning_rate": SLOW, "objective": judged},
        "true, slow both": {"learning_rate": SLOW, "objective": both},
    }
    levels = {name: {**true, "stage2_checkpoint": own} for name, own in stage2.items()}
    return grid.model_copy(update={"axes": {"training": levels}})


def judge_agrees(store: Path) -> str:
    """Of the triplets that were judged: how often the judge puts the annotated target before every candidate."""
    tables_ = [pq.read_table(path)["value"].combine_chunks() for path in store.glob("rows/rerankings/*/*.parquet")]
    scores = [np.array(row["scores"], float) for table in tables_ for row in table.to_pylist() if row]
    scores = [row for row in scores if len(row) > 1 and np.isfinite(row).all()]
    first = np.mean([row[0] > row[1:].max() for row in scores])
    before = np.mean([(row[0] > row[1:]).mean() for row in scores])
    return (
        f"The judge puts the annotated target of {len(scores):,} triplets first for {100 * first:.1f} %, and before "
        f"{100 * before:.1f} % of the candidates on average."
    )


def main() -> None:
    """Run the grid seed by seed, and write the tables after each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("judged"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--top", type=int, default=20, help="Hardest candidates of each triplet that are judged.")
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    given = parser.parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    folder = corpus_with_triplets(given.pictures, given.triplets, given.store.absolute() / "corpus")
    grid, store = judged_grid(folder, given.split_column, given.encoder, given.top), Store(given.store)
    finished: list[Result] = []

    def write(results: Sequence[Result], cells: int, seconds: float) -> None:
        last = results[-1]
        print(f"seed {last.seed}, {len(results)} of {cells}: {last.error or last.levels}", flush=True)
        text = tables(all_hits([*finished, *results], store), CLAIMS)
        (given.store / "judged_labels.md").write_text(text + "\n", encoding="utf-8")

    for seed in given.seeds:
        finished += run_grid(grid.model_copy(update={"seeds": (seed,)}), store, silent, write)
    print(tables(all_hits(finished, store), CLAIMS))
    print(f"\n{judge_agrees(given.store)}")


if __name__ == "__main__":
    main()
