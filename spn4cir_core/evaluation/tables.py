"""The answers as tables: ranks, recall with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from spn4cir_core.evaluation.base import MAP_K, query_weights
from spn4cir_core.evaluation.encode import MODES
from spn4cir_core.evaluation.gallery_sizes import expected_recall, sizes_up_to
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.recall import bootstrap_means, hits_at, interval, share_interval
from spn4cir_core.evaluation.report_tables import (
    AVERAGE_PRECISION,
    COMPOSITION,
    DIFFERENCES,
    GALLERY_SIZES,
    PRECISION,
    RANKS,
    RECALL,
)
from spn4cir_core.evaluation.significance import randomisation_p
from spn4cir_core.training.roles import ROLES, SERVED, STAGE2

ALL = "all"
SHORTCUTS = ("image", "text", "sum")
COMPARED = (
    *(
        ((role.name, "composed"), (other, "composed"))
        for role in reversed(ROLES.values())
        for other in role.compared_with
    ),
    *(((role.name, "composed"), (role.name, mode)) for role in (SERVED, STAGE2) for mode in SHORTCUTS),
)
"""Pairs of (model, mode) whose recalls are subtracted, where both were asked."""


@dataclass(frozen=True)
class Tables:
    """All numbers of a report."""

    ranks: pa.Table
    recall: pa.Table
    precision: pa.Table
    differences: pa.Table
    composition: pa.Table
    """What composition adds to the best of picture only, text only and their sum."""
    gallery_sizes: pa.Table


@dataclass(frozen=True)
class _Measured:
    """The queries of one kind: a column for each thing measured, and its resampled means."""

    same: dict[str, Any]
    ks: Sequence[int]
    column_of: dict[tuple[str, str, str, int], int]
    """(model, mode, measure, k) → column."""
    values_QM: np.ndarray
    means_RM: np.ndarray
    groups: Sequence[str]
    weight_Q: np.ndarray | None
    """How many queries each stands for; None: one."""

    def means(self, columns: Sequence[int]) -> np.ndarray:
        """(C,) means of some columns over the queries."""
        means_C: np.ndarray = np.average(self.values_QM[:, columns], axis=0, weights=self.weight_Q)
        return means_C


def tables(answers: Sequence[Answers], ks: Sequence[int], draws: int, seed: int) -> Tables:
    """Rows per query set, kind (all first), model and mode; differences from one bootstrap of reference images."""
    parts = [_part(answer, kind, rows, ks, draws, seed) for answer in answers for kind, rows in _kinds(answer)]
    measured = [row for part in parts for row in _means(part)]
    return Tables(
        ranks=pa.Table.from_pylist([row for answer in answers for row in _rank_rows(answer)], RANKS),
        recall=pa.Table.from_pylist([row for row in measured if "recall" in row], RECALL),
        precision=pa.Table.from_pylist([row for row in measured if "recall" not in row], PRECISION),
        differences=pa.Table.from_pylist(
            [row for part in parts for row in _differences(part, draws, seed)], DIFFERENCES
        ),
        composition=pa.Table.from_pylist([row for part in parts for row in _composition(part)], COMPOSITION),
        gallery_sizes=pa.Table.from_pylist([row for one in answers for row in _gallery_sizes(one, ks)], GALLERY_SIZES),
    )


def _part(answer: Answers, kind: str, rows: list[int], ks: Sequence[int], draws: int, seed: int) -> _Measured:
    ks_of_set = answer.query_set.ks or ks
    columns, values_QM = _columns(answer, rows, ks_of_set)
    groups = [answer.query_set.queries[row].reference_id for row in rows]
    weight_Q = query_weights([answer.query_set.queries[row] for row in rows])
    return _Measured(
        same={"query_set": answer.query_set.name, "kind": kind, "queries": len(rows)},
        ks=ks_of_set,
        column_of={column: number for number, column in enumerate(columns)},
        values_QM=values_QM,
        means_RM=bootstrap_means(values_QM, groups, draws, seed, weight_Q),
        groups=groups,
        weight_Q=weight_Q,
    )


def _means(part: _Measured) -> Iterator[dict[str, Any]]:
    mean_M = part.means(range(part.values_QM.shape[1]))
    low_M, high_M = share_interval(part.values_QM, part.groups, part.weight_Q)
    for (model, mode, measure, k), number in part.column_of.items():
        mean = float(mean_M[number])
        row = {**part.same, "model": model, "query": mode, "low": low_M[number], "high": high_M[number], "k": k}
        yield {**row, measure: mean}


def _differences(part: _Measured, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    names, columns = [], []
    for (first, second), k in product(COMPARED, part.ks):
        a, b = part.column_of.get((*first, "recall", k)), part.column_of.get((*second, "recall", k))
        if a is not None and b is not None:
            names.append(
                {"model": first[0], "query": first[1], "minus_model": second[0], "minus_query": second[1], "k": k}
            )
            columns.append((a, b))
    if not columns:
        return
    ours, theirs = (list(side) for side in zip(*columns, strict=True))
    values_QM = part.values_QM[:, ours] - part.values_QM[:, theirs]
    difference_M = part.means(ours) - part.means(theirs)
    if part.weight_Q is not None:
        values_QM = part.weight_Q[:, None] * values_QM
    low_M, high_M = interval(part.means_RM[:, ours] - part.means_RM[:, theirs])
    p_M = randomisation_p(values_QM, part.groups, draws, seed)
    for number, name in enumerate(names):
        bounds = {"low": low_M[number], "high": high_M[number], "p": p_M[number]}
        yield {**part.same, **name, "difference": float(difference_M[number]), **bounds}


def _composition(part: _Measured) -> Iterator[dict[str, Any]]:
    """Rows of the composition gap; the best of the three single modes is determined in every resample."""
    models = dict.fromkeys(model for model, _, _, _ in part.column_of)
    for model, k in product(models, part.ks):
        composed = part.column_of[model, "composed", "recall", k]
        others = [part.column_of[model, mode, "recall", k] for mode in SHORTCUTS]
        means = part.means(others)
        best = int(np.argmax(means))
        low, high = interval(part.means_RM[:, [composed]] - part.means_RM[:, others].max(axis=1, keepdims=True))
        recall = float(part.means([composed])[0])
        yield {
            **part.same,
            "model": model,
            "k": k,
            "composed": recall,
            "best_query": SHORTCUTS[best],
            "best": float(means[best]),
            "gap": recall - float(means[best]),
            "low": float(low[0]),
            "high": float(high[0]),
        }


def _gallery_sizes(answer: Answers, ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Expected recall of every model and mode in galleries drawn from the whole ones."""
    query_set, ks_of_set = answer.query_set, answer.query_set.ks or ks
    gone = [set(query_set.removed_for(query)) for query in query_set.queries]
    one_of_each = {query.gallery: query for query in query_set.queries}
    inside = {name: frozenset(query_set.gallery_of(query)) for name, query in one_of_each.items()}
    pairs = list(zip(query_set.queries, gone, strict=True))
    galleries_Q = np.array([len(inside[query.gallery]) - len(inside[query.gallery] & out) for query, out in pairs])
    targets_Q = np.array([len(set(query.target_ids) - out) for query, out in pairs])
    weight_Q = query_weights(query_set.queries)
    every = {(model, mode): ranks_Q for (model, mode), ranks_Q in answer.ranks.items() if mode in MODES}
    for size, ((model, mode), ranks_Q) in product(sizes_up_to(int(galleries_Q.max())), every.items()):
        recall_K = expected_recall(ranks_Q, galleries_Q, targets_Q, size, ks_of_set, weight_Q)
        same = {"query_set": query_set.name, "model": model, "query": mode, "gallery": size}
        yield from ({**same, "k": k, "recall": float(recall)} for k, recall in zip(ks_of_set, recall_K, strict=True))


