"""A say in ties: what orders pictures of equal captions where the fitted weights read captions alone.

Where many pictures share a caption, every validation query may be answered by captions alone, so that a fit leaves out
what sees pictures; pictures of one caption would then stand in the order of the gallery. So would all pictures whose
captions have nothing of a query, be they distinct: there frozen similarity, which costs a search nothing, has the say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from spn4cir_core.texts.differences import caption_meaning

LEAST_SHARE_EQUAL = 0.1
"""Share of the captioned pictures whose caption another one has too, from which each channel that sees pictures may
break ties."""
TIE_BREAK = 0.01
"""Weight of what breaks ties, in log-odds a standard deviation; less where all weights are below 1."""


def share_equal(captions: Sequence[str | None]) -> float:
    """Share of the captioned pictures whose caption says what that of another one says, 0 … 1."""
    counts = Counter(caption_meaning(caption) for caption in captions if caption)
    return sum(count for count in counts.values() if count > 1) / max(1, counts.total())


def with_tie_break(weight_C: np.ndarray, channel: int) -> np.ndarray:
    """The weights (C,), and so little for one channel more that it orders only what the others leave about equal."""
    return np.where(np.arange(len(weight_C)) == channel, TIE_BREAK * min(1.0, weight_C.max()), weight_C)


def best_tie_break(
    weight_C: np.ndarray, allowed_C: np.ndarray, recall_alone_C: np.ndarray, recall_of: Callable[[np.ndarray], float]
) -> int | None:
    """Of the channels that are allowed (C,) the one of most recall@1 alone.

    None where one of them has a weight already, none is allowed, or recall@1 of the weights falls by the tie-break.
    """
    if not allowed_C.any() or weight_C[allowed_C].any():
        return None
    best = int(np.argmax(np.where(allowed_C, recall_alone_C, -1)))
    return best if recall_of(with_tie_break(weight_C, best)) >= recall_of(weight_C) else None
