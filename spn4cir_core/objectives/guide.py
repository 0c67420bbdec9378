"""InfoNCE without the candidates that a guide holds for right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import START_QUERIES, Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.objectives.hard_rows import Refuse

GuideName = Literal["targets", "start_queries"]


class Guide(AgainstNegatives):
    """InfoNCE without the candidates with ``g_j > g⁺ − margin``, g being a guide's similarity.

    Source: GISTEmbed (Solatorio 2024; margins 0 to 0.1). ``by = "targets"``: how near a candidate is to the target, so
    g⁺ = 1; in stage 2 both are frozen. ``by = "start_queries"``: the scores of the queries by the weights that the
    stage started from, GISTEmbed's own form with the model's past as its guide.
    Helps where near pairs make near-duplicates of the target common. Hurts where the wanted difference is small: the
    target and the images to tell it from then look alike, and are excluded. In stage 1 from scratch the
    guide is the untrained model itself; prefer the ``false_negatives`` guards, which see other embeddings.
    """

    plugin_kind: ClassVar[str] = "guide"

    by: GuideName = "targets"
    """The guide: similarity to the target, or the stage's starting queries."""
    margin: float = Field(default=0.1, ge=0, le=2)
    """Difference of cosines below g⁺ from which a candidate is excluded."""

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({START_QUERIES}) if self.by == "start_queries" else frozenset()

    @override
    def refuse(self, batch: Batch, positive_B: Tensor) -> Refuse:
        from spn4cir_core.objectives.similarity import similarities

        guides_BD, agreed_B = guides(batch, self.by)
        ceiling_B1 = agreed_B[:, None] - self.margin
        return lambda scores_BC, block: similarities(guides_BD, block) > ceiling_B1

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        return info_nce(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)


def guides(batch: Batch, by: GuideName) -> tuple[Tensor, Tensor]:
    """(B, D) vectors by which a guide scores candidates, and (B,) their cosines with the targets; without gradients.

    A target of several tokens is represented by their mean direction.
    """
    from torch.nn.functional import normalize

    from spn4cir_core.objectives.similarity import nearest_tokens

    targets_BD = batch.targets_BD.detach()
    if by == "targets":
        guides_BD = targets_BD if targets_BD.ndim == 2 else normalize(targets_BD.mean(dim=1), dim=-1)
    else:
        guides_BD = batch.output(START_QUERIES)
    return guides_BD, (guides_BD * nearest_tokens(guides_BD, targets_BD)).sum(dim=1)
