from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.evaluation.recall import (
    average_precision,
    average_precisions,
    bootstrap_means,
    hits_at,
    interval,
    share_interval,
)


def test_recall_counted_by_hand() -> None:
    hits = hits_at(np.array([0, 4, 5, 9, 10]), [1, 5, 10])
    assert hits.mean(axis=0).tolist() == [1 / 5, 2 / 5, 4 / 5]


def test_a_random_model_finds_k_of_n() -> None:
    ranks = np.random.default_rng(0).integers(200, size=20_000)
    assert hits_at(ranks, [10]).mean() == pytest.approx(10 / 200, abs=0.005)


@pytest.mark.parametrize(
    ("right", "targets", "expected"),
    [
        ([1, 1, 1], 3, 1.0),
        ([1, 1, 1, 1, 1], 14, 1.0),  # a perfect first page of a query with more targets than fit
        ([0, 0, 0], 2, 0.0),
        ([0, 1, 0, 1], 2, (1 / 2 + 2 / 4) / 2),
        ([1, 0, 0], 2, 1 / 2),
        ([], 2, 0.0),
    ],
)
def test_average_precision_counted_by_hand(right: list[int], targets: int, expected: float) -> None:
    assert average_precision(np.array(right), targets) == pytest.approx(expected)


def test_bootstrap_of_independent_queries_has_the_binomial_spread() -> None:
    values = (np.arange(400) % 4 == 0).astype(float)[:, None]
    means = bootstrap_means(values, [str(row) for row in range(400)], 2000, seed=1)
    low, high = interval(means)
    spread = np.sqrt(0.25 * 0.75 / 400)
    assert means.mean() == pytest.approx(0.25, abs=0.003)
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_queries_of_one_reference_are_drawn_together() -> None:
    values = np.repeat((np.arange(40) % 4 == 0).astype(float), 10)[:, None]
    together = interval(bootstrap_means(values, [str(row // 10) for row in range(400)], 500, seed=1))
    apart = interval(bootstrap_means(values, [str(row) for row in range(400)], 500, seed=1))
    assert together[1][0] - together[0][0] > 2 * (apart[1][0] - apart[0][0])


def test_draws_are_seeded_and_do_not_depend_on_other_columns() -> None:
    values = np.random.default_rng(0).random((30, 3))
    groups = [str(row % 7) for row in range(30)]
    first = bootstrap_means(values, groups, 250, seed=4)
    assert np.array_equal(first, bootstrap_means(values, groups, 250, seed=4))
    assert np.allclose(first[:, [1]], bootstrap_means(values[:, [1]], groups, 250, seed=4))
    assert not np.array_equal(first, bootstrap_means(values, groups, 250, seed=5))
    assert first.shape == (250, 3)


def test_paired_interval_is_narrower_than_an_unpaired_one() -> None:
    random = np.random.default_rng(2)
    base = random.random(300)
    values = np.stack([base, base + 0.05], axis=1)
    means = bootstrap_means(values, [str(row) for row in range(300)], 400, seed=0)
    low, high = interval(means[:, [1]] - means[:, [0]])
    assert low[0] == pytest.approx(0.05)
    assert high[0] == pytest.approx(0.05)


@pytest.mark.parametrize(("right", "queries"), [(0, 1), (1, 1), (3, 3), (0, 12), (12, 12), (17, 20), (40, 400)])
def test_of_independent_queries_the_interval_of_a_share_is_wilsons(right: int, queries: int) -> None:
    from scipy.stats import binomtest

    values = (np.arange(queries) < right).astype(float)[:, None]
    low, high = share_interval(values, [str(row) for row in range(queries)])
    expected = binomtest(right, queries).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert high[0] - low[0] > 0.05
    assert low[0] <= values.mean() <= high[0], "whatever is rounded"


def test_queries_of_one_reference_image_count_less_than_as_many_others() -> None:
    values = np.repeat((np.arange(40) % 4 == 0).astype(float), 10)[:, None]
    low, high = share_interval(values, [str(row // 10) for row in range(400)])
    once_low, once_high = share_interval(values[::10], [str(row) for row in range(40)])
    assert (low[0], high[0]) == pytest.approx((once_low[0], once_high[0]))
    all_right = share_interval(np.ones((30, 1)), ["one"] * 30)
    assert all_right[0][0] == pytest.approx(share_interval(np.ones((1, 1)), ["one"])[0][0]), "thirty times one picture"


def test_of_many_queries_the_interval_of_a_share_is_that_of_resampling() -> None:
    random = np.random.default_rng(3)
    groups = [str(group) for group in random.integers(300, size=900)]
    chance_of = dict(zip(sorted(set(groups)), random.random(300), strict=False))
    values = np.stack([[random.random() < chance_of[group] for group in groups], random.random(900)], 1).astype(float)
    low, high = share_interval(values, groups)
    resampled_low, resampled_high = interval(bootstrap_means(values, groups, 4000, seed=0))
    np.testing.assert_allclose(low, resampled_low, atol=0.005)
    np.testing.assert_allclose(high, resampled_high, atol=0.005)


@pytest.mark.parametrize("queries", [12, 60])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_few_heavy_queries_are_not_many(queries: int, share: float) -> None:
    values, references = np.full((queries, 1), share), [str(row) for row in range(queries)]
    weights = np.array([16.0] * 3 + [0.001] * (queries - 3))
    given = share_interval(values, references, weights)
    of_three = share_interval(values[:3], references[:3])
    assert np.allclose(given, of_three, atol=1e-3), "the others hardly count"
    assert np.allclose(share_interval(values, references, np.full(queries, 7.0)), share_interval(values, references))


def test_no_query_says_nothing() -> None:
    low, high = share_interval(np.zeros((0, 2)), [])
    assert low.tolist() == [0, 0] and high.tolist() == [1, 1]


def test_average_precisions_are_those_of_the_definition() -> None:
    random = np.random.default_rng(0)
    right_QK, targets_Q = random.random((40, 12)) < 0.3, random.integers(1, 30, 40)
    given_Q = average_precisions(right_QK, targets_Q.tolist())
    for given, right_K, targets in zip(given_Q, right_QK, targets_Q, strict=True):
        precisions = [right_K[: rank + 1].mean() for rank in range(12) if right_K[rank]]
        assert given == pytest.approx(sum(precisions) / min(targets, 12))
