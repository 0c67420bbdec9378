"""Recipes that cannot be meant are refused when they are loaded, in one line that names the value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.recipe import load_recipe
from spn4cir_core.texts.templates import load_bank


@pytest.mark.parametrize("stage", ["stage1_checkpoint", "stage2_checkpoint"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("epochs", "learning_rate", "weight_decay", "temperature", "clip_norm")
            for value in (float("inf"), float("nan"), 1e12)
        ),
        ("steps", 10**12),
        ("batch_size", 10**12),
        ("chunk_size", 10**12),
        ("save_every_steps", 10**12),
    ],
)
def test_numbers_are_finite_and_within_bounds(stage: str, key: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=key):
        load_recipe("demo", {stage: {key: value}})


@pytest.mark.parametrize(
    "tables",
    [
        {"images": {"workers": 10**12}},
        {"images": {"max_pixels": 10**12}},
        {"splits": {"near_duplicate_cosine": float("nan")}},
        {"pairs": {"per_reference": 10**12}},
        {"stage1_checkpoint": {"objective": {"kind": "bank", "in_batch_weight": float("inf")}}},
    ],
)
def test_so_are_those_of_other_stages_and_of_plug_ins(tables: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        load_recipe("demo", tables)


@pytest.mark.parametrize("name", ["badCrash", "", "_shoes", "my shoes", "x" * 41, "shoes\n"])
def test_a_name_that_is_no_folder_s_name_is_refused_in_words(name: str) -> None:
    with pytest.raises(RecipeError, match="up to 40 lower-case letters, digits and _ are expected"):
        load_recipe("demo", {"name": name})
    assert load_recipe("demo", {"name": "x" * 40}).name == "x" * 40


def test_a_template_of_a_megabyte_is_refused_in_a_short_message(tmp_path: Path) -> None:
    bank = tmp_path / "bank.toml"
    bank.write_text(f'[[template]]\nid = "long"\ntext = "make it {{target}} {"x" * 1_000_000}"\n')
    with pytest.raises(RecipeError, match="1,000,017 characters") as refused:
        load_bank(str(bank))
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_of_bases_names_all_its_recipes(length: int, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.toml" for number in range(length)]
    for number, file in enumerate(files):
        file.write_text(f'base = "./{files[(number + 1) % length].name}"\n')
    start = tmp_path / "start.toml"
    start.write_text('base = "./0.toml"\n')
    circle = " → ".join(str(file) for file in [*files, files[0]])
    for source in (start, files[0]):
        with pytest.raises(RecipeError) as refused:
            load_recipe(source)
        assert str(refused.value).endswith(f"go in a circle: {circle}")


PLUGINS = {
    "module": "raise ValueError('no such\\nlicence')\n",
    "constructor": (
        "from spn4cir_core.captions.tags import Tags\n"
        "class Mine(Tags):\n"
        "    def model_post_init(self, context):\n"
        "        raise ZeroDivisionError('no such licence')\n"
    ),
}


@pytest.mark.parametrize("where", PLUGINS)
def test_a_plug_in_that_raises_is_one_line(where: str, tmp_path: Path) -> None:
    (tmp_path / "own_plugin.py").write_text(PLUGINS[where])
    recipe = tmp_path / "mine.toml"
    recipe.write_text('base = "demo"\nname = "mine"\n[captions.captioner]\nkind = "own_plugin:Mine"\n')
    line = [sys.executable, "-m", "spn4cir_core.cli.app", "status", "--recipe", str(recipe), "--store", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert "no such licence" in done.stderr and "own_plugin" in done.stderr


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[1])])}
