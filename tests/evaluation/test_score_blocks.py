from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.evaluation.ranks import top_hits
from spn4cir_core.evaluation.score_blocks import LARGE, BlockSize, Precision, fastest_precision, score_blocks

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float64")


def worst_for_bfloat16(rows: int, dim: int, seed: int) -> np.ndarray:
    """Numbers that all lose nearly half a step when they are rounded, all to the same side."""
    random = np.random.default_rng(seed)
    sizes = np.float32(2.0) ** random.integers(-3, 1, (rows, dim)).astype(np.float32)
    return (sizes * np.float32(1 + 0.99 / 256)).astype(np.float32)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["random", "worst", "several"])
def test_a_limit_is_decided_only_as_the_exact_score_decides_it(precision: Precision, kind: str) -> None:
    random = np.random.default_rng(1)
    if kind == "worst":
        queries, gallery = worst_for_bfloat16(9, 48, 2), worst_for_bfloat16(31, 48, 3)
    else:
        queries = random.standard_normal((9, 48), np.float32)
        gallery = random.standard_normal((31, 3, 48) if kind == "several" else (31, 48), np.float32)
    exact = np.einsum("qd,n...d->qn...", queries.astype(np.float64), gallery.astype(np.float64)).reshape(9, 31, -1)
    exact = exact.max(axis=2)
    undecided = 0
    for block in score_blocks(queries, gallery, BlockSize(4, 13, precision)):
        part = exact[block.queries, block.first : block.first + 13]
        for off in (0.0, 1e-9, -1e-9, 1e-3, -1e-3, 0.1, -0.1):
            limits = part[:, 2] + off
            above, perhaps = block.above(limits), block.perhaps_from(limits)
            assert (part > limits[:, None])[above].all()
            assert perhaps[part >= limits[:, None]].all()
            undecided += int((perhaps & ~above).sum())
        at_least = block.at_least(block.scores_Qn[:, 4].astype(np.float64))
        assert (at_least <= part[:, 4]).all()
        rows, columns = block.pairs(np.ones(part.shape, bool))
        assert np.array_equal(block.exact(rows, columns).reshape(part.shape).round(10), part.round(10))
        scores, errors = block.pair_scores(rows, columns)
        assert (np.abs(scores - part.ravel()) <= errors + np.abs(part.ravel()) * 2.0**-23).all()
    assert 0 < undecided < 9 * 31 * 7


def test_blocks_cover_every_pair_once() -> None:
    queries = np.eye(5, 8, dtype=np.float32)
    gallery = np.eye(11, 8, dtype=np.float16)
    seen = np.zeros((5, 11), int)
    for block in score_blocks(queries, gallery, BlockSize(2, 4)):
        rows, columns = block.pairs(np.isfinite(block.scores_Qn))
        seen[rows + block.queries.start, columns + block.first] += 1
    assert seen.tolist() == np.ones((5, 11), int).tolist()


def test_few_images_are_not_multiplied_in_bfloat16_and_rank_alike() -> None:
    queries, gallery = worst_for_bfloat16(9, 48, 2), worst_for_bfloat16(LARGE + 5, 48, 3)
    assert fastest_precision(LARGE - 1) != "bfloat16"
    chosen, wide = (top_hits(queries, gallery[: LARGE - 1], 5, size=BlockSize(precision=p)) for p in (None, "float64"))
    assert np.array_equal(chosen[0], wide[0]) and np.array_equal(chosen[1], wide[1])
    large, wide = (top_hits(queries, gallery, 5, size=BlockSize(precision=p)) for p in (None, "float64"))
    assert np.array_equal(large[0], wide[0]) and np.array_equal(large[1], wide[1])
