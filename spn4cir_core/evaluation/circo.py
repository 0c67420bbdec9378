"""CIRCO's validation queries: several targets each, mAP@k, with and without the shared concept in the text."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, Literal

from pydantic import Field

from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.benchmark_queries import BenchmarkEvaluator, BenchmarkQueries, benchmark_queries
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact

GALLERY = "unlabeled2017"
KS = (5, 10, 25, 50)
Text = Literal["caption", "concept"]
Right = Literal["all", "first"]
TEXTS = {"caption": "the relative caption alone", "concept": "“<shared concept> that <relative caption>”"}


class Circo(BenchmarkEvaluator):
    """mAP@5, 10, 25, 50 over all targets, and recall@k of the one target that the query was written for.

    As the benchmark defines them: AP@k divides by min(k, number of targets), and recall counts ``target_img_id`` only.
    Kinds are the semantic aspects; a query may have several.
    """

    plugin_kind = "circo"

    texts: tuple[Text, ...] = Field(default=("caption", "concept"), min_length=1)
    """Some papers put the shared concept into the text, others do not: figures of the two cannot be compared."""
    remove_reference: bool = False
    """Whether the reference image is taken out of the ranking; the benchmark's own code keeps it."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """Per text, one set with all targets and one with the first target alone."""
        benchmark = benchmark_queries(self.plugin_kind, parents)
        if benchmark is None or GALLERY not in benchmark.galleries:
            return []
        rights: tuple[Right, ...] = ("all", "first")
        return [self._set(benchmark, text, right) for text, right in product(self.texts, rights)]

    def _set(self, benchmark: BenchmarkQueries, text: Text, right: Right) -> QuerySet:
        gallery, drops = benchmark.galleries[GALLERY], benchmark.drops.copy()
        inside = set(gallery)
        queries = []
        for row in benchmark.rows:
            targets = inside.intersection(row["target_ids"])
            if right == "first":
                targets = targets.intersection({benchmark.ids.get(str(row["source"]["target_img_id"]), "")})
            if row["reference_id"] not in inside or not targets:
                drops["reference or target is not in the gallery"] += 1
            else:
                queries.append(_query(row, text, tuple(sorted(targets))))
        protocol = (
            f"CIRCO validation; gallery: COCO 2017 unlabelled ({benchmark.protocol_of(GALLERY)}); the reference "
            f"image is {'removed from' if self.remove_reference else 'kept in'} the ranking; "
            f"{'any target counts for recall, all for mAP' if right == 'all' else 'target_img_id alone is right'}; "
            f"text: {TEXTS[text]}."
        ) + self.about_ties
        name = "circo" + " with concept" * (text == "concept") + " first target" * (right == "first")
        headline = right == "all"
        return QuerySet(
            name,
            protocol,
            tuple(queries),
            gallery,
            self.remove_reference,
            headline,
            drops,
            ks=KS,
            map_ks=KS,
            published=True,
            ties=self.ties,
            asks_equal_pixels=True,
        )


def _query(row: Mapping[str, Any], text: Text, targets: tuple[str, ...]) -> Query:
    source = row["source"]
    full_text = row["modified_text"] if text == "caption" else f"{source['shared_concept']} that {row['modified_text']}"
    return Query(row["query_id"], row["reference_id"], full_text, targets, "|".join(source.get("semantic_aspects", ())))
