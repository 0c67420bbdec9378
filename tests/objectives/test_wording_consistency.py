from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.wording_consistency import WordingConsistency
from tests.objectives.examples import TAU, example, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
def test_it_costs_the_divergence_of_the_two_wordings_over_the_batchs_targets(stage: int) -> None:
    batch = example(stage).batch()
    in_batch = example(stage).batch(bank_ND=None)
    losses = []
    for slow, query, reworded in zip(
        slow_scores(in_batch), batch.queries_BD.numpy(), batch.output("reworded_queries").numpy(), strict=True
    ):
        targets = batch.targets_BD.numpy()[[slow.position, *slow.negatives]]
        one, other = (np.exp(targets @ vector / TAU) for vector in (query, reworded))
        one, other = one / one.sum(), other / other.sum()
        divergence = (one * np.log(one / other)).sum() + (other * np.log(other / one)).sum()
        losses.append(3.0 * divergence / 2 if reworded.any() else 0.0)
    assert losses.count(0.0) == 1, "one triplet has one text"
    assert WordingConsistency(strength=3.0).loss(batch).item() == pytest.approx(weighted(batch, losses))
    alike = example(stage).batch(outputs={"reworded_queries": batch.queries_BD})
    assert WordingConsistency().loss(alike).item() == pytest.approx(0, abs=1e-12)
