"""Generated triplets of the evaluation split as queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc
from pydantic import Field

from spn4cir_core.evaluation.base import Evaluator, Query, QuerySet, evaluation_ids
from spn4cir_core.evaluation.equivalents import RULE_NAMES, Equivalents, Rule
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.triplet_tables import read_triplets

COLUMNS = ("triplet_id", "reference_id", "target_id", "modified_texts", "origin", "kind", "split")


class HeldOut(Evaluator):
    """Generated triplets that were held out. They show overfitting, not composition."""

    plugin_kind = "held_out"

    max_queries: int = Field(default=2000, ge=1)
    equivalents: tuple[Rule, ...] = ("near_duplicate", "same_caption", "same_text")
    """What is as right as the pair's own target; empty: nothing, the target alone is right."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """A seeded sample of the generated triplets of the evaluation split."""
        table = read_triplets(parents["triplets"], *COLUMNS)
        is_held_out = pc.and_(pc.equal(table["split"], "evaluation"), pc.equal(table["origin"], "generated"))
        rows = sorted(table.filter(is_held_out).to_pylist(), key=lambda row: str(row["triplet_id"]))
        if not rows:
            return []
        gallery = evaluation_ids(parents["splits"])
        right = Equivalents(self.equivalents, gallery, parents["captions"], parents["splits"], rows)
        if len(rows) > self.max_queries:
            picked = np.random.default_rng(seed).choice(len(rows), self.max_queries, replace=False)
            rows = [rows[row] for row in sorted(picked)]
        right_ones = ["the pair's own target", *(RULE_NAMES[rule] for rule in self.equivalents)]
        protocol = (
            f"Generated triplets held out of training; right: {', '.join(right_ones)}; gallery: all "
            f"{len(gallery)} images of the evaluation split; the reference image is removed from the ranking. The "
            "text of a generated triplet is made from the target's caption, so text alone answers many of these "
            "queries: they do not measure composition."
        )
        queries = tuple(
            Query(
                row["triplet_id"],
                row["reference_id"],
                row["modified_texts"][0],
                right.targets(row),
                row["kind"] or "",
            )
            for row in rows
            if row["modified_texts"]
        )
        return [QuerySet("held_out", protocol, queries, gallery, remove_reference=True, headline=False)]
