import numpy as np
import pytest

from spn4cir_core.blend import fit as fit_file
from spn4cir_core.blend.fit import FEW_QUERIES, fit_samples, fit_weights, hits_at_1, recall_at_1
from spn4cir_core.blend.sample import Sample

QUERIES, CANDIDATES = 120, 60


def scores(signals: list[float], seed: int = 0) -> tuple[np.ndarray, list[list[int]], list[int]]:
    """Noise of deviation 1, and the signal of each channel added to the target's score."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(QUERIES, len(signals), CANDIDATES)).astype(np.float32)
    targets = rng.integers(1, CANDIDATES, QUERIES)
    noise[np.arange(QUERIES), :, targets] += np.array(signals, np.float32)
    return noise, [[int(row)] for row in targets], [0] * QUERIES


def test_a_channel_of_noise_gets_exactly_zero_and_the_others_do_not() -> None:
    fit = fit_weights(*scores([2.0, 0.0, 2.0]))
    assert fit.weight_C[1] == 0 and fit.weight_C[0] > 0 and fit.weight_C[2] > 0
    assert fit.recall > fit.recall_alone_C.max() and not fit.fallback
    assert (fit.low_C <= fit.weight_C + 1e-6).all() and (fit.weight_C <= fit.high_C + 1e-6).all()


def test_a_channel_that_misleads_is_never_used_negatively() -> None:
    fit = fit_weights(*scores([2.0, -3.0]))
    assert fit.weight_C[1] == 0 and fit.weight_C[0] > 0


@pytest.mark.parametrize("seed", range(5))
def test_never_below_the_best_single_channel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, targets, excluded = scores(list(rng.uniform(-1, 3, 4)), seed)
    data[:, 0] *= rng.choice([1, 50])
    fit = fit_weights(data, targets, excluded)
    assert fit.recall >= fit.recall_alone_C.max()


def test_where_one_channel_is_served_alone_the_intervals_are_those_of_its_own_weight() -> None:
    data, targets, excluded = scores([1.5, 1.0, 0.6], seed=18)
    fit = fit_weights(data[:40], targets[:40], excluded[:40])
    assert fit.fallback and np.flatnonzero(fit.weight_C).tolist() == [0]
    assert fit.low_C[0] < fit.weight_C[0] < fit.high_C[0]
    assert not fit.low_C[1:].any() and not fit.high_C[1:].any()


def test_same_input_gives_the_same_weights() -> None:
    one, other = (fit_weights(*scores([1.0, 2.0])) for _ in range(2))
    np.testing.assert_array_equal(one.weight_C, other.weight_C)
    np.testing.assert_array_equal(one.low_C, other.low_C)


def test_the_reference_is_excluded() -> None:
    data, targets, excluded = scores([3.0, 1.0])
    data[:, :, 0] = 9
    assert fit_weights(data, targets, excluded).recall > 0.5


def test_channels_without_scores_fall_out() -> None:
    data, targets, excluded = scores([2.0, 2.0])
    data[:, 1] = 0
    fit = fit_weights(data, targets, excluded)
    assert fit.weight_C[1] == 0 and fit.weight_C[0] > 0


def test_equal_scores_at_the_top_count_by_their_share() -> None:
    assert recall_at_1(np.array([[[1.0, 1.0, 0.0]]]), np.ones(1), [[0]]) == 0.5


def test_no_queries_is_an_error() -> None:
    with pytest.raises(ValueError, match="no validation queries"):
        fit_weights(np.zeros((0, 2, 3)), [], [])


@pytest.mark.parametrize(("queries", "left_out"), [(FEW_QUERIES - 1, False), (QUERIES, True)])
def test_few_queries_leave_no_channel_out(queries: int, left_out: bool) -> None:
    data, targets, excluded = scores([6.0, 0.0, 0.5])
    fit = fit_weights(data[:queries], targets[:queries], excluded[:queries])
    assert bool((fit.weight_C == 0).any()) is left_out


def test_candidates_without_a_caption_have_weights_of_their_own() -> None:
    """Channel 0 tells targets with a caption, channel 1 those without one."""
    data, targets, excluded = scores([0.0, 0.0])
    captioned_N = np.arange(CANDIDATES) % 2 == 0
    for number, (row,) in enumerate(targets):
        data[number, 0 if captioned_N[row] else 1, row] += 4
    fit = fit_weights(data, targets, excluded, captioned_N=captioned_N)
    assert fit.weight_C[0] > 0 == fit.weight_C[1] and fit.without_caption_C[1] > 0 == fit.without_caption_C[0]
    whole = recall_at_1(data, fit.weight_C, targets)
    assert recall_at_1(data, fit.weight_C, targets, fit.without_caption_C, captioned_N) == fit.recall > whole


def test_the_same_query_twice_weighs_no_more_than_once() -> None:
    data, targets, excluded = scores([1.0, 0.3])
    sample = Sample.of(data, targets, excluded, np.ones(CANDIDATES, bool))
    once, twice = fit_samples([sample]), fit_samples([sample, sample])
    np.testing.assert_allclose(once[0], twice[0], rtol=1e-3)
    np.testing.assert_array_equal(once[1], 0)


@pytest.mark.parametrize("seed", range(6))
def test_channels_go_as_if_each_were_tried_every_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two signals that share their noise, two weak ones, and noise: compared with fits of all, to the last digit."""
    data, targets, excluded = scores([1.5, 1.4, 0.4, 0.2, 0.0, 0.0], seed)
    data[:, 1] = (data[:, 0] + data[:, 1]) / 2
    soon = fit_weights(data, targets, excluded)
    monkeypatch.setattr(fit_file, "TRIED_FIRST", 6)
    monkeypatch.setattr(fit_file, "ROUGHLY", fit_file.FINELY)
    slow = fit_weights(data, targets, excluded)
    np.testing.assert_allclose(soon.weight_C, slow.weight_C, rtol=1e-6)
    assert 0 < np.count_nonzero(soon.weight_C) < 6


def test_hits_are_the_share_of_targets_among_equal_best_candidates() -> None:
    rng = np.random.default_rng(3)
    total_QN = rng.integers(0, 4, (50, 12)).astype(np.float32)
    targets = [tuple(rng.choice(12, size, replace=False).tolist()) for size in rng.integers(0, 5, 50)]
    bests = [np.flatnonzero(total_N == total_N.max()).tolist() for total_N in total_QN]
    expected = [sum(row in rows for row in best) / len(best) for best, rows in zip(bests, targets, strict=True)]
    assert hits_at_1(total_QN, targets).tolist() == expected and 0 < sum(expected) < 50
