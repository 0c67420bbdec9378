"""A difference in several people's wordings, each naming what changes and nothing else.

The thing itself stays unsaid: "make it pink, with a pencil instead of the cross" and not "a pink kettle with a pencil".
So the text alone cannot answer the query, and the reference image has to be looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spn4cir_core.texts.articles import article_before, with_a, with_the
from spn4cir_core.texts.differences import Phrase, have_same_key, narrowed
from spn4cir_core.texts.edits import Edit, changed_parts, edits, is_lone_attribute, new_attribute

Kind = Literal["attribute", "replaced", "added", "removed"]


@dataclass(frozen=True)
class Clause:
    """One change: ``old`` goes, ``new`` comes; one of them is empty where something is only added or only goes."""

    kind: Kind
    old: str
    new: str


WORDINGS: Mapping[str, Mapping[Kind, str]] = {
    "edits_plain": {
        "attribute": "{new}",
        "replaced": "{new} instead of {old}",
        "added": "with {new}",
        "removed": "without {old}",
    },
    "edits_make": {
        "attribute": "make it {new}",
        "replaced": "replace {old} with {new}",
        "added": "add {new}",
        "removed": "remove {old}",
    },
    "edits_rather": {
        "attribute": "{new} rather than {old}",
        "replaced": "{new} rather than {old}",
        "added": "also {new}",
        "removed": "no {old}",
    },
    "edits_change": {
        "attribute": "change {old} to {new}",
        "replaced": "change {old} to {new}",
        "added": "put {new} on it",
        "removed": "drop {old}",
    },
    "edits_not": {
        "attribute": "in {new}",
        "replaced": "not {old} but {new}",
        "added": "having {new}",
        "removed": "not {old}",
    },
}
"""Placeholder of a template → how it words each kind of change."""


def edit_wordings(reference: str, target: str) -> dict[str, str]:
    """Every wording of what leads from one caption to the other; all empty where no edit does."""
    listed = edits(reference, target)
    whole = [edit for edit in listed if _is_of_the_whole(edit)]
    clauses = [_of_the_whole(whole)] if whole else []
    clauses += [clause for edit in listed if edit not in whole for clause in _clauses(edit, reference, target)]
    return wordings_of(clauses)


def wordings_of(clauses: Sequence[Clause]) -> dict[str, str]:
    """Every wording of the same changes, by the name of its placeholder."""
    return {name: _sentence([_worded(clause, forms) for clause in clauses]) for name, forms in WORDINGS.items()}


def _is_of_the_whole(edit: Edit) -> bool:
    """Whether a property of the whole changes, not one of a thing in it: another size, or a colour of a list."""
    if not edit.old or not edit.new:
        return False
    return have_same_key(edit.old, edit.new) or (is_lone_attribute(edit.old) and is_lone_attribute(edit.new))


def _of_the_whole(changed: list[Edit]) -> Clause:
    """ "in size L and blue": all of them at once."""
    old = " and ".join(" ".join(edit.old) for edit in changed)
    return Clause("attribute", old, " and ".join(" ".join(edit.new) for edit in changed))


def _worded(clause: Clause, forms: Mapping[Kind, str]) -> str:
    unfilled = clause.kind == "attribute" and not clause.old and "{old}" in forms["attribute"]
    kind: Kind = "added" if unfilled else clause.kind
    return forms[kind].format(old=clause.old, new=clause.new)


def _sentence(clauses: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(clauses[:-1]), *clauses[-1:]]))


def _clauses(edit: Edit, reference: str, target: str) -> list[Clause]:
    if not edit.old or not edit.new:
        return [_clause(edit, reference, target)]
    return [_clause(part, reference, target) for part in changed_parts(edit) or [edit]]


def _clause(edit: Edit, reference: str, target: str) -> Clause:
    old_article, new_article = article_before(reference, edit.old), article_before(target, edit.new)
    if not edit.old:
        return Clause("added", "", with_a(edit.new, bool(new_article)))
    if not edit.new:
        return Clause("removed", with_the(edit.old, bool(old_article)), "")
    _, becomes = new_attribute(edit)
    if becomes:
        gone = Counter(edit.old) - Counter(edit.new)
        return Clause("attribute", " and ".join(word for word in edit.old if word in gone), " and ".join(becomes))
    new, old = _differing(edit)
    return Clause("replaced", with_the(old, bool(old_article)), with_a(new, bool(new_article)))


def _differing(edit: Edit) -> tuple[Phrase, Phrase]:
    """The new and the old phrase without what tells nothing apart; whole where one only says more than the other."""
    new, old = narrowed(edit.new, edit.old, list(edit.others))
    return (new, old) if new and old else (edit.new, edit.old)
