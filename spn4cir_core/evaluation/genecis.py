"""GeneCIS's templates: each query has a small gallery of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.benchmark_queries import BenchmarkEvaluator, BenchmarkQueries, benchmark_queries
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.genecis import TASKS, image_name
from spn4cir_core.store.artifacts import Artifact


class GeneCis(BenchmarkEvaluator):
    """Recall@1, 2, 3 among a query's own 10 or 15 images, by task. The published figure is the mean of the four."""

    plugin_kind = "genecis"

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """One set for each task that was read."""
        benchmark = benchmark_queries(self.plugin_kind, parents)
        if benchmark is None:
            return []
        tasks = {row["kind"] for row in benchmark.rows}
        return [self._set(benchmark, task) for task in TASKS if task in tasks and task in benchmark.galleries]

    def _set(self, benchmark: BenchmarkQueries, task: str) -> QuerySet:
        inside, drops = set(benchmark.galleries[task]), benchmark.drops.copy()
        galleries: dict[str, tuple[str, ...]] = {}
        queries = []
        for row in (row for row in benchmark.rows if row["kind"] == task):
            named = [image_name(entry) for entry in (row["source"]["target"], *row["source"]["gallery"])]
            members = {benchmark.ids.get(name, "") for name in named}
            if row["reference_id"] not in inside or not members <= inside:
                drops["an image of the query's gallery is missing"] += 1
                continue
            galleries[row["query_id"]] = tuple(sorted(members))
            queries.append(_query(row))
        used = {image_id for ids in galleries.values() for image_id in ids} | {query.reference_id for query in queries}
        return QuerySet(
            name=f"genecis {task.replace('_', ' ')}",
            protocol=_protocol(benchmark, task, galleries) + self.about_ties,
            queries=tuple(queries),
            gallery_ids=tuple(sorted(used)),
            remove_reference=False,
            headline=True,
            drops=drops,
            galleries=galleries,
            ks=(1, 2, 3),
            published=True,
            ties=self.ties,
            asks_equal_pixels=True,
        )


def _query(row: Mapping[str, Any]) -> Query:
    targets = tuple(row["target_ids"])
    return Query(row["query_id"], row["reference_id"], row["modified_text"], targets, gallery=row["query_id"])


def _protocol(benchmark: BenchmarkQueries, task: str, galleries: Mapping[str, tuple[str, ...]]) -> str:
    pictures = "objects cut out of Visual Genome" if task.endswith("attribute") else "COCO 2017 validation"
    sizes = sorted({len(members) for members in galleries.values()})
    images = " to ".join(str(size) for size in dict.fromkeys([*sizes[:1], *sizes[-1:]]))
    return (
        f"GeneCIS, {task.replace('_', ' ')}; gallery: the query's own {images or 'no'} images ({pictures}; "
        f"{benchmark.protocol_of(task)}, those of all queries), an image that stands there twice counted once; the "
        "reference image is not removed from it; text: the condition alone. The published figure is the mean "
        "recall@1 of the four tasks."
    )
