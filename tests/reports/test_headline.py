from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.reports.headline import headline


def measured(gain: tuple[float, float, float], over_text: float = 0.1, **more: Any) -> dict[str, Any]:
    recall = [
        {"kind": "all", "model": "stage2", "query": mode, "k": k, "recall": 0.36, "low": 0.31, "high": 0.41}
        for mode in ("composed", "image", "text", "sum")
        for k in (1, 5)
    ]
    differences = [
        {
            "kind": "all",
            "k": 1,
            "model": "stage2",
            "minus_model": model,
            "minus_query": mode,
            "difference": d,
            "low": low,
            "high": high,
            "p": 0.001 if low > 0 or high < 0 else 0.4,
        }
        for model, mode, (d, low, high) in (
            ("control", "composed", gain),
            ("stage1", "composed", gain),
            ("stage2", "image", (0.2, 0.1, 0.3)),
            ("stage2", "text", (0.2, over_text, 0.3)),
            ("stage2", "sum", (0.2, 0.1, 0.3)),
        )
    ]
    about = {"name": "annotated", "queries": 400, "gallery": 520, "headline": True, "ks": [1, 5]}
    return {**about, "recall": recall, "differences": differences, **more}


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.09, 0.04, 0.13), "9.0 points higher"),
        ((0.09, 0.04, 0.13), "a gain beyond chance"),
        ((-0.09, -0.13, -0.04), "9.0 points lower"),
        ((-0.09, -0.13, -0.04), "a loss beyond chance"),
        ((0.01, -0.02, 0.04), "no difference that so many queries can show"),
        ((0.01, -0.02, 0.04), "(95 % interval −2.0 to +4.0)"),
    ],
)
def test_gain_and_loss_are_called_so(gain: tuple[float, float, float], verdict: str) -> None:
    said = headline([measured(gain)])
    assert verdict in said["sentences"][2]
    assert said["title"] == "The very first picture is right for 36 % of the change requests"
    assert "36.0 % (95 % interval 31.0 to 41.0)" in said["sentences"][0]
    assert "Among the first 5" in said["sentences"][0]


def test_a_stage_that_kept_its_start_is_said_in_one_sentence() -> None:
    said = headline([measured((0, 0, 0))])["sentences"]
    assert said[2].endswith(
        "makes no difference to any rank, compared with the same network trained on without it for as many steps."
    )


def test_an_interval_of_few_references_is_no_proof() -> None:
    few = measured((0.2, 0.1, 0.3))
    for row in few["differences"]:
        row["p"] = 0.19
    sentences = headline([few])["sentences"]
    assert "no difference that so many queries can show" in sentences[2]
    assert "do not beat all three" in sentences[1]


def test_shortcuts_must_all_be_beaten() -> None:
    assert "do not beat all three" in headline([measured((0, 0, 0), over_text=-0.01)])["sentences"][1]
    assert "beat all three beyond chance" in headline([measured((0, 0, 0))])["sentences"][1]


def test_sets_that_measure_composition_come_first_and_others_warn() -> None:
    generated = measured((0, 0, 0), name="held_out", headline=False)
    assert headline([generated, measured((0, 0, 0))])["query_set"] == "annotated"
    alone = headline([generated, measured((0, 0, 0), queries=0)])
    assert alone["query_set"] == "held_out"
    assert "do not measure composition" in alone["caution"]


def test_one_k_and_no_queries() -> None:
    assert "Among" not in headline([measured((0, 0, 0), ks=[1])])["sentences"][0]
    assert headline([])["query_set"] is None


def test_a_blend_is_what_a_headline_speaks_of_and_is_compared_with_stage_2() -> None:
    alone = measured((0.09, 0.04, 0.13))
    blend = [{**row, "model": "blend", "recall": 0.61} for row in alone["recall"]]
    against = {"kind": "all", "k": 1, "model": "blend", "low": 0.1, "high": 0.3, "p": 0.001, "difference": 0.25}
    differences = [{**against, "minus_model": "blend", "minus_query": mode} for mode in ("image", "text", "sum")]
    differences.append({**against, "minus_model": "stage2", "minus_query": "composed"})
    both = {**alone, "recall": alone["recall"] + blend, "differences": alone["differences"] + differences}
    said = headline([both])
    assert said["title"] == "The very first picture is right for 61 % of the change requests"
    assert said["sentences"][0].startswith("Blend of channels (picture + text), 400 queries")
    assert said["sentences"][2].startswith("Blending all channels ends 25.0 points higher than stage 2 alone")
    assert said["sentences"][3].startswith(
        "Training against the whole candidate set ends 9.0 points higher than the same"
    )


@pytest.mark.parametrize(("queries", "title"), [(1, "One query says nothing"), (3, "3 queries say nothing")])
def test_a_few_queries_say_nothing_and_nothing_of_theirs_is_beyond_chance(queries: int, title: str) -> None:
    few, enough = (headline([measured((0.09, 0.04, 0.13), queries=number)]) for number in (queries, 20))
    assert few["title"].startswith(title) and few["caution"].startswith(title)
    assert "do not beat all three beyond chance" in few["sentences"][1]
    assert "no difference that so many queries can show" in few["sentences"][2]
    assert "say nothing" not in enough["title"] and enough["caution"] == ""
    assert "beat all three beyond chance" in enough["sentences"][1] and "a gain beyond chance" in enough["sentences"][2]
