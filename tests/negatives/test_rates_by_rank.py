"""Rates by rank against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.negatives.rates_by_rank import BANDS, BandRate, rates_by_rank


def slow(scores_BN: np.ndarray, targets: list[int], false_negatives: list[set[int]]) -> dict[tuple[int, int], float]:
    hits: dict[tuple[int, int], list[bool]] = {}
    for scores, target, own in zip(scores_BN, targets, false_negatives, strict=True):
        order = [row for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)) if row != target]
        for rank, row in enumerate((row for row in order if np.isfinite(scores[row])), 1):
            band = next((band for band in BANDS if band[0] <= rank <= band[1]), None)
            if band is not None:
                hits.setdefault(band, []).append(row in own)
    return {band: sum(one) / len(one) for band, one in hits.items()}


@pytest.mark.parametrize("count", [3, 8, 300])
def test_rates_are_those_of_counting(count: int) -> None:
    rng = np.random.default_rng(count)
    scores = np.round(rng.random((5, count)), 2)
    scores[0, 0] = -np.inf
    targets = rng.integers(1, count, 5).tolist()
    own = [set(rng.choice(count, count // 3, replace=False).tolist()) - {target} for target in targets]
    rates = rates_by_rank("miner", scores, targets, own)
    assert {(one.first, one.last): pytest.approx(one.rate) for one in rates} == slow(scores, targets, own)


def test_known_case() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.1]])
    rates = rates_by_rank("miner", scores, [0], [{1}])
    assert rates == [BandRate("miner", 1, 1, 1.0, 1), BandRate("miner", 2, 5, 0.0, 2)]
    assert rates_by_rank("miner", np.zeros((0, 4)), [], []) == []
