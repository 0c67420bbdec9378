from __future__ import annotations

import pytest
import torch

from spn4cir_core.objectives.reference_negatives import ReferenceNegatives
from tests.objectives.examples import example


def test_a_model_that_ignores_the_reference_pays_for_it() -> None:
    """Then every other reference scores as its own: log of their number, and a gradient that separates them."""
    case = example(2)
    case.references_BD.zero_()
    case.references_BD.requires_grad_(True)
    loss = ReferenceNegatives(per_query=None).loss(case.batch(false_negatives_M2=torch.empty(0, 2, dtype=torch.int64)))
    others = torch.tensor([3, 4, 4, 3, 4], dtype=torch.float64)  # triplets 0 and 3 share a reference
    assert loss.item() == pytest.approx(case.batch().mean((others + 1).log()).item())
    loss.backward()
    assert case.references_BD.grad is not None
    assert case.references_BD.grad.abs().sum() > 0
