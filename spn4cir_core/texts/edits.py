"""A difference as a list of edits: which thing becomes which, what is added, what goes, and what stays.

A thing is a noun phrase: its head with the words before it, and what prepositions and a few verbs attach to it. Things
of the two captions are the same one if their heads are, or if their heads alone differ; what is attached changes by
itself ("make the sleeves long").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from spn4cir_core.texts.articles import article_before, with_a, with_the
from spn4cir_core.texts.attributes import ATTRIBUTES
from spn4cir_core.texts.differences import (
    MOST_COMPARISONS,
    PREPOSITIONS,
    Phrase,
    have_same_key,
    head,
    narrowed,
    split_phrases,
    without,
)

DOING = frozenset({"carrying", "eating", "holding", "playing", "pulling", "riding", "using", "wearing"})
"""Verbs whose object is attached to who does it; before a noun they may name a kind of it ("a riding boot")."""
PLACES = frozenset({"back", "bottom", "center", "centre", "corner", "front", "left", "middle", "right", "side", "top"})


@dataclass(frozen=True)
class Edit:
    """``old`` becomes ``new``; one of them is empty where a thing is only added or only goes."""

    old: Phrase
    new: Phrase
    others: tuple[Phrase, ...] = ()
    """The reference's other phrases: what is said of ``old`` must not fit one of them."""


def edits(reference: str, target: str) -> list[Edit]:
    """The edits of the reference, in the order of its caption; added things last, in order of the target's.

    Captions of thousands of differing phrases have no edits that anybody would read: the list is empty.
    """
    old, new = split_phrases(reference), split_phrases(target)
    removed, shared = without(old, new)
    added, _ = without(new, old)
    if len(added) * len(removed) > MOST_COMPARISONS:
        return []
    partner = _partners(removed, added)
    changes = [
        Edit(
            phrase,
            added[partner[number]] if number in partner else (),
            (*shared, *removed[:number], *removed[number + 1 :]),
        )
        for number, phrase in enumerate(removed)
    ]
    changed = set(partner.values())
    return changes + [Edit((), phrase) for number, phrase in enumerate(added) if number not in changed]


def shared_phrases(reference: str, target: str) -> list[Phrase]:
    """The phrases that both captions have, in the order of the reference's."""
    return without(split_phrases(reference), split_phrases(target))[1]


def _partners(removed: list[Phrase], added: list[Phrase]) -> dict[int, int]:
    """Which added thing each removed one becomes: one to one, most shared words first, then in order.

    One single thing in place of one other is that one, changed; so is one lone attribute ("red", of a list "size M,
    red") in place of one other.
    """
    if len(removed) == len(added) == 1:
        return {0: 0}
    ranked = []
    for theirs, old in enumerate(removed):
        for ours, new in enumerate(added):
            shared = _shared_words(old, new)
            same_head = head(old) == head(new) or have_same_key(old, new)
            if same_head or (shared == len(old) - 1 == len(new) - 1 > 0):
                ranked.append((-shared, not same_head, theirs, ours))
    partner: dict[int, int] = {}
    for *_, theirs, ours in sorted(ranked):
        if theirs not in partner and ours not in partner.values():
            partner[theirs] = ours
    lone_old = [theirs for theirs, old in enumerate(removed) if is_lone_attribute(old) and theirs not in partner]
    lone_new = [ours for ours, new in enumerate(added) if is_lone_attribute(new) and ours not in partner.values()]
    if len(lone_old) == len(lone_new) == 1:
        partner[lone_old[0]] = lone_new[0]
    return partner


def is_lone_attribute(phrase: Phrase) -> bool:
    """Whether the phrase says how the whole is, and names no thing."""
    return set(phrase) <= ATTRIBUTES


@lru_cache(maxsize=1 << 16)
def _shared_words(one: Phrase, other: Phrase) -> int:
    return (Counter(one) & Counter(other)).total()


def worded_edits(reference: str, target: str, listed: list[Edit]) -> str:
    """The edits as one sentence: "make the circle red, remove the cross and add a small blue star"."""
    clauses = [clause for edit in listed for clause in _clauses(edit, reference, target)]
    return " and ".join(filter(None, [", ".join(clauses[:-1]), *clauses[-1:]]))


