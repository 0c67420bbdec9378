import numpy as np

from spn4cir_core.blend.sample import Sample
from tests.blend.test_fit import CANDIDATES, scores


def test_a_sample_holds_scores_in_the_half_that_is_the_candidates() -> None:
    data, targets, excluded = scores([1.0, 1.0])
    captioned_N = np.arange(CANDIDATES) % 3 > 0
    sample = Sample.of(data, targets, excluded, captioned_N, np.array([5, 8]))
    assert sample.number_Q.tolist() == [5, 8] and sample.score_WQM.shape == (4, 2, CANDIDATES)
    for number, query in enumerate((5, 8)):
        row = targets[query][0]
        expected = np.zeros(4)
        expected[slice(0, 2) if captioned_N[row] else slice(2, 4)] = data[query, :, row]
        np.testing.assert_allclose(sample.score_WQM[:, number, 0], expected)
        assert np.isinf(sample.valid_QM[number]).sum() == 1  # the reference image
