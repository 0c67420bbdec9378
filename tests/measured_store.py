"""A store that holds all ``eval_report`` and ``search_index`` are made from, written by hand: 36 small pictures."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from spn4cir_core.annotations.annotation_tables import QUERY_SCHEMA, TRIPLET_SCHEMA, TRIPLETS_FILE
from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.blend.fitted import BLEND_FILE
from spn4cir_core.blend.settings import BlendSettings
from spn4cir_core.blend.stage import BLEND
from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.embeddings.settings import EmbeddingSettings
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.images.files import pixel_sha256
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.search.settings import SearchSettings
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.training.checkpoints import Resume
from spn4cir_core.triplets.refusal_report import REFUSED_SCHEMA
from spn4cir_core.triplets.triplet import SCHEMA as TRIPLETS

NAME = "measured"
LABELS, COLOURS = ("circle", "square", "bar"), ("red", "green", "blue")
EVIL = "<script>alert('x')</script> | a & b"
SPLITS = ("train", "train", "evaluation", "evaluation")


def image_rows() -> list[dict[str, Any]]:
    rows = []
    for number in range(36):
        label, colour = LABELS[number % 3], COLOURS[number // 3 % 3]
        image_id = f"toys/{number:02d}.png"
        rows.append(
            {
                "image_id": image_id,
                "path": image_id,
                "pixel_sha256": pixel_sha256(drawn(number, label, colour)),
                "category": label,
                "attributes": {"label": label, "colour": colour},
                "caption": f"a {colour} {label}" if number != 30 else EVIL,
                "split": SPLITS[number // 9],
            }
        )
    return rows


def drawn(number: int, label: str, colour: str) -> Image.Image:
    picture = Image.new("RGB", (48, 40), "white")
    draw = ImageDraw.Draw(picture)
    box = (6 + number // 9, 6, 30 + number // 9, 30)
    if label == "circle":
        draw.ellipse(box, fill=colour)
    else:
        draw.rectangle(box if label == "square" else (box[0], 16, box[2], 22), fill=colour)
    return picture


def draw_pictures(folder: Path) -> None:
    for number, row in enumerate(image_rows()):
        path = folder / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(number, row["attributes"]["label"], row["attributes"]["colour"]).save(path)


class PixelEncoder(ImageEncoder):
    """The picture itself, eight pixels a side."""

    plugin_kind = "tests.measured_store:PixelEncoder"

    def fingerprint(self) -> str:
        return "pixels"

    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        return lambda pictures: np.stack(
            [np.asarray(picture.resize((8, 8)), np.float32).ravel() / 255 for picture in pictures]
        )


def recipe(folder: Path, **evaluation: Any) -> Recipe:
    return Recipe.model_construct(
        name=NAME,
        seed=3,
        images=ImageSettings.model_validate({"reader": {"kind": "folder", "folder": str(folder)}}),
        eval_report=EvaluationSettings.model_validate({"bootstrap_draws": 100, "gallery_pictures": 6, **evaluation}),
        search_index=SearchSettings(),
        image_embeddings=EmbeddingSettings(encoder=PixelEncoder()),
        blend=BlendSettings(sentence_encoder=None),
    )


def write(store: Store, noun: str, tables: dict[str, pa.Table], parents: Sequence[str] = (), **more: Any) -> Artifact:
    """Publish an artefact and make it the recipe's current one."""
    used = {name: store.current(NAME, name).fingerprint for name in parents}  # type: ignore[union-attr]
    provenance = {
        "stage": noun,
        "version": 1,
        "settings": more.get("settings", {}),
        "outside": None,
        "parents": used,
    }
    with store.writing(noun, more.get("key", f"{noun}0"), provenance) as draft:
        for name, table in tables.items():
            draft.write_table(table, name)
            draft.rows += len(table)
        draft.rows, draft.details = more.get("rows", draft.rows), more.get("details", {})
        draft.drop("not a picture", more.get("drops", 0))
    artifact = store.get(noun, more.get("key", f"{noun}0"))
    assert artifact is not None
    store.point(NAME, artifact)
    return artifact