def _kinds(answer: Answers) -> list[tuple[str, list[int]]]:
    """Every kind with its queries, all first; a query may be of several kinds."""
    kinds = [query.kinds for query in answer.query_set.queries]
    named = sorted(set().union(*kinds) - {ALL})
    every = [(ALL, list(range(len(kinds))))]
    return every + [(name, [row for row, kind in enumerate(kinds) if name in kind]) for name in named]


def _columns(answer: Answers, rows: list[int], ks: Sequence[int]) -> tuple[list[tuple[str, str, str, int]], np.ndarray]:
    """The measures that are averaged, one column each: hits at each k, and average precisions."""
    names: list[tuple[str, str, str, int]] = []
    values = []
    for model, mode in answer.ranks:
        names += [(model, mode, "recall", k) for k in ks]
        names += [(model, mode, "mean_average_precision", k) for k in answer.query_set.map_ks]
        values += [hits_at(answer.ranks[model, mode][rows], ks), answer.precision[model, mode][rows]]
    return names, np.concatenate(values, axis=1)


def _rank_rows(answer: Answers) -> list[dict[str, Any]]:
    query_set = answer.query_set
    at = query_set.map_ks.index(MAP_K)
    images_Q = [len(query_set.gallery_of(query)) - len(query_set.removed_for(query)) for query in query_set.queries]
    return [
        {
            "query_set": query_set.name,
            "query_id": query.query_id,
            "kind": query.kind,
            "model": model,
            "query": mode,
            "rank": int(answer.ranks[model, mode][row]),
            "targets": len(query.target_ids),
            "gallery": images_Q[row],
            AVERAGE_PRECISION: float(answer.precision[model, mode][row, at]),
        }
        for model, mode in answer.ranks
        for row, query in enumerate(query_set.queries)
    ]
