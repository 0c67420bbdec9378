"""CIRR's validation queries: the whole split, and each query's own set of six."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spn4cir_core.annotations.import_cirr import is_rejected
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.benchmark_queries import BenchmarkEvaluator, BenchmarkQueries, benchmark_queries
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact

GALLERY = "val"


class Cirr(BenchmarkEvaluator):
    """Recall@1, 5, 10, 50 over the split and recall_subset@1, 2, 3 among the other five images of the query's set.

    As published: the reference image is removed, and ``target_hard`` alone is right.
    """

    plugin_kind = "cirr"

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """``cirr`` and ``cirr subset``."""
        benchmark = benchmark_queries(self.plugin_kind, parents)
        if benchmark is None or GALLERY not in benchmark.galleries:
            return []
        return [self._whole(benchmark), self._subset(benchmark)]

    def _whole(self, benchmark: BenchmarkQueries) -> QuerySet:
        gallery, drops = benchmark.galleries[GALLERY], benchmark.drops.copy()
        inside = set(gallery)
        queries = []
        for row in benchmark.rows:
            if row["reference_id"] in inside and inside.issuperset(row["target_ids"]):
                queries.append(_query(row, tuple(row["target_ids"])))
            else:
                drops["reference or target is not in the gallery"] += 1
        protocol = (
            f"CIRR validation; gallery: all images of the split ({benchmark.protocol_of(GALLERY)}); the reference "
            "image is removed from the ranking; target_hard alone is right; text: the caption. The published tables "
            "are of test1, which the benchmark's server scores." + self.about_ties + _rejections(benchmark)
        )
        return QuerySet(
            name="cirr",
            protocol=protocol,
            queries=tuple(queries),
            gallery_ids=gallery,
            remove_reference=True,
            headline=True,
            drops=drops,
            ks=(1, 5, 10, 50),
            published=True,
            ties=self.ties,
            asks_equal_pixels=True,
        )

    def _subset(self, benchmark: BenchmarkQueries) -> QuerySet:
        drops = benchmark.drops.copy()
        inside = set(benchmark.galleries[GALLERY])
        galleries: dict[str, tuple[str, ...]] = {}
        queries = []
        for row in benchmark.rows:
            group = row["source"]["img_set"]
            members = {benchmark.ids.get(name, "") for name in group["members"]}
            if not members <= inside or not members.issuperset((row["reference_id"], *row["target_ids"])):
                drops["an image of the query's set is not in the gallery"] += 1
                continue
            name = "|".join(sorted(members))
            galleries[name] = tuple(sorted(members))
            queries.append(_query(row, tuple(row["target_ids"]), name))
        protocol = (
            "CIRR validation, subset; gallery: the query's own set of six look-alikes without the reference image; "
            "target_hard alone is right; text: the caption." + self.about_ties + _rejections(benchmark)
        )
        return QuerySet(
            name="cirr subset",
            protocol=protocol,
            queries=tuple(queries),
            gallery_ids=tuple(sorted({image_id for ids in galleries.values() for image_id in ids})),
            remove_reference=True,
            headline=True,
            drops=drops,
            galleries=galleries,
            ks=(1, 2, 3),
            published=True,
            ties=self.ties,
            asks_equal_pixels=True,
        )


def _query(row: Mapping[str, Any], targets: tuple[str, ...], gallery: str = "") -> Query:
    return Query(row["query_id"], row["reference_id"], row["modified_text"], targets, row["kind"], gallery)


def _rejections(benchmark: BenchmarkQueries) -> str:
    """Which queries have a target that people gave no score above zero (three of the published ones); they count."""
    names = [row["query_id"] for row in benchmark.rows if is_rejected(row["source"])]
    return f" People rejected the target of {len(names)} of the queries: {', '.join(names)}." if names else ""
