"""How far a modified text gives its target away: figures that say whether training needs the reference image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from spn4cir_core.texts.differences import bag_of_words, caption_meaning
from spn4cir_core.triplets.triplet import Triplet


def names_target_in_full(texts: Iterable[str], target_caption: str) -> bool:
    """Whether one of the texts contains every word of the target's caption."""
    words = bag_of_words(target_caption)
    return bool(words) and any(not words - bag_of_words(text) for text in texts)


def text_figures(triplets: Iterable[Triplet], candidate_captions: Iterable[str]) -> dict[str, Any]:
    """Shares of the generated training triplets.

    Returns:
        ``text_names_target_share``: a modified text contains every word of the target's caption, so that the text
        alone describes the target. ``caption_singles_out_target_share``: no other candidate's caption says the
        same. ``text_alone_suffices_share``: both. ``candidates_with_target_caption_mean``: candidates whose
        caption says what the target's does, itself included.
    """
    shared = Counter(caption_meaning(caption) for caption in candidate_captions)
    generated = [triplet for triplet in triplets if triplet.origin == "generated" and triplet.split == "train"]
    named = [names_target_in_full(triplet.modified_texts, triplet.target_caption) for triplet in generated]
    holders = [max(1, shared[caption_meaning(triplet.target_caption)]) for triplet in generated]
    return {
        "text_names_target_share": _share(named),
        "caption_singles_out_target_share": _share([count == 1 for count in holders]),
        "text_alone_suffices_share": _share([name and count == 1 for name, count in zip(named, holders, strict=True)]),
        "candidates_with_target_caption_mean": round(sum(holders) / len(holders), 2) if holders else None,
    }


def _share(marks: Sequence[bool]) -> float | None:
    return round(sum(marks) / len(marks), 4) if marks else None
