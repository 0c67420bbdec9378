"""Queries and their first hits as tables, enough to compare two reports query by query; and all tables of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from spn4cir_core.evaluation.base import query_weights
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.report_tables import (
    COMPOSITION_FILE,
    DIFFERENCES_FILE,
    GALLERY_SIZES_FILE,
    HITS,
    HITS_FILE,
    PRECISION_FILE,
    QUERIES,
    QUERIES_FILE,
    RANKS_FILE,
    RECALL_FILE,
    SEARCHED,
    SEARCHED_FILE,
)
from spn4cir_core.evaluation.tables import Tables


def query_table(answers: Sequence[Answers]) -> pa.Table:
    """One row per query, in the order of the ranks."""
    rows = [
        {
            "query_set": answer.query_set.name,
            "query_id": query.query_id,
            "kind": query.kind,
            "reference_id": query.reference_id,
            "modified_text": query.modified_text,
            "target_ids": list(query.target_ids),
            "weight": query.weight,
        }
        for answer in answers
        for query in answer.query_set.queries
    ]
    return pa.Table.from_pylist(rows, QUERIES)


def hit_table(answers: Sequence[Answers]) -> pa.Table:
    """The first hits of every model's composed query."""
    rows = [
        {
            "query_set": answer.query_set.name,
            "query_id": query.query_id,
            "model": model,
            "image_ids": [answer.query_set.gallery_ids[hit] for hit in hits_QH[row] if hit >= 0],
        }
        for answer in answers
        for (model, mode), hits_QH in answer.hits.items()
        if mode == "composed"
        for row, query in enumerate(answer.query_set.queries)
    ]
    return pa.Table.from_pylist(rows, HITS)


def searched_table(answers: Sequence[Answers]) -> pa.Table:
    """Recall@k of every model's composed queries through an index, and by comparison with every image."""
    rows = []
    for answer in answers:
        weight_Q = query_weights(answer.query_set.queries)
        for (model, k), ranks_Q in answer.searched.items():
            recall, exact = (
                float(np.average(ranks < k, weights=weight_Q)) for ranks in (ranks_Q, answer.ranks[model, "composed"])
            )
            figures = {"recall": recall, "exact_recall": exact, "difference": recall - exact}
            rows.append({"query_set": answer.query_set.name, "model": model, "k": k, **figures})
    return pa.Table.from_pylist(rows, SEARCHED)


def tables_by_file(answers: Sequence[Answers], numbers: Tables, *, searched: bool) -> dict[str, pa.Table]:
    """All tables of a report under the names of their files, with ``searched`` recall through an index as well."""
    tables = {
        QUERIES_FILE: query_table(answers),
        HITS_FILE: hit_table(answers),
        RANKS_FILE: numbers.ranks,
        RECALL_FILE: numbers.recall,
        PRECISION_FILE: numbers.precision,
        DIFFERENCES_FILE: numbers.differences,
        COMPOSITION_FILE: numbers.composition,
        GALLERY_SIZES_FILE: numbers.gallery_sizes,
    }
    return tables | ({SEARCHED_FILE: searched_table(answers)} if searched else {})
