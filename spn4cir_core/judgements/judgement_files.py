"""Judgements as files: ``queries.csv`` and ``triplets.csv`` as a corpus holds them, and all of them as one table."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from spn4cir_core.errors import InputError
from spn4cir_core.judgements.agreement import JudgedQuery
from spn4cir_core.judgements.judgement import EVALUATION, Judgement, Purpose, Verdict
from spn4cir_core.judgements.judgement_log import COLUMNS, LISTS, NEWER_COLUMNS

QUERY_COLUMNS = ("query_id", "reference", "modified_text", "targets", "negatives")
WEIGHT = "weight"
"""Further column of queries, where a judging queue drew some of them more often than others."""
TRIPLET_COLUMNS = ("reference", "target", "modified_text", "soft_targets")
LOG_COLUMNS = (*COLUMNS, "purposes")
RIGHT, WRONG = 1.0, -1.0
"""Scores of a triplet's other images in the column ``soft_targets``."""
SEPARATOR = "|"
MOST = 2**31 - 1
"""Of ranks and of queries of a stratum."""


def queries_csv(queries: Iterable[JudgedQuery]) -> tuple[bytes, Counter[str]]:
    """``queries.csv`` of the queries that serve evaluation and have a right hit; and how many others there are, by
    reason."""
    rows, drops = list[dict[str, str]](), Counter[str]()
    for query in queries:
        if query.purpose != EVALUATION:
            continue
        if reason := _why_unusable(query):
            drops[reason] += 1
        else:
            values = (query.query_id, query.reference_ids, query.modified_text, query.right_ids, query.wrong_ids)
            texts = (value if isinstance(value, str) else SEPARATOR.join(value) for value in values)
            rows.append(dict(zip(QUERY_COLUMNS, texts, strict=True)) | {WEIGHT: f"{query.weight:.6g}"})
    columns = (*QUERY_COLUMNS, WEIGHT) if any(row[WEIGHT] != "1" for row in rows) else QUERY_COLUMNS
    return _csv(columns, [{name: row[name] for name in columns} for row in rows]), drops


def triplets_csv(queries: Iterable[JudgedQuery], purposes: Sequence[Purpose]) -> tuple[bytes, Counter[str]]:
    """``triplets.csv`` of the queries of these purposes, one row for each right hit; and how many other queries there
    are, by reason.

    The column ``soft_targets`` holds the other right hits with a score of 1 and the wrong ones with -1.
    """
    rows, drops = list[dict[str, str]](), Counter[str]()
    for query in queries:
        if query.purpose not in purposes:
            continue
        reason = _why_unusable(query) or ("several reference images" if len(query.reference_ids) > 1 else "")
        if reason:
            drops[reason] += 1
            continue
        scores = dict.fromkeys(query.right_ids, RIGHT) | dict.fromkeys(query.wrong_ids, WRONG)
        for target in query.right_ids:
            soft = {image_id: score for image_id, score in scores.items() if image_id != target}
            values = (query.reference_ids[0], target, query.modified_text, json.dumps(soft) if soft else "")
            rows.append(dict(zip(TRIPLET_COLUMNS, values, strict=True)))
    return _csv(TRIPLET_COLUMNS, rows), drops


def log_csv(judgements: Iterable[Judgement], purposes: Mapping[str, Purpose]) -> bytes:
    """Every judgement as it was given, for another store; :func:`read_log` reads it."""
    rows = [
        {name: getattr(each, name) for name in COLUMNS}
        | {name: json.dumps(getattr(each, name)) for name in LISTS}
        | {"purposes": json.dumps({image_id: purposes[image_id] for image_id in each.image_ids})}
        for each in judgements
    ]
    return _csv(LOG_COLUMNS, rows)


def read_log(file: str, data: bytes) -> tuple[list[Judgement], dict[str, Purpose]]:
    """Judgements of another store, and the purposes of their images.

    Raises:
        InputError: the file is not UTF-8 CSV with the columns it must have, or a row cannot be read.
    """
    judgements, purposes = list[Judgement](), dict[str, Purpose]()
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        if missing := [name for name in LOG_COLUMNS if name not in (*NEWER_COLUMNS, *(reader.fieldnames or ()))]:
            raise InputError(f"{file} has no column {missing[0]!r}; write it with: spn4cir judgements export")
        for row in reader:
            judgement, own = _parsed(row)
            judgements.append(judgement)
            purposes |= own
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise InputError(f"{file}: row {len(judgements) + 1} is not a judgement: {error}") from error
    return judgements, purposes


def _parsed(row: dict[str, str]) -> tuple[Judgement, dict[str, Purpose]]:
    if row["verdict"] not in get_args(Verdict):
        raise ValueError(f"verdict {row['verdict']!r} is none of {', '.join(get_args(Verdict))}")
    values: dict[str, Any] = {name: row[name] for name in COLUMNS if name in row or name not in NEWER_COLUMNS}
    values["stratum_queries"] = _count("stratum_queries", row.get("stratum_queries") or "0")
    values |= {name: _ids(row[name]) for name in LISTS}
    values["rank"] = _count("rank", row["rank"]) if row["rank"] else None
    judgement, purposes = Judgement(**values), json.loads(row["purposes"])
    if not judgement.reference_ids:
        raise ValueError("it has no reference image")
    for image_id in judgement.image_ids:
        if purposes[image_id] not in get_args(Purpose):
            raise ValueError(f"purpose {purposes[image_id]!r} is none of {', '.join(get_args(Purpose))}")
    return judgement, {image_id: purposes[image_id] for image_id in judgement.image_ids}


def _count(column: str, value: str) -> int:
    if not value.isdecimal() or int(value) > MOST:
        raise ValueError(f"{column} {value!r} is no whole number from 0 to {MOST:,}")
    return int(value)


def _ids(value: str) -> tuple[str, ...]:
    ids = json.loads(value)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise ValueError(f"{value!r} is not a JSON list of image ids")
    return tuple(ids)


def _why_unusable(query: JudgedQuery) -> str:
    if not query.right_ids:
        return "no hit is right"
    if any(SEPARATOR in image_id for image_id in (*query.reference_ids, *query.right_ids, *query.wrong_ids)):
        return f"a file name holds {SEPARATOR!r}"
    return ""


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
