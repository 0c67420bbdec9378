"""The table of ``benchmarks/reference_counts.py``, against means and intervals taken by hand, and its corpora."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.reference_counts import CORPORA, folder_of, recipe_for, table


def result(seed: int, served: float) -> dict[str, object]:
    modes = {"only picture": 10.0, "composed": served, "without picture": served - 5}
    measures = {f"all | blend | {mode}": {"R@1": value} for mode, value in modes.items()}
    measures |= {f"all | {model} | composed": {"R@1": 40.0 + seed} for model in ("stage1", "control", "stage2")}
    level = {"difference": 0.0, "low": 0.0, "high": 0.0}
    better = {"difference": 2.0, "low": 1.0, "high": 3.0}
    weights = {"picture": 1.0, "removed_words": 0.0}
    return {
        "seed": seed,
        "measures": measures,
        "stage 2 minus": {"stage 1": better, "control": level},
        "blend": {"weights": weights},
    }


def test_means_have_the_interval_of_their_seeds() -> None:
    one = table({"icons_all": [result(0, 90.0)]}).splitlines()
    assert one[2].endswith("| 0 | 10.0 | 40.0 | 40.0 | 40.0 | 90.0 | +2.0 (+1.0 to +3.0) | = |")
    assert one[-1].endswith("| 85.0 | – |")
    three = table({"icons_all": [result(seed, 90.0 + seed) for seed in range(3)]}).splitlines()
    half = 4.302653 / 3**0.5  # Student's t of two degrees of freedom, a deviation of 1
    assert f"| 0 1 2 | 10.0 (10.0 to 10.0) | 41.0 ({41 - half:.1f} to {41 + half:.1f})" in three[2]


@pytest.mark.parametrize(("name", "of_evaluation"), [("icons_all", "blue bell"), ("icons_train", "")])
def test_icons_of_evaluation_lose_their_titles_where_only_training_has_them(
    tmp_path: Path, name: str, of_evaluation: str
) -> None:
    pictures = tmp_path / "data" / "icons" / "pictures"
    pictures.mkdir(parents=True)
    rows = [("a.png", "red bell", "train"), ("b.png", "blue bell", "evaluation")]
    with (pictures / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "title", "keep_in"), *rows])
    (pictures / "queries.csv").write_text("query_id,reference,modified_text,targets,kind\n")
    for file_name, _, _ in rows:
        Image.new("RGB", (9, 9)).save(pictures / file_name)
    folder = folder_of(CORPORA[name], name, tmp_path / "data", tmp_path / "out")
    assert folder is not None and (folder / "a.png").is_file()
    with (folder / "metadata.csv").open(newline="") as file:
        made = list(csv.DictReader(file))
    assert [row["title"] for row in made] == ["red bell", of_evaluation]
    assert [row["keep_in"] for row in made] == ["", "evaluation"]
    shutil.rmtree(tmp_path / "data")
    assert folder_of(CORPORA[name], name, tmp_path / "data", tmp_path / "out") == folder, "it is not built again"


@pytest.mark.parametrize("name", CORPORA)
def test_every_corpus_is_a_recipe(tmp_path: Path, name: str) -> None:
    recipe = recipe_for(CORPORA[name], name, 3, tmp_path if CORPORA[name].build else None)
    assert (recipe.name, recipe.seed) == (f"{name}_3", 3)
