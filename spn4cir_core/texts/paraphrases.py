"""A modified text in other words, by the rules of the caption editor and without a model."""

from __future__ import annotations

from spn4cir_core.texts.articles import with_a, with_the
from spn4cir_core.texts.attributes import ATTRIBUTES
from spn4cir_core.texts.caption_editor import edit_caption
from spn4cir_core.texts.differences import ARTICLES
from spn4cir_core.texts.edit_clauses import Operation, operations
from spn4cir_core.texts.edit_wordings import WORDINGS, Clause, wordings_of


def paraphrases(modified_text: str, reference_caption: str = "") -> list[str]:
    """The text in each wording of :mod:`.edit_wordings` that is another one and that the caption editor reads alike.

    "make it red" gives "red" and "in red". Empty where a part of the text is no replacement, addition, removal or new
    attribute of the whole that the rules know: in other words its meaning could change.
    """
    changes = operations(modified_text, reference_caption)
    has_articles = bool(ARTICLES & set(modified_text.lower().split()))
    clauses = [clause for change in changes if (clause := _clause(change, has_articles)) is not None]
    if not clauses or len(clauses) < len(changes):
        return []
    needs_old = any(clause.kind == "attribute" and not clause.old for clause in clauses)
    fitting = [name for name, forms in WORDINGS.items() if not (needs_old and "{old}" in forms["attribute"])]
    worded = wordings_of(clauses)
    texts = dict.fromkeys(worded[name] for name in fitting)
    expected = _edited(reference_caption, modified_text)
    return [
        text
        for text in texts
        if text.lower() != modified_text.strip().lower() and _edited(reference_caption, text) == expected
    ]


def _clause(change: Operation, has_articles: bool) -> Clause | None:
    old, new = change.old, change.new
    if change.verb == "set" and not old and set(new) <= ATTRIBUTES:
        return Clause("attribute", "", " and ".join(new))
    if change.verb == "replace" and old and new:
        if set(old) | set(new) <= ATTRIBUTES:
            return Clause("attribute", " and ".join(old), " and ".join(new))
        return Clause("replaced", with_the(old, has_articles), with_a(new, has_articles))
    if change.verb == "add" and new:
        return Clause("added", "", with_a(new, has_articles))
    if change.verb == "remove" and old:
        return Clause("removed", " ".join(old), "")  # "no belt"
    return None


def _edited(caption: str, text: str) -> set[str]:
    return set(edit_caption(caption, text).caption.split())
