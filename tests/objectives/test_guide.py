from __future__ import annotations

import pytest

from spn4cir_core.objectives.guide import Guide
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize(("stage", "by"), [(1, "targets"), (2, "targets"), (2, "start_queries")])
@pytest.mark.parametrize("top_k", [2, None])
def test_what_the_guide_holds_for_right_is_no_negative(stage: int, by: str, top_k: int | None) -> None:
    margin = 0.8 if by == "targets" else 0.5
    batch, losses, left_out = example(stage).batch(), [], 0
    pool = batch.targets_BD if batch.bank_ND is None else batch.bank_ND
    for slow in slow_scores(batch):
        target = batch.targets_BD[slow.position]
        eye = target if by == "targets" else batch.output("start_queries")[slow.position]
        remaining = [score for column, score in slow.negatives.items() if eye @ pool[column] <= eye @ target - margin]
        left_out += len(slow.negatives) - len(remaining)
        losses.append(slow_info_nce(slow.positive, sorted(remaining, reverse=True)[:top_k]))
    assert left_out > 1
    loss = Guide(by=by, margin=margin, top_k=top_k).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-9)


def test_starting_queries_are_asked_for_where_they_are_used() -> None:
    assert Guide(by="start_queries").needs == {"start_queries"}
    assert not Guide().needs
