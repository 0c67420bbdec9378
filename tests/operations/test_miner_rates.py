"""False-negative rates of miners on a small trained world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.operations.miner_rates import miner_rates
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.stages import CANDIDATE_BANK, STAGE1_CHECKPOINT
from tests.training.conftest import world  # noqa: F401  a fixture

World = Callable[..., tuple[Recipe, Store]]


def test_every_miner_has_its_rates_and_chance_knows_the_share(world: World) -> None:  # noqa: F811
    recipe, store = world()
    images = sorted(file.path for file in recipe.images.reader.files(store.root))
    recipe, store = world(guards=[("t000", images[5]), ("t000", images[7]), ("t001", images[6])])
    STAGE1_CHECKPOINT.run(recipe, store)
    CANDIDATE_BANK.run(recipe, store)
    rates = miner_rates(recipe, store)
    miners = list(dict.fromkeys(one.miner for one in rates))
    assert len(miners) == 4 and miners[0] == "queries of stage 1" and miners[-1] == "chance"
    for miner in miners:
        own = [one for one in rates if one.miner == miner]
        assert own[0].candidates == 10 and all(0 <= one.rate <= 1 for one in own)
        assert sum(one.rate * one.candidates for one in own) == pytest.approx(3), "all are within the first 200 ranks"


def test_a_recipe_that_has_not_been_run_says_so(world: World) -> None:  # noqa: F811
    recipe, store = world()
    with pytest.raises(StoreError, match="has not been run"):
        miner_rates(recipe, store)
