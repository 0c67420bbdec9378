from __future__ import annotations

import pytest

from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import OBJECTIVES
from spn4cir_core.objectives.mixture import Mixture
from tests.objectives.examples import example

TABLE = {
    "kind": "mixture",
    "parts": [
        {"kind": "bank", "weight": 0.8, "in_batch_weight": 0.25},
        {"kind": "reference_negatives", "per_query": 2, "weight": 0.5},
        {"kind": "pull"},
    ],
}


def test_it_is_the_weighted_sum_of_its_parts() -> None:
    batch, mixture = example(2).batch(), OBJECTIVES.build(TABLE)
    parts = [
        OBJECTIVES.build({key: value for key, value in part.items() if key != "weight"}) for part in TABLE["parts"]
    ]
    expected = sum(w * part.loss(batch).item() for w, part in zip((0.8, 0.5, 1.0), parts, strict=True))
    assert mixture.loss(batch).item() == pytest.approx(expected)
    assert mixture.needs == {"start_queries"}
    assert not Mixture(parts=[{"kind": "bank"}]).needs


def test_its_table_names_kinds_weights_and_settings() -> None:
    table = as_table(OBJECTIVES.build(TABLE))
    assert table["parts"][0] == {"kind": "bank", "weight": 0.8, "in_batch_weight": 0.25}
    assert table["parts"][2] == {"kind": "pull", "weight": 1.0, "strength": 20.0}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"kind": "bnak"}], "Did you mean 'bank'"),
        ([{"kind": "pull", "strenght": 3}], "unknown key 'strenght'"),
        ([{"weight": 2}], "needs a kind"),
        ([{"kind": "bank", "weight": 0}], "greater than 0"),
        ([], "at least 1 item"),
        ([{"kind": "memory_queue"}, {"kind": "memory_queue", "size": 9}], "can hold one 'memory_queue'"),
    ],
)
def test_a_part_that_is_none_is_named(parts: list, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        OBJECTIVES.build({"kind": "mixture", "parts": parts})
