from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.soft_labels import SoftLabels
from tests.objectives.examples import TAU, example, slow_scores, weighted


def shares(scores: list[float], temperature: float) -> np.ndarray:
    powers = np.exp(np.array(scores) / temperature)
    return powers / powers.sum()


@pytest.mark.parametrize(("stage", "by"), [(1, "targets"), (2, "targets"), (2, "start_queries")])
@pytest.mark.parametrize("top_k", [3, None])
def test_both_divergences_from_the_guides_shares(stage: int, by: str, top_k: int | None) -> None:
    batch, losses = example(stage).batch(), []
    pool = batch.targets_BD if batch.bank_ND is None else batch.bank_ND
    for slow in slow_scores(batch):
        columns = sorted(slow.negatives, key=lambda column: -slow.negatives[column])[:top_k]
        target = batch.targets_BD[slow.position]
        eye = target if by == "targets" else batch.output("start_queries")[slow.position]
        ours = shares([slow.positive, *(slow.negatives[column] for column in columns)], TAU)
        wanted = shares([float(eye @ target), *(float(eye @ pool[column]) for column in columns)], 0.3)
        losses.append(float(np.sum(ours * np.log(ours / wanted)) + np.sum(wanted * np.log(wanted / ours))) / 2)
    loss = SoftLabels(by=by, guide_temperature=0.3, top_k=top_k).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-9)
