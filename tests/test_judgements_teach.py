"""The simulated judge of ``benchmarks/judgements_teach.py``; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.judgements_teach import (
    claims,
    counted,
    judged,
    log_judgements,
    recipe_with,
    right_answers,
    with_explicit_negatives,
)
from spn4cir_core import load_recipe
from spn4cir_core.annotations.judged import judged_annotations
from spn4cir_core.judgements.agreement import judged_queries
from spn4cir_core.judgements.judgement import Judgement, Purpose
from spn4cir_core.store.artifacts import Store

SPLITS: dict[str, Purpose] = {**dict.fromkeys("abcdef", "train"), "x": "evaluation"}
QUERY = ("a", "in red")
RIGHT = frozenset("d")


def verdicts(judgements: list[Judgement]) -> list[tuple[str, str, int | None]]:
    return [(each.image_id, each.verdict, each.rank) for each in judgements]


def test_the_judge_goes_down_the_hits_as_far_as_the_right_one() -> None:
    assert verdicts(judged(QUERY, "bcdef", RIGHT)) == [("b", "wrong", 0), ("c", "wrong", 1), ("d", "right", 2)]
    assert verdicts(judged(QUERY, "db", RIGHT)) == [("d", "right", 0)]
    (none,) = judged(QUERY, "bc", RIGHT)
    assert (none.image_id, none.verdict, none.shown_ids) == ("", "none", ("b", "c"))


def test_only_triplets_of_training_images_are_known(tmp_path: Path) -> None:
    rows = ["reference,target,modified_text", "a,b,in red", "a,c,in red", "a,x,in red", "x,a,bigger", "b,c,bigger"]
    (tmp_path / "triplets.csv").write_text("\n".join(rows), encoding="utf-8")
    answers = right_answers(tmp_path / "triplets.csv", SPLITS)
    assert answers == {("a", "in red"): frozenset("bc"), ("b", "bigger"): frozenset("c")}


def test_a_run_reads_its_own_judgements_from_the_log(tmp_path: Path) -> None:
    store, judgements = Store(tmp_path / "store"), judged(QUERY, "bcd", RIGHT) + judged(("e", "bigger"), "bc", RIGHT)
    recipes = {count: recipe_with(tmp_path, "keep_in", count, seed=1, share=0.5) for count in (2, 4)}
    for count, recipe in recipes.items():
        assert recipe.annotations.judgements_step == count and recipe.seed == 1
        assert log_judgements(judgements[:count], SPLITS, recipe, store).startswith(f"{count} judgements: ")
        assert log_judgements(judgements[:count], SPLITS, recipe, store), "a broken run goes on"
    rows = [
        annotations.triplets["judged_train"].decode().splitlines()[1:]
        for count, recipe in recipes.items()
        if (annotations := judged_annotations(store, recipe.name, count))
    ]
    assert rows == [[], ['a,d,in red,"{""b"": -1.0, ""c"": -1.0}"']], "two wrong hits alone teach nothing"
    with pytest.raises(SystemExit, match="other judgements"):
        log_judgements(judgements[:1], SPLITS, recipes[2], store)


def test_queries_without_a_right_hit_count_as_asked_alone() -> None:
    judgements = judged(QUERY, "bcd", RIGHT) + judged(("e", "bigger"), "bc", RIGHT)
    queries = judged_queries(judgements, SPLITS)
    assert counted(queries, 4) == "4 judgements: 2 queries, 1 positives, 2 explicit negatives"


def test_every_count_is_compared_with_none() -> None:
    pairs = [(one, other) for _, one, other in claims()]
    assert pairs == [
        ((count, model), ("0", model)) for model in ("stage1", "control", "stage2") for count in ("50", "200", "800")
    ]


def test_explicit_negatives_are_weighed_beside_stage_2s_own_objective() -> None:
    recipe = load_recipe("folder", images="photos")
    objective = with_explicit_negatives(recipe, 2.0).stage2_checkpoint.objective
    own, explicit = objective.within
    assert own == recipe.stage2_checkpoint.objective and explicit.plugin_kind == "explicit_negatives"
    assert [part.weight for part in objective.parts] == [1.0, 2.0]  # type: ignore[attr-defined]
    assert list(claims([2.0]))[-1][1:] == (("800 × 2.0", "stage2"), ("800", "stage2"))
