"""What the report says, as JSON values: the page, its Markdown twin and machines read the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.evaluation.answer_tables import searched_table
from spn4cir_core.evaluation.base import QuerySet
from spn4cir_core.evaluation.explicit_negatives import explicit_negative_rows
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.evaluation.tables import Tables
from spn4cir_core.evaluation.wordings import wording_rows
from spn4cir_core.negatives.read_false_negatives import count_false_negatives
from spn4cir_core.reports.benchmark_tables import benchmark_tables
from spn4cir_core.reports.headline import headline
from spn4cir_core.reports.sources import Sources
from spn4cir_core.reports.suspicious import Likeness, suspicions
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import plain
from spn4cir_core.training.roles import ROLES, SERVED, served_among
from spn4cir_core.triplets.triplet_tables import read_triplets

TITLES = {name: role.title for name, role in ROLES.items()}
MODE_NAMES = {"composed": "picture + text", "image": "picture only", "text": "text only", "sum": "sum of both"}
TEXT_FIGURES = {
    "text_names_target_share": "the text has every word of the target's caption",
    "caption_singles_out_target_share": "no other candidate's caption says what the target's says",
    "text_alone_suffices_share": "both: the text alone finds the target",
}
Contents = dict[str, Any]


def contents(
    sources: Sources,
    answers: Sequence[Answers],
    numbers: Tables,
    settings: EvaluationSettings,
    seed: int,
    reranked: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Contents:
    """Everything the report says, without its pictures.

    Args:
        sources: what the report was made from; of its query sets, ``answers`` has those with queries.
        seed: of the resamples.
        reranked: what a reranker adds, by query set.
    """
    answered = {answer.query_set.name: answer for answer in answers}
    sets = [
        _query_set(query_set, answered.get(query_set.name), numbers, settings, sources.likeness, seed)
        | ({"reranking": reranked[query_set.name]} if query_set.name in reranked else {})
        for query_set in sources.query_sets
    ]
    blend, lineage = sources.blend_table, sources.lineage
    return {
        "headline": headline(sets),
        "names": {"models": TITLES, "modes": MODE_NAMES},
        "blend": {key: blend[key] for key in ("served", "queries", "queries_are", "pictures_of", "recall@1")},
        "channels": blend["channels"],
        "query_sets": sets,
        "benchmarks": benchmark_tables(sets, TITLES, settings),
        "training": [_training(model, lines) for model, lines in sources.metrics.items()],
        "triplets": _triplets(read_triplets(lineage["triplets"], "split", "origin")),
        "gates": _gates(lineage["triplets"]),
        "false_negatives": asdict(count_false_negatives(lineage["false_negatives"])),
        "stages": [
            {"noun": noun, "rows": artifact.summary["rows"], "drops": artifact.summary["drops"]}
            for noun, artifact in lineage.items()
        ],
        "provenance": [
            {
                "noun": noun,
                "fingerprint": artifact.fingerprint,
                "version": artifact.summary["version"],
                "settings": artifact.summary["settings"],
                "outside": artifact.summary["outside"],
            }
            for noun, artifact in lineage.items()
        ],
        "recipe": _recipe(lineage.values()) | {"eval_report": plain(settings)},
    }


def _query_set(
    query_set: QuerySet,
    answers: Answers | None,
    numbers: Tables,
    settings: EvaluationSettings,
    likeness: Likeness,
    seed: int,
) -> dict[str, Any]:
    def of_set(table: pa.Table) -> list[dict[str, Any]]:
        return [row for row in table.to_pylist() if row["query_set"] == query_set.name]

    return {
        "name": query_set.name,
        "protocol": _protocol(query_set, answers),
        "headline": query_set.headline,
        "served": served_among(answers.models if answers else ()).name,
        "queries": len(query_set.queries),
        "references": len({query.reference_id for query in query_set.queries}),
        "targets_per_query": _mean(len(query.target_ids) for query in query_set.queries),
        "gallery": len(query_set.gallery_ids),
        "gallery_fingerprint": query_set.gallery_fingerprint,
        "ks": list(query_set.ks or settings.ks),
        "map_ks": list(query_set.map_ks),
        "drops": dict(sorted(query_set.drops.items())),
        "recall": of_set(numbers.recall),
        "mean_average_precision": of_set(numbers.precision),
        "differences": of_set(numbers.differences),
        "composition": of_set(numbers.composition),
        "gallery_sizes": of_set(numbers.gallery_sizes),
        "shortcuts": _shortcuts(answers) if answers else [],
        "suspicious": _suspicious(answers, likeness) if answers else [],
        **_robustness(answers, query_set.ks or settings.ks),
        **({"searched": searched_table([answers]).to_pylist()} if answers and answers.searched else {}),
    }


def _robustness(answers: Answers | None, ks: Sequence[int]) -> dict[str, Any]:
    """Rows on several wordings of a query and on explicit negatives, where the set has them."""
    if answers is None:
        return {}
    rows = {
        "wordings": wording_rows(answers, ks),
        "explicit_negatives": explicit_negative_rows(answers),
    }
    return {name: lines for name, lines in rows.items() if lines}


def _protocol(query_set: QuerySet, answers: Answers | None) -> str:
    protocol = query_set.protocol
    if answers is not None and query_set.published and SERVED.name in answers.models:
        protocol += (
            f" {SERVED.title} also reads captions of the gallery, which published rows do not; the rows of trained "
            "encoders do not either."
        )
    if answers is None or not answers.searched:
        return protocol
    indexes = " or ".join(sorted(answers.searched_by))
    return (
        f"{protocol} Composed queries are also searched through a FAISS index of each gallery ({indexes}), "
        "with the same images removed; every other figure comes from comparing all images."
    )


def _shortcuts(answers: Answers) -> list[dict[str, Any]]:
    """Which share of the queries one modality alone solves, and which only both together do (first 5 hits)."""
    served = served_among(answers.models).name
    solved = {mode: answers.ranks[served, mode] < 5 for mode in MODE_NAMES}
    alone = solved["image"] | solved["text"]
    shares = {
        "picture alone solves": solved["image"],
        "text alone solves": solved["text"],
        "one of the two solves": alone,
        "only both together solve": solved["composed"] & ~alone,
        "one alone solves, both together do not": alone & ~solved["composed"],
    }
    return [{"what": what, "k": 5, "share": float(np.mean(rows))} for what, rows in shares.items()]


def _suspicious(answers: Answers, likeness: Likeness) -> list[dict[str, Any]]:
    served = served_among(answers.models).name
    return [{"why": why, "queries": len(rows)} for why, rows in suspicions(answers, served, likeness).items()]


def _training(model: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    losses = [float(line["loss"]) for line in lines if line.get("loss") is not None]
    temperatures = [float(line["temperature"]) for line in lines if line.get("temperature") is not None]
    tail = max(1, len(losses) // 20)
    return {
        "model": model,
        "steps": max((int(line["step"]) for line in lines if "step" in line), default=0),
        "first_loss": _mean(losses[:tail]),
        "last_loss": _mean(losses[-tail:]),
        "temperature": temperatures[-1] if temperatures else None,
    }


def _triplets(table: pa.Table) -> list[dict[str, Any]]:
    counted = Counter(zip(table["split"].to_pylist(), table["origin"].to_pylist(), strict=True))
    return [{"split": split, "origin": origin, "count": count} for (split, origin), count in sorted(counted.items())]


def _gates(triplets: Artifact) -> dict[str, Any]:
    """What was refused and why, and how far the texts of what was kept, and of all, give their targets away."""
    details, settings = triplets.details, triplets.summary["settings"].get("triplets", {})
    refused = {reason: entry["count"] for reason, entry in details.get("refused_by_reason", {}).items()}
    scores = details.get("scores", {})
    return {
        "in_use": list(settings.get("gates", [])),
        "offered": triplets.summary["rows"] + sum(refused.values()),
        "refused": [
            {"reason": reason, "count": refused[reason]} for reason in sorted(refused, key=refused.__getitem__)
        ][::-1],
        "texts": [{"what": what, "share": details.get(name)} for name, what in TEXT_FIGURES.items()],
        "answered_within": settings.get("answered_within"),
        "scores": [
            {"which": which, "triplets_of": group, **figures}
            for which in ("offered", "kept")
            for group, figures in scores.get(which, {}).items()
        ],
    }


def _recipe(artifacts: Iterable[Artifact]) -> dict[str, Any]:
    """Every setting that decided something, as one recipe; of a table that a stage read in part, the whole."""
    tables: dict[str, Any] = {}
    for artifact in artifacts:
        for name, value in artifact.summary["settings"].items():
            whole = isinstance(value, Mapping) and len(value) > len(tables.get(name, ()))
            tables[name] = value if whole or name not in tables else tables[name]
    return tables


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else None
