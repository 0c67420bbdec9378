"""The trained models of a recipe and the roles they play: the one table that everything about models reads.

Reports, plots, search, checks, ablations and the command line go through :data:`ROLES`. A new model is one entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelName = Literal["stage1", "control", "stage2"]
"""How tables, the command line and the API name a model."""


@dataclass(frozen=True)
class ModelRole:
    """One model, and how people read of it."""

    name: ModelName
    artifact: str
    """The stage whose artefact holds its weights."""
    label: str
    """Inside a sentence, a column or a legend."""
    title: str
    """As a heading."""
    colours: tuple[str, str]
    """Of its lines in plots, on light and on dark paper; CSS hex."""
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
    baseline="where stage 1 ended",
)
CONTROL = ModelRole(
    name="control",
    artifact="control_checkpoint",
    label="control",
    title="Control: stage 1 longer",
    colours=("#b26a00", "#f0a63c"),
    baseline="the same network trained on without it for as many steps",
)
STAGE2 = ModelRole(
    name="stage2",
    artifact="stage2_checkpoint",
    label="stage 2",
    title="Stage 2",
    colours=("#1a56a6", "#82b4ff"),
    baseline="where stage 2 ended",
    compared_with=("control", "stage1"),
)
ROLES: dict[str, ModelRole] = {role.name: role for role in (STAGE1, CONTROL, STAGE2)}
"""In the order in which they are trained."""
SERVED = STAGE2
"""The model that search serves and that headlines speak of."""
