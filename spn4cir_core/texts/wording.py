"""How a difference is worded: articles as the captions have them, and a change of one attribute by its own name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from spn4cir_core.texts.attributes import ATTRIBUTES
from spn4cir_core.texts.differences import (
    PREPOSITIONS,
    Difference,
    Phrase,
    head,
    phrases_with_articles,
    segments,
    split_phrases,
)

SOUNDS_LIKE_A_CONSONANT = ("uni", "use", "usu", "eu", "one", "once", "uti")
ENDS_LIKE_ONE_THING = ("ss", "us", "is")


def worded(reference: str, target: str, change: Difference) -> dict[str, str]:
    """Values for the placeholders of a template.

    Returns:
        ``reference`` and ``target``, the captions; ``added`` ("a pink jersey") and ``removed`` ("the maroon
        sweatshirt"), with articles only where the captions have them; ``attribute`` ("maroon"), where both captions
        name one thing that differs in nothing else.
    """
    return {
        "reference": reference,
        "target": target,
        "added": " and ".join(map(_with_a, change.added, _have_articles(target, change.added_from))),
        "removed": " and ".join(map(_with_the, change.removed, _have_articles(reference, change.removed_from))),
        "attribute": changed_attribute(reference, target),
    }


def changed_attribute(reference: str, target: str) -> str:
    """What is said of the same one thing in the target and not in the reference: a colour, a size, a pattern.

    "a black Loafer" and "a maroon Loafer" give "maroon"; "a lab coat" and "a trench coat" are two kinds of things.
    """
    phrases = split_phrases(reference), split_phrases(target)
    if any(len(found) != 1 for found in phrases):
        return ""
    (old, *old_rest), (new, *new_rest) = (segments(found[0]) for found in phrases)
    if old[-1] != new[-1] or old_rest != new_rest:
        return ""
    first = _shared(old, new)
    last = min(_shared(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    was, becomes = old[first : len(old) - last], new[first : len(new) - last]
    return " ".join(becomes) if set(was) | set(becomes) <= ATTRIBUTES else ""


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Words that both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _have_articles(caption: str, phrases: Sequence[Phrase]) -> list[bool]:
    articles = dict(phrases_with_articles(caption))
    return [bool(articles.get(phrase)) for phrase in phrases]


def _with_a(phrase: Phrase, has_article: bool) -> str:
    text = " ".join(phrase)
    thing = head(phrase)
    several = thing.endswith("s") and not thing.endswith(ENDS_LIKE_ONE_THING)
    if not has_article or several or phrase[0] in PREPOSITIONS:
        return text
    vowel = text[0] in "aeiou" and not text.startswith(SOUNDS_LIKE_A_CONSONANT)
    return f"{'an' if vowel else 'a'} {text}"


def _with_the(phrase: Phrase, has_article: bool) -> str:
    text = " ".join(phrase)
    return f"the {text}" if has_article and phrase[0] not in PREPOSITIONS else text
