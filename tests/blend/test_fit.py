import numpy as np
import pytest

from spn4cir_core.blend.fit import FEW_QUERIES, fit_weights, recall_at_1

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
