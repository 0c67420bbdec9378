"""Which triplets are admitted: a verdict decides, then the gates, which may read the scores of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from spn4cir_core.engine.stage import Work
from spn4cir_core.images.files import image_files
from spn4cir_core.store.artifacts import Store
from spn4cir_core.triplets.base import GATES
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.gate import Gate, GateBasis, gate_basis
from spn4cir_core.triplets.judge_triplets import judge_triplets
from spn4cir_core.triplets.rank_triplets import rank_triplets
from spn4cir_core.triplets.scores import NO_SCORES, Scores
from spn4cir_core.triplets.settings import TripletsInput
from spn4cir_core.triplets.text_answers import Refusal, TextAnswers
from spn4cir_core.triplets.triplet import Picture, Triplet
from spn4cir_core.triplets.verdicts import REJECT, Verdict, verdicts_outside

REJECTED = "rejected by a person"


@dataclass(frozen=True)
class Refused:
    """A triplet that is not used, and why."""

    triplet: Triplet
    reason: str


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
    answers: TextAnswers,
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
    early_gates = [gate for gate in gates if gate.requires != "judge"]
    gated = [triplet for triplet in offered if triplet.origin == "generated" and triplet.triplet_id not in verdicts]
    passed, refused = admit(offered, early_gates, basis, verdicts, answers.refusals(gated, early_gates, basis))
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


def admit(
    triplets: Iterable[Triplet],
    gates: Sequence[Gate],
    basis: GateBasis,
    verdicts: Mapping[str, Verdict],
    by_texts: Mapping[str, Refusal] = MappingProxyType({}),
) -> tuple[list[Triplet], list[Refused]]:
    """Part triplets: a verdict decides; without one an annotated triplet is in, a generated one must pass the gates.

    Args:
        by_texts: what :meth:`.TextAnswers.refusals` says of these gates.
    """
    others = [gate for gate in gates if not gate.is_stored()]
    others_before = [[gate for gate in gates[:number] if not gate.is_stored()] for number in range(len(gates))]
    admitted: list[Triplet] = []
    refused: list[Refused] = []
    for triplet in triplets:
        verdict = verdicts.get(triplet.triplet_id)
        reason = REJECTED if verdict and verdict.verdict == REJECT else ""
        if triplet.origin == "generated" and verdict is None:
            known = by_texts.get(triplet.triplet_id)
            reason = refusal(triplet, others if known is None else others_before[known.gate], basis)
            reason = reason or (known.reason if known else "")
        if reason:
            refused.append(Refused(triplet, reason))
        else:
            admitted.append(triplet)
    return admitted, refused


def refusals(triplet: Triplet, gates: Iterable[Gate], basis: GateBasis) -> list[str]:
    """The reasons of all gates that refuse the triplet, in the order of the gates."""
    return [reason for gate in gates if (reason := gate.refusal(triplet, basis))]


def refusal(triplet: Triplet, gates: Iterable[Gate], basis: GateBasis) -> str:
    """The reason of the first gate that refuses the triplet, or an empty string."""
    return next(filter(None, (gate.refusal(triplet, basis) for gate in gates)), "")


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
