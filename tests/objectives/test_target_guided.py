from __future__ import annotations

import numpy as np
import pytest
import torch

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import OBJECTIVES, Batch
from spn4cir_core.objectives.in_batch import InBatch
from spn4cir_core.objectives.target_guided import TargetGuided
from tests.objectives.examples import TAU, example, slow_info_nce, slow_scores, weighted

ALONE = {
    "teacher_weight": 0,
    "sum_weight": 0,
    "orthogonality_weight": 0,
    "distillation_weight": 0,
    "similarity_weight": 0,
}


def slow_divergence(batch: Batch, position: int, columns: list[int], temperature: float) -> float:
    """KL of two softmaxes over the given columns, written out."""
    targets, query = batch.targets_BD.detach().numpy(), batch.queries_BD[position].detach().numpy()
    wanted = np.array([np.exp(targets[position] @ targets[column] / temperature) for column in columns])
    result = np.array([np.exp(query @ targets[column] / TAU) for column in columns])
    wanted, result = wanted / wanted.sum(), result / result.sum()
    return float(sum(one * np.log(one / two) for one, two in zip(wanted, result, strict=True)))


def test_it_is_six_terms_by_their_weights() -> None:
    batch = example(1).batch()
    taught = example(1).batch(queries_BD=batch.output("teacher_queries"))
    losses = []
    for own, teachers, terms in zip(
        slow_scores(batch), slow_scores(taught), batch.output("teacher_terms").tolist(), strict=True
    ):
        loss = slow_info_nce(own.positive, [*own.negatives.values()])
        loss += 0.5 * slow_info_nce(teachers.positive, [*teachers.negatives.values()])
        loss += 2 * terms[0] + 3 * terms[1] + 4 * terms[2]
        losses.append(loss + 0.7 * slow_divergence(batch, own.position, [own.position, *own.negatives], 0.05))
    result = TargetGuided(
        teacher_weight=0.5,
        sum_weight=2,
        orthogonality_weight=3,
        distillation_weight=4,
        similarity_weight=0.7,
        similarity_temperature=0.05,
    )
    assert result.loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)


def test_without_its_terms_it_is_the_objective_it_is_put_on() -> None:
    batch = example(1).batch()
    alone = TargetGuided.model_validate({**ALONE, "of": InBatch(direction="both")})
    assert alone.loss(batch).item() == pytest.approx(InBatch(direction="both").loss(batch).item())


def test_the_targets_own_similarities_are_labels_and_take_no_gradient() -> None:
    """The gradient of the last term is that of a cross-entropy with fixed labels."""
    case = example(1, triplets=3)
    case.targets_BD.requires_grad_(True)
    batch = case.batch(false_negatives_M2=torch.empty((0, 2), dtype=torch.int64))
    term = TargetGuided.model_validate({**ALONE, "similarity_weight": 1.0})
    alone = torch.autograd.grad(term.loss(batch) - InBatch().loss(batch), case.targets_BD)[0]
    labels = torch.softmax(case.targets_BD.detach() @ case.targets_BD.detach().T / 0.1, dim=1)
    log_shares = torch.log_softmax(batch.queries_BD @ case.targets_BD.T / TAU, dim=1)
    slow = torch.autograd.grad(batch.mean(-(labels * log_shares).sum(dim=1)), case.targets_BD)[0]
    torch.testing.assert_close(alone, slow)


def test_a_mixture_asks_for_the_views_and_a_backbone_without_a_teacher_says_so() -> None:
    mixture = OBJECTIVES.build({"kind": "mixture", "parts": [{"kind": "target_guided"}, {"kind": "hinge"}]})
    assert mixture.needs == {"teacher_queries", "teacher_terms"}
    with pytest.raises(RecipeError, match="reads the output 'teacher_terms', and the batch has none"):
        TargetGuided().loss(example(1).batch(outputs={}))
