from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from spn4cir_core.objectives.hard_mixing import HardMixing
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("top_k", [3, None])
def test_mixtures_of_the_hardest_stand_among_the_negatives(stage: int, top_k: int | None) -> None:
    """Draws are replayed: two ranks and a share for each mixture, the same for all queries."""
    batch, losses = example(stage).batch(), []
    draws = torch.Generator().manual_seed(batch.step)
    picks, mix = torch.rand(2, 5, generator=draws).numpy(), torch.rand(5, generator=draws).numpy()
    pool = (batch.targets_BD if batch.bank_ND is None else batch.bank_ND).numpy()
    for slow in slow_scores(batch):
        query = batch.queries_BD[slow.position].numpy()
        ranked = sorted(slow.negatives, key=lambda column: -slow.negatives[column])[:top_k]
        hardest, scores = ranked[:2], [slow.negatives[column] for column in ranked]
        for number in range(5):
            one = pool[hardest[int(picks[0, number] * len(hardest))]]
            two = pool[hardest[int(picks[1, number] * len(hardest))]]
            share = float(mix[number])
            made = share * one + (1 - share) * two if number < 3 else (1 - share / 2) * one + share / 2 * query
            scores.append(float(query @ made / np.linalg.norm(made)))
        losses.append(slow_info_nce(slow.positive, scores))
    loss = HardMixing(hardest=2, mixtures=3, with_query=2, top_k=top_k).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-6)


def test_every_step_draws_anew_and_again_the_same() -> None:
    case, objective = example(2), HardMixing()
    losses = [objective.loss(replace(case.batch(), step=step)).item() for step in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]
