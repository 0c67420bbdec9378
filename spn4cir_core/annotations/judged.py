"""People's judgements on search hits as annotation files: a beginning of the log, so that equal runs read the same."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.judgements.agreement import judged_queries
from spn4cir_core.judgements.judgement import Purpose
from spn4cir_core.judgements.judgement_files import queries_csv, triplets_csv
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint

log = logging.getLogger(__name__)
QUERIES_CORPUS = "judged"
TRIPLET_CORPORA: dict[str, Purpose] = {"judged_train": "train", "judged_validation": "validation"}
"""Name of the corpus → the split of its images."""


@dataclass(frozen=True)
class JudgedAnnotations:
    """What the judgements say, as annotation files."""

    queries: bytes
    """``queries.csv`` of the corpus ``QUERIES_CORPUS``."""
    triplets: dict[str, bytes]
    """``triplets.csv`` by corpus."""
    judgements: int
    """How many judgements they were made of."""

    @property
    def fingerprint(self) -> str:
        """Equal where the files are equal, whatever was judged beside."""
        return fingerprint([self.queries.decode(), {name: data.decode() for name, data in self.triplets.items()}])


def judged_annotations(store: Store, recipe: str, step: int) -> JudgedAnnotations | None:
    """The annotations of as many judgements as are a multiple of ``step``; None where there are fewer, or step is 0."""
    judgements = JudgementLog(store, recipe)
    count = len(judgements) // step * step if step else 0
    if not count:
        if step and not len(judgements) and (others := judgements.other_recipes()):
            _warn_of_others(str(judgements.path), recipe, tuple(others))
        return None
    queries = judged_queries(judgements.judgements(first=count), judgements.purposes())
    triplets = {corpus: triplets_csv(queries, [purpose])[0] for corpus, purpose in TRIPLET_CORPORA.items()}
    return JudgedAnnotations(queries_csv(queries)[0], triplets, count)


@cache
def _warn_of_others(path: str, recipe: str, others: tuple[str, ...]) -> None:
    """Once in a process: what is made of no judgements looks as if there were none."""
    log.warning(
        "annotations: judgements_step reads the judgements of recipe %r, and %s has those of %s only; bring them over "
        "with: spn4cir judgements export and import",
        recipe,
        path,
        ", ".join(map(repr, others)),
    )


def rejected_candidates(annotations: Artifact) -> dict[str, list[str]]:
    """Images that people judged to be wrong answers, by id of the judged triplet: hard negatives, never masked."""
    return {
        f"annotated/{row['annotation_id']}": [name for name, score in row["soft_targets"] if score < 0]
        for row in read_annotated_triplets(annotations, "annotation_id", "soft_targets").to_pylist()
        if row["annotation_id"].partition("/")[0] in TRIPLET_CORPORA
    }
