"""Score triplets with a judge: each pair of pictures and text once; scores are cached, so a killed run resumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, fill
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.rows import GivenRows
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.judge import TEXT, Case, Judge
from spn4cir_core.triplets.side_by_side import side_by_side
from spn4cir_core.triplets.triplet import Triplet

READERS = 2
Question = tuple[str, str, str]
"""Paths of reference and target, and the text."""


def judge_triplets(
    triplets: Sequence[Triplet], pixels: dict[str, str], judge: Judge, cache: CachedVectors
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores of triplets by id, and counts of questions.

    A triplet of several texts has the lowest of their scores, and none while one of its texts has none.

    Args:
        pixels: pixel hash of each image id; equal pictures and texts are scored once.

    Raises:
        InputError: the model cannot be used, or a picture cannot be read.
    """
    keys = {
        triplet.triplet_id: [
            f"{pixels[triplet.reference_id]} {pixels[triplet.target_id]} {text}" for text in triplet.modified_texts
        ]
        for triplet in triplets
    }
    items: dict[str, Question] = {
        key: (triplet.reference_path, triplet.target_path, text)
        for triplet in triplets
        for key, text in zip(keys[triplet.triplet_id], triplet.modified_texts, strict=True)
    }
    rows = GivenRows(cache.store.rows("judgements", judge.fingerprint(cache.files)), pa.float32())
    score = FirstUse(lambda: judge.start(cache.files))
    job = RowJob(
        "judging",
        rows,
        items,
        lambda question: _case(judge, cache.files, question),
        lambda cases: pa.array(score(cases), pa.float32()),
        judge.batch_rows,
        judge.shard_rows,
        READERS,
    )
    computed = fill(job, cache.progress, cache.seconds)
    known = rows.values(items)
    scores = {
        name: min(known[key] for key in wanted)
        for name, wanted in keys.items()
        if wanted and all(key in known for key in wanted)
    }
    details = {
        "questions": len(items),
        "asked": computed,
        "unanswered": len(items) - len(known),
        **({"counts": score.counts} if score.counts else {}),
    }
    return scores, details


def _case(judge: Judge, files: ImageFiles, question: Question) -> Case:
    """The two pictures side by side, and the question."""
    reference, target, text = question
    both = side_by_side(files.open(reference), files.open(target), judge.side_px)
    return Case(both, judge.question.replace(TEXT, text))
