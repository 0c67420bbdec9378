"""The estimate of a share from strata, of which some were drawn more often."""

from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.judgements.stratified import Share, Tally, stratified_order, stratified_share


def test_strata_count_by_their_queries_not_by_what_was_judged() -> None:
    share = stratified_share([Tally(900, 100, 100), Tally(100, 400, 0)])
    assert share.value == pytest.approx(0.9, abs=0.01) and share.judged == 500
    assert 0 < share.half_width < 0.02


def test_nothing_judged_says_nothing() -> None:
    share = stratified_share([Tally(10, 0, 0)])
    assert share.low < 0.01 and share.high > 0.99 and share.judged == 0
    assert stratified_share([]) == Share(0.0, 0.0, 0.0, 0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random, truth, sizes = np.random.default_rng(0), (0.95, 0.5, 0.3), (600, 300, 100)
    right = sum(share * size for share, size in zip(truth, sizes, strict=True)) / sum(sizes)
    within = 0
    for _ in range(300):
        tallies = [
            Tally(size, judged, int(random.binomial(judged, share)))
            for share, size, judged in zip(truth, sizes, (30, 25, 8), strict=True)
        ]
        share = stratified_share(tallies)
        within += share.low <= right <= share.high
    assert within / 300 == pytest.approx(0.95, abs=0.04)


def test_any_beginning_holds_the_strata_by_size_and_spread() -> None:
    strata = {"agree": [f"a{number}" for number in range(60)], "apart": [f"b{number}" for number in range(40)]}
    order = stratified_order(strata, {"agree": 0.25, "apart": 0.75}, seed=1)
    assert sorted(order) == sorted([*strata["agree"], *strata["apart"]])
    for count in (9, 18, 36):
        apart = sum(query.startswith("b") for query in order[:count])
        assert apart == pytest.approx(count * 40 * 0.75 / (60 * 0.25 + 40 * 0.75), abs=1)
    assert order == stratified_order(strata, {"agree": 0.25, "apart": 0.75}, seed=1)
    other = stratified_order(strata, {"agree": 0.25, "apart": 0.75}, seed=2)
    assert other != order and [query[0] for query in other] == [query[0] for query in order]
