"""The folder recipe on real photographs: end to end, and what a changed template or a new picture runs again."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.flow import STAGES, downstream_of
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from tests.test_flow import BANK

pytestmark = pytest.mark.data
PHOTOGRAPHS = 72
CONTRIBUTORS = 24


def copy_photographs(source: Path, folder: Path) -> list[Path]:
    """Some photographs of several contributors, with their metadata; returns a few that are left out."""
    with (source / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    by_contributor: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_contributor.setdefault(row["contributor_id"], []).append(row)
    groups = sorted(by_contributor.values(), key=len, reverse=True)[4 : 4 + CONTRIBUTORS]
    each = PHOTOGRAPHS // CONTRIBUTORS
    chosen = [row for group in groups for row in group[:each]]
    (folder / "images").mkdir(parents=True)
    for row in chosen:
        shutil.copy(source / row["file"], folder / row["file"])
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return [source / group[each]["file"] for group in groups[:2]]


class Clothes:
    """A store, a recipe on the photographs, and what the last run computed."""

    def __init__(self, source: Path, folder: Path) -> None:
        pytest.importorskip("timm", reason="the [offline] extra is not installed")
        self.photographs, self.bank = folder / "photographs", folder / "bank.toml"
        self.left_out = copy_photographs(source, self.photographs)
        self.bank.write_text(BANK.replace("{text}", "make it {added}"), encoding="utf-8")
        self.store, self.computed, self.artifacts = Store(folder / "store"), set[str](), dict[str, Artifact]()

    def recipe(self) -> Recipe:
        few: dict[str, Any] = {"epochs": 1, "min_steps": 0, "batch_size": 32}
        reader = {"folder": str(self.photographs), "category_column": "label", "group_column": "contributor_id"}
        return load_recipe(
            "folder",
            {
                "images": {"reader": reader},
                "templates": {"bank": str(self.bank), "use": ["mine"]},
                "splits": {"evaluation_share": 0.3},
                "stage1_checkpoint": few,
                "stage2_checkpoint": few,
                "eval_report": {
                    "evaluators": [{"kind": "labels", "label": "category"}, {"kind": "held_out"}],
                    "bootstrap_draws": 100,
                    "gallery_pictures": 2,
                },
            },
        )

    def run(self) -> set[str]:
        self.computed = set()
        self.artifacts = run(self.recipe(), self.store, on_stage_done=self._on_stage_done)
        return self.computed

    def _on_stage_done(self, artifact: Artifact, reused: bool) -> None:
        if not reused:
            self.computed.add(artifact.noun)


@pytest.fixture(scope="module")
def clothes(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Clothes:
    clothes = Clothes(shared_data / "clothing", tmp_path_factory.mktemp("clothes"))
    assert clothes.run() == set(STAGES)
    return clothes


def test_photographs_become_a_report(clothes: Clothes) -> None:
    captions = clothes.artifacts["captions"].table().to_pylist()
    assert len(captions) == PHOTOGRAPHS and all(len(row["caption"].split()) >= 2 for row in captions)
    counts = clothes.artifacts["eval_report"].details["queries"]
    assert counts["labels"] > 0 and counts["held_out"] > 0
    assert "report.html" in clothes.artifacts["eval_report"].summary["files"]


def test_contributors_stay_on_one_side_of_the_split(clothes: Clothes) -> None:
    images, splits = clothes.artifacts["images"].table().to_pylist(), clothes.artifacts["splits"].table().to_pylist()
    sides: dict[str, set[str]] = {}
    for image, split in zip(images, splits, strict=True):
        sides.setdefault(image["group"], set()).add(split["split"])
    assert len(sides) == CONTRIBUTORS and all(len(side) == 1 for side in sides.values())
    assert {"train", "evaluation"} <= set.union(*sides.values())


def test_a_changed_template_leaves_captions_embeddings_and_pairs_alone(clothes: Clothes) -> None:
    clothes.bank.write_text(BANK.replace("{text}", "the same but {added}"), encoding="utf-8")
    assert clothes.run() == downstream_of("templates") | {"templates"}
    assert clothes.run() == set()


def test_new_photographs_cost_only_themselves(clothes: Clothes) -> None:
    for path in clothes.left_out:
        shutil.copy(path, clothes.photographs / "images" / path.name)
    assert {"images", "captions", "image_embeddings"} <= clothes.run()
    assert clothes.artifacts["captions"].details["computed"] == len(clothes.left_out)
    assert clothes.artifacts["image_embeddings"].details["computed"] == len(clothes.left_out)
