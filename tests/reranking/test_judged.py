"""Judges of triplets as pointwise rerankers: a small LLaVA's yes-probability, and a server's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.captions.endpoint import Endpoint
from spn4cir_core.captions.vlm import Vlm
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Shortlist, new_order
from spn4cir_core.reranking.judged import Judged
from spn4cir_core.triplets.judge import Case
from spn4cir_core.triplets.number_judge import NumberJudge
from spn4cir_core.triplets.side_by_side import side_by_side
from spn4cir_core.triplets.yes_judge import YesJudge
from tests.captions import small_models
from tests.captions.chat_server import say, serving
from tests.triplets.test_judges import BLUE, GREEN, RED, honest

COLOURS = (RED, BLUE, GREEN)
PICTURES = tuple(Image.new("RGB", (40, 30), colour) for colour in COLOURS)


def test_the_yes_probability_of_each_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_models, "VOCABULARY", f"{small_models.VOCABULARY} yes maybe no")
    small_models.save_llava_next(tmp_path / "llava")
    judge = YesJudge(model=Vlm(model=str(tmp_path / "llava"), device="cpu"), side_px=64)
    reranker, files = Judged(judge=judge), ImageFiles(tmp_path)
    score = reranker.start(files)
    scores = score(Shortlist(PICTURES[:1], "make it blue", PICTURES))
    question = judge.question.replace("{text}", "make it blue")
    cases = [Case(side_by_side(PICTURES[0], candidate, 64), question) for candidate in PICTURES]
    assert list(scores) == judge.start(files)(cases) and len(set(scores)) > 1
    other = score(Shortlist(PICTURES[1:2], "make it blue", PICTURES))
    both = score(Shortlist(PICTURES[:2], "make it blue", PICTURES))
    assert both == pytest.approx([(one + two) / 2 for one, two in zip(scores, other, strict=True)])  # type: ignore[operator]
    assert reranker.picture_px == 64


def test_numbers_of_a_server_put_the_wanted_colour_first(tmp_path: Path) -> None:
    with serving(honest) as server:
        judge = NumberJudge(model=Endpoint(base_url=server.url, model="judge"))
        scores = Judged(judge=judge).start(ImageFiles(tmp_path))(Shortlist(PICTURES[:1], "make it green", PICTURES))
    assert list(scores) == pytest.approx([0.2, 0.2, 1.0]) and new_order(scores) == [2, 0, 1]


def test_an_answer_without_a_number_is_no_score(tmp_path: Path) -> None:
    with serving(lambda number, body: say("I like it")) as server:
        judge = NumberJudge(model=Endpoint(base_url=server.url, model="judge"))
        scores = Judged(judge=judge).start(ImageFiles(tmp_path))(Shortlist(PICTURES[:2], "green", PICTURES))
    assert list(scores) == [None, None, None]


def test_fingerprints_follow_the_judge_and_not_the_depth(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path)
    endpoint = Endpoint(base_url="http://localhost:1/v1", model="judge")
    one, deeper, other = (
        Judged(judge=NumberJudge(model=endpoint)),
        Judged(judge=NumberJudge(model=endpoint), top=7),
        Judged(judge=NumberJudge(model=endpoint, side_px=64)),
    )
    assert one.fingerprint(files) == deeper.fingerprint(files) != other.fingerprint(files)
