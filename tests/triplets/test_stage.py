from collections.abc import Callable
from typing import Any

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.triplets.stage import CANDIDATE_SCHEMA, advice_without_triplets
from spn4cir_core.triplets.triplet import SCHEMA

Compose = Callable[..., Artifact]


def ids(artifact: Artifact) -> list[str]:
    names: list[str] = artifact.table()["triplet_id"].to_pylist()
    return names


def test_annotated_and_generated_rows(compose: Compose, rows: Any) -> None:
    artifact = compose([rows.annotation("q1", "a", "b")], [rows.pair("a", "c", "one", "two")], annotated_repeats=4)
    table = artifact.table()
    assert table.schema.equals(SCHEMA)
    annotated, generated = table.to_pylist()
    assert annotated == {
        "triplet_id": "annotated/q1",
        "reference_id": "zoo/a.png",
        "target_id": "zoo/b.png",
        "reference_path": "folder/zoo/a.png",
        "target_path": "folder/zoo/b.png",
        "reference_caption": "red cat",
        "target_caption": "blue cat",
        "modified_texts": ["bluer"],
        "origin": "annotated",
        "kind": "colour",
        "template_ids": [],
        "rank": None,
        "score": None,
        "weight": 1.0,
        "repeats": 4,
        "split": "train",
    }
    assert generated == annotated | {
        "triplet_id": "generated/a-c-0",
        "target_id": "zoo/c.png",
        "target_path": "folder/zoo/c.png",
        "target_caption": "red dog",
        "modified_texts": ["one", "two"],
        "origin": "generated",
        "kind": "",
        "template_ids": ["t", "t"],
        "rank": 4,
        "score": 0.5,
        "repeats": 1,
    }


def test_weight_of_generated_triplets(compose: Compose, rows: Any) -> None:
    artifact = compose([rows.annotation("q", "a", "b")], [rows.pair("a", "c")], generated_weight=0.25)
    assert artifact.table()["weight"].to_pylist() == [1.0, 0.25]


def test_nothing_held_out_is_trained_on(compose: Compose, rows: Any) -> None:
    """Every annotated triplet between any two images, and a pair in each split."""
    names = "abcefv"
    annotations = [rows.annotation(f"{r}{t}", r, t) for r in names for t in names if r != t]
    artifact = compose(annotations, [rows.pair("a", "b"), rows.pair("e", "f")])
    trained = [row for row in artifact.table().to_pylist() if row["split"] == "train"]
    assert {row[side] for row in trained for side in ("reference_id", "target_id")} == {
        "zoo/a.png",
        "zoo/b.png",
        "zoo/c.png",
    }
    assert len([row for row in trained if row["origin"] == "annotated"]) == 6
    assert artifact.summary["drops"] == {
        "image is in the evaluation split": 18,
        "image is in the validation split": 6,
    }
    held_out = [row for row in artifact.table().to_pylist() if row["split"] != "train"]
    assert [(row["triplet_id"], row["split"]) for row in held_out] == [("generated/e-f-1", "evaluation")]


def test_odd_annotations_are_counted(compose: Compose, rows: Any) -> None:
    artifact = compose(
        [rows.annotation("1", "a", "a"), rows.annotation("2", "a", "b", " "), rows.annotation("3", "v", "a")],
        [rows.pair("a", "b")],
    )
    assert artifact.summary["drops"] == {
        "image is in the validation split": 1,
        "reference and target are the same image": 1,
        "the modified text is empty": 1,
    }


def test_duplicates_keep_the_annotated_one(compose: Compose, rows: Any) -> None:
    artifact = compose(
        [rows.annotation("2", "a", "b", "Make it  blue."), rows.annotation("1", "a", "b", "make it blue")],
        [rows.pair("a", "b", "make it blue"), rows.pair("a", "b", "other"), rows.pair("b", "a", "make it blue")],
    )
    assert ids(artifact) == ["annotated/1", "generated/a-b-1", "generated/b-a-2"]
    assert artifact.summary["drops"] == {"same reference, target and text as another triplet": 2}


