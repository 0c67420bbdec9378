"""The guards that a recipe asks for, each prepared from what it needs of the parents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spn4cir_core.annotations.annotation_tables import read_annotated_triplets
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.engine.stage import Work
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import image_files
from spn4cir_core.negatives import guards
from spn4cir_core.negatives.guards import Guard, TrainingSet
from spn4cir_core.negatives.judge_candidates import judge_candidates
from spn4cir_core.negatives.look_alikes import (
    nearest_candidates,
    on_grid,
    rows_above,
    similarity_threshold,
    upper_fence,
)
from spn4cir_core.negatives.settings import FalseNegativesInput, GuardName
from spn4cir_core.splits.split_tables import read_near_duplicates
from spn4cir_core.store.artifacts import Artifact, Store


def chosen_guards(work: Work[FalseNegativesInput], training: TrainingSet) -> dict[GuardName, Guard]:
    """The recipe's guards, ready to be asked; what they found out on the way goes into the draft's details.

    Raises:
        InputError: a candidate has no embedding, or the judge cannot be used.
    """
    preparing = _Preparing(work, training)
    by_name: Mapping[GuardName, Callable[[], Guard]] = {
        "near_duplicate": preparing.near_duplicate,
        "annotated_target": lambda: guards.annotated_target(training),
        "soft_target": preparing.soft_target,
        "same_text": lambda: guards.same_text(training),
        "same_caption": lambda: guards.same_caption(training),
        "look_alike": preparing.look_alike,
        "judge": preparing.judge,
    }
    return {name: by_name[name]() for name in work.settings.false_negatives.guards}


class _Preparing:
    def __init__(self, work: Work[FalseNegativesInput], training: TrainingSet) -> None:
        self.work, self.training, self.settings = work, training, work.settings.false_negatives
        rows = training.candidate_rows()
        self.targets = np.unique([rows[name] for name in training.target_ids])

    def near_duplicate(self) -> Guard:
        return guards.near_duplicate(self.training, read_near_duplicates(self.work.parents["splits"]))

    def soft_target(self) -> Guard:
        table = read_annotated_triplets(self.work.parents["annotations"], "annotation_id", "soft_targets")
        accepted = {
            f"annotated/{row['annotation_id']}": [name for name, score in row["soft_targets"] if score > 0]
            for row in table.to_pylist()
        }
        return guards.soft_target(self.training, accepted)

    def look_alike(self) -> Guard:
        targets_TD, settings = self.vectors[self.targets], self.settings
        if settings.look_alike_above == "quantile":
            threshold = similarity_threshold(targets_TD, self.vectors, settings.look_alike_quantile)
        else:
            threshold = upper_fence(targets_TD, self.vectors, settings.look_alike_whisker)
        self.work.draft.details["look_alike_cosine"] = round(threshold, 4)
        above = rows_above(targets_TD, self.vectors, threshold)
        return guards.look_alike(self.training, dict(zip(self.targets.tolist(), above, strict=True)))

    def judge(self) -> Guard:
        # The target and the reference are among the nearest, and are not asked about.
        count = self.settings.judged_per_triplet + 2
        nearest = nearest_candidates(self.vectors[self.targets], self.vectors, count)
        neighbours = dict(zip(self.targets.tolist(), nearest, strict=True))
        return guards.judged(judge_candidates(self.work, self.training, neighbours))

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        return candidate_vectors(self.work.parents["image_embeddings"], self.training.candidate_ids)


def candidate_vectors(embeddings: Artifact, candidate_ids: Sequence[str]) -> npt.NDArray[np.float32]:
    """The candidates' vectors (N, D), in their order, rounded for exact comparison.

    Raises:
        InputError: a candidate has no vector.
    """
    embedded = read_embeddings(embeddings)
    row_of = embedded.row_of
    missing = [name for name in candidate_ids if name not in row_of]
    if missing:
        raise InputError(
            f"{len(missing)} candidates have no image embedding, the first is {missing[0]!r}; "
            "materialise image_embeddings again, or leave look_alike and judge out of false_negatives.guards"
        )
    return on_grid(embedded.vectors_ND[[row_of[name] for name in candidate_ids]])


def judge_weights(tables: FalseNegativesInput, store: Store) -> Any:
    """What the stage reads from outside the store: the weights of the judge, if it is asked."""
    settings = tables.false_negatives
    if settings.judge is None or "judge" not in settings.guards:
        return None
    return settings.judge.fingerprint(image_files(tables.images, store))