def _clauses(edit: Edit, reference: str, target: str) -> list[str]:
    if not edit.old or not edit.new:
        return [_clause(edit, reference, target)]
    parts = changed_parts(edit)
    if not parts:
        return [_clause(edit, reference, target, attributes=False)]
    return [_clause(part, reference, target) for part in parts]


def _clause(edit: Edit, reference: str, target: str, attributes: bool = True) -> str:
    new_article, old_article = article_before(target, edit.new), article_before(reference, edit.old)
    if not edit.old:
        return f"add {_as_new(edit.new, new_article)}"
    if not edit.new:
        return f"remove {with_the(edit.old, bool(old_article))}"
    thing, becomes = new_attribute(edit) if attributes else ((), ())
    if becomes:
        return f"make {with_the(thing, bool(old_article))} {' and '.join(becomes)}"
    new, old = narrowed(edit.new, edit.old, list(edit.others))
    if not new or not old:  # one of them only says more of the thing
        new, old = edit.new, edit.old
    return f"change {with_the(old, bool(old_article))} to {_as_new(new, new_article)}"


def _as_new(phrase: Phrase, article: str) -> str:
    """ "a belt"; "the snow" where the caption has it so."""
    return with_the(phrase, True) if article == "the" else with_a(phrase, bool(article))


def parts(phrase: Phrase) -> list[Phrase]:
    """A thing and what is attached to it: ("man",), ("riding", "brown", "horse"), ("on", "beach")."""
    starts = [
        position
        for position, word in enumerate(phrase)
        if position and (word in PREPOSITIONS or (word in DOING and phrase[position - 1] not in ATTRIBUTES))
    ]
    return [phrase[first:end] for first, end in pairwise([0, *starts, len(phrase)])]


def changed_parts(edit: Edit) -> list[Edit]:
    """One edit for each part that differs, without the word that attaches it.

    Empty where the thing as a whole is another one, or where it or what is attached has only moved.
    """
    olds, news = parts(edit.old), parts(edit.new)
    pairs = [(olds[0], news[0]), *_attached(olds[1:], news[1:])]
    changed = [(old, new) for old, new in pairs if sorted(old) != sorted(new)]
    same_thing = olds[0][-1] == news[0][-1] or len(changed) < len(pairs)
    alone = [old or new for old, new in changed if not old or not new]
    moved = [phrase for pair in changed for phrase in pair if phrase and (phrase[0] == "at" or phrase[-1] in PLACES)]
    if not same_thing or moved or any(phrase[0] != "with" for phrase in alone):
        return []
    return [
        Edit(_bare(old), _bare(new), (*edit.others, *(_bare(other) for other in olds if other != old)))
        for old, new in changed
    ]


def _attached(olds: list[Phrase], news: list[Phrase]) -> list[tuple[Phrase, Phrase]]:
    """Attachments by the word that attaches them, each with its counterpart or an empty phrase."""
    left = list(news)
    pairs: list[tuple[Phrase, Phrase]] = []
    for old in olds:
        alike = sorted((new for new in left if new[0] == old[0]), key=lambda new: len(set(old) & set(new)))
        if alike:
            left.remove(alike[-1])
        pairs.append((old, alike[-1] if alike else ()))
    return [*pairs, *(((), new) for new in left)]


def new_attribute(edit: Edit) -> tuple[Phrase, Phrase]:
    """The thing that is the same but for attributes, named so that it is told apart, and its new attributes.

    Both are empty where more differs than attributes, or where the target says less of the thing.
    """
    gone, come = Counter(edit.old) - Counter(edit.new), Counter(edit.new) - Counter(edit.old)
    if edit.old[-1] != edit.new[-1] or not come or not (gone.keys() | come.keys()) <= ATTRIBUTES:
        return (), ()
    return _shortest(edit.old, set(gone), edit.others), tuple(word for word in edit.new if word in come)


def _bare(part: Phrase) -> Phrase:
    """Without the preposition or the verb that attaches it."""
    return part[1:] if len(part) > 1 and part[0] in PREPOSITIONS | DOING else part


def _shortest(thing: Phrase, gone: set[str], others: Sequence[Phrase]) -> Phrase:
    """The thing with those of its attributes that change, if no other phrase fits that; else with all its words."""
    short = (*(word for word in thing[:-1] if word in gone or word not in ATTRIBUTES), thing[-1])
    return thing if any(set(short) <= set(other) for other in others) else short
