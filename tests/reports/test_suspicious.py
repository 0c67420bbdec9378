from __future__ import annotations

import numpy as np

from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.measure import HITS, Answers
from spn4cir_core.reports.suspicious import LOST, UNCHANGED, UNMARKED, Likeness, suspicions
from spn4cir_core.texts.differences import caption_meaning

GALLERY = tuple("abcdefghij")
CAPTIONS = {"a": "a red hat", "b": "a blue hat", "c": "the red hat", "d": "", "e": "", "f": "a shoe"}


def likeness() -> Likeness:
    return Likeness({name: caption_meaning(says) for name, says in CAPTIONS.items()}, frozenset({frozenset("fg")}))


def answered(*rows: tuple[str, tuple[str, ...], str, int, int, int]) -> Answers:
    """Rows of reference, targets, first hit, and the ranks by both, by the picture and by the text."""
    queries = tuple(Query(str(number), row[0], "x", row[1]) for number, row in enumerate(rows))
    answers = Answers(QuerySet("q", "p", queries, GALLERY, True, True))
    hits = np.full((len(rows), HITS), -1)
    for number, row in enumerate(rows):
        hits[number, 0] = GALLERY.index(row[2]) if row[2] else -1
    answers.hits["stage2", "composed"] = hits
    for column, mode in enumerate(("composed", "image", "text")):
        answers.ranks["stage2", mode] = np.array([row[3 + column] for row in rows])
    return answers


def test_alike_by_caption_or_near_duplicate_never_by_silence() -> None:
    same = likeness()
    assert same.alike("a", ["b", "c"]) and same.alike("g", ["f"])
    assert not same.alike("a", ["b"]) and not same.alike("d", ["e"]) and not same.alike("h", ["i"])


def test_each_suspicion_is_found_and_nothing_else() -> None:
    rows_by_reason = suspicions(
        answered(
            ("b", ("a",), "c", 3, 9, 9),  # the first hit reads like the target
            ("b", ("a", "f"), "g", 7, 9, 9),  # and here is a near-duplicate of one
            ("b", ("a",), "a", 0, 9, 9),  # a right first hit
            ("b", ("a",), "f", 2, 9, 9),  # a wrong one
            ("a", ("c",), "f", 2, 9, 9),  # the target reads like the reference
            ("a", ("c", "b"), "f", 2, 9, 9),  # one of two does not
            ("b", ("a",), "f", 5, 9, 0),  # text alone is right
            ("b", ("a",), "f", 4, 0, 9),  # both together are not far behind
            ("b", ("a",), "", 2, 9, 9),  # no hit at all
        ),
        "stage2",
        likeness(),
    )
    assert rows_by_reason == {UNMARKED: [1, 0], UNCHANGED: [4], LOST: [6]}
