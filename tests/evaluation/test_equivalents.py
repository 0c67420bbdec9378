from __future__ import annotations

from typing import Any

from spn4cir_core.evaluation.equivalents import Equivalents, Rule
from tests.conftest import HandWritten


def triplet(reference: str, target: str, *texts: str) -> dict[str, Any]:
    return {"reference_id": reference, "target_id": target, "modified_texts": list(texts)}


def equivalents(hand_written: HandWritten, *rules: Rule) -> Equivalents:
    texts = {"a": "a red shirt", "b": "A red shirt.", "c": "a blue shirt", "d": "", "e": "", "out": "a red shirt"}
    captions = hand_written("captions", captions=[{"image_id": name, "caption": text} for name, text in texts.items()])
    twins = [{"image_a": "c", "image_b": "a"}, {"image_a": "c", "image_b": "out"}]
    splits = hand_written("splits", near_duplicates=twins)
    rows = [triplet("d", "a", "In red"), triplet("d", "e", "in red"), triplet("d", "c", "in blue", "in red")]
    return Equivalents(rules, list("abcde"), captions, splits, rows)


def test_each_rule_by_itself(hand_written: HandWritten) -> None:
    assert equivalents(hand_written).targets(triplet("d", "a", "x")) == ("a",)
    assert equivalents(hand_written, "same_caption").targets(triplet("d", "a", "x")) == ("a", "b")
    assert equivalents(hand_written, "same_caption").targets(triplet("a", "d", "x")) == ("d",)  # no caption, no twin
    assert equivalents(hand_written, "near_duplicate").targets(triplet("d", "c", "x")) == ("a", "c")
    assert equivalents(hand_written, "same_text").targets(triplet("d", "a", "in red")) == ("a", "e")


def test_the_reference_is_never_right(hand_written: HandWritten) -> None:
    assert equivalents(hand_written, "same_caption").targets(triplet("b", "a", "x")) == ("a",)
