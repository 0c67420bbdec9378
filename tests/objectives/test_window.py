from __future__ import annotations

import pytest
import torch

from spn4cir_core.objectives.window import Window, between_drops
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


def slow_window(positive: float, below: list[float]) -> list[float]:
    """Scores between the two steepest drops of the ranking that starts with the target."""
    chain = [positive, *sorted(below, reverse=True)]
    drops = sorted(range(len(chain) - 1), key=lambda position: -(chain[position] - chain[position + 1]))[:2]
    if len(drops) < 2:
        return chain[1:]
    return chain[min(drops) + 1 : max(drops) + 1]


def test_a_ranking_written_out() -> None:
    scores = torch.tensor([[0.10, 0.70, 0.95, 0.68, 0.12, 0.66, 0.89]])
    live = torch.tensor([[True, True, False, True, True, True, True]])
    # Behind the target at 0.9 stand 0.89, then far behind 0.70, 0.68, 0.66, then far behind 0.12, 0.10.
    assert between_drops(torch.tensor([0.9]), scores, live).tolist() == [[False, True, False, True, False, True, False]]


@pytest.mark.parametrize("live", [[0], [0, 1]])
def test_short_rankings(live: list[int]) -> None:
    scores, mask = torch.tensor([[0.5, 0.2, 0.1]]), torch.tensor([[position in live for position in range(3)]])
    wanted = slow_window(0.6, [scores[0, position].item() for position in live])
    remaining = between_drops(torch.tensor([0.6]), scores, mask) & mask
    assert sorted(scores[remaining].tolist()) == sorted(wanted)


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("top_k", [4, None])
def test_only_the_window_behind_the_target_is_pushed_away(stage: int, top_k: int | None) -> None:
    case = example(stage)
    case.texts_BD.mul_(0.4)
    batch, losses, beaten = case.batch(), [], 0
    for slow in slow_scores(batch):
        below = sorted((score for score in slow.negatives.values() if score <= slow.positive), reverse=True)
        beaten += len(slow.negatives) - len(below)
        losses.append(slow_info_nce(slow.positive, slow_window(slow.positive, below[:top_k])))
    assert beaten
    assert Window(top_k=top_k).loss(batch).item() == pytest.approx(weighted(batch, losses), rel=1e-9)
