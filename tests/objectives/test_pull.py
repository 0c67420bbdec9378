from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.pull import Pull
from tests.objectives.examples import example, weighted


def test_it_costs_what_the_query_has_turned_away() -> None:
    batch = example(2).batch()
    pairs = zip(batch.queries_BD.numpy(), batch.output("start_queries").numpy(), strict=True)
    losses = [7.0 * (1 - float(np.dot(now, then))) for now, then in pairs]
    assert Pull(strength=7.0).loss(batch).item() == pytest.approx(weighted(batch, losses))
    unmoved = example(2).batch(outputs={"start_queries": batch.queries_BD})
    assert Pull().loss(unmoved).item() == pytest.approx(0, abs=1e-12)
