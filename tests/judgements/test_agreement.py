"""Majority and agreement of several judges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from spn4cir_core.judgements.agreement import fleiss_kappa, judged_queries, kappa_of, majority
from spn4cir_core.judgements.judgement import Judgement, Purpose, Verdict

PURPOSES: dict[str, Purpose] = {name: "train" for name in ("a", "b", "c", "d")} | {"e": "evaluation"}


def judged(judge: str, image_id: str, verdict: Verdict, text: str = "red", shown: Sequence[str] = ()) -> Judgement:
    return Judgement(("a",), text, image_id, verdict, None, tuple(shown), judge)


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [
        (["right"], "right"),
        (["right", "wrong"], "unsure"),
        (["right", "wrong", "right"], "right"),
        (["unsure", "wrong"], "wrong"),
        (["unsure", "unsure"], "unsure"),
    ],
)
def test_the_majority_counts_and_who_is_unsure_does_not(verdicts: list[Verdict], result: Verdict) -> None:
    assert majority(verdicts) == result


def test_queries_have_what_their_judges_agree_on() -> None:
    judgements = [
        judged("Ann", "b", "right"),
        judged("Ann", "c", "right"),
        judged("Bob", "c", "wrong"),
        judged("Ann", "e", "right"),
        judged("Bob", "d", "right"),
        judged("Bob", "d", "wrong", text=" red "),
        judged("Ann", "b", "right", text="blue"),
        judged("Ann", "b", "withdrawn", text="blue"),
    ]
    red, blue = judged_queries(judgements, PURPOSES)
    assert (red.modified_text, red.purpose, red.judges) == ("red", "train", ("Ann", "Bob"))
    assert (red.right_ids, red.wrong_ids, red.undecided_ids, red.other_split_ids) == (("b",), ("d",), ("c",), ("e",))
    assert (blue.right_ids, blue.wrong_ids, blue.undecided_ids) == ((), (), ())


def test_none_of_these_calls_wrong_what_its_judge_has_not_judged_by_itself() -> None:
    shown = ["b", "c", "d"]
    judgements = [judged("Ann", "c", "unsure"), judged("Ann", "", "none", shown=shown), judged("Bob", "d", "right")]
    (query,) = judged_queries(judgements, PURPOSES)
    assert (query.right_ids, query.wrong_ids, query.undecided_ids) == ((), ("b",), ("c", "d"))
    (query,) = judged_queries([*judgements, judged("Ann", "", "withdrawn")], PURPOSES)
    assert (query.right_ids, query.wrong_ids, query.undecided_ids) == (("d",), (), ("c",))


def test_a_query_over_references_of_several_splits_serves_nothing() -> None:
    (query,) = judged_queries([Judgement(("a", "e"), "red", "b", "right", judge="Ann")], PURPOSES)
    assert query.purpose is None and query.right_ids == () and query.other_split_ids == ("b",)


def slow_kappa(hits: Sequence[Sequence[Verdict]]) -> float:
    """Pairs of judges one by one; chance from the share of each verdict."""
    several = [hit for hit in hits if len(hit) > 1]
    agreeing = [
        sum(one == other for one, other in itertools.permutations(hit, 2)) / (len(hit) * (len(hit) - 1))
        for hit in several
    ]
    every = [verdict for hit in several for verdict in hit]
    chance = sum((every.count(verdict) / len(every)) ** 2 for verdict in set(every))
    return (sum(agreeing) / len(agreeing) - chance) / (1 - chance)


def test_kappa_is_that_of_the_pairs_of_judges() -> None:
    hits: list[list[Verdict]] = [["right", "right", "wrong"], ["wrong", "wrong"], ["unsure", "right"], ["right"]]
    assert fleiss_kappa(hits) == pytest.approx(slow_kappa(hits))
    judgements = [
        judged(f"{judge}", f"{hit}", verdict) for hit, own in enumerate(hits) for judge, verdict in enumerate(own)
    ]
    assert kappa_of(judgements) == pytest.approx(slow_kappa(hits))


def test_kappa_of_fleiss_own_table() -> None:
    """The worked example of the article: ten subjects, fourteen raters, five categories, kappa 0.210."""
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    names: list[Verdict] = ["right", "wrong", "unsure", "none", "withdrawn"]
    hits = [[name for name, count in zip(names, row, strict=True) for _ in range(count)] for row in table]
    assert fleiss_kappa(hits) == pytest.approx(0.210, abs=5e-4)


def test_kappa_at_its_ends() -> None:
    assert fleiss_kappa([["right"], ["wrong"]]) is None and kappa_of([]) is None
    assert fleiss_kappa([["right", "right"], ["right", "right"]]) == 1.0
    assert fleiss_kappa([["right", "wrong"], ["wrong", "right"]]) == pytest.approx(-1.0)


def test_queries_of_a_queue_count_by_the_inverse_of_their_chance_to_be_judged() -> None:
    """Of 30 queries on which models agree 3 were judged, of 10 others 5: an average one of these 8 counts 1."""
    agree = [replace(judged("Ann", "b", "right", f"a{number}"), stratum="1", stratum_queries=30) for number in range(3)]
    differ = [
        replace(judged("Ann", "b", "wrong", f"d{number}"), stratum="2", stratum_queries=10) for number in range(5)
    ]
    of_another_index = replace(differ[0], modified_text="x", index_fingerprint="i2", stratum_queries=1)
    typed = judged("Ann", "b", "right", "typed")
    again = replace(agree[0], judge="Bob", judgement_id="again")
    queries = judged_queries([*agree, *differ, typed, again, of_another_index], PURPOSES)
    weight_of = {query.modified_text: query.weight for query in queries}
    assert weight_of["a0"] == weight_of["a2"] == pytest.approx(10 / 5)
    assert weight_of["d0"] == weight_of["d4"] == pytest.approx(2 / 5)
    assert weight_of["typed"] == weight_of["x"] == 1
    right = sum(query.weight for query in queries if query.modified_text[0] == "a")
    assert right / sum(query.weight for query in queries if query.modified_text[0] in "ad") == pytest.approx(30 / 40)
