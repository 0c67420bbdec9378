"""How much an answer depends on the words: queries that are asked in several wordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spn4cir_core.evaluation.base import query_weights
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.recall import hits_at, share_interval

MEASURES = ("mean", "best", "worst", "spread", "first_hit_changes")


def wording_rows(answers: Answers, ks: Sequence[int]) -> list[dict[str, Any]]:
    """One row per model and k, of composed queries that are asked in several wordings; none where no query is.

    ``mean`` is recall@k averaged over a query's wordings, then over queries; ``best`` and ``worst`` count the best and
    the worst wording of each query; ``spread`` is best minus worst: the share of queries that one wording answers and
    another does not. ``first_hit_changes`` is the share of queries whose wordings do not all have the same first hit.
    ``low`` and ``high`` bound the spread, the others have a column each (95 %, over reference images).
    """
    groups = _same_query(answers)
    if not groups:
        return []
    references = [answers.query_set.queries[rows[0]].reference_id for rows in groups]
    weight_G = query_weights([answers.query_set.queries[rows[0]] for rows in groups])
    made = []
    for model, mode in answers.ranks:
        if mode != "composed":
            continue
        first_Q = answers.hits[model, mode][:, 0]
        changes_G = np.array([len(set(first_Q[rows].tolist())) > 1 for rows in groups], np.float64)
        for k in ks:
            right_Q = hits_at(answers.ranks[model, mode], [k])[:, 0]
            mean_G, best_G, worst_G = (
                np.array([reduce(right_Q[rows]) for rows in groups]) for reduce in (np.mean, np.max, np.min)
            )
            values_GM = np.stack([mean_G, best_G, worst_G, best_G - worst_G, changes_G], axis=1)
            low_M, high_M = share_interval(values_GM, references, weight_G)
            share_M = np.average(values_GM, axis=0, weights=weight_G)
            row: dict[str, Any] = {"model": model, "k": k, "queries": len(groups)}
            for number, name in enumerate(MEASURES):
                row[name] = float(share_M[number])
                row |= {f"{name}_low": float(low_M[number]), f"{name}_high": float(high_M[number])}
            made.append(row)
    return made


def _same_query(answers: Answers) -> list[list[int]]:
    """Rows of the wordings of each query that has several, in the order of the queries."""
    rows_of: dict[str, list[int]] = {}
    for row, query in enumerate(answers.query_set.queries):
        if query.wording_of:
            rows_of.setdefault(query.wording_of, []).append(row)
    return [rows for rows in rows_of.values() if len(rows) > 1]
