"""How far a modified text gives its target away: figures that say whether training needs the reference image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from spn4cir_core.texts.differences import bag_of_words
from spn4cir_core.triplets.triplet import Triplet

TEXTS_REMEMBERED = 1 << 14
"""Many triplets have the same captions and texts."""


def names_target_in_full(texts: Iterable[str], target_caption: str) -> bool:
    """Whether one of the texts contains every word of the target's caption."""
    words = _words(target_caption)
    return bool(words) and any(all(said[word] >= n for word, n in words.items()) for said in map(_words, texts))


_words = lru_cache(maxsize=TEXTS_REMEMBERED)(bag_of_words)


def text_figures(
    triplets: Sequence[Triplet],
    naming_target: Container[str],
    target_meanings: Sequence[Hashable],
    candidate_meanings: Iterable[Hashable],
) -> dict[str, Any]:
    """Shares of the generated training triplets.

    Args:
        triplets: generated training triplets.
        naming_target: ids of those one of whose texts :func:`names_target_in_full`.
        target_meanings: of each triplet what its target's caption says.
        candidate_meanings: of each candidate what its caption says.

    Returns:
        ``text_names_target_share``: a modified text contains every word of the target's caption, so that the text
        alone describes the target. ``caption_singles_out_target_share``: no other candidate's caption says the
        same. ``text_alone_suffices_share``: both. ``candidates_with_target_caption_mean``: candidates whose
        caption says what the target's does, itself included.
    """
    shared = Counter(candidate_meanings)
    named = [triplet.triplet_id in naming_target for triplet in triplets]
    holders = [max(1, shared[meaning]) for meaning in target_meanings]
    return {
        "text_names_target_share": _share(named),
        "caption_singles_out_target_share": _share([count == 1 for count in holders]),
        "text_alone_suffices_share": _share([name and count == 1 for name, count in zip(named, holders, strict=True)]),
        "candidates_with_target_caption_mean": round(sum(holders) / len(holders), 2) if holders else None,
    }


def _share(marks: Sequence[bool]) -> float | None:
    return round(sum(marks) / len(marks), 4) if marks else None
