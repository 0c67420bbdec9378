from __future__ import annotations

from dataclasses import replace

import pytest

from spn4cir_core.triplets.scores import SCHEMA, Scores, score_figures, score_table, weighed
from tests.triplets.test_gates import GOOD

HALF = Scores(others=10, text_rank=0, text_rank_share=0.2, reference_rank=4, round_trip_rank=5, judge_score=0.7)


@pytest.mark.parametrize(("by", "factor"), [("nothing", 1.0), ("text_rank", 0.8), ("round_trip", 0.5), ("judge", 0.7)])
def test_weights_are_multiplied_by_the_score(by: str, factor: float) -> None:
    generated = GOOD._replace(weight=0.5)
    annotated = GOOD._replace(triplet_id="annotated/1", origin="annotated")
    scores = {generated.triplet_id: HALF, "annotated/1": HALF}
    one, other, unscored = weighed([generated, annotated, GOOD._replace(triplet_id="x")], scores, by, 0.1)  # type: ignore[arg-type]
    assert one.weight == pytest.approx(0.5 * factor)
    assert (other.weight, unscored.weight) == (1.0, 1.0)


def test_no_weight_falls_below_the_least() -> None:
    lost = {GOOD.triplet_id: replace(HALF, round_trip_rank=10, judge_score=0.0)}
    assert weighed([GOOD], lost, "round_trip", 0.25)[0].weight == 0.25
    assert weighed([GOOD], lost, "judge", 0.25)[0].weight == 0.25


def test_figures_by_split_and_origin() -> None:
    other = GOOD._replace(triplet_id="b", origin="annotated")
    scores = {
        GOOD.triplet_id: HALF,
        "b": Scores(others=99, text_rank=7, text_rank_share=0.1, reference_rank=3, round_trip_rank=2),
        "judged only": Scores(judge_score=0.5),
    }
    triplets = [
        GOOD,
        other,
        GOOD._replace(triplet_id="judged only", split="evaluation"),
        GOOD._replace(triplet_id="no"),
    ]
    figures = score_figures(triplets, scores, within=3)
    assert figures["train generated"] == {
        "triplets": 1,
        "chance_share": 0.2727,
        "text_alone_share": 1.0,
        "reference_alone_share": 0.0,
        "round_trip_share": 0.0,
        "needs_both_share": 0.0,
        "text_rank_share_mean": 0.2,
        "judge_score_mean": 0.7,
    }
    assert figures["train annotated"]["needs_both_share"] == 1.0
    assert figures["train annotated"]["round_trip_share"] == 1.0
    assert figures["evaluation generated"]["triplets"] == 0
    assert figures["evaluation generated"]["text_alone_share"] is None


def test_the_table_is_sorted_and_keeps_what_is_missing() -> None:
    table = score_table({"b": HALF, "a": Scores(judge_score=0.5)})
    assert table.schema.equals(SCHEMA)
    assert table["triplet_id"].to_pylist() == ["a", "b"]
    assert table["text_rank"].to_pylist() == [None, 0]
