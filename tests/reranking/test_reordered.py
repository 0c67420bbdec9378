"""Hits in a reranker's order, pictures that are gone, and rerankers that answer nonsense."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import RERANKERS
from spn4cir_core.reranking.reordered import Reranking
from tests.reranking.rerankers import ByColour, Nonsense

REFERENCE = Image.new("RGB", (8, 8), "red")


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    for name in ("red", "blue", "green"):
        Image.new("RGB", (400, 30), name).save(tmp_path / f"{name}.png")
    Image.new("RGB", (10, 3000), "blue").save(tmp_path / "tall.png")
    return ImageFiles(tmp_path)


def test_the_first_hits_are_put_in_order_and_the_others_are_not_looked_at(files: ImageFiles) -> None:
    reranking = Reranking(RERANKERS.build({"kind": ByColour.plugin_kind, "top": 3}), files)
    paths = ["red.png", "green.png", "blue.png", "nowhere.png"]
    assert reranking.order([REFERENCE], "a blue one", paths) == [2, 1, 0]
    assert reranking.order([REFERENCE, REFERENCE], "a green one", paths) == [1, 0, 2]


def test_a_picture_that_is_gone_stays_where_it_was(files: ImageFiles, caplog: pytest.LogCaptureFixture) -> None:
    order = Reranking(ByColour(), files).order([REFERENCE], "blue", ["gone.png", "red.png", "tall.png"])
    assert order == [0, 2, 1]
    assert "cannot be opened" in caplog.text


@pytest.mark.parametrize("answers", ["nothing", "too many", "not a number"])
def test_nonsense_leaves_the_order_and_is_counted(
    files: ImageFiles, answers: str, caplog: pytest.LogCaptureFixture
) -> None:
    reranking = Reranking(RERANKERS.build({"kind": Nonsense.plugin_kind, "answers": answers}), files)
    with caplog.at_level(logging.WARNING):
        assert reranking.order([REFERENCE], "blue", ["red.png", "blue.png"]) is None
        assert reranking.order([REFERENCE], "blue", ["red.png", "blue.png"]) is None
    assert reranking.unanswered == 2
    assert "gives no usable score: the order stays" in caplog.text


def test_where_no_picture_can_be_opened_the_model_is_not_asked(files: ImageFiles) -> None:
    assert Reranking(ByColour(), files).order([REFERENCE], "blue", ["gone.png"]) is None


def test_references_are_made_small_and_stay_as_they_are(files: ImageFiles) -> None:
    large = Image.new("RGBA", (400, 100), "red")
    (small,) = Reranking(ByColour(), files).fitted([large])
    assert small.size == (32, 8) and small.mode == "RGB" and large.size == (400, 100)
