"""A difference as a list of edits: which thing becomes which, what is added, what goes, and what stays.

A thing is a noun phrase: its head with the words before it, and what prepositions attach to it. Things of the two
captions are the same one if their heads are, or if their heads alone differ.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from spn4cir_core.texts.articles import have_articles, with_a, with_the
from spn4cir_core.texts.attributes import ATTRIBUTES
from spn4cir_core.texts.differences import (
    MOST_COMPARISONS,
    PREPOSITIONS,
    Phrase,
    head,
    narrowed,
    segments,
    split_phrases,
    without,
)


@dataclass(frozen=True)
class Edit:
    """``old`` becomes ``new``; one of them is empty where a thing is only added or only goes."""

    old: Phrase
    new: Phrase
    others: tuple[Phrase, ...] = ()
    """The reference's other phrases: what is said of ``old`` must not fit one of them."""


def edits(reference: str, target: str) -> list[Edit]:
    """What is done to the reference, in the order of its caption; added things last, in order of the target's.

    Captions of thousands of differing phrases have no edits that anybody would read: the list is empty.
    """
    old, new = split_phrases(reference), split_phrases(target)
    removed, kept = without(old, new)
    added, _ = without(new, old)
    if len(added) * len(removed) > MOST_COMPARISONS:
        return []
    partner = _partners(removed, added)
    found = [
        Edit(
            phrase,
            added[partner[place]] if place in partner else (),
            (*kept, *removed[:place], *removed[place + 1 :]),
        )
        for place, phrase in enumerate(removed)
    ]
    changed = set(partner.values())
    return found + [Edit((), phrase) for place, phrase in enumerate(added) if place not in changed]


def kept_phrases(reference: str, target: str) -> list[Phrase]:
    """What both captions have, in the order of the reference's."""
    return without(split_phrases(reference), split_phrases(target))[1]


def _partners(removed: list[Phrase], added: list[Phrase]) -> dict[int, int]:
    """Which added thing each removed one becomes: one to one, most shared words first, then in order.

    One single thing in place of one other is that one, changed.
    """
    if len(removed) == len(added) == 1:
        return {0: 0}
    ranked = []
    for theirs, old in enumerate(removed):
        for ours, new in enumerate(added):
            shared = sum((Counter(old) & Counter(new)).values())
            same_head = head(old) == head(new)
            if same_head or (shared == len(old) - 1 == len(new) - 1 > 0):
                ranked.append((-shared, not same_head, theirs, ours))
    partner: dict[int, int] = {}
    for *_, theirs, ours in sorted(ranked):
        if theirs not in partner and ours not in partner.values():
            partner[theirs] = ours
    return partner


def worded_edits(reference: str, target: str, found: list[Edit]) -> str:
    """The edits as one sentence: "make the circle red, remove the cross and add a small blue star"."""
    clauses = [_clause(edit, reference, target) for edit in found]
    return " and ".join(filter(None, [", ".join(clauses[:-1]), *clauses[-1:]]))


def _clause(edit: Edit, reference: str, target: str) -> str:
    (old_article,), (new_article,) = have_articles(reference, [edit.old]), have_articles(target, [edit.new])
    if not edit.old:
        return f"add {with_a(edit.new, new_article)}"
    if not edit.new:
        return f"remove {with_the(edit.old, old_article)}"
    thing, becomes = new_attribute(edit)
    if becomes:
        return f"make {with_the(thing, old_article)} {' and '.join(becomes)}"
    new, old = narrowed(edit.new, edit.old, list(edit.others))
    if not new or not old:  # one of them only says more of the thing
        new, old = edit.new, edit.old
    return f"change {with_the(old, old_article)} to {with_a(new, new_article)}"


def new_attribute(edit: Edit) -> tuple[Phrase, Phrase]:
    """The thing that is the same but for attributes, named so that it is told apart, and its new attributes.

    The thing may be attached to another one: the dress of "a woman in a red dress". Both are empty where more differs
    than attributes, or where the target says less of the thing.
    """
    olds, news = segments(edit.old), segments(edit.new)
    changed = [place for place, old in enumerate(olds) if news[place : place + 1] != [old]]
    if len(olds) != len(news) or len(changed) != 1:
        return (), ()
    before, after = olds[changed[0]], news[changed[0]]
    gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
    if before[-1] != after[-1] or not come or not (gone.keys() | come.keys()) <= ATTRIBUTES:
        return (), ()
    rest = [*edit.others, *(old for place, old in enumerate(olds) if place != changed[0])]
    becomes = tuple(word for word in after if word in come)
    return _shortest(_bare(before), set(gone), rest), becomes


def _bare(segment: Phrase) -> Phrase:
    """Without the preposition that attaches it."""
    return segment[1:] if len(segment) > 1 and segment[0] in PREPOSITIONS else segment


def _shortest(thing: Phrase, gone: set[str], others: list[Phrase]) -> Phrase:
    """The thing with those of its attributes that change, if no other phrase fits that; else with all its words."""
    short = (*(word for word in thing[:-1] if word in gone or word not in ATTRIBUTES), thing[-1])
    return thing if any(set(short) <= set(other) for other in others) else short
