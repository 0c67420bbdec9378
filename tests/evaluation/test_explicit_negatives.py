from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.explicit_negatives import explicit_negative_rows
from spn4cir_core.evaluation.measure import HITS, Answers

IDS = tuple(f"i{number:02d}" for number in range(20))


def answers(negatives: list[tuple[str, ...]], hits: list[list[int]]) -> Answers:
    queries = tuple(Query(f"q{n}", IDS[n], "x", ("i19",), negative_ids=wrong) for n, wrong in enumerate(negatives))
    made = Answers(QuerySet("set", "protocol", queries, IDS, True, True))
    padded = np.array([row + [-1] * (HITS - len(row)) for row in hits])
    made.hits["stage2", "composed"] = made.hits["stage2", "text"] = padded
    return made


def test_shares_by_hand() -> None:
    ten = list(range(5, 15))
    (row,) = explicit_negative_rows(answers([("i06", "i18"), ("i18",), ()], [ten, ten, ten]))
    assert (row["model"], row["k"], row["queries"]) == ("stage2", HITS, 2)
    assert row["queries_with_one"] == 0.5
    assert row["negatives_retrieved"] == pytest.approx((1 / 2 + 0) / 2)
    assert row["share_of_hits"] == pytest.approx((1 / 10 + 0) / 2)
    assert row["share_of_hits_low"] <= row["share_of_hits"] <= row["share_of_hits_high"]


def test_a_query_counts_by_its_weight() -> None:
    ten = list(range(5, 15))
    made = answers([("i06", "i18"), ("i18",)], [ten, ten])
    first, second = made.query_set.queries
    made = replace(made, query_set=replace(made.query_set, queries=(replace(first, weight=3.0), second)))
    (row,) = explicit_negative_rows(made)
    assert row["queries_with_one"] == pytest.approx(3 / 4)
    assert row["negatives_retrieved"] == pytest.approx(3 / 8)


def test_a_small_gallery_has_fewer_hits() -> None:
    (row,) = explicit_negative_rows(answers([("i06",)], [[6, 7]]))
    assert row["share_of_hits"] == 0.5


def test_without_negatives_there_is_nothing_to_say() -> None:
    assert explicit_negative_rows(answers([()], [[1]])) == []
