"""Several reports side by side: which queries they share, and the differences between their answers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import MAP_K, weights_of
from spn4cir_core.evaluation.recall import bootstrap_means, hits_at, interval, share_interval
from spn4cir_core.evaluation.report_tables import (
    AVERAGE_PRECISION,
    HITS_FILE,
    QUERIES_FILE,
    RANKS_FILE,
    read_rows_of_set,
)
from spn4cir_core.evaluation.significance import randomisation_p
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import read_json

CURVE_KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One report. Runs of one label are seeds of the same thing and are averaged."""

    label: str
    name: str
    report: Artifact


@dataclass(frozen=True)
class RunAnswers:
    """One run's answers to one query set by one model."""

    run: Run
    about: Row
    """The query set as ``report.json`` tells it."""
    queries: Sequence[Row]
    ranks: Mapping[str, np.ndarray]
    """Mode → (Q,) ranks of the best target."""
    precision_Q: np.ndarray
    """Average precision of the composed query."""
    hits: Mapping[str, Sequence[str]]
    """Query id → first images of the composed query."""

    @property
    def groups(self) -> list[str]:
        """The reference image of each query."""
        return [query["reference_id"] for query in self.queries]

    @property
    def weight_Q(self) -> np.ndarray | None:
        """How many queries each stands for, in its report; None: one."""
        return weights_of([query["weight"] for query in self.queries])


@dataclass(frozen=True)
class Compared:
    """The runs' answers to one query set, by label, and what keeps others from being compared with the first run."""

    name: str
    by_label: Mapping[str, Sequence[RunAnswers]]
    unlike: Sequence[str]


def compared_sets(runs: Sequence[Run], model: str, wanted: str = "") -> list[Compared]:
    """The query sets that at least two runs were asked, or the one that is wanted.

    Raises:
        InputError: no set is common to two runs, or a report has no such model.
    """
    reports, names = _reports(runs), query_set_names(runs)
    comparable = []
    for name in [wanted] if wanted else names:
        abouts = [next((row for row in report["query_sets"] if row["name"] == name), None) for report in reports]
        answers = [
            _run_answers(run, row, model) for run, row in zip(runs, abouts, strict=True) if row and row["queries"]
        ]
        if len(answers) > 1:
            by_label: dict[str, list[RunAnswers]] = {}
            apart = {one.run.label for one in answers[1:] if any(unlike([answers[0], one]))} - {answers[0].run.label}
            for one in answers:
                if one.run.label not in apart:
                    by_label.setdefault(one.run.label, []).append(one)
            missing = [run.name for run, row in zip(runs, abouts, strict=True) if not row or not row["queries"]]
            absent = [f"{name} was not asked of {', '.join(missing)}"] if missing else []
            comparable.append(Compared(name, by_label, [*absent, *unlike(answers)]))
    if not comparable:
        raise InputError(f"no two of the runs share a query set; they have {', '.join(map(repr, names)) or 'none'}")
    return comparable


def query_set_names(runs: Sequence[Run], wanted: str = "") -> list[str]:
    """The query sets that any of the runs was asked.

    Raises:
        InputError: the wanted one is not among them.
    """
    sets = [row for report in _reports(runs) for row in report["query_sets"] if row["queries"]]
    names = list(dict.fromkeys(row["name"] for row in sets))
    if wanted and wanted not in names:
        raise InputError(f"there is no query set {wanted!r}; the reports have {', '.join(map(repr, names)) or 'none'}")
    return names


def _reports(runs: Sequence[Run]) -> list[Row]:
    return [read_json(run.report.file("report.json")) for run in runs]


