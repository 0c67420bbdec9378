from __future__ import annotations

import numpy as np
import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.objectives.base import OBJECTIVES
from spn4cir_core.objectives.in_batch import InBatch
from spn4cir_core.objectives.prompt_alignment import PromptAlignment
from tests.objectives.examples import example, slow_info_nce, slow_scores, weighted


def test_it_is_three_terms_by_their_weights() -> None:
    batch = example(1).batch()
    of_queries = [slow_info_nce(slow.positive, [*slow.negatives.values()]) for slow in slow_scores(batch)]
    texts = example(1).batch(queries_BD=batch.output("prompt_text_queries"))
    of_texts = [slow_info_nce(slow.positive, [*slow.negatives.values()]) for slow in slow_scores(texts)]
    distances = batch.output("prompt_distances").tolist()
    losses = [one + 0.5 * two + 0.25 * far for one, two, far in zip(of_queries, of_texts, distances, strict=True)]
    result = PromptAlignment(text_weight=0.5, alignment_weight=0.25).loss(batch)
    assert result.item() == pytest.approx(weighted(batch, losses))


def test_without_the_terms_it_is_the_objective_it_is_put_on() -> None:
    batch = example(1).batch()
    plain = PromptAlignment(text_weight=0, alignment_weight=0, of=InBatch(direction="both"))
    assert plain.loss(batch).item() == pytest.approx(InBatch(direction="both").loss(batch).item())
    assert np.isfinite(PromptAlignment().loss(batch).item())


def test_a_mixture_asks_for_the_views_and_a_backbone_without_prompts_says_so() -> None:
    mixture = OBJECTIVES.build({"kind": "mixture", "parts": [{"kind": "prompt_alignment"}, {"kind": "hinge"}]})
    assert mixture.needs == {"prompt_text_queries", "prompt_distances"}
    assert not OBJECTIVES.build({"kind": "in_batch"}).needs
    with pytest.raises(RecipeError, match="reads the output 'prompt_text_queries', and the batch has none"):
        PromptAlignment().loss(example(1).batch(outputs={}))
