"""Every gate refuses what it is for and nothing else, without depending on other triplets."""

from __future__ import annotations

from typing import Any

import pytest

from spn4cir_core.errors import RecipeError
from spn4cir_core.store.fingerprints import plain
from spn4cir_core.triplets.base import GATES
from spn4cir_core.triplets.gate import Gate, GateBasis, gate_basis
from spn4cir_core.triplets.gate_triplets import refusal, refusals
from spn4cir_core.triplets.scores import Scores
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.triplet import Triplet

GOOD = Triplet(
    triplet_id="generated/1",
    reference_id="a.png",
    target_id="b.png",
    reference_path="a.png",
    target_path="b.png",
    reference_caption="a small red circle on grass",
    target_caption="a small blue circle on sand",
    modified_texts=("make it blue", "blue instead of red"),
    origin="generated",
    kind="",
    template_ids=("one", "two"),
    rank=3,
    score=0.5,
    weight=1.0,
    repeats=1,
    split="train",
)
CAPTIONS = [("train", f"thing {number}") for number in range(90)] + [("train", "a shirt")] * 10
SCORED = {
    "poor": Scores(others=100, text_rank=0, text_rank_share=0.6, reference_rank=9, round_trip_rank=51, judge_score=0.4),
    "good": Scores(others=100, text_rank=1, text_rank_share=0.5, reference_rank=9, round_trip_rank=50, judge_score=0.5),
}
BASIS = gate_basis(TripletSettings(most_caption_share=0.05), CAPTIONS, SCORED)

ALL_GATES: list[Gate] = [GATES.build(name) for name in GATES.members]

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("caption_says_nothing", {"target_caption": "a."}, "the target's caption says nothing"),
    ("caption_says_nothing", {"reference_caption": ""}, "the reference's caption says nothing"),
    ("caption_is_an_excuse", {"target_caption": "As an AI, I see pixels"}, "the target's caption is an excuse"),
    ("caption_is_an_excuse", {"target_caption": "I'm sorry, but no"}, "the target's caption is an excuse"),
    ("caption_is_an_excuse", {"reference_caption": "I cannot describe it."}, "the reference's caption is an excuse"),
    ("caption_is_an_excuse", {"reference_caption": "I can’t."}, "the reference's caption is an excuse"),
    ("caption_is_an_excuse", {"target_caption": "No image was provided"}, "the target's caption is an excuse"),
    ("caption_repeats_itself", {"target_caption": "a dress dress dress"}, "the target's caption repeats itself"),
    ("caption_repeats_itself", {"target_caption": "red top red top red top"}, "the target's caption repeats itself"),
    ("caption_is_common", {"target_caption": "The shirt."}, "the target's caption is that of more than 5 %"),
    ("captions_say_the_same", {"target_caption": "A red small circle on grass."}, "captions say the same"),
    (
        "captions_nearly_equal",
        {
            "reference_caption": "a b one two three four five six",
            "target_caption": "the b one two three four five seven",
        },
        "captions are nearly equal",
    ),
    (
        "captions_need_many_edits",
        {"reference_caption": "red circle, red star", "target_caption": "blue circle, blue star, red ring"},
        "captions are more than 2 edits apart",
    ),
    ("text_misses_change", {"modified_texts": ("make it blue", "make it pink")}, "the text is about another change"),
    ("text_misses_change", {"modified_texts": ("make it red",)}, "the text is about another change"),
    ("text_misses_change", {"modified_texts": ("with a cat",)}, "the text is about another change"),
    ("text_names_target", {"modified_texts": ("x", "on sand, a small blue circle")}, "the text alone describes"),
    ("pair_too_similar", {"score": 0.99}, "the images' cosine is above 0.98"),
    ("pair_too_dissimilar", {"score": -0.2}, "the images' cosine is below 0.1"),
    ("text_fits_many", {"triplet_id": "poor"}, "the text fits more than 50 % of the images as well as the target"),
    ("text_alone_answers", {"triplet_id": "poor"}, "the text alone finds the target among the first 1"),
    ("round_trip_fails", {"triplet_id": "poor"}, "reference and text find more than 50 % of the images before"),
    ("judge_says_no", {"triplet_id": "poor"}, "the judge's score is below 0.5"),
]
WORDINGS = [
    {"modified_texts": ("red becomes blue, on sand",)},
    {"modified_texts": ("put it on sand and paint it blue",)},
    {"reference_caption": "red hat with a dot", "target_caption": "red hat", "modified_texts": ("take away the dot",)},
    {"reference_caption": "red hat", "target_caption": "red hat with a dot", "modified_texts": ("put a dot on it",)},
    {"reference_caption": "红色帽子", "target_caption": "蓝色帽子", "modified_texts": ("换成蓝色",)},
]
TWO_EDITS = {"reference_caption": "red circle, red star, red ring", "target_caption": "blue circle, red star"}
FINE: list[dict[str, Any]] = [
    {},
    {
        "reference_caption": "a small red square, small blue square, small pink square",
        "target_caption": "a small red square, small blue square, small pink square, small black square",
        "modified_texts": ("add a black square",),
    },
    {"target_caption": "a can of tomatoes that I canned", "modified_texts": ("tomatoes that I canned",)},
    {
        "reference_caption": "two dogs and two cats",
        "target_caption": "two dogs and two cats and two birds",
        "modified_texts": ("add birds",),
    },
    {"score": None},
    {"split": "evaluation", "target_caption": "a shirt", "modified_texts": ("remove the small red circle on grass",)},
    {**TWO_EDITS, "modified_texts": ("make the circle blue and remove the red ring",)},
    *WORDINGS,
    {"triplet_id": "good"},
    {"triplet_id": "not scored"},
]


