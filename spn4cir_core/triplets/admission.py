"""Which triplets are admitted: a verdict decides, then the gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spn4cir_core.triplets.gate import Gate, GateBasis
from spn4cir_core.triplets.triplet import Triplet
from spn4cir_core.triplets.verdicts import REJECT, Verdict

REJECTED = "rejected by a person"


@dataclass(frozen=True)
class Refused:
    """A triplet that is not used, and why."""

    triplet: Triplet
    reason: str


def admit(
    triplets: Iterable[Triplet], gates: Sequence[Gate], basis: GateBasis, verdicts: Mapping[str, Verdict]
) -> tuple[list[Triplet], list[Refused]]:
    """Part triplets: a verdict decides; without one an annotated triplet is in, a generated one must pass the gates."""
    admitted: list[Triplet] = []
    refused: list[Refused] = []
    for triplet in triplets:
        verdict = verdicts.get(triplet.triplet_id)
        reason = REJECTED if verdict and verdict.verdict == REJECT else ""
        if triplet.origin == "generated" and verdict is None:
            reason = refusal(triplet, gates, basis)
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
