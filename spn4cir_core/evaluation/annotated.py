"""Annotated queries of the user's own corpus: ``queries.csv``; and the same queries in other words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated as Annotation
from typing import Any, Literal

from spn4cir_core.annotations.annotation_tables import read_queries
from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.evaluation.base import Evaluator, Query, QuerySet, evaluation_ids
from spn4cir_core.evaluation.benchmark_queries import QUERY_FILES
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint
from spn4cir_core.texts.paraphrases import paraphrases

WORDINGS = "annotated, other words"
"""The query set that asks each annotated query in all its wordings."""


class Annotated(Evaluator):
    """The corpus' own composed queries over images of the evaluation split."""

    plugin_kind = "annotated"

    remove_reference: bool = True
    """Whether the reference image is taken out of its query's gallery (FashionIQ papers mostly keep it)."""

    paraphrases: Annotation[Literal["given", "made"], OmitDefaultFromFingerprint()] = "given"
    """``made``: a query without paraphrases of its own is also asked in the wordings of the caption editor's rules."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """Queries whose reference and at least one target lie in the evaluation split."""
        rows = read_queries(parents["annotations"])
        rows = [row for row in rows if row["corpus"] not in QUERY_FILES]  # those have evaluators of their own
        if not rows:
            return []
        gallery = evaluation_ids(parents["splits"])
        inside = set(gallery)
        captions = read_captions(parents["captions"]) if self.paraphrases == "made" else {}
        queries, wordings, drops = list[Query](), list[Query](), Counter[str]()
        for row in sorted(rows, key=lambda row: (row["corpus"], row["query_id"])):
            references = (row["reference_id"], *row["more_reference_ids"])
            targets = [target for target in row["target_ids"] if target in inside]
            if self.remove_reference:
                targets = [target for target in targets if target not in references]
            if not inside.issuperset(references):
                drops["reference is not in the evaluation split"] += 1
            elif not targets:
                drops["no target is in the evaluation split"] += 1
            else:
                queries.append(_query(row, targets, inside))
                others = row["paraphrases"] or self._made(row, captions)
                wordings += _wordings(queries[-1], others)
        removed = "removed from" if self.remove_reference else "kept in"
        protocol = (
            f"Queries annotated in the corpus; gallery: all {len(gallery)} images of the evaluation split; the "
            f"reference image is {removed} the ranking; any annotated target counts."
        )
        if any(query.more_reference_ids for query in queries):
            protocol += " A query with several reference images: the mean over them, of query vectors or of scores."
        if any(query.weight != 1 for query in queries):
            protocol += (
                " Queries that a judging queue drew count by the inverse of the share of their stratum that was judged,"
                " since it draws queries on which models disagree more often; those without a right hit are left out."
            )
        made = [QuerySet("annotated", protocol, tuple(queries), gallery, self.remove_reference, True, drops)]
        if wordings:
            protocol = f"The annotated queries that have paraphrases, asked in each of their wordings. {protocol}"
            made.append(QuerySet(WORDINGS, protocol, tuple(wordings), gallery, self.remove_reference, True))
        return made

    def _made(self, row: Mapping[str, Any], captions: Mapping[str, str]) -> list[str]:
        made = self.paraphrases == "made"
        return paraphrases(row["modified_text"], captions.get(row["reference_id"], "")) if made else []


def _query(row: Mapping[str, Any], targets: Sequence[str], inside: Collection[str]) -> Query:
    references = row["more_reference_ids"]
    number = f"{1 + len(references)} references" if references else ""
    return Query(
        f"{row['corpus']}/{row['query_id']}",
        row["reference_id"],
        row["modified_text"],
        tuple(sorted(set(targets))),
        "|".join(filter(None, [row["kind"], number])),
        more_reference_ids=tuple(references),
        negative_ids=tuple(sorted(image_id for image_id in row["negative_ids"] if image_id in inside)),
        weight=row["weight"],
    )


def _wordings(query: Query, paraphrases: Sequence[str]) -> list[Query]:
    """The query in its own words and in each of the others; none where there are no others."""
    texts = [query.modified_text, *paraphrases] if paraphrases else []
    return [
        replace(query, query_id=f"{query.query_id}#{number}", modified_text=text, wording_of=query.query_id)
        for number, text in enumerate(texts)
    ]
