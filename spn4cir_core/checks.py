"""What must hold of finished artefacts: each check reads tables and says what it found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from spn4cir_core.artifacts import Artifact
from spn4cir_core.embeddings.vectors import open_vectors

Current = Callable[[str], Artifact]
"""Gives the recipe's artefact of a noun."""


@dataclass(frozen=True)
class Finding:
    """Whether a check passed, in words, with a few offenders."""

    passed: bool
    says: str
    examples: list[str]


def _none_of(offenders: list[str], what: str) -> Finding:
    return Finding(not offenders, f"{len(offenders)} {what}", offenders[:5])


def captions_join_images(current: Current) -> Finding:
    """Every caption belongs to an image, one per image, and none is empty."""
    captions = current("captions").table()
    ids = captions["image_id"].to_pylist()
    known = set(current("images").table(columns=["image_id"])["image_id"].to_pylist())
    empty = {image for image, text in zip(ids, captions["caption"].to_pylist(), strict=True) if not text.strip()}
    twice = {image for image, count in Counter(ids).items() if count > 1}
    return _none_of(sorted((set(ids) - known) | empty | twice), "captions are empty, doubled or of no image")


def vectors_are_unit(current: Current) -> Finding:
    """Every vector is finite and has length 1."""
    artifact = current("image_embeddings")
    vectors, ids = open_vectors(artifact), artifact.table()["image_id"].to_pylist()
    bad: list[str] = []
    for start in range(0, len(ids), 8192):
        lengths = np.linalg.norm(vectors[start : start + 8192].astype(np.float32), axis=1)
        bad += [ids[start + int(row)] for row in np.flatnonzero(~(np.abs(lengths - 1) < 1e-2))]
    return _none_of(bad, "vectors are not finite and of unit length")


def ranks_lie_in_window(current: Current) -> Finding:
    """Every pair's rank lies in its window, and no image is paired with itself."""
    pairs = current("pairs").table()
    inside = pc.and_(
        pc.greater_equal(pairs["rank"], pairs["window_first_rank"]), pc.less(pairs["rank"], pairs["window_end_rank"])
    )
    bad = pc.or_(pc.invert(inside), pc.equal(pairs["reference_id"], pairs["target_id"]))
    return _none_of(pairs.filter(bad)["pair_id"].to_pylist(), "pairs lie outside the window or join an image to itself")


def placeholders_are_filled(current: Current) -> Finding:
    """No modified text has a placeholder left."""
    texts = current("modified_texts").table()
    bad = [
        pair
        for pair, filled in zip(texts["pair_id"].to_pylist(), texts["modified_texts"].to_pylist(), strict=True)
        if any(re.search(r"\{(reference|target|added|removed)\}", text) or not text.strip() for text in filled)
    ]
    return _none_of(bad, "pairs have an unfilled or empty text")


def splits_do_not_share_images(current: Current) -> Finding:
    """No image of a training triplet, nor a near-duplicate of one, is in the evaluation split."""
    splits = current("splits").table()
    rows = zip(*(splits[name].to_pylist() for name in ("image_id", "split", "component")), strict=True)
    where = {image: (split, component) for image, split, component in rows}
    held_out = {component for split, component in where.values() if split == "evaluation"}
    triplets = current("triplets").table(columns=["reference_id", "target_id", "split"])
    trained = triplets.filter(pc.equal(triplets["split"], "train"))
    images = set(trained["reference_id"].to_pylist()) | set(trained["target_id"].to_pylist())
    return _none_of(
        sorted(image for image in images if where[image][1] in held_out), "training images are also held out"
    )


def loss_is_finite(stage: str) -> Callable[[Current], Finding]:
    """The check that a checkpoint's recorded losses are all finite numbers."""

    def check(current: Current) -> Finding:
        """Every recorded loss is a finite number."""
        lines = current(stage).file("metrics.jsonl").read_text(encoding="utf-8").splitlines()
        bad = [line for line in lines if "NaN" in line or "Infinity" in line]
        return _none_of(bad, "recorded losses are not finite")

    check.__name__ = f"{stage}_loss_is_finite"
    return check


def bank_matches_checkpoint(current: Current) -> Finding:
    """The candidate bank was computed by the stage-1 checkpoint in use."""
    made_by = current("candidate_bank").summary["parents"]["stage1_checkpoint"]
    in_use = current("stage1_checkpoint").fingerprint
    return Finding(made_by == in_use, f"bank made by {made_by}, checkpoint in use {in_use}", [])


def recall_is_a_share(current: Current) -> Finding:
    """Every recall lies between 0 and 1."""
    recall = current("eval_report").table("recall.parquet")
    bad = pc.or_(pc.less(recall["recall"], 0), pc.greater(recall["recall"], 1))
    return _none_of([str(row) for row in recall.filter(bad).to_pylist()], "recalls lie outside 0 to 1")


CHECKS: list[tuple[str, Callable[[Current], Finding], bool]] = [
    ("captions", captions_join_images, True),
    ("image_embeddings", vectors_are_unit, True),
    ("pairs", ranks_lie_in_window, True),
    ("modified_texts", placeholders_are_filled, True),
    ("triplets", splits_do_not_share_images, True),
    ("stage1_checkpoint", loss_is_finite("stage1_checkpoint"), True),
    ("candidate_bank", bank_matches_checkpoint, True),
    ("stage2_checkpoint", loss_is_finite("stage2_checkpoint"), True),
    ("eval_report", recall_is_a_share, True),
]
"""Asset, check, and whether a failure stops what follows."""
