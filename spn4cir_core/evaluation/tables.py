"""The answers as tables: ranks, recall with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.evaluation.base import MAP_K
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.recall import bootstrap_means, hits_at, interval

ALL = "all"
RANKS = pa.schema(
    [
        ("query_set", pa.string()),
        ("query_id", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("rank", pa.int32()),
        ("targets", pa.int32()),
        ("gallery", pa.int32()),
        (f"average_precision_at_{MAP_K}", pa.float64()),
    ]
)
RECALL = pa.schema(
    [
        ("query_set", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("k", pa.int32()),
        ("recall", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("queries", pa.int32()),
    ]
)
PRECISION = pa.schema(
    [("mean_average_precision" if field.name == "recall" else field.name, field.type) for field in RECALL]
)
DIFFERENCES = pa.schema(
    [
        ("query_set", pa.string()),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("query", pa.string()),
        ("minus_model", pa.string()),
        ("minus_query", pa.string()),
        ("k", pa.int32()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("queries", pa.int32()),
    ]
)
COMPARED = (
    (("stage2", "composed"), ("control", "composed")),
    (("stage2", "composed"), ("stage1", "composed")),
    (("stage2", "composed"), ("stage2", "image")),
    (("stage2", "composed"), ("stage2", "text")),
    (("stage2", "composed"), ("stage2", "sum")),
)


@dataclass(frozen=True)
class Tables:
    """All numbers of a report."""

    ranks: pa.Table
    recall: pa.Table
    precision: pa.Table
    differences: pa.Table


def tables(answers: Sequence[Answers], ks: Sequence[int], draws: int, seed: int) -> Tables:
    """Rows per query set, kind (all first), model and mode; intervals from one bootstrap of reference images."""
    recall: list[dict[str, Any]] = []
    precision: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for answer in answers:
        asked_ks = answer.query_set.ks or ks
        for kind, rows in _kinds(answer):
            same = {"query_set": answer.query_set.name, "kind": kind, "queries": len(rows)}
            columns, values_QM = _columns(answer, rows, asked_ks)
            groups = [answer.query_set.queries[row].reference_id for row in rows]
            means_RM = bootstrap_means(values_QM, groups, draws, seed)
            low_M, high_M = interval(means_RM)
            place = {column: number for number, column in enumerate(columns)}
            for (model, mode, measure, k), number in place.items():
                mean = float(values_QM[:, number].mean())
                row = {**same, "model": model, "query": mode, "low": low_M[number], "high": high_M[number], "k": k}
                (recall if measure == "recall" else precision).append({**row, measure: mean})
            for first, second in COMPARED:
                for k in asked_ks:
                    a, b = place.get((*first, "recall", k)), place.get((*second, "recall", k))
                    if a is None or b is None:
                        continue
                    low, high = interval(means_RM[:, [a]] - means_RM[:, [b]])
                    differences.append(
                        {
                            **same,
                            **dict(
                                zip(("model", "query", "minus_model", "minus_query"), (*first, *second), strict=True)
                            ),
                            "k": k,
                            "difference": float((values_QM[:, a] - values_QM[:, b]).mean()),
                            "low": float(low[0]),
                            "high": float(high[0]),
                        }
                    )
    return Tables(
        pa.Table.from_pylist([row for answer in answers for row in _rank_rows(answer)], RANKS),
        pa.Table.from_pylist(recall, RECALL),
        pa.Table.from_pylist(precision, PRECISION),
        pa.Table.from_pylist(differences, DIFFERENCES),
    )


def _kinds(answer: Answers) -> list[tuple[str, list[int]]]:
    """Every kind with its queries, all first; a query may be of several kinds."""
    kinds = [set(query.kind.split("|")) for query in answer.query_set.queries]
    named = sorted(set().union(*kinds) - {"", ALL})
    every = [(ALL, list(range(len(kinds))))]
    return every + [(name, [row for row, kind in enumerate(kinds) if name in kind]) for name in named]


def _columns(answer: Answers, rows: list[int], ks: Sequence[int]) -> tuple[list[tuple[str, str, str, int]], np.ndarray]:
    """What is averaged, one column each: hits at each k, and average precisions."""
    names: list[tuple[str, str, str, int]] = []
    values = []
    for model, mode in answer.ranks:
        names += [(model, mode, "recall", k) for k in ks]
        names += [(model, mode, "mean_average_precision", k) for k in answer.query_set.map_ks]
        values += [hits_at(answer.ranks[model, mode][rows], ks), answer.precision[model, mode][rows]]
    return names, np.concatenate(values, axis=1)


def _rank_rows(answer: Answers) -> list[dict[str, Any]]:
    asked = answer.query_set
    at = asked.map_ks.index(MAP_K)
    return [
        {
            "query_set": asked.name,
            "query_id": query.query_id,
            "kind": query.kind,
            "model": model,
            "query": mode,
            "rank": int(answer.ranks[model, mode][row]),
            "targets": len(query.target_ids),
            "gallery": len(asked.gallery_of(query)) - int(asked.remove_reference),
            f"average_precision_at_{MAP_K}": float(answer.precision[model, mode][row, at]),
        }
        for model, mode in answer.ranks
        for row, query in enumerate(asked.queries)
    ]