def _run_answers(run: Run, about: Row, model: str) -> RunAnswers:
    if missing := {QUERIES_FILE, HITS_FILE} - run.report.summary["files"].keys():
        raise InputError(
            f"the report of {run.name!r} is of an older version, it has no {min(missing)}; write it anew: spn4cir run"
        )

    queries = read_rows_of_set(run.report, QUERIES_FILE, about["name"])
    ranks: dict[str, list[int]] = {}
    precision = []
    for row in read_rows_of_set(run.report, RANKS_FILE, about["name"]):
        if row["model"] == model:
            ranks.setdefault(row["query"], []).append(row["rank"])
            precision += [row[AVERAGE_PRECISION]] if row["query"] == "composed" else []
    if not ranks:
        raise InputError(f"the report of {run.name!r} has no model {model!r}")
    hit_rows = read_rows_of_set(run.report, HITS_FILE, about["name"])
    hits = {row["query_id"]: row["image_ids"] for row in hit_rows if row["model"] == model}
    order = sorted(range(len(queries)), key=lambda row: str(queries[row]["query_id"]))  # the same in every run
    arrays = {mode: np.array(values)[order] for mode, values in ranks.items()}
    return RunAnswers(run, about, [queries[row] for row in order], arrays, np.array(precision)[order], hits)


def unlike(answers: Sequence[RunAnswers]) -> Iterator[str]:
    """Why answers cannot be paired, against the first run."""
    first = answers[0]
    ours = {query["query_id"]: query for query in first.queries}
    for other in answers[1:]:
        theirs = {query["query_id"]: query for query in other.queries}
        pair = f"{other.run.name} against {first.run.name}"
        if only := len(ours.keys() ^ theirs.keys()):
            yield f"{pair}: {only:,} queries were asked of one only ({len(ours):,} and {len(theirs):,})"
        keys = ("reference_id", "modified_text", "target_ids")
        changed = [name for name in ours.keys() & theirs.keys() if any(ours[name][k] != theirs[name][k] for k in keys)]
        if changed:
            yield f"{pair}: {len(changed):,} queries of one id have another reference, text or targets"
        if first.about["gallery_fingerprint"] != other.about["gallery_fingerprint"]:
            sizes = f"{first.about['gallery']:,} and {other.about['gallery']:,} images"
            yield f"{pair}: other galleries ({sizes}), or the reference image kept in one and removed from the other"


def comparison(compared: Compared, draws: int, seed: int) -> dict[str, Any]:
    """The contents of a page on one query set as JSON; paired differences over equal queries and galleries only."""
    first = next(iter(compared.by_label.values()))[0]
    ks: list[int] = list(first.about["ks"])
    return {
        "name": compared.name,
        "protocol": first.about["protocol"],
        "headline": first.about["headline"],
        "queries": len(first.queries),
        "ks": ks,
        "unlike": list(compared.unlike),
        "rows": [_row(label, answers, ks, first.weight_Q) for label, answers in compared.by_label.items()],
        "differences": [] if compared.unlike else list(_differences(compared, ks, draws, seed)),
        "curves": [
            {"label": label, "ks": list(CURVE_KS), "recall": _recall(answers, "composed", CURVE_KS, first.weight_Q)}
            for label, answers in compared.by_label.items()
        ],
    }


def _recall(answers: Sequence[RunAnswers], mode: str, ks: Sequence[int], weight_Q: np.ndarray | None) -> list[float]:
    recall: list[float] = np.average(_hits(answers, mode, ks), axis=0, weights=weight_Q).tolist()
    return recall


