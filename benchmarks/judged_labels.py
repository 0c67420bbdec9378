"""What soft labels of a reranker bring to stage 2 beside the candidate bank: ``judged_labels`` against ``bank``.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``, a file of true triplets, which are the annotated set, and an encoder of pictures and texts, such as
``examples/train_small_clip/train.py`` makes from the titles of the training pictures. Judges are that example's
rerankers: one that sees pictures, one that knows the titles of all training pictures. A broken run goes on where it
ended:

    PYTHONPATH=. python -m benchmarks.judged_labels icons/pictures --triplets icons/true_triplets.csv \\
        --encoder encoder --store judged/

Stage 1, its control and all other settings are those of ``paper_effects.toml``, row "true".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.paper_effects import Claim, Trained, all_hits, corpus_with_triplets, grid_on, tables
from spn4cir_core.ablation.grid import Grid, Result, run_grid
from spn4cir_core.engine.progress import silent
from spn4cir_core.store.artifacts import Store

SEES = "examples.train_small_clip.reranker:EditedTitle"
KNOWS = "examples.train_small_clip.reranker:KnownTitle"
SLOW = 1e-4
CONTROL: Trained = ("true", "control")
BANK: Trained = ("true", "stage2")
SLOW_BANK: Trained = ("true, slow bank", "stage2")
CLAIMS: tuple[Claim, ...] = (
    ("soft labels beat the bank", ("true, judged labels", "stage2"), BANK),
    ("both beat the bank", ("true, bank and judged labels", "stage2"), BANK),
    ("by titles: soft labels beat the bank", ("true, labels by titles", "stage2"), BANK),
    ("by titles: both beat the bank", ("true, bank and labels by titles", "stage2"), BANK),
    ("by titles: both beat the control", ("true, bank and labels by titles", "stage2"), CONTROL),
    ("a tenth of the rate: both beat the bank", ("true, slow both", "stage2"), SLOW_BANK),
    ("a tenth of the rate: both beat the control", ("true, slow both", "stage2"), CONTROL),
    ("a tenth of the rate, by titles: both beat the bank", ("true, slow both by titles", "stage2"), SLOW_BANK),
    ("a tenth of the rate, by titles: both beat the control", ("true, slow both by titles", "stage2"), CONTROL),
    ("a tenth of the rate: the bank beats the control", SLOW_BANK, CONTROL),
)


def judged_grid(folder: Path, split_column: str, encoder: Path, top: int) -> Grid:
    """The rows: the bank, the reranker's soft labels, both, each at stage 1's rate and at a tenth of it."""
    grid = grid_on(folder, split_column)
    titles = {"titles": str(folder / "metadata.csv"), "top": top}
    of_encoder = {"encoder": {"kind": "sentence_transformers", "model": str(encoder.absolute())}}
    judged = {"kind": "judged_labels", "reranker": {"kind": SEES, **titles, **of_encoder}}
    known = {"kind": "judged_labels", "reranker": {"kind": KNOWS, **titles}}
    both, both_known = ({"kind": "mixture", "parts": [{"kind": "bank"}, labels]} for labels in (judged, known))
    true = grid.axes["training"]["true"]
    stage2: dict[str, dict[str, Any]] = {
        "true": {},
        "true, judged labels": {"objective": judged},
        "true, bank and judged labels": {"objective": both},
        "true, labels by titles": {"objective": known},
        "true, bank and labels by titles": {"objective": both_known},
        "true, slow bank": {"learning_rate": SLOW},
        "true, slow both": {"learning_rate": SLOW, "objective": both},
        "true, slow both by titles": {"learning_rate": SLOW, "objective": both_known},
    }
    levels = {name: {**true, "stage2_checkpoint": own} for name, own in stage2.items()}
    return grid.model_copy(update={"axes": {"training": levels}})


def judges_agree(store: Path) -> Iterator[str]:
    """For each judge, of the triplets it judged: how often it puts the annotated target before every candidate."""
    for folder in sorted(store.glob("rows/rerankings/*")):
        tables_ = [pq.read_table(path)["value"].combine_chunks() for path in folder.glob("*.parquet")]
        scores = [np.array(row["scores"], float) for table in tables_ for row in table.to_pylist() if row]
        scores = [row for row in scores if len(row) > 1 and np.isfinite(row).all()]
        if scores:
            first = np.mean([row[0] > row[1:].max() for row in scores])
            before = np.mean([(row[0] > row[1:]).mean() for row in scores])
            yield (
                f"A judge puts the annotated target of {len(scores):,} triplets first for {100 * first:.1f} %, and "
                f"before {100 * before:.1f} % of the candidates on average."
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
    print("", *judges_agree(given.store), sep="\n")


if __name__ == "__main__":
    main()