def test_every_gate_has_a_case_here() -> None:
    assert {name for name, _, _ in REFUSED} == set(GATES.members)


@pytest.mark.parametrize(("name", "changes", "reason"), REFUSED)
def test_a_gate_refuses_what_it_is_for(name: str, changes: dict[str, Any], reason: str) -> None:
    assert refusal(GOOD._replace(**changes), [GATES.build(name)], BASIS).startswith(reason)


@pytest.mark.parametrize("changes", FINE)
def test_no_gate_refuses_what_is_fine(changes: dict[str, Any]) -> None:
    assert refusals(GOOD._replace(**changes), ALL_GATES, BASIS) == []


def test_a_reason_names_no_triplet_so_that_it_can_be_counted() -> None:
    for name, changes, _ in REFUSED:
        one = GOOD._replace(**changes)
        other = one._replace(reference_id="x", target_path="y")
        assert refusal(one, [GATES.build(name)], BASIS) == refusal(other, [GATES.build(name)], BASIS)


def test_the_first_gate_gives_the_reason() -> None:
    poor = GOOD._replace(target_caption="", score=1.0)
    gates = [GATES.build(name) for name in ("pair_too_similar", "caption_says_nothing")]
    assert refusal(poor, gates, BASIS) == "the images' cosine is above 0.98"
    assert len(refusals(poor, gates, BASIS)) == 2
    assert refusal(poor, [], BASIS) == ""


class LongText(Gate):
    """A stranger's gate, with a setting."""

    most_words: int = 5

    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        long = any(len(text.split()) > self.most_words for text in triplet.modified_texts)
        return f"a text has more than {self.most_words} words" if long else ""


def test_a_strangers_gate_works_by_its_dotted_name_and_with_settings() -> None:
    name = f"{__name__}:LongText"
    settings = TripletSettings(gates=("captions_say_the_same", name, {"kind": name, "most_words": 2}))  # type: ignore[arg-type]
    gates = [GATES.build(gate) for gate in settings.gates]
    wordy = GOOD._replace(modified_texts=("make it blue",))
    assert refusals(wordy, gates, BASIS) == ["a text has more than 2 words"]
    assert plain(settings)["gates"] == ["captions_say_the_same", name, {"kind": name, "most_words": 2}]
    again = TripletSettings.model_validate(settings.model_dump(mode="json"))
    assert plain(again) == plain(settings)
    with pytest.raises(RecipeError, match="Did you mean 'captions_say_the_same'"):
        TripletSettings(gates=("captions_say_same",))
