from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.in_batch import InBatch
from spn4cir_core.objectives.negative_types import NegativeTypes
from spn4cir_core.objectives.replaced import replaced_losses
from tests.objectives.examples import example, weighted


def test_the_types_asked_for_are_averaged() -> None:
    batch = example(1).batch()
    types = ("reference", "query", "target")
    losses = np.mean([replaced_losses(batch, part, 2).numpy() for part in types], axis=0)
    loss = NegativeTypes(types=types, per_query=2).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses.tolist()))


def test_the_published_default_is_the_in_batch_loss() -> None:
    batch = example(1).batch()
    assert NegativeTypes(types=("target",)).loss(batch).item() == pytest.approx(InBatch().loss(batch).item())
