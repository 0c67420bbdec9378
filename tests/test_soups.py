from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.gallery_orders import compared, drawn, random_gallery
from benchmarks.soups import FIRST, GRID, Training, Trainings, groups
from spn4cir_core.ablation.grid import load_grid
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.store.artifacts import Store


def test_every_level_is_a_recipe_of_its_own_for_one_backbone(tmp_path: Path) -> None:
    trainings, levels = Trainings(tmp_path, "keep_in", Store(tmp_path)), list(load_grid(GRID).axes["training"])
    recipes = [trainings.recipe(Training(level, 4)) for level in levels]
    assert len({recipe.name for recipe in recipes}) == len(levels) and {recipe.seed for recipe in recipes} == {4}
    assert len({recipe.stage1_checkpoint.model_dump_json() for recipe in recipes}) == len(levels)
    assert len({recipe.stage1_checkpoint.backbone.model_dump_json() for recipe in recipes}) == 1


def test_groups_differ_in_recipe_or_in_seed_and_share_no_training() -> None:
    for kind, by_group in groups([FIRST, "slow"]).items():
        members = [training for group in by_group.values() for training in group]
        assert len(by_group) == 3 and len(set(members)) == len(members)
        for group, trainings in by_group.items():
            varied = {training.level if "recipes" in kind else training.seed for training in trainings}
            assert len(varied) == len(trainings)
            assert {training.continues for training in trainings} == {group if "continuing" in kind else None}


def queries(count: int) -> QuerySet:
    some = tuple(Query(f"q{n}", f"r{n}", "in red", (f"t{n}",)) for n in range(count))
    gallery = tuple(sorted(f"{kind}{n}" for kind in "rtx" for n in range(50)))
    return QuerySet("annotated", "", some, gallery, True, True)


def test_a_random_gallery_holds_answers_and_references() -> None:
    some = drawn(queries(50), 5, 1)
    assert len(some.queries) == 5 and some.queries != drawn(queries(50), 5, 2).queries
    small = random_gallery(some, 20, 0)
    assert len(small.gallery_ids) == 20
    assert all({query.reference_id, *query.target_ids} <= set(small.gallery_ids) for query in some.queries)


def test_the_order_of_models_is_compared() -> None:
    whole = np.array([0.1, 0.2, 0.3, 0.4])
    assert compared(whole, whole / 2 + 0.4) == (1.0, 1.0, True)
    tau, rho, is_best = compared(whole, np.array([0.4, 0.3, 0.2, 0.1]))
    assert (round(tau, 6), round(rho, 6), is_best) == (-1, -1, False)
    assert compared(whole, np.array([0.1, 0.2, 0.4, 0.4]))[2], "one of those that share the first rank is the best"
