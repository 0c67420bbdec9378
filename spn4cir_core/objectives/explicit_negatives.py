"""What people called wrong answers of a query, each query against its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import EXPLICIT_ROWS, Batch, Objective
from spn4cir_core.objectives.negatives import info_nce, positives, scores_with

if TYPE_CHECKING:
    from torch import Tensor


class ExplicitNegatives(Objective):
    """``−log e^{s⁺/τ} / (e^{s⁺/τ} + Σ e^{s_j/τ})`` over the images that people judged to be wrong answers.

    InfoNCE (van den Oord et al. 2018) of a handful of negatives: beside ``bank`` in a ``mixture``, its weight says how
    much more such an image counts than the thousands that nobody looked at. A triplet without a judged wrong hit adds
    nothing. Wrong hits are hard by themselves: a model showed them.
    Helps where judges are careful. Hurts where they call wrong what is right.
    """

    plugin_kind: ClassVar[str] = "explicit_negatives"

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({EXPLICIT_ROWS})

    @override
    def loss(self, batch: Batch) -> Tensor:
        """() loss: the weighted mean over the batch.

        Raises:
            RecipeError: there is no bank, as in stage 1.
        """
        if batch.bank_ND is None:
            raise RecipeError("objective 'explicit_negatives' needs a candidate bank, which only stage 2 has")
        rows_BK = batch.output(EXPLICIT_ROWS)
        scores_BK = scores_with(batch.queries_BD, batch.bank_ND, rows_BK.clamp_min(0))
        return batch.mean(info_nce(positives(batch), scores_BK, rows_BK >= 0, batch.temperature))
