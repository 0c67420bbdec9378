"""A judge that looks: the redder the right picture, the more of it is 'red'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from spn4cir_core.annotations.annotation_tables import TRIPLET_SCHEMA
from spn4cir_core.engine.plugins import explain
from spn4cir_core.errors import RecipeError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.negatives.settings import FalseNegativeSettings
from spn4cir_core.negatives.stage import FALSE_NEGATIVES
from spn4cir_core.recipe import Recipe
from spn4cir_core.triplets.judge import Case, Judge
from spn4cir_core.triplets.triplet import SCHEMA

COLOURS = {"a": (250, 0, 0), "b": (0, 0, 250), "c": (230, 20, 0), "d": (120, 120, 0), "e": (255, 0, 30), "f": (0, 9, 0)}
VECTORS = {"a": 0, "b": 80, "c": 5, "d": 10, "e": 60, "f": 15}
"""Degrees on a circle: nearest to a are c, d, f, e, b."""


class RednessJudge(Judge):
    plugin_kind: ClassVar[str] = "redness"
    question: str = "{text}"
    side_px: int = 32

    def fingerprint(self, files: ImageFiles) -> str:
        return "redness"

    def start(self, files: ImageFiles) -> Callable[[Sequence[Case]], list[float | None]]:
        def scores(cases: Sequence[Case]) -> list[float | None]:
            assert {case.question for case in cases} <= {"make it red", "redder"}
            red = [case.both.getpixel((case.both.width * 3 // 4, case.both.height // 2))[0] / 255 for case in cases]
            rated = zip(cases, red, strict=True)
            return [None if case.question == "redder" and value < 0.1 else value for case, value in rated]

        return scores


def path(name: str) -> str:
    return f"zoo/{name}.png"


@pytest.fixture
def corpus(hand_written: Any, tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "pictures" / "zoo").mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (40, 40), colour).save(tmp_path / "pictures" / path(name))
    hand_written(
        "annotations",
        annotated_triplets=pa.Table.from_pylist([], TRIPLET_SCHEMA),
    )
    hand_written("splits", splits=[{"image_id": "a"}])
    angles = np.radians([VECTORS[name] for name in sorted(VECTORS)])
    with hand_written.store.writing("image_embeddings", "e" * 16, {"parents": {}}) as draft:
        draft.write_table(pa.table({"image_id": sorted(VECTORS)}), "image_embeddings.parquet")
        np.save(draft.file("vectors_00000.npy"), np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
    hand_written.store.point("test", hand_written.store.get("image_embeddings", "e" * 16))

    def run(triplets: list[tuple[str, str, str, list[str]]], **settings: Any) -> Any:
        rows = [
            {name: None for name in SCHEMA.names}
            | {"triplet_id": name, "reference_id": reference, "target_id": target, "modified_texts": texts}
            | {"reference_path": path(reference), "target_path": path(target), "split": "train", "origin": "generated"}
            | {"template_ids": []}
            for name, reference, target, texts in triplets
        ]
        hand_written(
            "triplets",
            triplets=pa.Table.from_pylist(rows, SCHEMA),
            candidates=[
                {"image_id": name, "path": path(name), "pixel_sha256": f"pixels {name}", "caption": ""}
                for name in sorted(COLOURS)
            ],
        )
        images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": str(tmp_path / "pictures")}})
        judging = FalseNegativeSettings(guards=("judge",), judge=RednessJudge(), **settings)
        recipe = Recipe.model_construct(name="test", images=images, false_negatives=judging)
        return FALSE_NEGATIVES.run(recipe, hand_written.store)[0]

    return run


def spared(artifact: Any) -> list[tuple[str, str]]:
    assert set(artifact.table()["reason"].to_pylist()) <= {"judge"}
    return [(row["triplet_id"], row["image_id"]) for row in artifact.table().to_pylist()]


def test_the_nearest_candidates_that_answer_are_spared(corpus: Callable[..., Any]) -> None:
    triplets = [("t1", "b", "a", ["make it red"]), ("t2", "c", "a", ["make it red"])]
    artifact = corpus(triplets, judged_per_triplet=4)
    assert spared(artifact) == [("t1", "c"), ("t1", "e"), ("t2", "e")]
    assert artifact.details["judge"]["questions"] == 4 + 4
    assert spared(corpus(triplets, judged_per_triplet=2)) == [("t1", "c")]
    assert spared(corpus(triplets, judged_per_triplet=2, least_judge_score=0.3)) == [
        ("t1", "c"),
        ("t1", "d"),
        ("t2", "d"),
    ]


def test_judgements_are_kept_and_only_new_ones_asked_for(corpus: Callable[..., Any]) -> None:
    triplets = [("t1", "b", "a", ["make it red"])]
    assert corpus(triplets, judged_per_triplet=2).details["judge"]["asked"] == 2
    again = corpus(triplets, judged_per_triplet=3)
    assert (again.details["judge"]["questions"], again.details["judge"]["asked"]) == (3, 1)


def test_a_candidate_must_answer_all_texts_and_without_a_score_it_stays_a_negative(corpus: Callable[..., Any]) -> None:
    artifact = corpus([("t1", "e", "a", ["make it red", "redder"])], judged_per_triplet=3, least_judge_score=0.0)
    assert spared(artifact) == [("t1", "c"), ("t1", "d")]
    assert artifact.details["judge"]["unanswered"] == 1


def test_the_guard_needs_a_judge() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as error:
        FalseNegativeSettings(guards=("judge",))
    assert "needs a table [false_negatives.judge]" in explain(error.value, "false_negatives", FalseNegativeSettings)
    with pytest.raises(RecipeError, match="unknown judge 'guess'"):
        FalseNegativeSettings.model_validate({"judge": {"kind": "guess"}})
