"""For each query set of a report, whether the trained network's dimension suffices."""

from __future__ import annotations

from dataclasses import dataclass

from spn4cir_core.errors import StoreError
from spn4cir_core.evaluation.dimension_check import ceiling
from spn4cir_core.evaluation.report_tables import QUERIES_FILE, read_rows_of_set
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.training.checkpoints import load_network
from spn4cir_core.training.roles import STAGE2


@dataclass(frozen=True)
class DimensionCeiling:
    """One query set.

    Attributes:
        dim: numbers in a vector of the trained network.
        reached: share of the queries whose answers can all stand first with ``dim`` numbers.
        reached_by_twice: the same with twice as many.
    """

    query_set: str
    queries: int
    images: int
    dim: int
    reached: float
    reached_by_twice: float


def dimension_ceilings(recipe_name: str, store: Store, seed: int = 0) -> list[DimensionCeiling]:
    """The ceilings of every query set of the recipe's current report that has queries.

    Raises:
        StoreError: the recipe has no report or no stage-2 checkpoint.
    """
    report, checkpoint = (store.current(recipe_name, noun) for noun in ("eval_report", STAGE2.artifact))
    if report is None or checkpoint is None:
        raise StoreError(f"recipe {recipe_name!r} has no report in {store}; make it with: spn4cir run")
    dim, ceilings = load_network(checkpoint).dim, []
    for query_set in read_json(report.file("report.json"))["query_sets"]:
        rows = read_rows_of_set(report, QUERIES_FILE, query_set["name"])
        images = sorted({image_id for row in rows for image_id in row["target_ids"]})
        row_of = {image_id: row for row, image_id in enumerate(images)}
        answers = [[row_of[image_id] for image_id in row["target_ids"]] for row in rows]
        gallery = max(len(images), query_set["gallery"])
        if answers:
            reached = [ceiling(answers, gallery, numbers, seed) for numbers in (dim, 2 * dim)]
            ceilings.append(DimensionCeiling(query_set["name"], len(answers), gallery, dim, *reached))
    return ceilings
