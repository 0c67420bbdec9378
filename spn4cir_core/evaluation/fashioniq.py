"""FashionIQ's validation queries under each of the protocols that papers use."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

from pydantic import Field

from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.benchmark_queries import BenchmarkEvaluator, BenchmarkQueries, benchmark_queries
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact

GalleryName = Literal["original", "union"]
ReferenceFate = Literal["kept", "removed"]
ABOUT = {
    "original": "all images of the category's validation list (the published default)",
    "union": "references and targets of the category's validation triplets only, which is easier",
}


class FashionIq(BenchmarkEvaluator):
    """Recall@10 and @50 by category, for two galleries, with the reference in them or not.

    The two captions are joined as ``"c0 and c1"``, stripped of ``. ? ,`` and spaces at both ends (as published).
    """

    plugin_kind = "fashioniq"

    galleries: tuple[GalleryName, ...] = Field(default=("original", "union"), min_length=1)
    references: tuple[ReferenceFate, ...] = Field(default=("kept", "removed"), min_length=1)
    """``kept`` is the field's default; SPN4CIR's rows on CLIP are with ``removed``."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """One set for each corner of galleries × references; a query's kind is its category."""
        benchmark = benchmark_queries(self.plugin_kind, parents)
        if benchmark is None:
            return []
        return [self._set(benchmark, gallery, fate) for gallery, fate in product(self.galleries, self.references)]

    def _set(self, benchmark: BenchmarkQueries, gallery: GalleryName, fate: ReferenceFate) -> QuerySet:
        galleries = dict(benchmark.galleries) if gallery == "original" else _union(benchmark.rows)
        drops = benchmark.drops.copy()
        queries = []
        for row in benchmark.rows:
            inside = set(galleries.get(row["kind"], ()))
            targets = tuple(sorted(inside.intersection(row["target_ids"])))
            if row["reference_id"] not in inside or not targets:
                drops["reference or target is not in the category's gallery"] += 1
            else:
                queries.append(_query(row, targets))
        used = {query.gallery for query in queries}
        used_galleries = {name: galleries[name] for name in sorted(used)}
        sizes = "; ".join(
            f"{name}: {benchmark.protocol_of(name) if gallery == 'original' else f'{len(image_ids)} images'}"
            for name, image_ids in used_galleries.items()
        )
        protocol = (
            f"FashionIQ validation; gallery: {ABOUT[gallery]} ({sizes}); the reference image is "
            f"{'kept in' if fate == 'kept' else 'removed from'} the ranking; text: both captions joined by “and”."
        ) + self.about_ties
        default = gallery == "original" and fate == "kept"
        return QuerySet(
            name=f"fashioniq {gallery} {fate}",
            protocol=protocol,
            queries=tuple(queries),
            gallery_ids=tuple(sorted({image_id for ids in used_galleries.values() for image_id in ids})),
            remove_reference=fate == "removed",
            headline=default or (self.galleries, self.references) == ((gallery,), (fate,)),
            drops=drops,
            galleries=used_galleries,
            ks=(10, 50),
            published=True,
            ties=self.ties,
            asks_equal_pixels=True,
        )


def _query(row: Mapping[str, Any], targets: tuple[str, ...]) -> Query:
    return Query(row["query_id"], row["reference_id"], row["modified_text"], targets, row["kind"], row["kind"])


def _union(rows: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    images: dict[str, set[str]] = {}
    for row in rows:
        images.setdefault(row["kind"], set()).update((row["reference_id"], *row["target_ids"]))
    return {category: tuple(sorted(image_ids)) for category, image_ids in images.items()}
