"""Queries whose answers a person should look at before believing the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.splits.split_tables import read_near_duplicates
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.differences import Meaning, caption_meaning

FIRST_HITS = 5
UNMARKED = "the first hit looks or reads like a target, but is not marked as one"
UNCHANGED = "every target looks or reads like the reference: the change may not be there"
LOST = "picture or text alone puts a target first, both together put it far down"


@dataclass(frozen=True)
class Likeness:
    """Which images a person may not be able to tell apart."""

    meanings: Mapping[str, Meaning]
    """What each image's caption says, by image id."""
    twins: frozenset[frozenset[str]]
    """Pairs of near-duplicates, by image id."""

    @classmethod
    def of(cls, captions: Mapping[str, str], splits: Artifact) -> Likeness:
        """From captions by image id, and the near-duplicates that the split was made with."""
        meanings = {image_id: caption_meaning(caption) for image_id, caption in captions.items()}
        return cls(meanings, frozenset(frozenset(pair) for pair in read_near_duplicates(splits)))

    def alike(self, image_id: str, others: Iterable[str]) -> bool:
        """Whether one of the others is a near-duplicate of the image, or its caption says the same."""
        meaning = self.meanings.get(image_id)
        return any(
            frozenset((image_id, other)) in self.twins or (meaning and meaning == self.meanings.get(other))
            for other in others
        )


def suspicions(answers: Answers, model: str, likeness: Likeness) -> dict[str, list[int]]:
    """Rows of the query set by what is suspicious about them, the worst ranks first."""
    queries, gallery = answers.query_set.queries, answers.query_set.gallery_ids
    composed, first = answers.ranks[model, "composed"], answers.hits[model, "composed"][:, 0]
    alone = np.minimum(answers.ranks[model, "image"], answers.ranks[model, "text"])
    suspicious: dict[str, list[int]] = {UNMARKED: [], UNCHANGED: [], LOST: []}
    for row in np.argsort(-composed, kind="stable").tolist():
        targets = queries[row].target_ids
        hit = gallery[first[row]] if first[row] >= 0 else ""
        if hit and hit not in targets and likeness.alike(hit, targets):
            suspicious[UNMARKED].append(row)
        if all(likeness.alike(target, [queries[row].reference_id]) for target in targets):
            suspicious[UNCHANGED].append(row)
        if alone[row] == 0 and composed[row] >= FIRST_HITS:
            suspicious[LOST].append(row)
    return suspicious
