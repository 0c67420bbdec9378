"""Annotated queries of the user's own corpus: ``queries.csv``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from spn4cir_core.annotations.annotation_tables import read_queries
from spn4cir_core.evaluation.base import Evaluator, Query, QuerySet, evaluation_ids
from spn4cir_core.evaluation.benchmark_queries import QUERY_FILES
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact


class Annotated(Evaluator):
    """The corpus' own composed queries over images of the evaluation split."""

    plugin_kind = "annotated"

    remove_reference: bool = True
    """Whether the reference image is taken out of its query's gallery (FashionIQ papers mostly keep it)."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """Queries whose reference and at least one target lie in the evaluation split."""
        rows = read_queries(parents["annotations"])
        rows = [row for row in rows if row["corpus"] not in QUERY_FILES]  # those have evaluators of their own
        if not rows:
            return []
        gallery = evaluation_ids(parents["splits"])
        inside = set(gallery)
        queries, drops = [], Counter[str]()
        for row in sorted(rows, key=lambda row: (row["corpus"], row["query_id"])):
            targets = [target for target in row["target_ids"] if target in inside]
            if self.remove_reference:
                targets = [target for target in targets if target != row["reference_id"]]
            if row["reference_id"] not in inside:
                drops["reference is not in the evaluation split"] += 1
            elif not targets:
                drops["no target is in the evaluation split"] += 1
            else:
                queries.append(_query(row, targets))
        removed = "removed from" if self.remove_reference else "kept in"
        protocol = (
            f"Queries annotated in the corpus; gallery: all {len(gallery)} images of the evaluation split; the "
            f"reference image is {removed} the ranking; any annotated target counts."
        )
        return [QuerySet("annotated", protocol, tuple(queries), gallery, self.remove_reference, True, drops)]


def _query(row: Mapping[str, str], targets: list[str]) -> Query:
    name = f"{row['corpus']}/{row['query_id']}"
    return Query(name, row["reference_id"], row["modified_text"], tuple(sorted(set(targets))), row["kind"])
