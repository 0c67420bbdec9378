from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.wording_consistency import WordingConsistency
from tests.objectives.examples import example, weighted


@pytest.mark.parametrize("stage", [1, 2])
def test_it_costs_what_the_wordings_are_apart(stage: int) -> None:
    batch = example(stage).batch()
    losses = []
    for query, reworded in zip(batch.queries_BD.numpy(), batch.output("reworded_queries").numpy(), strict=True):
        losses.append(7.0 * (1 - float(np.dot(query, reworded))) if reworded.any() else 0.0)
    assert losses.count(0.0) == 1, "one triplet has one text"
    assert WordingConsistency(strength=7.0).loss(batch).item() == pytest.approx(weighted(batch, losses))
    alike = example(stage).batch(outputs={"reworded_queries": batch.queries_BD})
    assert WordingConsistency().loss(alike).item() == pytest.approx(0, abs=1e-12)
