from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.encode import encode_gallery, encode_queries, same_target_encoder
from spn4cir_core.evaluation.measure import HITS, Answers, ModelVectors, ask
from spn4cir_core.evaluation.recall import average_precision
from spn4cir_core.evaluation.tables import tables
from spn4cir_core.training.checkpoints import Checkpoint

IDS = [f"i{number:02d}" for number in range(30)]
INPUTS = np.random.default_rng(0).integers(0, 255, (30, 3, 16, 16)).astype(np.uint8)


def checkpoint(seed: int) -> Checkpoint:
    backbone = Small(dim=16, image_px=16)
    network = backbone.build(["make it red", "make it blue"], seed)
    network.eval()  # type: ignore[attr-defined]
    return Checkpoint(backbone, network, 0.05)


def query_set(remove_reference: bool = True) -> QuerySet:
    queries = tuple(
        Query(
            f"q{row}",
            IDS[row],
            "make it red" if row % 2 else "make it blue",
            (IDS[(row + 7) % 30], IDS[(row + 9) % 30]),
            "odd" if row % 2 else "even",
        )
        for row in range(20)
    )
    return QuerySet("set", "protocol", queries, tuple(IDS), remove_reference, True)


def inputs_of(made: Checkpoint, image_ids: Sequence[str]) -> np.ndarray:
    return INPUTS[[IDS.index(image_id) for image_id in image_ids]]


@pytest.mark.parametrize("remove_reference", [True, False])
def test_answers_equal_a_slow_loop(remove_reference: bool) -> None:
    import torch

    made = checkpoint(0)
    (answers,) = ask({"stage1": lambda: made}, [query_set(remove_reference)], inputs_of, silent)
    gallery = encode_gallery(made.network, INPUTS)
    for row, query in enumerate(answers.query_set.queries):
        image = torch.from_numpy(INPUTS[[IDS.index(query.reference_id)]])
        tokens = made.network.tokenize([query.modified_text])
        with torch.inference_mode():
            vectors = {
                "composed": made.network.encode_query(image, tokens).numpy()[0],
                "image": made.network.encode_query(image, None).numpy()[0],
                "text": made.network.encode_query(None, tokens).numpy()[0],
            }
        vectors["sum"] = vectors["image"] + vectors["text"]
        for mode, vector in vectors.items():
            ranking = [IDS[gallery_row] for gallery_row in np.argsort(-(gallery @ vector), kind="stable")]
            if remove_reference:
                ranking.remove(query.reference_id)
            places = sorted(ranking.index(target) for target in query.target_ids)
            assert answers.ranks["stage1", mode][row] == places[0], (row, mode)
            right = np.isin(ranking[:HITS], query.target_ids)
            assert answers.precision["stage1", mode][row, 0] == pytest.approx(average_precision(right, 2))


def test_one_network_under_two_names_is_asked_once() -> None:
    loads: list[str] = []

    def load(name: str, seed: int) -> Checkpoint:
        loads.append(name)
        return checkpoint(seed)

    models = {name: partial(load, name, seed) for name, seed in (("stage1", 0), ("control", 1), ("stage2", 0))}
    same_as = {"stage1": "stage2", "control": "control", "stage2": "stage2"}
    apart: dict[str, ModelVectors] = {}
    together: dict[str, ModelVectors] = {}
    (every,) = ask(models, [query_set()], inputs_of, silent, vectors_of=apart)
    assert loads == ["stage1", "control", "stage2"]
    (once,) = ask(models, [query_set()], inputs_of, silent, vectors_of=together, same_as=same_as)
    assert loads[3:] == ["control", "stage2"]
    assert once.ranks.keys() == every.ranks.keys() and together.keys() == apart.keys()
    for key, ranks in every.ranks.items():
        np.testing.assert_array_equal(once.ranks[key], ranks)
        np.testing.assert_array_equal(once.precision[key], every.precision[key])
        np.testing.assert_array_equal(once.hits[key], every.hits[key])


