"""What several wordings, hard negative texts and batches by reference image bring to recall and to its spread.

Needs a folder of pictures with ``metadata.csv`` (a title, a column that names the evaluation pictures) and
``queries.csv``. The levels are in ``text_variants.toml``, those of the recipe ``folder`` in ``folder_wordings.toml``; a
broken run goes on where it ended:

    python -m benchmarks.text_variants icons/pictures --store variants/ --seeds 0 1 2
    python -m benchmarks.text_variants icons/pictures --store variants/ --grid benchmarks/folder_wordings.toml
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from spn4cir_core.ablation.grid import Grid, Result, load_grid, run_grid
from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.annotated import WORDINGS
from spn4cir_core.store.artifacts import Store

GRID = Path(__file__).with_suffix(".toml")
MODEL = "stage1"
MEASURES = ("R@1", "R@10", "R@1 over wordings", "spread of R@1", "first hit changes")


def grid_on(folder: Path, split_column: str, seeds: Sequence[int], file: Path = GRID) -> Grid:
    """The grid of a file over the pictures of a folder."""
    grid = load_grid(file)
    reader = {"kind": "folder", "folder": str(folder), "split_column": split_column}
    recipe = {**grid.recipe, "images": {"reader": reader}}
    return grid.model_copy(update={"recipe": recipe, "seeds": tuple(seeds)})


def measures_of(report: Mapping[str, Any]) -> tuple[float, ...]:
    """The measures of one ``report.json``, in per cent."""
    sets = {query_set["name"]: query_set for query_set in report["query_sets"]}
    recall = {
        row["k"]: row["recall"]
        for row in sets["annotated"]["recall"]
        if (row["model"], row["query"], row["kind"]) == (MODEL, "composed", "all")
    }
    worded = next(row for row in sets[WORDINGS]["wordings"] if (row["model"], row["k"]) == (MODEL, 1))
    values = recall[1], recall[10], worded["mean"], worded["spread"], worded["first_hit_changes"]
    return tuple(100 * value for value in values)


def table(measured: Mapping[str, Sequence[tuple[float, ...]]]) -> str:
    """Means over seeds, ± the standard deviation over them."""
    lines = [f"| training texts | {' | '.join(MEASURES)} | seeds |", "|---" * (len(MEASURES) + 2) + "|"]
    for level, seeds in measured.items():
        cells = [_mean([values[number] for values in seeds]) for number in range(len(MEASURES))]
        lines.append(f"| {level} | {' | '.join(cells)} | {len(seeds)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def main() -> None:
    """Run the grid, and write the table after each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--store", type=Path, default=Path("variants"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--split-column", default="keep_in", help="Metadata column that names the evaluation pictures.")
    parser.add_argument("--grid", type=Path, default=GRID)
    given = parser.parse_args()
    store, finished = Store(given.store), list[Result]()

    def write(results: Sequence[Result], cells: int, seconds: float) -> None:
        last = results[-1]
        print(f"seed {last.seed}, {len(results)} of {cells}: {last.error or last.levels}", flush=True)
        text = _table_of([*finished, *results], store)
        (given.store / f"{given.grid.stem}.md").write_text(text + "\n", encoding="utf-8")

    for seed in given.seeds:
        finished += run_grid(
            grid_on(given.pictures.absolute(), given.split_column, [seed], given.grid), store, silent, write
        )
    print(_table_of(finished, store))


def _table_of(results: Sequence[Result], store: Store) -> str:
    measured: dict[str, list[tuple[float, ...]]] = {}
    for result in results:
        report = store.current(result.recipe, "eval_report")
        if report is not None and not result.error:
            measured.setdefault(result.levels["training"], []).append(
                measures_of(json.loads(report.file("report.json").read_text(encoding="utf-8")))
            )
    return table(measured)


if __name__ == "__main__":
    main()
