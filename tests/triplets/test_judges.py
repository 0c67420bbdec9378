"""Judges over a real small HTTP server and a real small LLaVA, alone and inside the stage."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.captions.endpoint import Endpoint
from spn4cir_core.captions.sidecar import Sidecar
from spn4cir_core.captions.vlm import Llava
from spn4cir_core.engine.progress import silent
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.triplets.cached_vectors import CachedVectors
from spn4cir_core.triplets.judge import Case
from spn4cir_core.triplets.judge_triplets import judge_triplets
from spn4cir_core.triplets.number_judge import NumberJudge, score_in, with_category_as_request
from spn4cir_core.triplets.scores import read_scores
from spn4cir_core.triplets.side_by_side import side_by_side
from spn4cir_core.triplets.yes_judge import YesJudge
from tests.captions import small_models
from tests.captions.chat_server import Reply, picture_of, say, serving
from tests.triplets.test_rank_triplets import triplet

Compose = Callable[..., Artifact]
RED, BLUE, GREEN = (200, 0, 0), (0, 0, 200), (0, 200, 0)


@pytest.fixture
def cache(tmp_path: Path) -> CachedVectors:
    for number, colour in enumerate((RED, BLUE, GREEN)):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{number}.png")
    return CachedVectors(Store(tmp_path / "store"), ImageFiles(tmp_path), silent, defaultdict(float))


PIXELS = {f"{number}.png": f"pixels {number}" for number in range(3)}


def honest(number: int, body: Any) -> Reply:
    """Looks whether the right half of the picture has the colour that the text names."""
    colours = np.asarray(picture_of(body).convert("RGB")).astype(int)
    right = colours[:, colours.shape[1] // 2 :].reshape(-1, 3)
    shown = ("red", "green", "blue")[int(right[right.sum(1) < 400].mean(0).argmax())]
    text = re.search(r'"(.*?)"', body["messages"][0]["content"][1]["text"])
    assert text is not None
    return say("10." if shown in text[1] else "Score: 2/10")


def test_a_server_is_asked_once_per_pair_and_text(cache: CachedVectors) -> None:
    triplets = [triplet(0, 1, "make it blue"), triplet(0, 2, "make it green", "a {blue} one"), triplet(1, 0, "red")]
    with serving(honest) as server:
        judge = NumberJudge(model=Endpoint(base_url=server.url, model="judge"))
        scores, details = judge_triplets(triplets, PIXELS, judge, cache)
        assert scores == pytest.approx({"0 to 1": 1.0, "0 to 2": 0.2, "1 to 0": 1.0})
        assert (details["questions"], details["asked"], details["unanswered"]) == (4, 4, 0)
        assert details["counts"]["requests"] == 4
        again = judge_triplets([*triplets, triplet(2, 0, "red")], PIXELS, judge, cache)
        assert again[0].keys() == {*scores, "2 to 0"} and again[1]["asked"] == 1
        assert len(server.bodies) == 5
        assert any("a {blue} one" in body["messages"][0]["content"][1]["text"] for body in server.bodies)


def test_an_answer_without_a_number_is_asked_for_again(cache: CachedVectors) -> None:
    with serving(lambda number, body: say("I like it" if number == 0 else "5")) as server:
        judge = NumberJudge(model=Endpoint(base_url=server.url, model="judge"))
        scores, details = judge_triplets([triplet(0, 1, "blue")], PIXELS, judge, cache)
        assert scores == {} and details["unanswered"] == 1
        assert judge_triplets([triplet(0, 1, "blue")], PIXELS, judge, cache)[0] == {"0 to 1": 0.5}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("7", 0.7),
        ("10", 1.0),
        ("0", 0.0),
        ("7.5", 0.75),
        ("none", None),
        ("Score: 8/10.", 0.8),
        ("score: 9", 0.9),
        ("**Score:** 3", 0.3),
        ("The score is 4. It has 2 sleeves.", 0.4),
        ('{"score": 6}', 0.6),
        ("On a scale of 0 to 10, this is a 9", 0.9),
        ("On a scale from 0-10: 9 out of 10", 0.9),
        ("2 sleeves and 1 logo, so 8", None),
        ("2 sleeves and 1 logo.\nScore: 8", 0.8),
        ("2 sleeves and 1 logo, so 8/10", 0.8),
        ("<think>perhaps score: 2</think> score: 8", 0.8),
        ("perhaps 2</think>8", 0.8),
        ("<think>score: 2", None),
        ("100", None),
        ("80/100", None),
        ("score: 80/100", None),
        ("score: 3 or score: 7", None),
        ("-3", None),
    ],
)
def test_the_form_is_read_and_no_other_number(answer: str, score: float | None) -> None:
    assert score_in(answer) == score


def test_models_that_cannot_judge_are_refused() -> None:
    with pytest.raises(RecipeError, match="'sidecar' takes no request"):
        with_category_as_request(Sidecar())
    with pytest.raises(ValueError, match="has no likelihoods here"):
        YesJudge(model=Endpoint(base_url="http://localhost:1/v1", model="m"))
    with pytest.raises(ValueError, match=r"no \{text\}"):
        NumberJudge(model=Llava(model="builtin:shapes"), question="is it?")


def test_a_local_llava_tells_how_likely_yes_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_models, "VOCABULARY", f"{small_models.VOCABULARY} yes maybe no")
    model = tmp_path / "llava"
    small_models.save_llava_next(model)
    judge = YesJudge(model=Llava(model=str(model), device="cpu"), side_px=64)
    files = ImageFiles(tmp_path)
    cases = [
        Case(side_by_side(Image.new("RGB", (9, 9), one), Image.new("RGB", (9, 9), other), 64), judge.question)
        for one, other in ((RED, BLUE), (GREEN, RED), (BLUE, BLUE))
    ]
    scores = judge.start(files)(cases)
    assert all(score is not None and 0 < score < 1 for score in scores) and len(set(scores)) > 1
    assert judge.start(files)(cases[::-1]) == scores[::-1]
    assert scores[0] == pytest.approx(likelihood(judge, cases[0]), abs=2e-3)
    assert judge.fingerprint(files) != YesJudge(model=judge.model, side_px=32).fingerprint(files)


def likelihood(judge: YesJudge, case: Case) -> float:
    """The same from the model's plain forward pass."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    llava = judge.model
    assert isinstance(llava, Llava)
    processor = AutoProcessor.from_pretrained(llava.model)
    model = AutoModelForImageTextToText.from_pretrained(llava.model).eval()
    with torch.inference_mode():
        inputs = processor(images=[case.both], text=[llava.text(processor, case.question)], return_tensors="pt")
        odds_V = model(**inputs).logits[0, -1].softmax(0)
    yes, no = (float(odds_V[processor.tokenizer.convert_tokens_to_ids(word)]) for word in ("yes", "no"))
    return yes / (yes + no)


