from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spn4cir_core.evaluation.base import Query, QuerySet, has_negation
from spn4cir_core.evaluation.measure import HITS, Answers
from spn4cir_core.evaluation.wordings import wording_rows

IDS = tuple(f"i{number}" for number in range(12))


def answers(wordings: list[str], ranks: list[int], first_hits: list[int]) -> Answers:
    queries = tuple(
        Query(f"q{number}", IDS[number % 3], "x", ("i9",), wording_of=name) for number, name in enumerate(wordings)
    )
    made = Answers(QuerySet("set", "protocol", queries, IDS, True, True))
    hits = np.full((len(wordings), HITS), -1, np.int64)
    hits[:, 0] = first_hits
    for mode in ("composed", "text"):
        made.ranks["stage2", mode], made.hits["stage2", mode] = np.array(ranks), hits
    return made


def test_spread_and_changes_by_hand() -> None:
    made = answers(["a", "a", "a", "b", "b", "alone", ""], [0, 4, 9, 0, 0, 0, 7], [9, 1, 1, 9, 9, 9, 2])
    one, five = wording_rows(made, (1, 5))
    assert (one["model"], one["k"], one["queries"]) == ("stage2", 1, 2)
    assert one["mean"] == pytest.approx((1 / 3 + 1) / 2)
    assert (one["best"], one["worst"], one["spread"]) == (1.0, 0.5, 0.5)
    assert five["mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert (five["worst"], five["spread"]) == (0.5, 0.5)
    assert one["first_hit_changes"] == five["first_hit_changes"] == 0.5
    assert one["spread_low"] <= one["spread"] <= one["spread_high"]


def test_a_query_counts_by_its_weight() -> None:
    made = answers(["a", "a", "b", "b"], [0, 4, 0, 0], [9, 1, 9, 9])
    weighted = tuple(replace(one, weight=3.0 if one.wording_of == "a" else 1.0) for one in made.query_set.queries)
    made = replace(made, query_set=replace(made.query_set, queries=weighted))
    (one,) = wording_rows(made, (1,))
    assert one["mean"] == pytest.approx((3 * 0.5 + 1) / 4)
    assert one["worst"] == pytest.approx(1 / 4) and one["spread"] == one["first_hit_changes"] == pytest.approx(3 / 4)


def test_without_wordings_there_is_nothing_to_say() -> None:
    assert wording_rows(answers(["", "alone"], [0, 1], [9, 1]), (1,)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("without a belt", True),
        ("red, NOT blue", True),
        ("it doesn’t have sleeves", True),
        ("with no dots", True),
        ("a knot and a notebook", False),
        ("remove the belt", False),
        ("make it red", False),
    ],
)
def test_negation_is_a_kind_of_its_own(text: str, expected: bool) -> None:
    assert has_negation(text) is expected
    kinds = Query("q", "r", text, ("t",), "colour|shape").kinds
    assert kinds == {"colour", "shape"} | ({"negation"} if expected else set())