def measured_store(root: Path, *, queries: bool = True, generated: bool = True, evaluation: bool = True) -> Store:
    """All parents, with annotated queries and generated triplets or without."""
    store, rows = Store(root / "store"), image_rows()
    draw_pictures(root / "pictures")
    if not evaluation:
        rows = [{**row, "split": "train"} for row in rows]
    columns = {key: [row[key] for row in rows] for key in ("image_id", "path", "category", "pixel_sha256")}
    columns["corpus"] = ["toys"] * len(rows)
    attributes = pa.array([list(row["attributes"].items()) for row in rows], pa.map_(pa.string(), pa.string()))
    write(store, "images", {"images.parquet": pa.table({**columns, "attributes": attributes})}, drops=2)
    captions = {"image_id": columns["image_id"], "caption": [row["caption"] for row in rows]}
    captions["captioner"] = ["tags"] * len(rows)
    write(store, "captions", {"captions.parquet": pa.table(captions)}, ["images"], settings={"note": EVIL})
    splits = {"image_id": columns["image_id"], "split": [row["split"] for row in rows]}
    twins = pa.table({"image_a": ["toys/19.png"], "image_b": ["toys/35.png"], "found_by": ["phash"]})
    write(store, "splits", {"splits.parquet": pa.table(splits), "near_duplicates.parquet": twins}, ["images"])
    write(
        store,
        "annotations",
        {"queries.parquet": _queries(rows if queries else []), TRIPLETS_FILE: TRIPLET_SCHEMA.empty_table()},
        ["images"],
    )
    triplets = pa.Table.from_pylist(_triplets(rows if generated else []), TRIPLETS)
    refused = [
        row | {"reason": EVIL if not number else "a gate's reason"} for number, row in enumerate(_triplets(rows)[:3])
    ]
    tables = {"triplets.parquet": triplets, "refused.parquet": pa.Table.from_pylist(refused, REFUSED_SCHEMA)}
    counts = {reason: {"count": count} for reason, count in Counter(row["reason"] for row in refused).items()}
    parents = ["images", "captions", "splits", "annotations"]
    write(store, "triplets", tables, parents, rows=len(triplets), details={"refused_by_reason": counts})
    masked = [
        {"triplet_id": row["triplet_id"], "image_id": "toys/09.png", "reason": "same_caption"}
        for row in triplets.to_pylist()[:3]
    ]
    schema = pa.schema([(name, pa.string()) for name in ("triplet_id", "image_id", "reason")])
    write(store, "false_negatives", {"false_negatives.parquet": pa.Table.from_pylist(masked, schema)}, ["triplets"])
    for number, noun in enumerate(("stage1_checkpoint", "control_checkpoint", "stage2_checkpoint")):
        write_checkpoint(store, noun, seed=number)
    for stage in (IMAGE_EMBEDDINGS, BLEND):
        stage.run(recipe(root / "pictures"), store)
    return store


def weigh(store: Store, **weights: float) -> Artifact:
    """Make a blend of these weights the recipe's current one; channels that were not fitted are calibrated too."""
    fitted = store.current(NAME, "blend")
    assert fitted is not None
    table = json.loads(fitted.file(BLEND_FILE).read_text())
    for row in table["channels"]:
        for name in ("weight", "without_reference", "without_caption", "without_either", "without_text"):
            row[name] = weights.get(row["name"], 0.0)
    table["calibration"]["deviation"] = [deviation or 0.1 for deviation in table["calibration"]["deviation"]]
    weights_fingerprint = fingerprint(weights)
    provenance = {key: fitted.summary[key] for key in ("stage", "version", "settings", "outside", "parents")}
    with store.writing("blend", weights_fingerprint, provenance) as draft:
        draft.write_json(table, BLEND_FILE)
    artifact = store.get("blend", weights_fingerprint)
    assert artifact is not None
    store.point(NAME, artifact)
    return artifact


def write_checkpoint(store: Store, noun: str, seed: int) -> Artifact:
    """An untrained network, and the metrics of eight steps."""
    backbone = Small(dim=16, image_px=16)
    network = backbone.build([row["caption"] for row in image_rows()], seed)
    metrics = [{"step": step, "loss": 3.0 / step, "learning_rate": 0.01, "temperature": 0.05} for step in range(1, 9)]
    used = {"triplets": store.current(NAME, "triplets").fingerprint}  # type: ignore[union-attr]
    provenance = {"stage": noun, "version": 1, "settings": {"seed": seed}, "outside": None, "parents": used}
    with store.writing(noun, f"{noun}{seed}", provenance) as draft:
        Resume(draft).finish(backbone, network, 0.05, metrics)
    artifact = store.get(noun, f"{noun}{seed}")
    assert artifact is not None
    store.point(NAME, artifact)
    return artifact


def _queries(rows: Sequence[dict[str, Any]]) -> pa.Table:
    held_out = [row["image_id"] for row in rows if row["split"] == "evaluation"]
    queries = [
        {
            "query_id": f"q{number}",
            "corpus": "toys",
            "reference_id": reference,
            "modified_text": "make it red" if number else EVIL,
            "target_ids": [held_out[number - 1]],
            "kind": ("colour", "shape", "")[number % 3],
        }
        for number, reference in enumerate(held_out)
    ]
    if rows:
        outside = {"corpus": "toys", "modified_text": "x", "reference_id": "toys/18.png", "kind": ""}
        queries.append({**outside, "query_id": "train", "reference_id": "toys/00.png", "target_ids": ["toys/20.png"]})
        queries.append({**outside, "query_id": "far", "target_ids": ["toys/01.png"]})
    return pa.Table.from_pylist(queries, QUERY_SCHEMA)


def _triplets(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_split: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_split.setdefault(row["split"], []).append(row)
    return [
        {
            "triplet_id": f"{split}{number}",
            "reference_id": reference["image_id"],
            "target_id": target["image_id"],
            "reference_path": reference["path"],
            "target_path": target["path"],
            "reference_caption": reference["caption"],
            "target_caption": target["caption"],
            "modified_texts": [target["caption"]],
            "origin": "annotated" if split == "train" and number % 2 else "generated",
            "kind": "",
            "template_ids": ["t"],
            "rank": number if number % 2 == 0 else None,
            "score": 0.5,
            "weight": 1.0,
            "repeats": 1,
            "split": split,
        }
        for split, there in by_split.items()
        for number, (reference, target) in enumerate(itertools.pairwise(there))
    ]
