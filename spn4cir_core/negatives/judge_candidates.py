"""Ask a judge whether the candidates nearest to a target answer the query as well."""

from __future__ import annotations

from collections.abc import Mapping

from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import image_files
from spn4cir_core.negatives.rules import Rows, TrainingSet
from spn4cir_core.negatives.settings import FalseNegativesInput
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.judge_triplets import judge_triplets
from spn4cir_core.triplets.triplet import Triplet
from spn4cir_core.triplets.triplet_tables import read_candidates, training_triplets


def judge_candidates(
    work: Work[FalseNegativesInput], training: TrainingSet, neighbours: Mapping[int, Rows]
) -> dict[int, list[int]]:
    """Candidate rows that answer the query of a triplet, by the triplet's row.

    Judgements are those of the triplets stage: kept in the store by pictures and text, and resumed after a kill. A
    candidate must answer all texts of a triplet.

    Args:
        neighbours: by the row of a target the candidates to ask about, nearest first.

    Raises:
        InputError: the judge cannot be used, or a picture cannot be read.
    """
    settings, parent = work.settings.false_negatives, work.parents["triplets"]
    assert settings.judge is not None
    pictures = read_candidates(parent, "image_id", "path", "pixel_sha256").to_pylist()
    pixels = {row["image_id"]: row["pixel_sha256"] for row in pictures}
    paths = [row["path"] for row in pictures]
    rows = training.candidate_rows()
    questions = {
        f"{number} {row}": triplet._replace(
            triplet_id=f"{number} {row}", target_id=training.candidate_ids[row], target_path=paths[row]
        )
        for number, triplet in enumerate(training_triplets(parent))
        for row in _others(triplet, rows, neighbours, settings.judged_per_triplet)
    }
    files = image_files(work.settings.images, work.store)
    cache = CachedVectors(work.store, files, work.progress, work.draft.seconds)
    scores, work.draft.details["judge"] = judge_triplets(list(questions.values()), pixels, settings.judge, cache)
    answers: dict[int, list[int]] = {}
    for name, score in scores.items():
        if score >= settings.least_judge_score:
            number, row = map(int, name.split())
            answers.setdefault(number, []).append(row)
    return answers


def _others(triplet: Triplet, rows: Mapping[str, int], neighbours: Mapping[int, Rows], count: int) -> list[int]:
    target, reference = rows[triplet.target_id], rows[triplet.reference_id]
    return [row for row in neighbours[target].tolist() if row not in (target, reference)][:count]
