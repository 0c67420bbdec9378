"""How a difference is worded: articles as the captions have them, and a change of one attribute by its own name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from spn4cir_core.texts.articles import have_articles, with_a, with_the
from spn4cir_core.texts.attributes import ATTRIBUTES
from spn4cir_core.texts.differences import Difference, segments, split_phrases
from spn4cir_core.texts.edit_wordings import edit_wordings
from spn4cir_core.texts.edits import edits, shared_phrases, worded_edits


def worded(reference: str, target: str, change: Difference) -> dict[str, str]:
    """Values for the placeholders of a template.

    Returns:
        ``reference`` and ``target``, the captions; ``added`` ("a pink jersey") and ``removed`` ("the maroon
        sweatshirt"), with articles only where the captions have them; ``attribute`` ("maroon"), where both captions
        name one thing that differs in nothing else; ``changes`` ("make the dress red and add a belt"), every edit in
        turn; ``kept`` ("the small circle"), the phrases that both captions have; and every
        wording of :mod:`.edit_wordings` ("make it pink").
    """
    shared = shared_phrases(reference, target)
    return {
        "reference": reference,
        "target": target,
        "added": " and ".join(map(with_a, change.added, have_articles(target, change.added_from))),
        "removed": " and ".join(map(with_the, change.removed, have_articles(reference, change.removed_from))),
        "attribute": changed_attribute(reference, target),
        "changes": worded_edits(reference, target, edits(reference, target)),
        "kept": " and ".join(map(with_the, shared, have_articles(reference, shared))),
        **edit_wordings(reference, target),
    }


def changed_attribute(reference: str, target: str) -> str:
    """What is said of the same one thing in the target and not in the reference: a colour, a size, a pattern.

    "a black Loafer" and "a maroon Loafer" give "maroon"; "a lab coat" and "a trench coat" are two kinds of things.
    """
    phrases = split_phrases(reference), split_phrases(target)
    if any(len(of_caption) != 1 for of_caption in phrases):
        return ""
    (old, *old_rest), (new, *new_rest) = (segments(of_caption[0]) for of_caption in phrases)
    if old[-1] != new[-1] or old_rest != new_rest:
        return ""
    first = _shared(old, new)
    last = min(_shared(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    was, becomes = old[first : len(old) - last], new[first : len(new) - last]
    return " ".join(becomes) if set(was) | set(becomes) <= ATTRIBUTES else ""


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Words that both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