def test_queries_of_part_of_the_gallery_equal_a_slow_loop() -> None:
    parts = {"first": tuple(IDS[:12]), "last": tuple(IDS[8:])}
    queries = tuple(
        Query(f"q{row}", IDS[row], "make it red", (IDS[8 + row % 4],), "", ("first", "last")[row % 2])
        for row in range(20)
        if row not in (8, 9, 10, 11)
    )
    in_parts = QuerySet("set", "protocol", queries, tuple(IDS), True, True, galleries=parts, map_ks=(5, 10))
    made = checkpoint(0)
    (answers,) = ask({"stage1": lambda: made}, [in_parts], inputs_of, silent)
    gallery = encode_gallery(made.network, INPUTS)
    encoded = encode_queries(made.network, INPUTS, [IDS.index(q.reference_id) for q in queries], ["make it red"] * 16)
    for row, query in enumerate(answers.query_set.queries):
        scores = dict(zip(IDS, gallery @ encoded["composed"][row], strict=True))
        inside = [image_id for image_id in parts[query.gallery] if image_id != query.reference_id]
        ranking = sorted(inside, key=lambda image_id: -scores[image_id])
        assert answers.ranks["stage1", "composed"][row] == ranking.index(query.target_ids[0])
        assert [IDS[hit] for hit in answers.hits["stage1", "composed"][row] if hit >= 0] == ranking[:HITS]
        right = np.isin(ranking, query.target_ids)
        wanted = [average_precision(right[:k], 1) for k in (5, 10)]
        assert answers.precision["stage1", "composed"][row].tolist() == pytest.approx(wanted)
    table = tables([answers], (1,), 100, seed=0)
    assert set(table.ranks["gallery"].to_pylist()) == {11, 21}
    assert set(table.precision["k"].to_pylist()) == {5, 10}


def test_a_query_of_several_kinds_counts_in_each() -> None:
    plain = query_set()
    queries = tuple(replace(query, kind="even|odd") if row < 4 else query for row, query in enumerate(plain.queries))
    answers = Answers(replace(plain, queries=queries))
    for mode in ("composed", "image", "text", "sum"):
        answers.ranks["stage2", mode], answers.precision["stage2", mode] = np.arange(20), np.zeros((20, 1))
    counted = {row["kind"]: row["queries"] for row in tables([answers], (1,), 100, seed=0).recall.to_pylist()}
    assert counted == {"all": 20, "even": 12, "odd": 12}


def test_stage2_is_asked_with_its_own_query_encoder_and_the_shared_gallery() -> None:
    first, same, other = checkpoint(0), checkpoint(0), checkpoint(1)
    assert same_target_encoder(first.network, same.network)
    assert not same_target_encoder(first.network, other.network)
    models = {"stage1": lambda: first, "control": lambda: other, "stage2": lambda: same}
    (answers,) = ask(models, [query_set()], inputs_of, silent)
    assert np.array_equal(answers.ranks["stage1", "composed"], answers.ranks["stage2", "composed"])
    assert not np.array_equal(answers.ranks["stage1", "composed"], answers.ranks["control", "composed"])
    (alone,) = ask({"control": lambda: other}, [query_set()], inputs_of, silent)
    assert np.array_equal(alone.ranks["control", "composed"], answers.ranks["control", "composed"])


def test_sets_without_queries_are_left_out() -> None:
    empty = QuerySet("empty", "", (), tuple(IDS), True, True)
    assert ask({"stage1": lambda: checkpoint(0)}, [empty], inputs_of, silent) == []


@pytest.mark.parametrize(
    "query", [Query("q", "gone", "x", ("i01",)), Query("q", "i01", "x", ("gone",)), Query("q", "i01", "x", ("i01",))]
)
def test_a_query_outside_its_gallery_is_named(query: Query) -> None:
    wrong = QuerySet("wrong", "", (query,), tuple(IDS), True, True)
    with pytest.raises(InputError, match="'q'"):
        ask({"stage1": lambda: checkpoint(0)}, [wrong], inputs_of, silent)


