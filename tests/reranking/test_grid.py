"""The grid of numbered candidates: what is asked, and what is read in an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.captions.endpoint import Endpoint
from spn4cir_core.captions.sidecar import Sidecar
from spn4cir_core.captions.vlm import Vlm
from spn4cir_core.errors import RecipeError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Score, Shortlist, new_order
from spn4cir_core.reranking.grid import Grid, grid_of, scores_in
from tests.captions.chat_server import Reply, picture_of, say, serving

PICTURES = tuple(Image.new("RGB", (40, 30), colour) for colour in ("red", "blue", "green", "white"))
QUERY = Shortlist(PICTURES[:1], "make it green", PICTURES)


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        ("3", [2, 0, 1, 3]),
        ("3, 1", [2, 0, 1, 3]),
        ("4,3,2,1", [3, 2, 1, 0]),
        ("Numbers 4 and 2.", [3, 1, 0, 2]),
        ("The pictures are: **3, 4**", [2, 3, 0, 1]),
        ("3 > 4 > 1", [2, 3, 0, 1]),
        ("#4, #1", [3, 0, 1, 2]),
        ("3, 3, 1", [2, 0, 1, 3]),
        ("<think>perhaps 1</think>2", [1, 0, 2, 3]),
        ("of these, the best are 2, 4", [1, 3, 0, 2]),
    ],
)
def test_named_pictures_come_first(answer: str, order: list[int]) -> None:
    assert new_order(scores_in(answer, 4)) == order


@pytest.mark.parametrize("answer", ["", "I like them all", "0", "5", "1, 2, 7", "<think>3"])
def test_nonsense_changes_nothing(answer: str) -> None:
    nothing: list[Score] = [None] * 4
    assert scores_in(answer, 4) == nothing and new_order(nothing) == [0, 1, 2, 3]


def test_one_question_shows_all(tmp_path: Path) -> None:
    seen: list[Any] = []

    def answers(number: int, body: Any) -> Reply:
        seen.append(body)
        return say("3, 2")

    with serving(answers) as server:
        reranker = Grid(model=Endpoint(base_url=server.url, model="vlm"))
        scores = reranker.start(ImageFiles(tmp_path))(QUERY)
    assert new_order(scores) == [2, 1, 0, 3]
    (body,) = seen
    assert '"make it green"' in body["messages"][0]["content"][1]["text"]
    shown = np.asarray(picture_of(body).convert("RGB")).astype(int)
    for wanted in ((255, 0, 0), (0, 0, 255), (0, 128, 0)):
        assert np.abs(shown - wanted).sum(-1).min() < 30, wanted


def test_the_grid_names_references_and_numbers_candidates() -> None:
    one, two = grid_of(QUERY, 32), grid_of(Shortlist(PICTURES[:2], "", PICTURES[:3]), 32)
    assert one.size == two.size and one.tobytes() != two.tobytes()


def test_a_local_model_answers_in_its_own_words(tmp_path: Path) -> None:
    reranker = Grid(model=Vlm(model="builtin:shapes", device="cpu"), side_px=32)
    scores = reranker.start(ImageFiles(tmp_path))(QUERY)  # it has learnt captions only, so it names no number
    assert list(scores) == [None] * 4


def test_a_captioner_that_takes_no_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'sidecar' takes no request"):
        Grid(model=Sidecar()).start(ImageFiles(tmp_path))
