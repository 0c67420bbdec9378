from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.evaluation.base import EVALUATORS, Query, QuerySet
from spn4cir_core.evaluation.query_sets import query_sets
from spn4cir_core.evaluation.settings import EvaluationSettings
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Artifact, Store
from tests.measured_store import NAME, image_rows, measured_store

NOUNS = ("images", "annotations", "splits", "captions", "triplets")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return measured_store(tmp_path_factory.mktemp("measured"))


def parents_of(store: Store) -> dict[str, Artifact]:
    artifacts = {noun: store.current(NAME, noun) for noun in NOUNS}
    return {noun: artifact for noun, artifact in artifacts.items() if artifact is not None}


def query_set(store: Store, kind: str, seed: int = 0, **settings: Any) -> QuerySet | None:
    files = ImageFiles(store.root.parent / "pictures")
    made: Sequence[QuerySet] = EVALUATORS.build({"kind": kind, **settings}).query_sets(parents_of(store), files, seed)
    assert len(made) <= 1
    return made[0] if made else None


def described() -> dict[str, tuple[str, str, str]]:
    return {row["image_id"]: (*row["attributes"].values(), row["split"]) for row in image_rows()}


@pytest.mark.parametrize("kind", ["annotated", "held_out", "labels"])
def test_contract_of_every_evaluator(store: Store, kind: str) -> None:
    made = query_set(store, kind)
    assert made is not None
    gallery = set(made.gallery_ids)
    assert made.gallery_ids == tuple(sorted(gallery))
    assert gallery == {image_id for image_id, (_, _, split) in described().items() if split == "evaluation"}
    assert len({query.query_id for query in made.queries}) == len(made.queries) > 0
    for query in made.queries:
        assert query.reference_id in gallery
        assert query.target_ids
        assert set(query.target_ids) <= gallery - {query.reference_id}
        assert query.modified_text
    assert made.name == kind
    assert "gallery" in made.protocol
    assert "reference image is removed" in made.protocol
    assert made == query_set(store, kind)


@pytest.mark.parametrize("kind", list(EVALUATORS.members))
def test_a_corpus_without_queries_gives_nothing(tmp_path: Path, kind: str) -> None:
    bare = measured_store(tmp_path, queries=False, generated=False, evaluation=False)
    assert query_set(bare, kind) is None


def test_annotated_counts_what_it_cannot_ask(store: Store) -> None:
    made = query_set(store, "annotated")
    assert made is not None
    assert made.drops == {"reference is not in the evaluation split": 1, "no target is in the evaluation split": 1}
    assert len(made.queries) == 18
    assert made.headline


def test_annotated_may_keep_the_reference(store: Store) -> None:
    made = query_set(store, "annotated", remove_reference=False)
    assert made is not None
    assert not made.remove_reference
    assert "kept in" in made.protocol


def test_held_out_is_no_headline_and_says_why(store: Store) -> None:
    made = query_set(store, "held_out")
    assert made is not None
    assert not made.headline
    assert "do not measure composition" in made.protocol
    assert {query.query_id for query in made.queries} == {f"evaluation{number}" for number in range(17)}
    few = query_set(store, "held_out", max_queries=5)
    assert few is not None
    assert len(few.queries) == 5
    assert few.queries != query_set(store, "held_out", seed=1, max_queries=5).queries  # type: ignore[union-attr]


def test_held_out_counts_all_that_answers_as_well(store: Store) -> None:
    """Row 18 + n has the caption of row 27 + n; 19 and 35 are near-duplicates; reference is the row before."""
    made, alone = query_set(store, "held_out"), query_set(store, "held_out", equivalents=[])
    assert made is not None and alone is not None
    targets = {query.query_id: query.target_ids for query in made.queries}
    assert targets["evaluation1"] == ("toys/20.png", "toys/29.png")
    assert targets["evaluation0"] == ("toys/19.png", "toys/28.png", "toys/35.png")  # of 18 to 19
    assert targets["evaluation16"] == ("toys/19.png", "toys/26.png", "toys/35.png")  # of 34 to 35
    assert targets["evaluation11"] == ("toys/30.png",)  # its caption is no other's
    assert {len(query.target_ids) for query in alone.queries} == {1}
    assert "near-duplicates" in made.protocol and "near-duplicates" not in alone.protocol


