"""Do generated triplets help, and does the candidate bank? Recall@1 of the demo recipe over seeds, trained longer.

Each row is one training set; each column one model or baseline, as mean and spread over the seeds. All rows are asked
the same composed queries over scenes no training image shows; the reference image is removed from the gallery.

    python benchmarks/positives_and_negatives.py --seeds 0 1 2 --store /tmp/spn4cir-benchmark
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from spn4cir_core.artifacts import Store
from spn4cir_core.flow import STAGES, run
from spn4cir_core.progress import Bars
from spn4cir_core.recipe import load_recipe, merge

PUBLISHED = {
    "templates": {"use": ["published"]},
    "modified_texts": {"choose": "all"},
    "pairs": {"window": [5, 100]},
}
SETS: dict[str, dict[str, Any]] = {
    "300 annotated": {"triplets": {"origins": ["annotated"]}},
    "300 annotated + generated": {},
    "300 annotated + generated, published templates, ranks 5-100": PUBLISHED,
    "generated": {"triplets": {"origins": ["generated"]}},
}
STEPS = {"stage1_checkpoint": {"steps": 300}, "stage2_checkpoint": {"steps": 400}}
"""Half as many again as the demo, which is in a hurry."""
COLUMNS = {
    "stage 1": ("stage1", "composed"),
    "control": ("control", "composed"),
    "stage 2": ("stage2", "composed"),
    "image only": ("stage2", "image"),
    "text only": ("stage2", "text"),
    "sum of both": ("stage2", "sum"),
}


def recall_at_1(name: str, overrides: dict[str, Any], seed: int, store: Store) -> dict[str, float]:
    """Train on one set with one seed; recall@1 in per cent by column."""
    settings = merge(
        {"name": name, "seed": seed, "eval_report": {"evaluators": [{"kind": "annotated"}], "gallery_pictures": 0}},
        merge(STEPS, overrides),
    )
    with Bars() as bars:
        artifacts = run(load_recipe("demo", settings), store, [name for name in STAGES if name != "search_index"], bars)
    rows = artifacts["eval_report"].table("recall.parquet").to_pylist()
    found = {(row["model"], row["query"]): row["recall"] for row in rows if row["kind"] == "all" and row["k"] == 1}
    return {column: 100 * found[key] for column, key in COLUMNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS)[:2])
    parser.add_argument("--store", type=Path, required=True)
    options = parser.parse_args()
    print(f"| training set | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}", flush=True)
    for place, name in enumerate(SETS):
        if name not in options.sets:
            continue
        runs = [recall_at_1(f"set{place}", SETS[name], seed, Store(options.store)) for seed in options.seeds]
        cells = [[found[column] for found in runs] for column in COLUMNS]
        shown = " | ".join(f"{statistics.mean(cell):.1f} ({min(cell):.1f} to {max(cell):.1f})" for cell in cells)
        print(f"| {name} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
