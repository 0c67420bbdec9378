"""Softmax over the hardest negatives alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor


class Nearest(AgainstNegatives):
    """InfoNCE over the ``top_k`` negatives nearest to the query: ``−log e^{s⁺/τ} / (e^{s⁺/τ} + Σ_top e^{sⱼ/τ})``.

    Source: ADORE (Zhan et al. 2021): with the target side frozen, negatives retrieved live from the bank are exact.
    Helps where a bank is so large that the mass of its far candidates drowns the near ones. Hurts where false
    negatives are not excluded: the nearest candidates are those most likely to be right. Over a small bank it does
    what ``bank`` does, which is exact and faster.
    """

    plugin_kind: ClassVar[str] = "nearest"

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        return info_nce(negatives.positive_B, negatives.scores_BK, negatives.live_BK, batch.temperature)
