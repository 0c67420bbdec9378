"""Stored answers of gates and figures are those that are computed one by one."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import ClassVar

import pytest

from spn4cir_core.engine.progress import silent
from spn4cir_core.store.artifacts import Store
from spn4cir_core.triplets.base import GATES
from spn4cir_core.triplets.caption_gates import CaptionsNearlyEqual, TextMissesChange
from spn4cir_core.triplets.figures import names_target_in_full
from spn4cir_core.triplets.gate import Gate, GateBasis, gate_basis
from spn4cir_core.triplets.gate_triplets import admit, refusal, refusals
from spn4cir_core.triplets.settings import TripletSettings
from spn4cir_core.triplets.text_answers import TRIPLETS_VERSION, TextAnswers
from spn4cir_core.triplets.triplet import Triplet
from tests.triplets.test_gates import GOOD

CAPTIONS = [
    "a red cup",
    "a blue cup",
    "a cup, red",
    "red red red cup",
    "I cannot describe it.",
    "",
    "a red cup on a mat",
]
TEXTS = [("make it blue",), ("a red cup on a mat",), ("make it red", "without the mat"), ("put it on a mat",)]
GATE_NAMES = [
    *("caption_says_nothing", "caption_is_common", "text_misses_change", "caption_is_an_excuse"),
    *("pair_too_similar", "captions_nearly_equal", "text_names_target", "captions_say_the_same"),
]


def triplets_of(captions: list[str]) -> list[Triplet]:
    return [
        GOOD._replace(
            triplet_id=f"generated/{number}",
            reference_caption=one,
            target_caption=other,
            modified_texts=texts,
            score=0.99 if number % 3 else 0.5,
        )
        for number, (one, other, texts) in enumerate(product(captions, captions, TEXTS))
    ]


def answers_of(store: Path) -> TextAnswers:
    return TextAnswers(Store(store), silent, defaultdict(float))


def basis_of(**limits: float) -> GateBasis:
    return gate_basis(TripletSettings(most_caption_share=0.3, **limits), [("train", text) for text in CAPTIONS])


def check(store: Path, gates: list[Gate], basis: GateBasis, triplets: list[Triplet]) -> None:
    """Against each triplet by itself, nothing stored."""
    passed, refused = admit(triplets, gates, basis, {}, answers_of(store).refusals(triplets, gates, basis))
    reasons = {item.triplet.triplet_id: item.reason for item in refused} | {item.triplet_id: "" for item in passed}
    assert reasons == {triplet.triplet_id: refusal(triplet, gates, basis) for triplet in triplets}


@pytest.mark.parametrize("names", [GATE_NAMES, GATE_NAMES[::-1], ["caption_is_common"], []])
def test_refusals_are_those_of_the_gates_in_their_order(names: list[str], tmp_path: Path) -> None:
    gates, basis = [GATES.build(name) for name in names], basis_of()
    check(tmp_path, gates, basis, triplets_of(CAPTIONS[:4]))
    check(tmp_path, gates, basis, triplets_of(CAPTIONS))
    check(tmp_path, gates, basis, triplets_of(CAPTIONS[::-1]))


def test_other_gates_limits_and_versions_are_not_answered_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triplets, gates = triplets_of(CAPTIONS), [GATES.build(name) for name in GATE_NAMES]
    check(tmp_path, gates, basis_of(), triplets)
    check(tmp_path, gates, basis_of(most_caption_overlap=0.3), triplets)
    check(tmp_path, gates[2:], basis_of(), triplets)
    monkeypatch.setattr(TextMissesChange, "plugin_version", TextMissesChange.plugin_version + 1)
    monkeypatch.setattr(
        TextMissesChange, "refusal", lambda gate, triplet, basis: "no" * ("u" in triplet.target_caption)
    )
    check(tmp_path, gates, basis_of(), triplets)


def test_answers_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates, basis, triplets = [GATES.build("text_misses_change")], basis_of(), triplets_of(CAPTIONS)
    before = answers_of(tmp_path).refusals(triplets, gates, basis)
    monkeypatch.setattr(TextMissesChange, "refusal", lambda *_: pytest.fail("computed again"))
    assert answers_of(tmp_path).refusals(triplets, gates, basis) == before != {}


class Derived(CaptionsNearlyEqual):
    """Looks at more than the gate that it is made of."""

    plugin_kind: ClassVar[str] = "derived"

    def refusal(self, triplet: Triplet, basis: GateBasis) -> str:
        return "" if triplet.score == 0.5 else super().refusal(triplet, basis)


def test_a_derived_gate_is_not_stored_unless_it_says_so(tmp_path: Path) -> None:
    assert CaptionsNearlyEqual.is_stored() and not Derived.is_stored()
    assert not answers_of(tmp_path).refusals(triplets_of(CAPTIONS), [Derived()], basis_of())
    check(tmp_path, [Derived()], basis_of(), triplets_of(CAPTIONS))


def test_texts_that_name_their_target(tmp_path: Path) -> None:
    for captions in (CAPTIONS[:4], CAPTIONS):
        triplets = triplets_of(captions)
        slowly = {
            item.triplet_id for item in triplets if names_target_in_full(item.modified_texts, item.target_caption)
        }
        assert answers_of(tmp_path).naming_target(triplets) == slowly != set()


def test_other_answers_raise_a_version() -> None:
    """A store would go on with what it has: where this fails, raise ``TRIPLETS_VERSION``, or the ``plugin_version`` of
    the gate, and write the hash anew."""
    gates, triplets = [GATES.build(name) for name in GATES.members], triplets_of(CAPTIONS)
    stored = [gate for gate in gates if gate.is_stored()]
    answers = [refusals(triplet, stored, basis_of()) for triplet in triplets]
    named = [names_target_in_full(triplet.modified_texts, triplet.target_caption) for triplet in triplets]
    versions = TRIPLETS_VERSION, [gate.plugin_version for gate in stored]
    digest = hashlib.sha256(json.dumps([answers, named]).encode()).hexdigest()[:16]
    assert (versions, digest) == ((2, [1, 1, 1, 1, 1, 1, 2, 1]), "0f567e3d162d5e66")