def test_a_tokenizer_that_knows_neither_word_is_refused(tmp_path: Path) -> None:
    small_models.save_llava_next(tmp_path / "llava")
    judge = YesJudge(model=Llava(model=str(tmp_path / "llava"), device="cpu"))
    with pytest.raises(InputError, match="does not tell yes from no"):
        judge.start(ImageFiles(tmp_path))


def test_the_stage_judges_what_passed_the_other_gates(compose: Compose, rows: Any, hand_written: Any) -> None:
    folder = hand_written.store.root / "folder" / "zoo"
    folder.mkdir(parents=True)
    for name, colour in (("a", RED), ("b", BLUE), ("c", GREEN), ("d", RED)):
        Image.new("RGB", (30, 30), colour).save(folder / f"{name}.png")
    pairs = [rows.pair("a", "b", "blue"), rows.pair("a", "c", "blue"), rows.pair("a", "d", "green")]
    with serving(honest) as server:
        judge = {"kind": "number", "model": {"kind": "endpoint", "base_url": server.url, "model": "m"}}
        artifact = compose(
            [rows.annotation("q", "b", "c")], pairs, judge=judge, gates=("captions_say_the_same", "judge_says_no")
        )
        assert len(server.bodies) == 2  # neither the annotated triplet nor the one with equal captions
    assert artifact.summary["drops"] == {"captions say the same": 1, "the judge's score is below 0.5": 1}
    scores = {name: score.judge_score for name, score in read_scores(artifact).items()}
    assert scores == pytest.approx({"generated/a-b-0": 1.0, "generated/a-c-1": 0.2})
    assert artifact.details["judge"]["questions"] == 2
    assert artifact.details["scores"]["offered"]["train generated"]["judge_score_mean"] == 0.6
