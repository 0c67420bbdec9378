from __future__ import annotations

import numpy as np
import pytest
import torch

from spn4cir_core.objectives.hardness import Hardness
from spn4cir_core.objectives.nearest import Nearest
from tests.objectives.examples import TAU, example, slow_scores, weighted


def slow_loss(positive: float, negatives: list[float], alpha: float, beta: float, by: str) -> float:
    hardness = np.exp([beta * score / (TAU if by == "logit" else 1.0) for score in negatives])
    weights = hardness / hardness.mean()
    mass = alpha * np.exp(positive / TAU) + sum(weights * np.exp(np.array(negatives) / TAU))
    return float(-np.log(np.exp(positive / TAU) / mass))


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("by", ["logit", "cosine"])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.5), (0.3, 4.0)])
def test_weights_have_mean_one_and_grow_with_the_score(stage: int, by: str, alpha: float, beta: float) -> None:
    batch = example(stage).batch()
    losses = [slow_loss(slow.positive, [*slow.negatives.values()], alpha, beta, by) for slow in slow_scores(batch)]
    loss = Hardness(alpha=alpha, beta=beta, by=by).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-9)


def test_without_hardness_it_is_the_softmax() -> None:
    batch = example(2).batch()
    assert Hardness(beta=0).loss(batch).item() == pytest.approx(Nearest().loss(batch).item(), rel=1e-12)


def test_weights_by_cosine_take_no_gradient() -> None:
    """The gradient is that of a softmax whose weights are numbers."""
    case = example(2)
    case.texts_BD.requires_grad_(True)
    batch = case.batch()
    Hardness(beta=5.0, by="cosine").loss(batch).backward()
    assert case.texts_BD.grad is not None
    got, case.texts_BD.grad = case.texts_BD.grad, None
    batch, losses = case.batch(), []
    for slow in slow_scores(batch):
        query, columns = batch.queries_BD[slow.position], [*slow.negatives]
        weights = torch.tensor([np.exp(5.0 * slow.negatives[column]) for column in columns])
        wrong = (weights / weights.mean() * torch.exp(case.bank_ND[columns] @ query / TAU)).sum()
        right = torch.exp(query @ batch.targets_BD[slow.position] / TAU)
        losses.append(-torch.log(right / (right + wrong)))
    batch.mean(torch.stack(losses)).backward()
    torch.testing.assert_close(got, case.texts_BD.grad)
