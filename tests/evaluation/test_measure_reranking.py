"""Reranked ranks, precisions and figures against what a person would count, and the store's scores."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.engine.progress import silent
from spn4cir_core.evaluation.base import Query, QuerySet
from spn4cir_core.evaluation.measure import Answers
from spn4cir_core.evaluation.measure_reranking import Reranked, rerank_answers, reranking_summary
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import RERANKERS, Reranker
from spn4cir_core.store.artifacts import Store
from tests.reranking.rerankers import ByColour, Nonsense

IDS = ("blue", "green", "grey", "red")
PICTURES = {name: (f"{name}.png", f"pixels of {name}") for name in IDS}


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    for name in IDS:
        Image.new("RGB", (9, 9), name).save(tmp_path / f"{name}.png")
    return ImageFiles(tmp_path)


def answers() -> Answers:
    """Three queries whose first hits are wrong; the target of the last one is not among the first three hits."""
    queries = tuple(
        Query(f"q{number}", "grey", f"a {colour} one", (colour,))
        for number, colour in enumerate(("red", "blue", "green"))
    )
    made = Answers(QuerySet("set", "protocol", queries, IDS, True, True), depth=3)
    made.start("stage2", "composed")
    blue, green, red = (IDS.index(name) for name in ("blue", "green", "red"))
    hits = np.array([[blue, green, red], [red, green, blue], [red, blue, -1]])
    ranks = np.array([2, 2, 3])
    precision = np.array([[1 / 3], [1 / 3], [0.0]])
    made.add("stage2", "composed", range(3), (ranks, precision, hits), np.array([*range(len(IDS)), -1]))
    return made


def measured(reranker: Reranker, files: ImageFiles) -> Reranked:
    store = Store(files.root / "store")
    return rerank_answers(reranker, [answers()], PICTURES, files, store, silent, defaultdict(float))["set"]


def test_the_wanted_colour_comes_first_where_it_is_among_the_candidates(files: ImageFiles) -> None:
    reranked = measured(ByColour(top=3), files)
    assert reranked.model == "stage2" and reranked.unanswered == 0
    assert reranked.ranks_Q.tolist() == [0, 0, 3] and reranked.precision_Q.tolist() == [1.0, 1.0, 0.0]
    summary = reranking_summary(ByColour(top=3), answers(), reranked, (1, 3), 100, 0)
    first, third, precision = summary["measures"]
    assert (first["name"], first["without"], first["with"]) == ("R@1", 0.0, pytest.approx(2 / 3))
    assert (third["name"], third["difference"]) == ("R@3", 0.0)
    assert (precision["name"], precision["with"]) == ("mAP@10", pytest.approx(2 / 3))
    assert summary["seconds"] is not None and summary["top"] == 3


def test_fewer_candidates_than_hits_leave_the_others(files: ImageFiles) -> None:
    reranked = measured(ByColour(top=2), files)
    assert reranked.ranks_Q.tolist() == [2, 2, 3]


@pytest.mark.parametrize("kind", ["nothing", "too many", "not a number"])
def test_nonsense_leaves_every_rank_and_is_counted(files: ImageFiles, kind: str) -> None:
    reranker = RERANKERS.build({"kind": Nonsense.plugin_kind, "answers": kind})
    reranked = measured(reranker, files)
    assert reranked.ranks_Q.tolist() == [2, 2, 3] and reranked.unanswered == 3 and reranked.seconds is None
    summary = reranking_summary(reranker, answers(), reranked, (1,), 100, 0)
    assert summary["unanswered"] == summary["queries"] == 3
    assert all(row["difference"] == 0 for row in summary["measures"])


def test_scores_are_stored_and_no_model_is_loaded_again(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(ByColour(top=3), files)

    def refuse(*_: object) -> None:
        raise AssertionError("the scores are in the store")

    monkeypatch.setattr(ByColour, "start", refuse)
    again = measured(ByColour(top=3), files)
    np.testing.assert_array_equal(again.ranks_Q, first.ranks_Q)
    assert again.seconds == first.seconds


def test_without_candidates_nothing_is_asked(files: ImageFiles) -> None:
    made = answers()
    made.candidates["stage2"][:] = -1
    (reranked,) = rerank_answers(
        ByColour(top=3), [made], PICTURES, files, Store(files.root / "store"), silent, defaultdict(float)
    ).values()
    assert reranked.unanswered == 3 and reranked.ranks_Q.tolist() == [2, 2, 3]
