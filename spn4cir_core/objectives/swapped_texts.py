"""The same reference with one word of the text swapped must not find the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from spn4cir_core.objectives.base import SWAPPED_QUERIES, Batch, Objective
from spn4cir_core.objectives.negatives import info_nce, positives
from spn4cir_core.objectives.similarity import nearest_tokens

if TYPE_CHECKING:
    from torch import Tensor


class SwappedTexts(Objective):
    """``−log e^{q(r,m)·t/τ} / (e^{q(r,m)·t/τ} + e^{q(r,m')·t/τ})``: m' is m with another colour, size, number, ….

    Source: hard negative captions of one changed attribute (NegCLIP, Yuksekgonul et al. 2023; HQ-CLIP 2025), here of
    the modified text: ``make it red`` becomes ``make it blue``. Each text has up to four, drawn once
    (:func:`~spn4cir_core.texts.swapped_words.swapped_texts`), of which a step takes one. A triplet whose text has no
    word to swap, or where the swapped text is one of its own, adds nothing. Meant for a ``mixture``, in either stage;
    costs one more pass of the query encoder.
    Helps models that read a text as a bag of its words' topics. Hurts where swapped texts still fit the target.
    """

    plugin_kind: ClassVar[str] = "swapped_texts"

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({SWAPPED_QUERIES})

    @override
    def loss(self, batch: Batch) -> Tensor:
        queries_BD = batch.output(SWAPPED_QUERIES)
        is_swapped_B1 = queries_BD.detach().abs().amax(dim=1, keepdim=True) > 0
        scores_B1 = (queries_BD * nearest_tokens(queries_BD, batch.targets_BD)).sum(dim=1, keepdim=True)
        return batch.mean(info_nce(positives(batch), scores_B1, is_swapped_B1, batch.temperature))