def test_tables_equal_counts_by_hand() -> None:
    answers = Answers(query_set())
    ranks = {"stage2": np.arange(20), "control": np.arange(20) + 3, "stage1": np.full(20, 27)}
    for model, row in ranks.items():
        for mode in ("composed", "image", "text", "sum"):
            answers.ranks[model, mode] = row
            answers.precision[model, mode] = np.full((20, 1), 0.5)
    made = tables([answers], (1, 5), 200, seed=0)
    recall = {(row["kind"], row["model"], row["query"], row["k"]): row for row in made.recall.to_pylist()}
    assert recall["all", "stage2", "composed", 5]["recall"] == pytest.approx(5 / 20)
    assert recall["all", "control", "composed", 5]["recall"] == pytest.approx(2 / 20)
    assert recall["odd", "stage2", "composed", 5]["recall"] == pytest.approx(2 / 10)
    assert recall["even", "stage2", "composed", 5]["recall"] == pytest.approx(3 / 10)
    none = recall["all", "stage1", "composed", 5]
    assert none["low"] == none["recall"] == 0 < none["high"] < 0.5
    assert len(recall) == 3 * 3 * 4 * 2 == len(made.recall)
    assert all(row["low"] <= row["recall"] <= row["high"] for row in recall.values())
    (gain,) = [
        row
        for row in made.differences.to_pylist()
        if (row["kind"], row["minus_model"], row["k"]) == ("all", "control", 5)
    ]
    assert gain["difference"] == pytest.approx(3 / 20)
    assert 0 <= gain["low"] <= gain["difference"] <= gain["high"]
    assert len(made.ranks) == 20 * 3 * 4
    assert set(made.ranks["gallery"].to_pylist()) == {29}
    assert set(made.precision["mean_average_precision"].to_pylist()) == {0.5}


def test_a_query_of_weight_2_counts_as_the_same_query_twice() -> None:
    made = []
    for copies in (1, 2):
        plain = query_set()
        queries = [
            replace(query, query_id=f"{query.query_id}/{copy}", weight=1.0 if copies == 2 or number % 2 else 2.0)
            for number, query in enumerate(plain.queries)
            for copy in range(copies if number % 2 == 0 else 1)
        ]
        answers = Answers(replace(plain, queries=tuple(queries)))
        rows = np.array([int(query.query_id.split("/")[0].removeprefix("q")) for query in queries])
        for model, late in (("stage2", 0), ("control", 3), ("stage1", 6)):
            for mode in ("composed", "image", "text", "sum"):
                answers.ranks[model, mode] = np.arange(20)[rows] + late
                answers.precision[model, mode] = np.full((len(rows), 1), 0.5)
        made.append(tables([answers], (1, 5), 200, seed=0))
    weighted, repeated = made
    for one, other in zip(weighted.recall.to_pylist(), repeated.recall.to_pylist(), strict=True):
        assert (one["recall"], one["low"], one["high"]) == pytest.approx((other["recall"], other["low"], other["high"]))
    for name in ("differences", "composition"):
        for one, other in zip(getattr(weighted, name).to_pylist(), getattr(repeated, name).to_pylist(), strict=True):
            keys = ("difference", "low", "high", "p") if name == "differences" else ("composed", "best", "gap", "low")
            assert [one[key] for key in keys] == pytest.approx([other[key] for key in keys]), one


