"""Gates on a generated triplet's captions and texts."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from typing_extensions import override

from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.caption_words import caption_words
from spn4cir_core.texts.differences import bag_of_words, caption_meaning, split_phrases
from spn4cir_core.texts.edits import edits
from spn4cir_core.triplets.figures import TEXTS_REMEMBERED, names_target_in_full
from spn4cir_core.triplets.gate import Gate, GateBasis
from spn4cir_core.triplets.triplet import Triplet

SHORTEST_CAPTION = 2
"""Characters of words that a caption must have to say something."""
LONG_ENOUGH_TO_REPEAT = 6
LEAST_DISTINCT_SHARE = 1 / 3
"""A caption of six words and more in which a third or less are distinct repeats itself."""
CAPTIONS_REMEMBERED = 1 << 18
_EXCUSE = re.compile(
    r"\bas an (?:ai|artificial)\b|\blanguage model\b|\bi(?:['’]m| am) (?:sorry|unable|not able|an ai)\b"
    r"|\bi (?:can ?not|can['’]t|do not|don['’]t) "
    r"(?:see|view|describe|provide|determine|identify|help|assist|answer|have)\b"
    r"|\bi (?:can ?not|can['’]t)\b\W*$|\b(?:unable|not possible) to (?:see|describe|provide|determine|identify|view)\b"
    r"|\bno (?:image|picture|photo) (?:is|was|has been|provided|given|attached)\b",
    re.IGNORECASE,
)


class CaptionSaysNothing(Gate):
    """Refuse a triplet whose target's or reference's caption has fewer than two characters of words."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        for side, caption in _captions(triplet):
            if _says_nothing(caption):
                return f"the {side}'s caption says nothing"
        return ""


class CaptionIsAnExcuse(Gate):
    """Refuse a triplet one of whose captions is a model's refusal to describe: "I'm sorry, I cannot see …"."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        for side, caption in _captions(triplet):
            if _is_an_excuse(caption):
                return f"the {side}'s caption is an excuse"
        return ""


class CaptionRepeatsItself(Gate):
    """Refuse a triplet one of whose captions got stuck: "dress dress dress", "a red red red …"."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        for side, caption in _captions(triplet):
            if _repeats_itself(caption):
                return f"the {side}'s caption repeats itself"
        return ""


class CaptionIsCommon(Gate):
    """Refuse a triplet whose target's caption says what too many images of its split say: no text singles it out."""

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        most = basis.settings.most_caption_share
        common = basis.caption_share(triplet.split, triplet.target_caption) > most
        return f"the target's caption is that of more than {100 * most:g} % of the images" if common else ""


class CaptionsSayTheSame(Gate):
    """Refuse a triplet whose two captions say the same: no text can lead from one image to the other."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        same = caption_meaning(triplet.reference_caption) == caption_meaning(triplet.target_caption)
        return "captions say the same" if same else ""


class CaptionsNearlyEqual(Gate):
    """Refuse a triplet whose two captions share most of the longer one's words."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        one, other = bag_of_words(triplet.reference_caption), bag_of_words(triplet.target_caption)
        longer = max(one.total(), other.total())
        near = longer > 0 and (one & other).total() / longer > basis.settings.most_caption_overlap
        return "captions are nearly equal" if near else ""


class CaptionsNeedManyEdits(Gate):
    """Refuse a triplet whose captions are many edits apart: such a text describes a new picture, and no reference."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        changes = edits(triplet.reference_caption, triplet.target_caption)  # none where there are too many to list
        few = 1 <= len(changes) <= basis.settings.most_edits
        return "" if few else f"captions are more than {basis.settings.most_edits} edits apart"


class TextNamesTarget(Gate):
    """Refuse a triplet one of whose texts says all that the target's caption says: the text alone answers the query."""

    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        named = names_target_in_full(triplet.modified_texts, triplet.target_caption)
        return "the text alone describes the target" if named else ""


class TextMissesChange(Gate):
    """Refuse a triplet one of whose texts is about another change than that between its two captions.

    A text passes if the reference's caption, edited by its rules, is nearer to the target's, or if it names every word
    that the target's caption adds (that it lacks, where it adds none). For texts made of captions: a model may say the
    same in words that no caption has.
    """

    plugin_version = 2  # the caption editor understands more of people's words
    reads_texts_alone = True

    @override
    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        reference, target = triplet.reference_caption, triplet.target_caption
        old, new = _single_words(reference), _single_words(target)
        change, apart = (new - old) or (old - new), _words_apart(reference, target)
        for text in triplet.modified_texts:
            names_change = bool(change) and change <= _single_words(text)
            if not names_change and _words_apart(edit_caption(reference, text).caption, target) >= apart:
                return "the text is about another change"
        return ""


@lru_cache(maxsize=CAPTIONS_REMEMBERED)
def _says_nothing(caption: str) -> bool:
    return sum(map(len, bag_of_words(caption))) < SHORTEST_CAPTION


@lru_cache(maxsize=CAPTIONS_REMEMBERED)
def _is_an_excuse(caption: str) -> bool:
    return _EXCUSE.search(caption) is not None


@lru_cache(maxsize=CAPTIONS_REMEMBERED)
def _repeats_itself(caption: str) -> bool:
    words = [word for phrase in split_phrases(caption) for word in phrase]
    stuck = any(one == two == three for (one, two), (_, three) in pairwise(pairwise(words)))
    few = len(words) >= LONG_ENOUGH_TO_REPEAT and len(set(words)) <= LEAST_DISTINCT_SHARE * len(words)
    return stuck or few


@lru_cache(maxsize=TEXTS_REMEMBERED)
def _single_words(text: str) -> frozenset[str]:
    return frozenset(word for word in caption_words(text) if " " not in word)


@lru_cache(maxsize=TEXTS_REMEMBERED)
def _words_apart(one: str, other: str) -> int:
    """Words, and pairs of neighbours, that only one of two captions has."""
    first, second = Counter(caption_words(one)), Counter(caption_words(other))
    return (first - second).total() + (second - first).total()


def _captions(triplet: Triplet) -> tuple[tuple[str, str], ...]:
    return ("target", triplet.target_caption), ("reference", triplet.reference_caption)
