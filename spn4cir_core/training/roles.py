"""The models of a recipe and the roles they play: the one table that everything about models reads.

Reports, plots, search, checks, ablations and the command line go through :data:`ROLES`. A new model is one entry here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

TrainedName = Literal["stage1", "control", "stage2"]
"""How the command line names a trained network."""
LAST_TRAINED: TrainedName = "stage2"
ModelName = Literal["stage1", "control", "stage2", "blend"]
"""How tables, the command line and the API name what answers queries."""


@dataclass(frozen=True)
class ModelRole:
    """One model, and how people read of it."""

    name: ModelName
    artifact: str
    """The stage whose artefact holds its weights."""
    subject: str
    """The difference from the models that it is compared with; begins a sentence."""
    label: str
    """Its name inside a sentence, a column or a legend."""
    title: str
    """Its name as a heading."""
    colours: tuple[str, str]
    """Colours of its lines in plots, on light and on dark paper; CSS hex."""
    baseline: str
    """What it is when another model is compared with it: the words after "higher than"."""
    compared_with: tuple[ModelName, ...] = ()
    """The models whose recall is subtracted from this one's, the strictest comparison first."""


STAGE1 = ModelRole(
    name="stage1",
    artifact="stage1_checkpoint",
    label="stage 1",
    title="Stage 1",
    colours=("#6b7a90", "#a4b1c4"),
    subject="Training with in-batch negatives",
    baseline="where stage 1 ended",
)
CONTROL = ModelRole(
    name="control",
    artifact="control_checkpoint",
    label="control",
    title="Control: stage 1 longer",
    colours=("#b26a00", "#f0a63c"),
    subject="Training stage 1 longer",
    baseline="the same network trained on without it for as many steps",
)
STAGE2 = ModelRole(
    name="stage2",
    artifact="stage2_checkpoint",
    label="stage 2",
    title="Stage 2",
    colours=("#1a56a6", "#82b4ff"),
    subject="Training against the whole candidate set",
    baseline="stage 2 alone",
    compared_with=("control", "stage1"),
)
BLEND = ModelRole(
    name="blend",
    artifact="blend",
    label="blend",
    title="Blend of channels",
    colours=("#00798c", "#4fd3e4"),
    subject="Blending all channels",
    baseline="the blend of channels",
    compared_with=("stage2", "control", "stage1"),
)
TRAINED: dict[str, ModelRole] = {role.name: role for role in (STAGE1, CONTROL, STAGE2)}
"""Models that are one trained network, in the order in which they are trained."""
ROLES: dict[str, ModelRole] = {**TRAINED, BLEND.name: BLEND}
SERVED = BLEND
"""What search serves and headlines speak of."""


def served_among(models: Iterable[str]) -> ModelRole:
    """The role that a headline speaks of: published protocols may have been asked of trained networks only."""
    return SERVED if SERVED.name in models else STAGE2
