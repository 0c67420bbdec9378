"""Ask a judge about triplets: each pair of pictures and text once, kept in the store, resumed after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from spn4cir_core.engine.batches import fill
from spn4cir_core.store.rows import GivenRows
from spn4cir_core.triplets.judge import TEXT, Case, Judge
from spn4cir_core.triplets.kept_vectors import KeptVectors
from spn4cir_core.triplets.side_by_side import side_by_side
from spn4cir_core.triplets.triplet import Triplet

READERS = 2
Asked = tuple[str, str, str]
"""Paths of reference and target, and the text."""


def judge_triplets(
    triplets: Sequence[Triplet], pixels: dict[str, str], judge: Judge, kept: KeptVectors
) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores of triplets by id, and how many questions were asked.

    A triplet of several texts has the lowest of their scores, and none while one of its texts has none.

    Args:
        pixels: pixel hash of each image id; equal pictures and texts are asked about once.

    Raises:
        InputError: the model cannot be used, or a picture cannot be read.
    """
    keys = {
        triplet.triplet_id: [
            f"{pixels[triplet.reference_id]} {pixels[triplet.target_id]} {text}" for text in triplet.modified_texts
        ]
        for triplet in triplets
    }
    items: dict[str, Asked] = {
        key: (triplet.reference_path, triplet.target_path, text)
        for triplet in triplets
        for key, text in zip(keys[triplet.triplet_id], triplet.modified_texts, strict=True)
    }
    rows, judging = (
        GivenRows(kept.store.rows("judgements", judge.fingerprint(kept.files)), pa.float32()),
        _Judging(judge, kept),
    )
    asked = fill(
        rows,
        items,
        judging.read,
        judging,
        batch_rows=judge.batch_rows,
        shard_rows=judge.shard_rows,
        readers=READERS,
        label="judging",
        progress=kept.progress,
        seconds=kept.seconds,
    )
    known = rows.values(items)
    scores = {
        name: min(known[key] for key in wanted)
        for name, wanted in keys.items()
        if wanted and all(key in known for key in wanted)
    }
    told = {"questions": len(items), "asked": asked, "unanswered": len(items) - len(known), **judging.counts}
    return scores, told


class _Judging:
    """Maps a batch of cases to rows to keep; the model is loaded for the first one."""

    def __init__(self, judge: Judge, kept: KeptVectors) -> None:
        self._judge, self._files = judge, kept.files
        self._score: Callable[[Sequence[Case]], Sequence[float | None]] | None = None

    @property
    def counts(self) -> dict[str, Any]:
        """What the model counted, where it counts."""
        counts = dict(getattr(self._score, "counts", {}))
        return {"counts": counts} if counts else {}

    def read(self, asked: Asked) -> Case:
        """The two pictures side by side, and the question."""
        reference, target, text = asked
        both = side_by_side(self._files.open(reference), self._files.open(target), self._judge.side_px)
        return Case(both, self._judge.question.replace(TEXT, text))

    def __call__(self, cases: list[Any]) -> pa.Array:
        if self._score is None:
            self._score = self._judge.start(self._files)
        return pa.array(self._score(cases), pa.float32())
