"""The examples in docs/evaluation.md are recipes that can be loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spn4cir_core.evaluation.base import EVALUATORS
from spn4cir_core.recipe import load_recipe

TEXT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=[re.findall(r'name = "(\w+)"', text)[0] for text in EXAMPLES])
def test_recipes_load(example: str, tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(example, encoding="utf-8")
    recipe = load_recipe(tmp_path / "example.toml")
    reader = recipe.images.reader.model_dump()
    assert Path(str(reader["folder"])).is_relative_to(tmp_path)


def test_every_evaluator_is_told_of() -> None:
    assert len(EXAMPLES) == 3
    assert all(f"| `{kind}` |" in TEXT for kind in EVALUATORS.members)
