from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from spn4cir_core.backbones.base import BACKBONES, COMPOSERS
from spn4cir_core.backbones.published import LAYOUT_MODULES
from spn4cir_core.recipe import load_recipe

PAGE = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text(encoding="utf-8")


def test_the_page_names_every_backbone_and_composer() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| [^\d]", PAGE, re.MULTILINE)) >= set(BACKBONES.members)
    assert all(f"`{kind}`" in PAGE for kind in COMPOSERS.members)


def test_its_examples_are_settings_that_give_each_published_backbone(tmp_path: Path) -> None:
    examples: list[dict[str, Any]] = [
        tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    ]
    recipes = [load_recipe("demo", example) for example in examples]
    kinds = {recipe.stage1_checkpoint.backbone.plugin_kind for recipe in recipes}
    assert kinds - {"small"} == set(LAYOUT_MODULES)
    for recipe in recipes:
        if "pretrained" in type(recipe.stage1_checkpoint.backbone).model_fields:
            assert recipe.stage1_checkpoint.backbone.fingerprint()
