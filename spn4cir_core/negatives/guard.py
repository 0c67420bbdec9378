"""What every guard is: it finds the false negatives of each training triplet among the candidates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.engine.stage import Work
from spn4cir_core.errors import InputError
from spn4cir_core.negatives.look_alikes import nearest_candidates, round_for_exact_products
from spn4cir_core.negatives.rules import Rows, Rule, TrainingSet
from spn4cir_core.negatives.settings import FalseNegativeSettings, FalseNegativesInput
from spn4cir_core.store.artifacts import Artifact


class GuardContext:
    """What guards are prepared from: the training triplets and candidates, the settings and the parent artefacts."""

    def __init__(self, work: Work[FalseNegativesInput], training: TrainingSet) -> None:
        self.work, self.training = work, training
        rows = training.candidate_rows()
        self.target_rows: Rows = np.unique([rows[name] for name in training.target_ids])
        """Candidate rows that are the target of a training triplet, each once."""

    @property
    def settings(self) -> FalseNegativeSettings:
        """The table of the recipe."""
        return self.work.settings.false_negatives

    @property
    def parents(self) -> Mapping[str, Artifact]:
        """The artefacts that the stage reads: annotations, triplets, splits, image_embeddings."""
        return self.work.parents

    @cached_property
    def vectors_ND(self) -> npt.NDArray[np.float32]:
        """Embeddings of the candidates, in their order, rounded so that products are exact.

        Raises:
            InputError: a candidate has no embedding.
        """
        return candidate_vectors(self.parents["image_embeddings"], self.training.candidate_ids)

    def nearest_to_targets(self, count: int) -> dict[int, Rows]:
        """The ``count`` candidates nearest to each target, by the target's row."""
        nearest = nearest_candidates(self.vectors_ND[self.target_rows], self.vectors_ND, count)
        return dict(zip(self.target_rows.tolist(), nearest, strict=True))


class Guard(Plugin):
    """Names candidates that may also be correct answers of a triplet. Settings of its own are fields."""

    requires_judge: ClassVar[bool] = False
    """Whether a recipe that names it needs a table ``[false_negatives.judge]``."""

    @abstractmethod
    def prepare(self, context: GuardContext) -> Rule:
        """Read what the guard needs, once, and return the function from a triplet's row to sorted candidate rows.

        Raises:
            InputError: a candidate has no embedding, or the judge cannot be used.
        """


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
    return round_for_exact_products(embedded.vectors_ND[[row_of[name] for name in candidate_ids]])