def _row(label: str, answers: Sequence[RunAnswers], ks: Sequence[int], weight_Q: np.ndarray | None) -> dict[str, Any]:
    """Means over seeds; the interval is over queries (their hits averaged over seeds), the spread over seeds."""
    precision_Q = np.mean([one.precision_Q for one in answers], axis=0)
    columns_QM = np.column_stack([_hits(answers, "composed", ks), precision_Q])
    low_M, high_M = share_interval(columns_QM, answers[0].groups, weight_Q)
    each_SQM = [np.column_stack([hits_at(one.ranks["composed"], ks), one.precision_Q]) for one in answers]
    each_SM = np.average(each_SQM, axis=1, weights=weight_Q)
    mean_M = np.average(columns_QM, axis=0, weights=weight_Q)
    measures = [*(f"R@{k}" for k in ks), f"mAP@{MAP_K}"]
    cells = [
        {
            "measure": measure,
            "value": float(mean_M[column]),
            "low": float(low_M[column]),
            "high": float(high_M[column]),
            "deviation": statistics.stdev(each_SM[:, column].tolist()) if len(answers) > 1 else None,
        }
        for column, measure in enumerate(measures)
    ]
    alone = {mode: _recall(answers, mode, ks, weight_Q) for mode in ("image", "text", "sum")}
    return {"label": label, "runs": [one.run.name for one in answers], "cells": cells, "alone": alone}


def _differences(compared: Compared, ks: Sequence[int], draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Every label minus the first one; queries count as in the first one's report."""
    (base_label, base), *others = compared.by_label.items()
    weight_Q = base[0].weight_Q
    base_QK = _hits(base, "composed", ks)
    for label, answers in others:
        values_QK = _hits(answers, "composed", ks) - base_QK
        mean_K = np.average(values_QK, axis=0, weights=weight_Q)
        low_K, high_K = interval(bootstrap_means(values_QK, base[0].groups, draws, seed, weight_Q))
        weighted_QK = values_QK if weight_Q is None else weight_Q[:, None] * values_QK
        p_K = randomisation_p(weighted_QK, base[0].groups, draws, seed)
        for column, k in enumerate(ks):
            yield {
                "label": label,
                "minus": base_label,
                "k": k,
                "difference": float(mean_K[column]),
                "low": float(low_K[column]),
                "high": float(high_K[column]),
                "p": float(p_K[column]),
                "won": int(np.count_nonzero(values_QK[:, column] > 0)),
                "lost": int(np.count_nonzero(values_QK[:, column] < 0)),
            }


def _hits(answers: Sequence[RunAnswers], mode: str, ks: Sequence[int]) -> np.ndarray:
    """(Q, K) hits, averaged over seeds."""
    if len({tuple(query["query_id"] for query in one.queries) for one in answers}) > 1:
        raise InputError(f"runs of label {answers[0].run.label!r} were asked other queries; label them apart")
    mean_QK: np.ndarray = np.mean([hits_at(one.ranks[mode], ks) for one in answers], axis=0)
    return mean_QK


def won_and_lost(compared: Compared, k: int, count: int) -> list[dict[str, Any]]:
    """Per label, queries that it answers among the first k and the first label does not, and the reverse.

    Those whose target moves furthest come first; of several seeds the first one is shown.
    """
    if compared.unlike:
        return []
    (base_label, (base, *_)), *others = compared.by_label.items()
    before_Q = base.ranks["composed"]
    groups = []
    for label, (other, *_) in others:
        after_Q = other.ranks["composed"]
        won = _furthest(before_Q - after_Q, (after_Q < k) & (before_Q >= k), count)
        lost = _furthest(after_Q - before_Q, (before_Q < k) & (after_Q >= k), count)
        titles = (f"{label} answers, {base_label} does not", f"{base_label} answers, {label} does not")
        for title, rows in zip(titles, (won, lost), strict=True):
            shown = [_shown(row, (base_label, base), (label, other)) for row in rows]
            groups += [{"title": title, "queries": shown}] if shown else []
    return groups


def _furthest(moved_Q: np.ndarray, allowed_Q: np.ndarray, count: int) -> list[int]:
    order = np.argsort(-moved_Q, kind="stable")
    return [int(row) for row in order if allowed_Q[row]][:count]


def _shown(row: int, *answers: tuple[str, RunAnswers]) -> dict[str, Any]:
    query = answers[0][1].queries[row]
    return {
        "query": query,
        "answers": [
            {"label": label, "rank": int(one.ranks["composed"][row]), "hits": list(one.hits[query["query_id"]])}
            for label, one in answers
        ],
    }
