"""InfoNCE over the candidates that score clearly less than the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.hard_rows import Refuse


class PositiveMargin(AgainstNegatives):
    """InfoNCE over candidates whose score lies a margin below the target's.

    ``rule = "percent"``: ``s_j ≤ (1 − margin) · s⁺`` (TopK-PercPos; of a target with a negative score the ceiling is as
    far below it). ``rule = "absolute"``: ``s_j ≤ s⁺ − margin``.
    Source: NV-Retriever (Moreira et al. 2024; 95 % of the positive, at most 10 negatives a query), where a teacher
    mines once; here the model as it is decides at each step.
    Helps where near candidates are often right answers. Hurts where the model still ranks targets low: it then never
    sees the candidates that beat them, and the margin wants calibrating to the model's scores.
    """

    plugin_kind: ClassVar[str] = "positive_margin"

    rule: Literal["percent", "absolute"] = "percent"
    """Whether the margin is a share of the target's score or a difference of cosines."""
    margin: float = Field(default=0.05, ge=0)
    """How much less than the target a negative must score."""

    @override
    def refuse(self, batch: Batch, positive_B: Tensor) -> Refuse:
        gap_B = positive_B.abs() * self.margin if self.rule == "percent" else self.margin
        ceiling_B1 = (positive_B - gap_B)[:, None]
        return lambda scores_BC, block: scores_BC > ceiling_B1

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        return info_nce(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)
