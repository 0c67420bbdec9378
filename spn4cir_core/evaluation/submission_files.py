"""The files that the servers of CIRR (test1) and CIRCO score: their form, checked without asking the server."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spn4cir_core.annotations.import_annotations import read_records
from spn4cir_core.annotations.records import Record
from spn4cir_core.errors import InputError
from spn4cir_core.store.outputs import output_file
from spn4cir_core.user_files import read_json_file

Benchmark = Literal["circo", "cirr"]
Metric = Literal["map", "recall", "recall_subset"]
TOP: Mapping[Metric, int] = {"map": 50, "recall": 50, "recall_subset": 3}
"""How many images the server wants of each query."""
VERSION = "rc2"
MOST_BYTES = 5_000_000
SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Form:
    """The required form of one file."""

    benchmark: Benchmark
    metric: Metric
    queries: Sequence[Record]
    names: Collection[str] = ()
    """Names of the images that may be given; empty: any."""

    @property
    def head(self) -> dict[str, str]:
        """The keys besides the queries': CIRR's version and metric."""
        return {"version": VERSION, "metric": self.metric} if self.benchmark == "cirr" else {}

    def allowed(self, query: Record) -> Collection[str] | None:
        """Names that a query's list may hold; None for any."""
        if self.metric == "recall_subset":
            return [name for name in members(query) if name != query.reference]
        return self.names or None


def members(query: Record) -> list[str]:
    """Names of a CIRR query's set of six, its reference image among them.

    Raises:
        InputError: the query has none.
    """
    group = query.source.get("img_set")
    names = group.get("members") if isinstance(group, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"query {query.query_id!r} has no img_set with members; use CIRR's own cap.rc2.test1.json")
    return names


def benchmark_of(annotations: Path) -> Benchmark:
    """Which benchmark a file of queries is of, by its first row.

    Raises:
        InputError: of neither.
    """
    rows = read_json_file(annotations)
    first = rows[0] if isinstance(rows, list) and rows else None
    if isinstance(first, dict) and {"pairid", "img_set"} <= first.keys():
        return "cirr"
    if isinstance(first, dict) and {"id", "reference_img_id"} <= first.keys():
        return "circo"
    raise InputError(f"{annotations} holds neither CIRR's queries (cap.rc2.test1.json) nor CIRCO's (test.json)")


def validate_submission(path: Path, annotations: Path, names: Collection[str] = ()) -> Metric:
    """Check a file as the benchmark's server does, and more strictly: size, keys, counts, uniqueness, names.

    Args:
        annotations: the benchmark's file of the queries, ``cap.rc2.test1.json`` or ``test.json`` (or ``val.json``).
        names: all images of the gallery; empty: names are not checked, save those of CIRR's sets of six.

    Returns:
        What the file is scored by.

    Raises:
        InputError: it would be refused, or scored wrongly; the message names up to five faults.
    """
    benchmark = benchmark_of(annotations)
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes; the servers take at most {MOST_BYTES:,}")
    given, repeated = _read(path)
    metric: Metric = "map"
    if benchmark == "cirr":
        metric = "recall_subset" if given.get("metric") == "recall_subset" else "recall"
    form = Form(benchmark, metric, list(read_records(benchmark, annotations, {})), names)
    faults = [f"key {key!r} stands twice" for key in repeated] + list(_faults(given, form))
    if faults:
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise InputError(f"{path} is no {benchmark} file for the server: {'; '.join(faults[:SHOWN_FAULTS])}{more}")
    return metric


def write_submission(path: Path, rankings: Mapping[str, Sequence[str]], form: Form, annotations: Path) -> None:
    """Write a file that passes :func:`validate_submission`, or none.

    Args:
        rankings: query id → image names, best first.

    Raises:
        InputError: the rankings are not what the server wants, or the file cannot be written.
    """
    number = int if form.benchmark == "circo" else str
    content = form.head | {query: [number(name) for name in names] for query, names in rankings.items()}
    with output_file(path) as scratch:
        scratch.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
        validate_submission(scratch, annotations, form.names)


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The object of a file, and the keys that stand in it more than once."""
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(items)
        if len(values) < len(items):
            keys = [key for key, _ in items]
            repeated.extend(sorted(key for key in values if keys.count(key) > 1))
        return values

    try:
        given = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=pairs)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(given, dict):
        raise InputError(f"{path} is not a JSON object from query id to image names but {type(given).__name__}")
    return given, repeated


def _faults(given: Mapping[str, Any], form: Form) -> Iterator[str]:
    for key, value in form.head.items():
        if given.get(key) != value:
            yield f"{key!r} is {given.get(key)!r} and must be {value!r}"
    wanted = {query.query_id: query for query in form.queries}
    if missing := sorted(wanted.keys() - given.keys(), key=_order):
        yield f"{len(missing):,} of {len(wanted):,} queries are missing, the first is {missing[0]!r}"
    if unknown := sorted(given.keys() - wanted.keys() - form.head.keys()):
        yield f"{len(unknown):,} keys are no query, the first is {unknown[0]!r}"
    for query_id, query in wanted.items():
        if query_id in given and (fault := _fault(given[query_id], query, form)):
            yield f"query {query_id!r}: {fault}"


def _fault(given: Any, query: Record, form: Form) -> str:
    """The first fault of one query's list as a message; empty if it has none."""
    top, kind = TOP[form.metric], int if form.benchmark == "circo" else str
    if not isinstance(given, list) or not all(type(name) is kind for name in given):
        return f"it is no list of {'numbers' if kind is int else 'names'}"
    if len(given) != top:
        return f"{len(given)} images, must be {top}"
    if len(set(given)) < top:
        twice = next(name for name in given if given.count(name) > 1)
        return f"{twice!r} stands twice"
    if form.benchmark == "cirr" and query.reference in given:
        return f"the reference image {query.reference!r} is among its images"
    allowed = form.allowed(query)
    strange = [] if allowed is None else [name for name in map(str, given) if name not in allowed]
    where = "its set of six" if form.metric == "recall_subset" else "the gallery"
    return f"{strange[0]!r} is not of {where}" if strange else ""


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (0, name)
