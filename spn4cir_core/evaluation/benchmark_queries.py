"""Queries of published benchmarks, as the annotations stage has read them, and the images of their galleries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Annotated, Any

from spn4cir_core.annotations.annotation_tables import read_dropped_rows, read_queries
from spn4cir_core.evaluation.base import Evaluator, evaluation_ids
from spn4cir_core.evaluation.ranks import Ties
from spn4cir_core.images.benchmark import GALLERIES, NAME
from spn4cir_core.images.manifest import read_duplicates, read_manifest
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

QUERY_FILES = {
    "circo": "*annotations/val.json",
    "cirr": "*cap.rc2.val.json",
    "fashioniq": "*cap.*.val.json",
    "genecis": "*genecis/*.json",
}


ABOUT_TIES: Mapping[Ties, str] = {
    "half": "scores closer than 1e-6 tie, and half of those that tie with the target stand before it",
    "published": "scores decide however close they are, as in a sort; equal ones go by the gallery's order",
}


class BenchmarkEvaluator(Evaluator):
    """Asks the queries of a published benchmark."""

    ties: Annotated[Ties, OmitDefaultFromFingerprint()] = "half"
    """``published`` decides near-ties by any difference, as the benchmarks' own code, which sorts."""

    @property
    def about_ties(self) -> str:
        """A sentence for the protocol, after a space."""
        return f" Ties: {ABOUT_TIES[self.ties]}."


@dataclass(frozen=True)
class BenchmarkQueries:
    """One benchmark's queries and images. Images of equal pixels are one image here, under several names."""

    rows: list[dict[str, Any]]
    """Rows of ``queries.parquet`` with ``source`` parsed, in the order of their ids."""
    ids: Mapping[str, str]
    """Image name in the benchmark → image id."""
    galleries: Mapping[str, tuple[str, ...]]
    """Gallery → ids of its images, sorted."""
    named: Counter[str]
    """Gallery → names that the benchmark lists in it and that have a picture here."""
    drops: Counter[str] = field(default_factory=Counter)
    """What the annotations stage left out of the benchmark's query files, by reason."""

    def protocol_of(self, gallery: str) -> str:
        """A gallery's size as it is here, in words."""
        names, images = self.named[gallery], len(self.galleries[gallery])
        merged = f", {names - images} of them equal pixel by pixel to another one and counted once" * (names > images)
        return f"{names} pictures were found{merged}"


def benchmark_queries(benchmark: str, parents: Mapping[str, Artifact]) -> BenchmarkQueries | None:
    """Queries and images of a benchmark in a recipe's corpora; None if they have no query of it."""
    rows = [row for row in read_queries(parents["annotations"]) if row["corpus"] == benchmark]
    rows = [{**row, "source": json.loads(row["source"])} for row in rows if row["source"]]
    if not rows:
        return None
    inside = set(evaluation_ids(parents["splits"]))
    ids: dict[str, str] = {}
    members: dict[str, set[str]] = {}
    named: Counter[str] = Counter()
    for image_id, attributes in _named_images(parents["images"], benchmark):
        ids[attributes[NAME]] = image_id
        for gallery in filter(None, attributes.get(GALLERIES, "").split("|")):
            if image_id in inside:
                named[gallery] += 1
                members.setdefault(gallery, set()).add(image_id)
    galleries = {gallery: tuple(sorted(image_ids)) for gallery, image_ids in members.items()}
    return BenchmarkQueries(sorted(rows, key=_order), ids, galleries, named, _drops(parents["annotations"], benchmark))


def _named_images(images: Artifact, benchmark: str) -> list[tuple[str, dict[str, str]]]:
    """Id of the kept image and attributes, of every picture of the benchmark, merged ones included."""
    rows = read_manifest(images, "image_id", "corpus", "attributes").to_pylist()
    merged = read_duplicates(images).to_pylist()
    named = [(row["image_id"], dict(row["attributes"] or ())) for row in rows if row["corpus"] == benchmark]
    named += [(row["duplicate_of"], dict(row["attributes"] or ())) for row in merged]
    return [(image_id, attributes) for image_id, attributes in named if NAME in attributes]


def _drops(annotations: Artifact, benchmark: str) -> Counter[str]:
    return Counter(
        row["reason"] for row in read_dropped_rows(annotations) if fnmatch(row["file"], QUERY_FILES[benchmark])
    )


def _order(row: dict[str, Any]) -> tuple[int, str]:
    """Sort key: numbers by value, other names alphabetically."""
    name = str(row["query_id"]).rpartition("/")[2]
    return (int(name), "") if name.isdecimal() else (0, name)
