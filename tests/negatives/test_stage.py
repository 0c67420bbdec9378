from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.negatives import stage as mine_false_negatives
from spn4cir_core.negatives.guard import Guard, GuardContext
from spn4cir_core.negatives.read_false_negatives import SCHEMA
from spn4cir_core.negatives.rules import Rule
from spn4cir_core.negatives.settings import FalseNegativeSettings
from spn4cir_core.negatives.stage import FALSE_NEGATIVES
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.whole_file import whole_file

CAPTIONS = {"a": "red cat", "b": "a red cat", "c": "blue dog", "d": "Red cat.", "e": ""}

SOFT = pa.schema([("annotation_id", pa.string()), ("soft_targets", pa.map_(pa.string(), pa.float32()))])


def triplet(
    name: str, reference: str, target: str, *texts: str, split: str = "train", origin: str = "generated"
) -> dict:
    return {
        "triplet_id": name,
        "reference_id": reference,
        "target_id": target,
        "modified_texts": list(texts) or [name],
        "origin": origin,
        "split": split,
    }


def mine(
    hand_written: Any,
    triplets: list[dict],
    near: list[tuple[str, str]] = (),
    captions: dict[str, str] = CAPTIONS,
    soft: Sequence[dict] = (),
    **settings: Any,
) -> Artifact:
    hand_written(
        "triplets",
        triplets=triplets,
        candidates=[{"image_id": name, "caption": text} for name, text in captions.items()],
    )
    columns = {"image_a": [one for one, _ in near], "image_b": [other for _, other in near]}
    schema = pa.schema([("image_a", pa.string()), ("image_b", pa.string())])
    hand_written("splits", near_duplicates=pa.table(columns, schema=schema))
    if hand_written.store.current("test", "image_embeddings") is None:
        hand_written("image_embeddings", image_embeddings=[{"image_id": name} for name in captions])
    hand_written("annotations", annotated_triplets=pa.Table.from_pylist(soft, SOFT))
    images = ImageSettings.model_validate({"reader": {"kind": "folder", "folder": hand_written.store.root}})
    recipe = Recipe.model_construct(name="test", images=images, false_negatives=FalseNegativeSettings(**settings))
    return FALSE_NEGATIVES.run(recipe, hand_written.store)[0]


def false_negatives(artifact: Artifact) -> list[tuple[str, str, str]]:
    assert artifact.table().schema.equals(SCHEMA)
    return [tuple(row.values()) for row in artifact.table().to_pylist()]


def test_what_people_judged_wrong_is_never_excluded(hand_written: Any) -> None:
    triplets = [
        triplet("annotated/judged_train/2", "c", "a", "make it a cat", origin="annotated"),
        triplet("annotated/toys/2", "c", "a", "Make it a cat.", origin="annotated"),
    ]
    near = [("e", "a"), ("b", "a"), ("d", "a")]
    wrong = [("b", -1.0), ("e", -1.0), ("elsewhere", -1.0), ("d", 1.0)]
    soft = [{"annotation_id": name, "soft_targets": wrong} for name in ("judged_train/2", "toys/2")]
    artifact = mine(hand_written, triplets, near, soft=soft, guards=("near_duplicate",))
    assert false_negatives(artifact) == [
        ("annotated/judged_train/2", "d", "near_duplicate"),
        ("annotated/toys/2", "b", "near_duplicate"),
        ("annotated/toys/2", "d", "near_duplicate"),
        ("annotated/toys/2", "e", "near_duplicate"),
    ]


def test_reasons_are_sorted_rows_without_the_own_target_and_reference(hand_written: Any) -> None:
    triplets = [
        triplet("t1", "c", "a", "make it a cat"),
        triplet("t2", "c", "b", "Make it a cat.", origin="annotated"),
        triplet("t3", "a", "c", "dog"),
        triplet("t4", "a", "b", split="evaluation"),
    ]
    artifact = mine(hand_written, triplets, [("e", "a"), ("x", "a"), ("b", "a"), ("c", "a")])
    assert false_negatives(artifact) == [
        ("t1", "b", "annotated_target"),
        ("t1", "b", "near_duplicate"),
        ("t1", "b", "same_caption"),
        ("t1", "b", "same_text"),
        ("t1", "d", "same_caption"),
        ("t1", "e", "near_duplicate"),
        ("t2", "a", "near_duplicate"),
        ("t2", "a", "same_text"),
    ]
    details = artifact.details
    assert details["by_reason"] == {
        "annotated_target": 1,
        "near_duplicate": 3,
        "same_caption": 2,
        "same_text": 2,
        "soft_target": 0,
    }
    assert details["masked_per_triplet_mean"] == pytest.approx((3 + 1 + 0) / 3, abs=1e-3)
    assert details["masked_bank_share"] == pytest.approx((3 + 1 + 0) / (3 * 5), abs=1e-6)
    assert details["triplets_with_false_negatives"] == 2
    assert artifact.summary["rows"] == 8
    assert artifact.summary["drops"] == {}


def test_only_the_guards_asked_for(hand_written: Any) -> None:
    triplets = [triplet("t", "c", "a")]
    assert false_negatives(mine(hand_written, triplets, [("a", "e")], guards=("near_duplicate",))) == [
        ("t", "e", "near_duplicate")
    ]
    assert false_negatives(mine(hand_written, triplets, [("a", "e")], guards=())) == []


