"""Images that people marked as wrong answers of a query (explicit negatives) among its first hits."""

from __future__ import annotations

from typing import Any

import numpy as np

from spn4cir_core.evaluation.base import query_weights
from spn4cir_core.evaluation.measure import HITS, Answers
from spn4cir_core.evaluation.recall import share_interval

MEASURES = ("queries_with_one", "negatives_retrieved", "share_of_hits")


def explicit_negative_rows(answers: Answers) -> list[dict[str, Any]]:
    """One row per model, of composed queries with explicit negatives; none where no query has any.

    Of the first :data:`~spn4cir_core.evaluation.measure.HITS` hits: ``queries_with_one`` is the share of queries with a
    negative among them, ``negatives_retrieved`` the share of a query's negatives that are among them, averaged over
    queries, and ``share_of_hits`` the share of the hits that are negatives. Each has ``_low`` and ``_high``, the 95 %
    interval over reference images. Lower is better.
    """
    query_set = answers.query_set
    row_of = {image_id: row for row, image_id in enumerate(query_set.gallery_ids)}
    queries = [(row, query) for row, query in enumerate(query_set.queries) if query.negative_ids]
    references = [query.reference_id for _, query in queries]
    weight_Q = query_weights([query for _, query in queries])
    made = []
    for model, mode in answers.hits if queries else ():
        if mode != "composed":
            continue
        values = []
        for row, query in queries:
            hits = answers.hits[model, mode][row]
            negatives = {row_of[image_id] for image_id in query.negative_ids}
            count = len(negatives.intersection(hits.tolist()))
            values.append([count > 0, count / len(negatives), count / max(1, int((hits >= 0).sum()))])
        values_QM = np.array(values, np.float64)
        low_M, high_M = share_interval(values_QM, references, weight_Q)
        share_M = np.average(values_QM, axis=0, weights=weight_Q)
        line: dict[str, Any] = {"model": model, "k": HITS, "queries": len(queries)}
        for number, name in enumerate(MEASURES):
            line[name] = float(share_M[number])
            line |= {f"{name}_low": float(low_M[number]), f"{name}_high": float(high_M[number])}
        made.append(line)
    return made
