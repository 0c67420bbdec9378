"""The inputs of one stage of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.objectives.base import Objective
from spn4cir_core.training.settings import FollowingTarget, Schedule
from spn4cir_core.training.triplet_batches import FalseNegatives, TrainingTriplets
from spn4cir_core.training.validation import Validation

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Bank:
    """The N candidates that stage 2 trains against."""

    vectors_ND: np.ndarray
    """(N, D) or (N, T, D) vectors by stage 1's target encoder."""
    following: FollowingTarget | None
    """How the target encoder moves and embeds them again; None: it is frozen."""
    candidate_inputs: np.ndarray
    """(N, …) image inputs to embed them again from."""


@dataclass(frozen=True)
class JudgedCandidates:
    """K hard candidates of each of the T triplets, scored by a reranker."""

    rows_TK: np.ndarray
    """int64 candidate rows."""
    scores_TL: np.ndarray
    """(T, 1 + K) float32, the target's first; NaN where there is none."""


@dataclass(frozen=True)
class Training:
    """One stage of training."""

    name: str
    """Decides, with the seed, the order of the triplets and their texts."""
    seed: int
    steps: int
    schedule: Schedule
    objective: Objective
    backbone: Backbone
    network: Network
    """The network, with its starting weights."""
    temperature: float
    """τ at the start."""
    frozen: Sequence[nn.Module | nn.Parameter]
    triplets: TrainingTriplets
    inputs: np.ndarray
    """(N, …) image inputs of the candidate set."""
    bank: Bank | None
    """None: the targets are encoded, with gradients, at each step."""
    false_negatives: FalseNegatives
    validation: Validation | None = None
    judged: JudgedCandidates | None = None
    explicit_rows_TK: np.ndarray | None = None
    """(T, K) int64 rows of the bank that people called wrong answers of each triplet, -1 where it has fewer; None where
    the objective does not read them."""
    """What a reranker thinks of the hardest candidates, where the objective reads it."""
    swapped_texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Texts with one word swapped by text, where the objective reads their queries."""
    processes: Processes = ALONE

    @property
    def keeps_best(self) -> bool:
        """Whether the checkpoint holds the best validated weights; without queries it holds the last ones."""
        return self.validation is not None and self.schedule.validation.keeps_best
