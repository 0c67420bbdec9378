"""Smaller galleries: what always stays, what is drawn, and that the order of models stays too."""

from __future__ import annotations

import numpy as np

from spn4cir_core.embeddings.vectors import Embeddings
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.gallery_sample import NEAREST, sampled
from spn4cir_core.evaluation.ranks import best_ranks

IDS = tuple(f"{number:04d}" for number in range(600))


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(len(IDS), 12)).astype(np.float32)
    units: np.ndarray = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return units


def query_set(**more: object) -> QuerySet:
    queries = tuple(
        Query(f"q{number}", IDS[number], "red", (IDS[300 + number],), negative_ids=(IDS[599],)) for number in range(5)
    )
    return QuerySet("set", "Protocol.", queries, IDS, True, True, **more)  # type: ignore[arg-type]


def test_answers_references_negatives_and_look_alikes_stay() -> None:
    embeddings = Embeddings(list(IDS), vectors())
    small = sampled(query_set(), 300, embeddings, 0)
    assert len(small.gallery_ids) == 300 and small.gallery_ids == tuple(sorted(small.gallery_ids))
    left = set(small.gallery_ids)
    for query in small.queries:
        assert {*query.reference_ids, *query.target_ids, *query.negative_ids} <= left
        for anchor in (query.reference_id, query.target_ids[0]):
            scores = vectors() @ vectors()[IDS.index(anchor)]
            assert {IDS[row] for row in np.argsort(-scores)[: NEAREST + 1]} <= left
    assert "300 of the 600 images are ranked" in small.protocol
    assert small.gallery_fingerprint != query_set().gallery_fingerprint


def test_the_seed_draws_and_a_small_gallery_stays_whole() -> None:
    embeddings = Embeddings(list(IDS), vectors())
    one, again, other = (sampled(query_set(), 300, embeddings, seed).gallery_ids for seed in (0, 0, 1))
    assert one == again != other
    assert sampled(query_set(), 600, embeddings, 0).gallery_ids == IDS


def test_what_must_stay_may_be_more_than_the_size_and_parts_are_cut_alike() -> None:
    embeddings = Embeddings(list(IDS[:590]), vectors()[:590])  # some images have no vector
    small = sampled(query_set(galleries={"part": IDS[:350]}), 10, embeddings, 0)
    assert 11 <= len(small.gallery_ids) < 300
    assert set(small.galleries["part"]) == set(small.gallery_ids) & set(IDS[:350])


def test_the_order_of_models_is_that_of_the_whole_gallery() -> None:
    """Five models whose queries are the target's vector with more and more noise."""
    images_ND = vectors()
    queries = tuple(Query(f"q{n}", IDS[n], "red", (IDS[n + 1],)) for n in range(0, 200, 2))
    whole = QuerySet("set", "Protocol.", queries, IDS, True, True)
    small = sampled(whole, 450, Embeddings(list(IDS), images_ND), 0)
    recalls = []
    for made in (whole, small):
        rows = [IDS.index(image_id) for image_id in made.gallery_ids]
        targets = [[made.gallery_ids.index(query.target_ids[0])] for query in queries]
        aims_QD = images_ND[[IDS.index(query.target_ids[0]) for query in queries]]
        noises = [np.random.default_rng(7).normal(size=aims_QD.shape) * spread for spread in (0.1, 0.2, 0.3, 0.5, 0.9)]
        ranks = [best_ranks((aims_QD + noise).astype(np.float32), images_ND[rows], targets) for noise in noises]
        recalls.append([float((one < 1).mean()) for one in ranks])
    assert np.argsort(recalls[0]).tolist() == np.argsort(recalls[1]).tolist()
    assert all(inside >= outside for outside, inside in zip(*recalls, strict=True))
