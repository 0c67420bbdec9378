import numpy as np

from spn4cir_core.blend.calibration import LARGEST, Calibration


def test_standard_scores_have_mean_0_and_deviation_1() -> None:
    scores = np.random.default_rng(0).normal([[[3.0], [-1.0]]], [[[2.0], [0.1]]], size=(5, 2, 400)).astype(np.float32)
    standard = Calibration.of(scores).apply(scores)
    np.testing.assert_allclose(standard.mean((0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std((0, 2)), 1, atol=1e-3)


def test_missing_scores_are_average_and_do_not_count() -> None:
    scores = np.array([[[1.0, 3.0, np.nan]]], np.float32)
    calibration = Calibration.of(scores)
    assert calibration.mean_C[0] == 2
    np.testing.assert_allclose(calibration.apply(scores)[0, 0], [-1, 1, 0])


def test_a_channel_that_never_varies_or_is_missing_counts_for_nothing() -> None:
    scores = np.stack([np.full((2, 3), 7.0), np.full((2, 3), np.nan)], 1).astype(np.float32)
    assert not Calibration.of(scores).apply(scores).any()


def test_one_odd_score_is_clipped() -> None:
    calibration = Calibration(np.zeros(1, np.float32), np.ones(1, np.float32))
    assert calibration.apply_to(0, np.array([[1e6, -1e6]])).tolist() == [[LARGEST, -LARGEST]]


def test_tables_give_the_calibration_back() -> None:
    calibration = Calibration.of(np.random.default_rng(1).normal(size=(3, 2, 9)).astype(np.float32))
    again = Calibration.from_table(calibration.as_table())
    np.testing.assert_array_equal(again.mean_C, calibration.mean_C)
    np.testing.assert_array_equal(again.deviation_C, calibration.deviation_C)