def test_a_caption_shared_by_many_is_cut_and_counted(hand_written: Any) -> None:
    captions = {f"i{number:03d}": "a shirt" for number in range(50)}
    triplets = [triplet("t1", "i001", "i000"), triplet("t2", "i000", "i030")]
    artifact = mine(hand_written, triplets, captions=captions, most_per_guard=10)
    assert [image for name, image, _ in false_negatives(artifact) if name == "t1"] == [
        f"i{number:03d}" for number in range(2, 12)
    ]
    around = [image for name, image, _ in false_negatives(artifact) if name == "t2"]
    assert (len(around), around[0], around[-1]) == (10, "i025", "i035")
    assert artifact.summary["drops"] == {"same_caption: more than most_per_guard for one triplet": 76}


def test_blocks_do_not_change_rows(hand_written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    triplets = [triplet(f"t{number}", "c", "abd"[number % 3]) for number in range(9)]
    whole = false_negatives(mine(hand_written, triplets))
    monkeypatch.setattr(mine_false_negatives, "TRIPLETS_PER_BLOCK", 2)
    assert false_negatives(mine(hand_written, triplets, most_per_guard=999)) == whole
    assert len(whole) == 18


def with_vectors(hand_written: Any, vectors: dict[str, list[float]]) -> None:
    store = hand_written.store
    with store.writing("image_embeddings", "f" * 16, {"parents": {}}) as draft:
        draft.write_table(pa.table({"image_id": sorted(vectors)}), "image_embeddings.parquet")
        rows = np.array([vectors[name] for name in sorted(vectors)], np.float32)
        with whole_file(draft.file("vectors_00000.npy")) as scratch, scratch.open("wb") as stream:
            np.save(stream, rows / np.linalg.norm(rows, axis=1, keepdims=True))
    store.point("test", store.get("image_embeddings", "f" * 16))


def test_look_alikes_come_from_the_vectors(hand_written: Any) -> None:
    vectors = {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1], "d": [0.99, 0.1, 0], "e": [0, 0.7, 0.7], "z": [1, 0, 0]}
    with_vectors(hand_written, vectors)
    artifact = mine(
        hand_written,
        [triplet("t1", "b", "a"), triplet("t2", "a", "c")],
        guards=("look_alike",),
        look_alike_quantile=0.9,
    )
    assert false_negatives(artifact) == [("t1", "d", "look_alike")]
    assert artifact.details["look_alike_cosine"] == pytest.approx(0.707, abs=0.01)


def test_look_alikes_above_the_fence_of_the_box_plot(hand_written: Any) -> None:
    vectors = {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1], "d": [0.99, 0.1, 0], "e": [0.1, -0.1, 0.9]}
    with_vectors(hand_written, vectors)
    artifact = mine(hand_written, [triplet("t1", "b", "a")], guards=("look_alike",), look_alike_above="upper_fence")
    assert false_negatives(artifact) == [("t1", "d", "look_alike")]
    # Similarities of a to the others: 0, 0, 0.11 and 0.99, of which 0.25 and 0.75 quantiles are 0 and 0.11.
    assert artifact.details["look_alike_cosine"] == pytest.approx(0.11 + 1.5 * 0.11, abs=0.01)


def test_soft_targets_of_the_annotation_are_spared(hand_written: Any) -> None:
    artifact = mine(
        hand_written,
        [triplet("annotated/zoo/2", "c", "a", origin="annotated"), triplet("generated/zoo/2", "c", "b")],
        soft=[{"annotation_id": "zoo/2", "soft_targets": {"d": 0.5, "e": -1.0, "b": 0.2, "a": 1.0, "gone": 1.0}}],
        guards=("soft_target",),
    )
    assert false_negatives(artifact) == [
        ("annotated/zoo/2", "b", "soft_target"),
        ("annotated/zoo/2", "d", "soft_target"),
    ]


def test_a_candidate_without_vector_is_an_error(hand_written: Any) -> None:
    with_vectors(hand_written, {"a": [1, 0, 0], "b": [0, 1, 0]})
    with pytest.raises(InputError, match="3 candidates have no image embedding, the first is 'c'"):
        mine(hand_written, [triplet("t", "b", "a")], guards=("look_alike",))


class EveryOther(Guard):
    """A stranger's guard, with a setting: every candidate of an even row from ``first`` on."""

    first: int = 0

    def prepare(self, context: GuardContext) -> Rule:
        rows = np.arange(self.first, len(context.training.candidate_ids), 2)
        return lambda triplet: rows


def test_a_strangers_guard_works_by_its_dotted_name_and_with_settings(hand_written: Any) -> None:
    name = f"{__name__}:EveryOther"
    one = mine(hand_written, [triplet("t1", "c", "a")], guards=(name,))
    assert false_negatives(one) == [("t1", "e", name)]
    other = mine(hand_written, [triplet("t1", "c", "a")], guards=({"kind": name, "first": 1},))
    assert false_negatives(other) == [("t1", "b", name), ("t1", "d", name)]
