from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.lineage import Ancestors
from spn4cir_core.training.settings import ValidationSettings
from spn4cir_core.training.stages import READS_OF_TRIPLETS
from spn4cir_core.training.validation import (
    GAIN_AT_LEAST,
    RECALLS,
    Validation,
    better_of,
    gain_at_least,
    out_of_patience,
    ranks_of,
    score_of,
)
from spn4cir_core.training.validation_queries import read_validation

World = Callable[..., tuple[Recipe, Store]]


def test_other_right_answers_are_not_in_the_ranking() -> None:
    gallery = torch.eye(4)[[0, 1, 1, 2]]
    queries = torch.tensor([[0.1, 0.9, 0.2, 0.0]])
    ranks = [ranks_of(queries, gallery, np.array([3]), [np.array(rows)]) for rows in ([0], [0, 1], [0, 1, 2])]
    assert [int(rank[0]) for rank in ranks] == [2, 1, 0]


def line(step: int, *recalls: float) -> dict[str, Any]:
    return {"step": step, **dict(zip(RECALLS, recalls, strict=False))}


def test_ranks_count_what_stands_before_the_target_without_the_reference() -> None:
    random = np.random.default_rng(0)
    queries, gallery = random.standard_normal((9, 4)), random.standard_normal((12, 3, 4))
    gallery[5] = gallery[7]
    targets, references = random.integers(0, 12, 9), np.zeros(9, np.int64)
    targets[targets == 0], targets[0] = 1, 5
    ranks = ranks_of(torch.tensor(queries), torch.tensor(gallery), targets, list(references[:, None]))
    for query in range(9):
        scores = [max(float(queries[query] @ token) for token in image) for image in gallery]
        others = [score for image, score in enumerate(scores) if image not in (references[query], targets[query])]
        own = scores[targets[query]]
        ties = sum(abs(score - own) < 1e-12 for score in others)
        assert ranks[query] == sum(score > own + 1e-12 for score in others) + (ties + 1) // 2


def test_the_best_step_is_the_earliest_of_the_highest_mean_recall() -> None:
    metrics = [line(1), line(2, 0.1, 0.3, 0.5), line(3, 0.3, 0.3, 0.3), line(4, 0.0, 0.1, 0.5)]
    assert score_of(metrics[0]) is None and score_of(metrics[1]) == pytest.approx(0.3)
    best = better_of(metrics)
    assert best is not None and best["step"] == 2 and better_of(metrics[:1]) is None
    assert out_of_patience(metrics, 2) and not out_of_patience(metrics, 3) and not out_of_patience(metrics, None)
    assert not out_of_patience([], 1)


def test_the_start_stays_where_the_gain_is_less_than_asked() -> None:
    start, better = line(0, 0.3, 0.3, 0.3), line(1, 0.4, 0.3, 0.3)
    assert better_of([start, better], 0.03) is better and better_of([start, better], 0.04) is start
    assert better_of([start], 0.04) is start and better_of([{"step": 0}], 0.04) is None


def test_the_start_stays_where_the_gain_may_be_chance() -> None:
    start = line(0, 0.3, 0.3, 0.3) | {GAIN_AT_LEAST: 0.0}
    lucky, better = (line(step, *recalls) for step, recalls in ((1, (0.5, 0.5, 0.5)), (2, (0.4, 0.4, 0.4))))
    lucky, better = lucky | {GAIN_AT_LEAST: -0.01}, better | {GAIN_AT_LEAST: 0.02}
    assert better_of([start, lucky]) is start and better_of([start, lucky, better]) is better
    assert better_of([start, lucky, better], 0.2) is start
    assert out_of_patience([start, lucky, better], 1) and not out_of_patience([start, lucky], 1)


def test_the_least_gain_is_that_of_paired_queries_and_of_reference_images_taken_as_one() -> None:
    random = np.random.default_rng(0)
    start_Q = random.integers(0, 20, 4000)
    ranks_Q = np.where(random.random(4000) < 0.2, start_Q // 2, start_Q)
    gain_Q = np.mean([(ranks_Q < k) - (start_Q < k).astype(float) for k in (1, 5, 10)], axis=0)
    drawn = [gain_Q[random.integers(4000, size=4000)].mean() for _ in range(2000)]
    alone = gain_at_least(start_Q, ranks_Q, np.arange(4000))
    assert alone == pytest.approx(np.quantile(drawn, 0.025), abs=0.1 * gain_Q.mean())
    assert gain_at_least(start_Q, start_Q, np.arange(4000)) == 0
    four_times = gain_at_least(*(np.tile(values, 4) for values in (start_Q, ranks_Q, np.arange(4000))))
    assert four_times == pytest.approx(alone), "repeated queries say nothing new"
    assert gain_at_least(start_Q[:1], ranks_Q[:1], np.zeros(1)) == gain_Q[0]


def test_recalls_of_a_network_are_those_of_its_vectors(world: World) -> None:
    recipe, store = world(validation=6)
    triplets = store.current("tiny", "triplets")
    assert triplets is not None
    settings = ValidationSettings(every_steps=1)
    read = read_validation(settings, triplets, Ancestors(store, {"triplets": triplets}, READS_OF_TRIPLETS), 0)
    network: Any = recipe.stage1_checkpoint.backbone.build(["make it red"], 0)
    network.eval()
    pictures = np.random.default_rng(0).integers(0, 255, (4, 3, 48, 48)).astype(np.uint8)
    recalls = Validation(settings, read, pictures).recalls(network, torch.device("cpu"), nullcontext())
    with torch.no_grad():
        gallery = network.encode_target(torch.from_numpy(pictures))
        queries = network.encode_query(torch.from_numpy(pictures[read.references]), network.tokenize(read.texts))
    ranks = ranks_of(queries, gallery, read.targets, read.excluded)
    assert recalls == {name: (ranks < k).mean() for name, k in zip(RECALLS, (1, 5, 10), strict=True)}
    assert not network.training
    paired = Validation(settings.model_copy(update={"beyond_chance": True}), read, pictures)
    first = paired.recalls(network, torch.device("cpu"), nullcontext())
    assert first == recalls | {GAIN_AT_LEAST: 0.0} and tuple(first) == paired.measures
    other: Any = recipe.stage1_checkpoint.backbone.build(["make it red"], 1)
    after = paired.ranks(other.eval(), torch.device("cpu"), nullcontext())
    least = paired.recalls(other, torch.device("cpu"), nullcontext())[GAIN_AT_LEAST]
    assert least == gain_at_least(ranks, after, read.references)
