"""Answers that a triplet's captions and texts alone decide, kept in the store: only new triplets cost something."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import RowJob, filled
from spn4cir_core.engine.progress import Progress
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint, plain
from spn4cir_core.store.rows import Rows, row_key
from spn4cir_core.triplets.figures import names_target_in_full
from spn4cir_core.triplets.gate import Gate, GateBasis, GateLimits
from spn4cir_core.triplets.triplet import Triplet

TRIPLETS_VERSION = 2
"""Version of the stage, and of what its gates and figures say of captions and texts."""
BATCH_ROWS, SHARD_ROWS = 4096, 1 << 16


@dataclass(frozen=True)
class Refusal:
    """The first gate of a sequence that refuses a triplet, by its number, and its reason."""

    gate: int
    reason: str


@dataclass(frozen=True)
class TextAnswers:
    """Reads answers from the store, and has missing ones computed."""

    store: Store
    progress: Progress
    seconds: defaultdict[str, float]
    keys: dict[str, str] = field(default_factory=dict)
    """Key of each triplet's answers by its id, worked out once."""

    def refusals(self, triplets: Sequence[Triplet], gates: Sequence[Gate], basis: GateBasis) -> dict[str, Refusal]:
        """Triplet id → the first refusal, of those gates that read texts alone; without triplets that pass them all."""
        numbers = [number for number, gate in enumerate(gates) if gate.is_stored()]
        if not numbers:
            return {}
        decided_by = {
            "gates": [gates[number] for number in numbers],
            "limits": {name: getattr(basis.settings, name) for name in GateLimits.model_fields},
        }

        def answer(triplet: Triplet) -> str:
            for index, number in enumerate(numbers):
                if reason := gates[number].refusal(triplet, basis):
                    return f"{index} {reason}"
            return ""

        answer_of = self._of("text_gates", decided_by, triplets, answer, pa.string())
        refused = {name: answer.split(" ", 1) for name, answer in answer_of.items() if answer}
        return {name: Refusal(numbers[int(index)], reason) for name, (index, reason) in refused.items()}

    def naming_target(self, triplets: Sequence[Triplet]) -> set[str]:
        """Ids of the triplets one of whose texts says all that the target's caption says."""

        def answer(triplet: Triplet) -> bool:
            return names_target_in_full(triplet.modified_texts, triplet.target_caption)

        answer_of = self._of("texts_name_target", {}, triplets, answer, pa.bool_())
        return {name for name, named in answer_of.items() if named}

    def _of(
        self,
        noun: str,
        decided_by: Mapping[str, Any],
        triplets: Sequence[Triplet],
        answer: Callable[[Triplet], Any],
        answer_type: pa.DataType,
    ) -> dict[str, Any]:
        """The answers by triplet id."""
        self.keys.update((one.triplet_id, _key(one)) for one in triplets if one.triplet_id not in self.keys)
        key_of = {triplet.triplet_id: self.keys[triplet.triplet_id] for triplet in triplets}
        job = RowJob(
            "reading texts",
            Rows(self.store.rows(noun, fingerprint({"version": TRIPLETS_VERSION, **plain(decided_by)})), answer_type),
            {key_of[triplet.triplet_id]: triplet for triplet in triplets},
            None,
            lambda batch: pa.array(map(answer, batch), answer_type),
            BATCH_ROWS,
            SHARD_ROWS,
            readers=1,
        )
        answer_of, _ = filled(job, self.progress, self.seconds)
        return {name: answer_of[key] for name, key in key_of.items()}


def _key(triplet: Triplet) -> str:
    return row_key(triplet.reference_caption, triplet.target_caption, *triplet.modified_texts)
