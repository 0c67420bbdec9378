from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.splits import near_duplicates
from spn4cir_core.splits.indexed_links import indexed_embedding_links
from spn4cir_core.splits.near_duplicates import embedding_links


def corpus(dtype: str, copies: int = 100) -> np.ndarray:
    """Unit vectors of 20 clusters, the first ones again with a little noise."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 16))[rng.integers(0, 20, 1500)] + 0.8 * rng.normal(size=(1500, 16))
    vectors = np.concatenate([base, base[:copies] + 0.02 * rng.normal(size=(copies, 16)), base[: copies // 2]])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_links_are_those_of_comparing_all(dtype: str) -> None:
    vectors = corpus(dtype)
    wanted, wanted_cosines = embedding_links(vectors, 0.98)
    (pairs, cosines), details = indexed_embedding_links(vectors, 0.98)
    true = dict(zip(map(tuple, wanted.tolist()), wanted_cosines.tolist(), strict=True))
    assert len(wanted) >= 150
    assert len(pairs) >= 0.99 * len(wanted)
    assert pairs.tolist() == sorted(pairs.tolist())
    for pair, cosine in zip(map(tuple, pairs.tolist()), cosines.tolist(), strict=True):
        assert cosine == pytest.approx(true[pair], abs=1e-6)
    assert details["index"] == "ivf"
    assert details["sampled_link_recall"] >= 0.95


def test_no_near_duplicate_gives_no_recall() -> None:
    (pairs, _), details = indexed_embedding_links(corpus("float32", 0)[:400], 1.0)
    assert len(pairs) == 0
    assert details["sampled_link_recall"] is None


def test_a_threshold_that_links_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_LINKS", 100)
    with pytest.raises(InputError, match=r"near_duplicate_cosine = -0\.5"):
        indexed_embedding_links(corpus("float32"), -0.5)
