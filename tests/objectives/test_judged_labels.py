from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.objectives.judged_labels import JudgedLabels
from spn4cir_core.objectives.mixture import Mixture
from tests.objectives.examples import TAU, example, weighted
from tests.objectives.test_soft_labels import shares
from tests.reranking.rerankers import ByColour


def test_both_divergences_from_the_rerankers_shares() -> None:
    batch, losses = example(2).batch(), []
    assert batch.bank_ND is not None
    rows, scores = batch.output("judged_rows").tolist(), batch.output("judged_scores").tolist()
    for query, target, rows_K, (target_score, *scores_K) in zip(
        batch.queries_BD.detach(), batch.targets_BD, rows, scores, strict=True
    ):
        scored = [(row, score) for row, score in zip(rows_K, scores_K, strict=True) if np.isfinite(score)]
        if np.isnan(target_score):
            losses.append(0.0)
            continue
        ours = shares([float(query @ target), *(float(query @ batch.bank_ND[row]) for row, _ in scored)], TAU)
        wanted = shares([target_score, *(score for _, score in scored)], 0.5)
        losses.append(float(np.sum(ours * np.log(ours / wanted)) + np.sum(wanted * np.log(wanted / ours))) / 2)
    assert losses.count(0.0) == 1
    loss = JudgedLabels(reranker=ByColour(), label_temperature=0.5).loss(batch).item()
    assert loss == pytest.approx(weighted(batch, losses), rel=1e-5)


def test_a_mixture_passes_its_reranker_on() -> None:
    parts = [{"kind": "bank"}, {"kind": "judged_labels", "reranker": ByColour(top=3)}]
    mixture = Mixture.model_validate({"parts": parts})
    assert mixture.rerankers == (ByColour(top=3),) and {"judged_rows", "judged_scores"} <= mixture.needs
