"""Prediction files of CIRCO and CIRR, scored here against annotations with targets, as the benchmarks' servers do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from spn4cir_core.annotations.import_annotations import read_records
from spn4cir_core.annotations.records import Record
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import MAP_K
from spn4cir_core.evaluation.recall import average_precision
from spn4cir_core.evaluation.submission_files import Metric, benchmark_of, validate_submission
from spn4cir_core.user_files import read_json_file

KS: Mapping[Metric, Sequence[int]] = {"map": (5, 10, 25, 50), "recall": (1, 5, 10, 50), "recall_subset": (1, 2, 3)}
Figures = dict[str, float]


def score_files(files: Sequence[Path], annotations: Path) -> Figures:
    """Figures in per cent, by name.

    CIRCO: mAP@k (AP@k over min(k, targets)), recall@k of ``target_img_id`` alone, and mAP@10 of each semantic aspect
    (Baldrati et al. 2023). CIRR: recall@k and subset recall@k of ``target_hard``, and of both files Rmean, the mean of
    recall@5 and subset recall@1 (Liu et al. 2021).

    Args:
        files: one of CIRCO; of CIRR that of ``recall``, that of ``recall_subset``, or both.
        annotations: ``val.json`` or ``cap.rc2.val.json``.

    Raises:
        InputError: the annotations have no targets, or a file is not what the server would take.
    """
    benchmark = benchmark_of(annotations)
    records = list(read_records(benchmark, annotations, {}))
    hidden = [record.query_id for record in records if not record.targets]
    if hidden:
        raise InputError(
            f"{annotations} hides the targets of {len(hidden):,} of {len(records):,} queries: the benchmark's server "
            "alone can score them; give annotations of validation"
        )
    figures: Figures = {}
    for file in files:
        metric = validate_submission(file, annotations)
        content = read_json_file(file)
        rankings = {query: [str(name) for name in names] for query, names in content.items() if isinstance(names, list)}
        figures |= _circo(records, rankings) if metric == "map" else _cirr(records, rankings, metric)
    if {"recall@5", "subset recall@1"} <= figures.keys():
        figures["Rmean"] = fmean((figures["recall@5"], figures["subset recall@1"]))
    return figures


def _circo(records: Sequence[Record], rankings: Mapping[str, list[str]]) -> Figures:
    def mean_precision(some: Sequence[Record], k: int) -> float:
        return 100 * fmean(
            average_precision(np.isin(rankings[record.query_id][:k], record.targets), len(record.targets))
            for record in some
        )

    aspects: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        for aspect in record.source.get("semantic_aspects", ()):
            aspects[aspect].append(record)
    first = {record.query_id: str(record.source["target_img_id"]) for record in records}
    return {
        **{f"mAP@{k}": mean_precision(records, k) for k in KS["map"]},
        **{f"recall@{k}": _recall(first, rankings, k) for k in KS["map"]},
        **{f"mAP@{MAP_K} {aspect}": mean_precision(some, MAP_K) for aspect, some in sorted(aspects.items())},
    }


def _cirr(records: Sequence[Record], rankings: Mapping[str, list[str]], metric: Metric) -> Figures:
    target = {record.query_id: record.targets[0] for record in records}
    name = "subset recall" if metric == "recall_subset" else "recall"
    return {f"{name}@{k}": _recall(target, rankings, k) for k in KS[metric]}


def _recall(target: Mapping[str, str], rankings: Mapping[str, list[str]], k: int) -> float:
    """Per cent of the queries whose one target is among the first k names."""
    return 100 * fmean(name in rankings[query][:k] for query, name in target.items())
