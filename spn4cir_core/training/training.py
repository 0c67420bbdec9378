"""What a stage of training is: data for the one loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.backbones.base import Backbone, Network
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.objectives.base import Objective
from spn4cir_core.training.settings import Schedule
from spn4cir_core.training.target_encoders import FollowingTarget
from spn4cir_core.training.triplet_batches import NotNegatives, TrainingTriplets
from spn4cir_core.training.validation import Validation

if TYPE_CHECKING:
    from torch import nn


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
    """With its starting weights."""
    temperature: float
    """To start from."""
    frozen: Sequence[nn.Module | nn.Parameter]
    triplets: TrainingTriplets
    inputs: np.ndarray
    """(N, …) image inputs of the candidate set."""
    bank_ND: np.ndarray | None
    """Frozen candidate vectors; without a bank the targets are encoded, with gradients, at each step."""
    not_negatives: NotNegatives
    validation: Validation | None = None
    target: FollowingTarget | None = None
    """How the target encoder of the bank moves; None: it is frozen, or there is no bank."""
    candidate_inputs: np.ndarray | None = None
    """(N, …) image inputs to embed the bank anew from, where ``inputs`` are features that stand for pictures."""
    processes: Processes = ALONE
