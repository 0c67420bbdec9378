"""The page about objectives names every one, and its examples can be used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from spn4cir_core.negatives.settings import FalseNegativeSettings
from spn4cir_core.objectives.base import OBJECTIVES

PAGE = (Path(__file__).parents[2] / "docs" / "objectives.md").read_text(encoding="utf-8")


def test_every_objective_has_a_row_with_an_example_of_its_kind() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.MULTILINE))
    assert set(rows) >= set(OBJECTIVES.members)
    for kind in set(OBJECTIVES.members) - {"mixture"}:
        example = re.findall(r"`(\{ kind = .*\})`", rows[kind])[-1]
        table = tomllib.loads(f"objective = {example}")["objective"]
        assert OBJECTIVES.build(table).plugin_kind == kind


def test_the_recipes_on_the_page_are_read() -> None:
    mixture, guards = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    assert OBJECTIVES.build(mixture["stage2_checkpoint"]["objective"]).plugin_kind == "mixture"
    settings = FalseNegativeSettings.model_validate(guards["false_negatives"])
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE[PAGE.index("## Guards") :], re.MULTILINE))
    assert set(settings.guards) == rows
