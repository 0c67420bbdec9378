from __future__ import annotations

import pytest

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.replaced import Part, replaced_losses
from tests.objectives.examples import Example, example, slow_info_nce


def answers(case: Example, triplet: int, row: int) -> bool:
    return row == case.target_rows[triplet] or (triplet, row) in case.false_negatives


def slow_losses(case: Example, batch: Batch, part: Part, per_query: int | None) -> list[float]:
    """The study's four definitions, triplet by triplet."""
    losses = []
    for own, target in enumerate(batch.targets_BD):
        others = [(own + step) % 5 for step in range(1, 5 if per_query is None else per_query + 1)]
        wrong = []
        for other in others if part in ("reference", "text") else range(5):
            if part == "target" and not answers(case, own, case.target_rows[other]):
                wrong.append(batch.queries_BD[own] @ batch.targets_BD[other])
            if part == "query" and not answers(case, other, case.target_rows[own]):
                wrong.append(batch.queries_BD[other] @ target)
            same_text = case.text_numbers[own] == case.text_numbers[other]
            same_reference = case.reference_rows[own] == case.reference_rows[other]
            asked_too = answers(case, own, case.target_rows[other])
            if part == "text" and not same_text and not (same_reference and asked_too):
                query = case.references_BD[own] + case.texts_BD[other]
                wrong.append(query / query.norm() @ target)
            row = case.reference_rows[other]
            if part == "reference" and not (same_reference or answers(case, own, row) or (same_text and asked_too)):
                query = case.references_BD[other] + case.texts_BD[own]
                wrong.append(query / query.norm() @ target)
        losses.append(slow_info_nce(float(batch.queries_BD[own] @ target), [float(score) for score in wrong]))
    return losses


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("part", ["target", "reference", "text", "query"])
@pytest.mark.parametrize("per_query", [None, 1, 3, 99])
def test_each_type_is_what_the_study_says(stage: int, part: Part, per_query: int | None) -> None:
    case = example(stage)
    batch = case.batch()
    count = None if per_query == 99 else per_query
    assert replaced_losses(batch, part, per_query).tolist() == pytest.approx(slow_losses(case, batch, part, count))
