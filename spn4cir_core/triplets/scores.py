"""Scores of triplets by frozen models: kept in ``scores.parquet``, read by gates, weights and the browser page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import pyarrow as pa

from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.triplet import Triplet

TABLE = "scores.parquet"
SCHEMA = pa.schema(
    [
        ("triplet_id", pa.string()),
        ("others", pa.int32()),
        ("text_rank", pa.int32()),
        ("text_rank_share", pa.float32()),
        ("reference_rank", pa.int32()),
        ("round_trip_rank", pa.int32()),
        ("judge_score", pa.float32()),
    ]
)
Weighing = Literal["nothing", "text_rank", "round_trip", "judge"]


@dataclass(frozen=True)
class Scores:
    """What frozen models say of a triplet; None where none was asked. Ranks are from 0, among ``others`` + 1 images."""

    others: int | None = None
    """Ranked images of the split besides reference and target."""
    text_rank: int | None = None
    """Rank of the target by the text alone; of several texts the one that gives most away."""
    text_rank_share: float | None = None
    """Share of the others that the text fits as well as the target, or better; of several texts the worst."""
    reference_rank: int | None = None
    """Rank of the target by the reference alone."""
    round_trip_rank: int | None = None
    """Rank of the target by reference and text together; of several texts the worst."""
    judge_score: float | None = None
    """What the judge gives, from 0 to 1; of several texts the worst."""

    @property
    def round_trip_share(self) -> float | None:
        """Share of the others before the target; chance is 0.5."""
        if self.round_trip_rank is None or self.others is None:
            return None
        return self.round_trip_rank / max(1, self.others)


NO_SCORES = Scores()


def score_table(scores: Mapping[str, Scores]) -> pa.Table:
    """One row per scored triplet, sorted by id."""
    return pa.Table.from_pylist([{"triplet_id": name, **asdict(scores[name])} for name in sorted(scores)], SCHEMA)


def read_scores(triplets: Artifact) -> dict[str, Scores]:
    """The scores of a ``triplets`` artefact by triplet id; none where no model was asked."""
    if TABLE not in triplets.summary["files"]:
        return {}
    names = [field.name for field in fields(Scores)]
    return {
        row["triplet_id"]: Scores(**{name: row[name] for name in names})
        for row in triplets.table(TABLE, ["triplet_id", *names]).to_pylist()
    }


def weighed(triplets: Iterable[Triplet], scores: Mapping[str, Scores], by: Weighing, least: float) -> list[Triplet]:
    """Generated triplets with their weight times ``max(least, s)``, annotated ones as they are.

    ``s`` is 1 − text_rank_share, 1 − round_trip_rank / others, or judge_score, and 1 where there is no score.
    """
    return [
        _with_weight(triplet, triplet.weight * max(least, _quality(scores.get(triplet.triplet_id, NO_SCORES), by)))
        if triplet.origin == "generated"
        else triplet
        for triplet in triplets
    ]


def _with_weight(triplet: Triplet, weight: float) -> Triplet:
    return triplet if weight == triplet.weight else triplet._replace(weight=weight)


def _quality(scores: Scores, by: Weighing) -> float:
    loss = {"text_rank": scores.text_rank_share, "round_trip": scores.round_trip_share}.get(by)
    if by == "judge":
        return 1.0 if scores.judge_score is None else scores.judge_score
    return 1.0 if loss is None else 1.0 - loss


def score_figures(triplets: Iterable[Triplet], scores: Mapping[str, Scores], within: int) -> dict[str, Any]:
    """By split and origin, how many queries text or reference answer alone.

    Returns:
        For each "split origin" the number of ranked ``triplets``; ``chance_share``, what a random order answers;
        shares whose target is among the first ``within``: ``text_alone_share``, ``reference_alone_share``,
        ``round_trip_share``; ``needs_both_share``: the rank by both is better than by either; and the means of
        ``text_rank_share`` and ``judge_score``.
    """
    groups: dict[str, list[Scores]] = defaultdict(list)
    for triplet in triplets:
        if triplet.triplet_id in scores:
            groups[f"{triplet.split} {triplet.origin}"].append(scores[triplet.triplet_id])
    return {name: _figures(of_origin, within) for name, of_origin in sorted(groups.items())}


def _figures(scores: Sequence[Scores], within: int) -> dict[str, Any]:
    text = [score.text_rank for score in scores if score.text_rank is not None]
    reference = [score.reference_rank for score in scores if score.reference_rank is not None]
    both = [score.round_trip_rank for score in scores if score.round_trip_rank is not None]
    best_alone = [min(pair) for pair in zip(text, reference, strict=True)]
    return {
        "triplets": len(text),
        "chance_share": _mean([min(1.0, within / (score.others + 1)) for score in scores if score.others is not None]),
        "text_alone_share": _mean([rank < within for rank in text]),
        "reference_alone_share": _mean([rank < within for rank in reference]),
        "round_trip_share": _mean([rank < within for rank in both]),
        "needs_both_share": _mean([rank < alone for rank, alone in zip(both, best_alone, strict=True)]),
        "text_rank_share_mean": _mean([score.text_rank_share for score in scores if score.text_rank_share is not None]),
        "judge_score_mean": _mean([score.judge_score for score in scores if score.judge_score is not None]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
