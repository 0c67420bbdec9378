"""Split triplets into passed and refused by verdicts, gates and the scores of models that the recipe names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import image_files
from spn4cir_core.store.artifacts import Store
from spn4cir_core.triplets.admission import Refused, admit
from spn4cir_core.triplets.base import GATES
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.gate import gate_basis
from spn4cir_core.triplets.judge_triplets import judge_triplets
from spn4cir_core.triplets.rank_triplets import rank_triplets
from spn4cir_core.triplets.scores import NO_SCORES, Scores
from spn4cir_core.triplets.settings import TripletsInput
from spn4cir_core.triplets.triplet import Picture, Triplet
from spn4cir_core.triplets.verdicts import Verdict, verdicts_outside


@dataclass(frozen=True)
class Gated:
    """Triplets that are in and those that are not, and the scores of all that were scored."""

    admitted: list[Triplet]
    refused: list[Refused]
    scores: dict[str, Scores]


def gate_triplets(
    offered: Sequence[Triplet],
    pictures: Mapping[str, Picture],
    verdicts: Mapping[str, Verdict],
    work: Work[TripletsInput],
) -> Gated:
    """Rank all triplets, let them pass the gates, then have the judge look at the generated ones that are left.

    Raises:
        InputError: a model cannot be used, or a picture it needs cannot be read.
        MissingExtra: a model's package is not installed.
    """
    settings = work.settings.triplets
    vectors = CachedVectors(
        work.store, image_files(work.settings.images, work.store), work.progress, work.draft.seconds
    )
    scores = {} if settings.ranker is None else rank_triplets(offered, pictures, settings.ranker, vectors)
    captions = [(picture.split, picture.caption) for picture in pictures.values()]
    basis = gate_basis(settings, captions, scores)
    gates = [GATES.build(gate) for gate in settings.gates]
    passed, refused = admit(offered, [gate for gate in gates if gate.requires != "judge"], basis, verdicts)
    if settings.judge is None:
        return Gated(passed, refused, scores)
    generated = [triplet for triplet in passed if triplet.origin == "generated"]
    pixels = {name: picture.pixel_sha256 for name, picture in pictures.items()}
    judged, work.draft.details["judge"] = judge_triplets(generated, pixels, settings.judge, vectors)
    for name, score in judged.items():
        scores[name] = replace(scores.get(name, NO_SCORES), judge_score=score)
    judge_gates = [gate for gate in gates if gate.requires == "judge"]
    passed, doubted = admit(passed, judge_gates, replace(basis, scores=scores), verdicts)
    return Gated(passed, refused + doubted, scores)


def models_and_verdicts(tables: TripletsInput, store: Store) -> Any:
    """Inputs from outside the store: the verdicts file, and the weights of ranker and judge."""
    settings, verdicts = tables.triplets, verdicts_outside(tables, store)
    if settings.ranker is None and settings.judge is None:
        return verdicts
    files = image_files(tables.images, store)
    return {
        "verdicts": verdicts,
        "ranker": settings.ranker and settings.ranker.fingerprint(),
        "judge": settings.judge and settings.judge.fingerprint(files),
    }