def slow_label_queries() -> set[tuple[str, str, frozenset[str]]]:
    """Every (reference, text, targets), by trying every picture against every wish."""
    held_out = {name: (label, colour) for name, (label, colour, split) in described().items() if split == "evaluation"}
    queries = set()
    for name, (label, colour) in held_out.items():
        for other_label, other_colour in set(held_out.values()):
            if (label == other_label) == (colour == other_colour):
                continue
            targets = frozenset(one for one, both in held_out.items() if both == (other_label, other_colour))
            text = (
                f"the same colour, but {other_label}"
                if label != other_label
                else f"the same {label}, but {other_colour}"
            )
            queries.add((name, text, targets))
    return queries


def as_set(queries: tuple[Query, ...]) -> set[tuple[str, str, frozenset[str]]]:
    return {(query.reference_id, query.modified_text, frozenset(query.target_ids)) for query in queries}


def test_labels_ask_for_everything_that_exists(store: Store) -> None:
    made = query_set(store, "labels", colour="colour")
    assert made is not None
    assert as_set(made.queries) == slow_label_queries()
    assert {query.kind for query in made.queries} == {"label", "colour"}
    assert "attribute 'colour'" in made.protocol


def test_labels_may_come_from_the_category(store: Store) -> None:
    made = query_set(store, "labels", label="category", colour="colour")
    assert made is not None
    assert as_set(made.queries) == slow_label_queries(), "in this corpus the category is the label"


def test_labels_of_an_unknown_attribute_ask_nothing(store: Store) -> None:
    assert query_set(store, "labels", label="no such attribute", colour="colour") is None


def test_labels_sample_is_seeded(store: Store) -> None:
    first, other = (
        query_set(store, "labels", colour="colour", max_queries=4),
        query_set(store, "labels", 1, colour="colour", max_queries=4),
    )
    assert first is not None
    assert other is not None
    assert [query.kind for query in first.queries] == ["label"] * 4 + ["colour"] * 4
    assert as_set(first.queries) <= slow_label_queries()
    assert first.queries != other.queries


def test_labels_detect_colours_of_the_pictures(store: Store) -> None:
    made = query_set(store, "labels")
    assert made is not None
    assert "detected by us" in made.protocol
    by_label = {frozenset(query.target_ids) for query in made.queries if query.kind == "label"}
    expected = {targets for _, text, targets in slow_label_queries() if text.startswith("the same colour")}
    assert by_label == expected  # whatever the colours are called, equal ones are called alike


def test_labels_that_say_nothing_are_not_asked_about(store: Store) -> None:
    made = query_set(store, "labels", colour="colour", ignore=["circle"])
    assert made is not None
    assert made.drops == {"image without a usable 'label': not asked about": 6}
    assert not any("circle" in query.modified_text for query in made.queries)
    assert query_set(store, "labels", label="weight") is None


def test_empty_settings_mean_every_evaluator(store: Store) -> None:
    files = ImageFiles(store.root.parent / "pictures")
    made = query_sets(EvaluationSettings(), parents_of(store), files, 0)
    assert [query_set.name for query_set in made] == ["annotated", "labels", "held_out"]
    one = EvaluationSettings.model_validate({"evaluators": [{"kind": "held_out"}]})
    assert [query_set.name for query_set in query_sets(one, parents_of(store), files, 0)] == ["held_out"]


@pytest.mark.parametrize("ks", [(), (5, 1), (0, 5), (1, 1)])
def test_ks_must_ascend(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ks"):
        EvaluationSettings(ks=ks)


def test_annotated_queries_without_paraphrases_are_asked_in_the_editors_words(store: Store) -> None:
    files = ImageFiles(store.root.parent / "pictures")
    given, reworded = EVALUATORS.build({"kind": "annotated", "paraphrases": "made"}).query_sets(
        parents_of(store), files, 0
    )
    assert given == query_set(store, "annotated")
    known = [query for query in given.queries if query.modified_text == "make it red"]
    for query in known:
        texts = [other.modified_text for other in reworded.queries if other.wording_of == query.query_id]
        assert texts == ["make it red", "red", "in red"]
    assert len(reworded.queries) == 3 * len(known), "a text that the rules do not know has no other wording"
