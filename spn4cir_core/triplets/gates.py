"""Gates: reasons to refuse a generated triplet, each a pure function, each counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from spn4cir_core.texts.differences import bag_of_words, caption_meaning
from spn4cir_core.triplets.settings import GateName
from spn4cir_core.triplets.triplet import Triplet

SHORTEST_CAPTION = 2
"""Characters of words that a caption must have to say something."""

Gate = Callable[[Triplet], str]
"""Gives the reason for refusing a triplet, or an empty string."""


def caption_says_nothing(triplet: Triplet) -> str:
    """Refuse a triplet whose target's or reference's caption has fewer than two characters of words."""
    for side, caption in (("target", triplet.target_caption), ("reference", triplet.reference_caption)):
        if sum(map(len, bag_of_words(caption))) < SHORTEST_CAPTION:
            return f"the {side}'s caption says nothing"
    return ""


def captions_say_the_same(triplet: Triplet) -> str:
    """Refuse a triplet whose two captions say the same: no text can lead from one image to the other."""
    same = caption_meaning(triplet.reference_caption) == caption_meaning(triplet.target_caption)
    return "captions say the same" if same else ""


GATES: Mapping[GateName, Gate] = {
    "caption_says_nothing": caption_says_nothing,
    "captions_say_the_same": captions_say_the_same,
}


def refusal(triplet: Triplet, names: Iterable[GateName]) -> str:
    """The reason of the first gate that refuses the triplet, or an empty string."""
    return next(filter(None, (GATES[name](triplet) for name in names)), "")
