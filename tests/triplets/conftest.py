"""A small corpus written by hand: six images, two of them held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.stage import TRIPLETS

SPLITS = {
    "a": "train",
    "b": "train",
    "c": "train",
    "d": "train",
    "e": "evaluation",
    "f": "evaluation",
    "v": "validation",
}
CAPTIONS = {"a": "red cat", "b": "blue cat", "c": "red dog", "d": "The cat red.", "e": "green cat", "f": "green dog"}
ANNOTATION = pa.schema(
    [
        *((name, pa.string()) for name in ("annotation_id", "corpus", "reference_id", "target_id")),
        ("modified_texts", pa.list_(pa.string())),
        ("kind", pa.string()),
    ]
)


def annotation(name: str, reference: str, target: str, text: str = "bluer", kind: str = "colour") -> dict[str, Any]:
    return {
        "annotation_id": name,
        "corpus": "zoo",
        "reference_id": f"zoo/{reference}.png",
        "target_id": f"zoo/{target}.png",
        "modified_texts": [text],
        "kind": kind,
    }


def pair(reference: str, target: str, *texts: str) -> dict[str, Any]:
    return {"reference": reference, "target": target, "texts": list(texts) or [f"{reference} to {target}"]}


@pytest.fixture
def compose(hand_written: Any) -> Callable[..., Artifact]:
    """Run the stage on annotations and pairs."""

    def run(annotations: list[dict[str, Any]], pairs: list[dict[str, Any]], seed: int = 0, **settings: Any) -> Artifact:
        ids = {name: f"zoo/{name}.png" for name in SPLITS}
        hand_written(
            "images",
            images=[
                {
                    "image_id": ids[name],
                    "path": f"folder/{ids[name]}",
                    "pixel_sha256": f"pixels {name}",
                    "attributes": [],
                }
                for name in SPLITS
            ],
        )
        hand_written("captions", captions=[{"image_id": ids[name], "caption": text} for name, text in CAPTIONS.items()])
        hand_written(
            "splits",
            splits=[
                {"image_id": ids[name], "component": number, "split": split}
                for number, (name, split) in enumerate(SPLITS.items())
            ],
        )
        hand_written(
            "annotations", {"unknown image": 3}, annotated_triplets=pa.Table.from_pylist(annotations, ANNOTATION)
        )
        numbered = [(f"{row['reference']}-{row['target']}-{number}", row) for number, row in enumerate(pairs)]
        pair_schema = pa.schema(
            [
                *((name, pa.string()) for name in ("pair_id", "reference_id", "target_id", "split")),
                ("rank", pa.int32()),
                ("score", pa.float32()),
            ]
        )
        mined = [
            {
                "pair_id": name,
                "reference_id": ids[row["reference"]],
                "target_id": ids[row["target"]],
                "rank": 4,
                "score": 0.5,
                "split": SPLITS[row["reference"]],
            }
            for name, row in numbered
        ]
        hand_written("pairs", pairs=pa.Table.from_pylist(mined, pair_schema))
        text_schema = pa.schema(
            [
                ("pair_id", pa.string()),
                ("modified_texts", pa.list_(pa.string())),
                ("template_ids", pa.list_(pa.string())),
            ]
        )
        texts = [
            {"pair_id": name, "modified_texts": row["texts"], "template_ids": ["t"] * len(row["texts"])}
            for name, row in numbered
        ]
        hand_written("modified_texts", modified_texts=pa.Table.from_pylist(texts, text_schema))
        images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": hand_written.store.root}})
        recipe = Recipe.model_construct(name="test", seed=seed, images=images, triplets=TripletSettings(**settings))
        return TRIPLETS.run(recipe, hand_written.store)[0]

    return run


@pytest.fixture
def rows() -> Any:
    """Makers of annotation and pair rows."""

    class Rows:
        annotation = staticmethod(annotation)
        pair = staticmethod(pair)

    return Rows
