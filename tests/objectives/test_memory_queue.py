from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import OBJECTIVES
from spn4cir_core.objectives.memory_queue import MemoryQueue
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


def test_past_targets_are_negatives_unless_they_answer_the_query() -> None:
    batch, losses = example(1).batch(), []
    guarded = {tuple(pair) for pair in batch.false_negatives_M2.tolist()}
    queue = [*zip(batch.memory["memory_queue_rows"].tolist(), batch.memory["memory_queue_vectors"], strict=True)]
    for slow in slow_scores(batch):
        own = int(batch.target_rows_B[slow.position])
        past = [
            float(batch.queries_BD[slow.position] @ vector)
            for row, vector in queue
            if row != own and (slow.position, row) not in guarded
        ]
        losses.append(slow_info_nce(slow.positive, [*slow.negatives.values(), *past]))
    assert MemoryQueue().loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)


def test_the_queue_forgets_the_oldest_and_holds_no_graph() -> None:
    case = example(1)
    case.targets_BD.requires_grad_(True)
    batch = case.batch(memory={})
    objective = MemoryQueue(size=7)
    objective.loss(batch)
    assert batch.memory["memory_queue_rows"].tolist() == [2, 5, 3, 5, 7]
    objective.loss(replace(batch, step=4))
    assert batch.memory["memory_queue_rows"].tolist() == [5, 7, 2, 5, 3, 5, 7]
    assert torch.equal(batch.memory["memory_queue_vectors"][2:], case.targets_BD)
    assert not batch.memory["memory_queue_vectors"].requires_grad


def test_before_its_step_the_queue_is_filled_but_not_used() -> None:
    batch = example(1).batch()
    losses = [slow_info_nce(slow.positive, [*slow.negatives.values()]) for slow in slow_scores(batch)]
    assert MemoryQueue(from_step=4).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
    assert len(batch.memory["memory_queue_rows"]) == 9


def test_a_mixture_asks_for_the_momentum_of_its_queue() -> None:
    queue = {"kind": "memory_queue", "momentum": 0.99}
    mixture = OBJECTIVES.build({"kind": "mixture", "parts": [{"kind": "hinge"}, queue]})
    assert mixture.target_momentum == 0.99
    assert OBJECTIVES.build("memory_queue").target_momentum is None


@pytest.mark.parametrize("kind", ["prompt_alignment", "target_guided"])
def test_it_is_refused_where_it_would_be_filled_twice_a_step(kind: str) -> None:
    mixture = {"kind": "mixture", "parts": [{"kind": "hinge"}, {"kind": "memory_queue"}]}
    for inside in ({"kind": "memory_queue"}, mixture):
        with pytest.raises(RecipeError, match="fills a queue once a step"):
            OBJECTIVES.build({"kind": kind, "of": inside})
    two = [{"kind": "memory_queue"}, {"kind": "mixture", "parts": [{"kind": "memory_queue"}]}]
    with pytest.raises(RecipeError, match="can hold one 'memory_queue'"):
        OBJECTIVES.build({"kind": "mixture", "parts": two})
    plain = OBJECTIVES.build({"kind": kind, "of": {"kind": "in_batch", "direction": "both"}})
    assert as_table(plain)["of"] == as_table(OBJECTIVES.build({"kind": "in_batch", "direction": "both"}))
    assert OBJECTIVES.build(as_table(plain)) == plain