def test_composition_gap_and_gallery_sizes_by_hand() -> None:
    answers = Answers(query_set())
    ranks = {"composed": np.arange(20), "image": np.arange(20) + 2, "text": np.full(20, 27), "sum": np.arange(20) + 4}
    for mode, row in ranks.items():
        answers.ranks["stage2", mode], answers.precision["stage2", mode] = row, np.zeros((20, 1))
    made = tables([answers], (1, 10), 200, seed=0)
    (gap,) = [row for row in made.composition.to_pylist() if (row["kind"], row["k"]) == ("all", 10)]
    assert (gap["composed"], gap["best_query"], gap["best"]) == (10 / 20, "image", 8 / 20)
    assert gap["gap"] == pytest.approx(2 / 20)
    assert gap["low"] <= gap["gap"] <= gap["high"]
    text = {row["gallery"]: row["recall"] for row in made.gallery_sizes.to_pylist() if row["query"] == "text"}
    assert list(text) == [10, 20, 29]
    (against,) = [
        row
        for row in made.differences.to_pylist()
        if (row["kind"], row["minus_query"], row["k"]) == ("all", "text", 10)
    ]
    assert 1 / 201 <= against["p"] < 0.03  # ten queries won, none lost


def test_the_towers_see_a_reference_once_for_all_modes_and_queries() -> None:
    import torch
    from torch import nn

    class Counting(nn.Module):
        dim = 3

        def __init__(self) -> None:
            super().__init__()
            self.anchor, self.seen = nn.Parameter(torch.zeros(1)), 0

        def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
            return torch.tensor([[len(text)] for text in texts])

        def image_features(self, images: torch.Tensor) -> torch.Tensor:
            self.seen += len(images)
            return images.float() / 2

        def encode_query(self, images: torch.Tensor | None, tokens: torch.Tensor | None) -> torch.Tensor:
            assert images is None or images.is_floating_point(), "features stand for the pictures"
            parts = [part.float() for part in (images, tokens) if part is not None]
            return torch.stack([part.sum(dim=1) for part in parts]).sum(dim=0)[:, None].repeat(1, 3)

    network = Counting()
    references = np.arange(8, dtype=np.uint8).reshape(4, 2)
    texts = ["a", "bb", "", "cccc", "bb", "a"]
    encoded = encode_queries(network, references, [0, 1, 2, 3, 0, 3], texts)  # type: ignore[arg-type]
    assert network.seen == 4
    assert encoded["image"][:, 0].tolist() == [0.5, 2.5, 4.5, 6.5, 0.5, 6.5]
    assert encoded["text"][:, 0].tolist() == [1, 2, 0, 4, 2, 1]
    assert encoded["composed"][:, 0].tolist() == [1.5, 4.5, 4.5, 10.5, 2.5, 7.5]


def test_queries_that_share_references_and_texts_have_the_vectors_that_they_have_alone() -> None:
    made, random = checkpoint(0), np.random.default_rng(1)
    references, words = random.integers(0, 30, 600), ["make it red", "make it blue", "red", ""]
    texts = [words[number] for number in random.integers(0, 4, 600)]
    together = encode_queries(made.network, INPUTS, references, texts)
    for row in range(0, 600, 37):
        alone = encode_queries(made.network, INPUTS, references[[row]], texts[row : row + 1])
        for mode, vectors_QD in together.items():
            np.testing.assert_allclose(vectors_QD[row], alone[mode][0], atol=1e-5)


def test_several_references_are_the_mean_of_their_query_vectors() -> None:
    made, plain = checkpoint(0), query_set()
    several = replace(plain.queries[0], more_reference_ids=(IDS[3], IDS[5]))
    both = replace(plain, queries=(several, *plain.queries[1:]))
    (answers,), (expected,) = (ask({"stage1": lambda: made}, [one], inputs_of, silent) for one in (both, plain))
    for key, ranks_Q in expected.ranks.items():
        assert np.array_equal(answers.ranks[key][1:], ranks_Q[1:]), "one reference gives exactly the same"
    encoded = encode_queries(made.network, INPUTS, [0, 3, 5], [several.modified_text] * 3)["composed"]
    score_N = encode_gallery(made.network, INPUTS) @ encoded.mean(axis=0)
    ranking = [row for row in np.argsort(-score_N, kind="stable") if row not in (0, 3, 5)]
    assert answers.hits["stage1", "composed"][0].tolist() == ranking[:HITS]
