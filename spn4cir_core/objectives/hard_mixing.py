"""Hard negatives mixed into harder ones that no image has."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.objectives.base import Batch
from spn4cir_core.objectives.negatives import FAR, AgainstNegatives, Negatives, info_nce

if TYPE_CHECKING:
    from torch import Tensor


class HardMixing(AgainstNegatives):
    """InfoNCE over the negatives and ``norm(a nᵢ + (1 − a) nⱼ)``, ``norm(b q + (1 − b) n)`` of the hardest of them.

    a is uniform in (0, 1), b in (0, 0.5); mixtures take no gradient themselves.
    Source: MoCHi (Kalantidis et al. 2020); KaLM-Embedding-V2 mixes two. Helps where the bank or batch is small and its
    hardest negatives are still easy. Hurts where the hardest are false negatives, since a mixture of two right answers
    is one as well; so it is not a default, and needs false-negative guards.
    """

    plugin_kind: ClassVar[str] = "hard_mixing"

    hardest: int = Field(default=64, ge=2)
    """Negatives that are mixed, of each query."""
    mixtures: int = Field(default=32, ge=0)
    """Mixtures of two negatives, of each query."""
    with_query: int = Field(default=0, ge=0)
    """Mixtures of a negative and the query."""

    @override
    def losses(self, batch: Batch, negatives: Negatives) -> Tensor:
        import torch

        with torch.no_grad():
            made_BMD, live_BM = self._mixtures(batch, negatives)
        made_BM = (made_BMD @ batch.queries_BD[:, :, None]).squeeze(2)
        scores = torch.cat([negatives.scores_BK, made_BM], dim=1)
        live = torch.cat([negatives.live_BK, live_BM], dim=1)
        return info_nce(negatives.positive_B, scores, live, batch.temperature)

    def _mixtures(self, batch: Batch, negatives: Negatives) -> tuple[Tensor, Tensor]:
        """(B, M, D) mixtures, and whether there were negatives to mix. Draws are of ranks and the same for all queries,
        so the order of the batch plays no part.
        """
        import torch
        from torch.nn.functional import normalize

        queries_BD = batch.queries_BD.detach()
        count_B1 = negatives.live_BK.sum(dim=1, keepdim=True).clamp(max=self.hardest)
        draws = torch.Generator().manual_seed(batch.step)
        made = self.mixtures + self.with_query
        picks = torch.rand(2, made, generator=draws).to(queries_BD.device)
        shares = torch.rand(made, generator=draws).to(queries_BD.device, queries_BD.dtype)
        one_BMD = _at_ranks(queries_BD, negatives, (picks[0] * count_B1).long())
        two_BMD = _at_ranks(queries_BD, negatives, (picks[1] * count_B1).long())
        two_BMD[:, self.mixtures :] = queries_BD[:, None, :]
        shares[self.mixtures :] = 1 - shares[self.mixtures :] / 2
        mixed_BMD = shares[:, None] * one_BMD + (1 - shares[:, None]) * two_BMD
        return normalize(mixed_BMD, dim=-1), (count_B1 > 0).expand(-1, made)


def _at_ranks(queries_BD: Tensor, negatives: Negatives, ranks_BM: Tensor) -> Tensor:
    """(B, M, D) vectors of each query's negatives by their rank, hardest first."""
    from spn4cir_core.objectives.hard_rows import vectors_at

    scores_BK = negatives.scores_BK.detach().masked_fill(~negatives.live_BK, FAR)
    columns_BM = scores_BK.argsort(dim=1, descending=True, stable=True).gather(1, ranks_BM)
    rows_BM = columns_BM if negatives.rows_BK is None else negatives.rows_BK.gather(1, columns_BM)
    return vectors_at(queries_BD, negatives.pool.detach(), rows_BM)
