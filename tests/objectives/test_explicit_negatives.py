from __future__ import annotations

import pytest

from spn4cir_core.objectives.explicit_negatives import ExplicitNegatives
from tests.objectives.examples import example, slow_info_nce, weighted


def test_each_query_against_its_own_wrong_answers() -> None:
    batch, losses = example(2).batch(), []
    assert batch.bank_ND is not None
    for query, target, rows_K in zip(
        batch.queries_BD.detach(), batch.targets_BD, batch.output("explicit_rows").tolist(), strict=True
    ):
        scores = [float(query @ batch.bank_ND[row]) for row in rows_K if row >= 0]
        losses.append(slow_info_nce(float(query @ target), scores))
    assert losses.count(0.0) == 2, "of equal targets"
    assert ExplicitNegatives().loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