def test_gates_refuse_and_count_and_can_be_left_out(compose: Compose, rows: Any) -> None:
    pairs = [rows.pair("a", "d"), rows.pair("v", "v"), rows.pair("a", "b")]
    composed = compose([], pairs)
    assert ids(composed) == ["generated/a-b-2"]
    assert composed.summary["drops"] == {"captions say the same": 1, "the target's caption says nothing": 1}
    assert len(ids(compose([], pairs, gates=()))) == 3


def test_origins(compose: Compose, rows: Any) -> None:
    given = [rows.annotation("q", "a", "b")], [rows.pair("a", "c")]
    assert ids(compose(*given, origins=("annotated",))) == ["annotated/q"]
    assert ids(compose(*given, origins=("generated",))) == ["generated/a-c-0"]


def test_the_cap_draws_training_triplets_by_seed(compose: Compose, rows: Any) -> None:
    pairs = [rows.pair(r, t) for r in "abc" for t in "abc" if r != t] + [rows.pair("e", "f")]
    artifact = compose([], pairs, max_generated=2)
    assert len(ids(artifact)) == 3
    assert "generated/e-f-6" in ids(artifact)
    assert artifact.summary["drops"] == {"more generated triplets than max_generated": 4}
    assert len({tuple(ids(compose([], pairs, seed=seed, max_generated=2))) for seed in range(8)}) > 1
    assert set(ids(artifact)) < set(ids(compose([], pairs, max_generated=3)))


def test_candidates(compose: Compose, rows: Any) -> None:
    given = [rows.annotation("q", "c", "b")], [rows.pair("e", "f")]
    table = compose(*given).table("candidates.parquet")
    assert table.schema.equals(CANDIDATE_SCHEMA)
    assert [row["image_id"][4] for row in table.to_pylist()] == ["a", "b", "c", "d"]
    assert table.to_pylist()[3] == {
        "image_id": "zoo/d.png",
        "path": "folder/zoo/d.png",
        "pixel_sha256": "pixels d",
        "caption": "The cat red.",
        "component": 3,
    }
    assert [
        row["image_id"][4] for row in compose(*given, candidates="triplets").table("candidates.parquet").to_pylist()
    ] == [
        "b",
        "c",
    ]


def test_no_training_triplet_says_why(compose: Compose, rows: Any) -> None:
    with pytest.raises(InputError) as error:
        compose([rows.annotation("q", "a", "e")], [rows.pair("e", "f")])
    for part in ("4 of 7 images", "image is in the evaluation split (1)", "unknown image (3)", "pairs.window"):
        assert part in str(error.value)


def test_figures_say_how_much_the_text_gives_away(compose: Compose, rows: Any) -> None:
    """Of four generated ones two name their target in full; "red cat" says what "The cat red." does."""
    artifact = compose(
        [rows.annotation("q", "a", "b", "blue cat")],
        [
            rows.pair("a", "b", "a blue cat!"),
            rows.pair("b", "a", "x", "cat, red"),
            rows.pair("a", "c"),
            rows.pair("c", "b"),
        ],
    )
    assert artifact.details["text_names_target_share"] == 0.5
    assert artifact.details["caption_singles_out_target_share"] == 0.75
    assert artifact.details["text_alone_suffices_share"] == 0.25
    assert artifact.details["candidates_with_target_caption_mean"] == 1.25
    assert artifact.details["triplets"] == {"train annotated": 1, "train generated": 4}
    assert artifact.details["samples"][0]["modified_texts"] == ["blue cat"]


def test_tables_are_the_same_bytes_whatever_the_order_of_rows(compose: Compose, rows: Any) -> None:
    annotations = [rows.annotation(str(number), "a", "b", f"text {number}") for number in range(5)]
    one = compose(annotations, [rows.pair("a", "b")])
    other = compose(annotations[::-1], [rows.pair("a", "b")])
    assert one.path != other.path
    assert one.summary["files"] == other.summary["files"]


@pytest.mark.parametrize(
    ("captions", "says", "not_said"),
    [
        (["a hat"] * 3, "All 3 captions are 'a hat'", "widen"),
        ([], "No picture has a caption", "widen"),
        (["a hat", "a belt"], "widen pairs.window", "caption"),
    ],
)
def test_advice_where_there_is_no_triplet_goes_by_the_captions(captions: list[str], says: str, not_said: str) -> None:
    advice = advice_without_triplets(captions)
    assert says in advice and not_said not in advice
