from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.annotations.annotation_tables import QUERY_SCHEMA
from spn4cir_core.errors import InputError
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.recipe import Recipe
from spn4cir_core.splits import stage as split_images
from spn4cir_core.splits.settings import SplitSettings
from spn4cir_core.splits.split_tables import NEAR_DUPLICATE_SCHEMA, SPLIT_SCHEMA
from spn4cir_core.splits.stage import SPLITS
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from conftest import HandWritten


def recipe(**settings: Any) -> Recipe:
    """Links are those proposed, unless a test asks for the pictures to be compared."""
    splits = SplitSettings(**{"compare_pictures": False} | settings)
    images = ImageSettings(reader={"kind": "folder", "folder": "pictures"})
    return Recipe.model_construct(name="test", seed=0, splits=splits, images=images)


def write_vectors(hand_written: HandWritten, image_ids: list[str], vectors: np.ndarray) -> None:
    """The layout of ``image_embeddings``, by hand."""
    store, digest = hand_written.store, fingerprint(vectors.tolist())
    with store.writing("image_embeddings", digest, {"parents": {}}) as draft:
        draft.write_table(pa.table({"image_id": image_ids}), "image_embeddings.parquet")
        np.save(draft.file("vectors_00000.npy"), vectors.astype(np.float32))
    artifact = store.get("image_embeddings", digest)
    assert artifact is not None
    store.point("test", artifact)


def world(
    hand_written: HandWritten,
    count: int = 12,
    overrides: dict[int, dict[str, Any]] | None = None,
    vectors: np.ndarray | None = None,
    queries: list[dict[str, Any]] | None = None,
    triplets: list[dict[str, Any]] | None = None,
) -> list[str]:
    """Pictures that share nothing, but for the overrides; returns their ids."""
    ids = [f"{index:02d}.png" for index in range(count)]
    rng = np.random.default_rng(5)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    rows = [
        {"image_id": name, "corpus": "c", "phash": int(value), "group": "", "split": "", "attributes": []}
        | (overrides or {}).get(index, {})
        for index, (name, value) in enumerate(zip(ids, hashes, strict=True))
    ]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("image_id", "corpus", "group", "split")),
            ("phash", pa.uint64()),
            ("attributes", pa.map_(pa.string(), pa.string())),
        ]
    )
    hand_written("images", images=pa.Table.from_pylist(rows, schema))
    hand_written(
        "annotations",
        queries=pa.Table.from_pylist(queries or [], QUERY_SCHEMA),
        annotated_triplets=pa.Table.from_pylist(
            triplets or [], pa.schema([(name, pa.string()) for name in ("reference_id", "target_id", "corpus")])
        ),
    )
    write_vectors(hand_written, ids, np.eye(count) if vectors is None else vectors)
    return ids


def splits_of(artifact: Artifact) -> dict[str, str]:
    table = artifact.table()
    assert table.schema == SPLIT_SCHEMA
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def components_of(artifact: Artifact) -> list[int]:
    components: list[int] = artifact.table()["component"].to_pylist()
    return components


def test_near_duplicates_and_groups_share_a_component(hand_written: HandWritten) -> None:
    vectors = np.eye(12)
    vectors[3] = vectors[2]
    same_hash = {"phash": 0x0F0F0F0F0F0F0F0F}
    ids = world(
        hand_written,
        overrides={
            0: same_hash,
            1: {"phash": same_hash["phash"] ^ 0b1111},
            5: {"group": "g"},
            9: {"group": "g"},
            10: {"group": "g", "corpus": "other"},
        },
        vectors=vectors,
    )
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    assert components_of(artifact) == [0, 0, 1, 1, 2, 3, 4, 5, 6, 3, 7, 8]
    links = artifact.table("near_duplicates.parquet")
    assert links.schema == NEAR_DUPLICATE_SCHEMA
    assert {(row["image_a"], row["image_b"], row["found_by"]) for row in links.to_pylist()} == {
        (ids[2], ids[3], "embedding"),
        (ids[0], ids[1], "phash"),
        (ids[5], ids[9], "group"),
    }
    only_phash, _ = SPLITS.run(recipe(near_duplicates_by=("phash",)), hand_written.store)
    assert components_of(only_phash)[2] != components_of(only_phash)[3]
    none, _ = SPLITS.run(recipe(near_duplicates_by=()), hand_written.store)
    assert none.table("near_duplicates.parquet")["found_by"].to_pylist() == ["group"]
    assert none.details["components"] == 11


def test_a_large_corpus_is_searched_by_an_index(hand_written: HandWritten, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 16))
    vectors[299] = vectors[0]
    world(hand_written, count=300, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    in_full, _ = SPLITS.run(recipe(), hand_written.store)
    monkeypatch.setattr(split_images, "ROWS_COMPARED_IN_FULL", 100)
    indexed, _ = SPLITS.run(recipe(near_duplicate_cosine=0.97), hand_written.store)
    assert "near_duplicate_index" not in in_full.details
    assert indexed.details["near_duplicate_index"]["sampled_link_recall"] in (1.0, None)
    assert indexed.table("near_duplicates.parquet").equals(in_full.table("near_duplicates.parquet"))
    assert len(indexed.table("near_duplicates.parquet")) == 1


def test_embeddings_may_lack_pictures_and_stand_in_another_order(hand_written: HandWritten) -> None:
    ids = world(hand_written)
    write_vectors(hand_written, [ids[7], ids[1], ids[4]], np.array([[1, 0], [0, 1], [1, 0]]))
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    components = components_of(artifact)
    assert components[7] == components[4] and len(set(components)) == 11


def test_query_pictures_and_their_look_alikes_are_held_out_and_triplets_trained_on(hand_written: HandWritten) -> None:
    vectors = np.eye(12)
    vectors[3] = vectors[2]
    ids = [f"{index:02d}.png" for index in range(12)]
    world(
        hand_written,
        overrides={4: {"split": "validation"}, 5: {"split": "train"}, 3: {"split": "train"}},
        vectors=vectors,
        queries=[{"reference_id": ids[0], "target_ids": [ids[1], ids[2]]}],
        triplets=[{"reference_id": ids[6], "target_id": ids[7]}, {"reference_id": ids[8], "target_id": ids[4]}],
    )
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    splits = splits_of(artifact)
    assert [splits[ids[index]] for index in range(9)] == ["evaluation"] * 4 + ["validation"] + ["train"] * 4
    assert artifact.details["conflicts"] == {"train → evaluation": 1}
    assert artifact.details["images_without_asked_split"] == 3


def test_judging_moves_no_image_to_another_split(hand_written: HandWritten) -> None:
    ids = world(hand_written, 40)
    before = splits_of(SPLITS.run(recipe(), hand_written.store)[0])
    of_split = {split: [name for name in ids if before[name] == split] for split in set(before.values())}
    (reference, *_), (one, other, *_) = of_split["evaluation"], of_split["train"]
    query = {"reference_id": reference, "target_ids": [one], "corpus": "judged"}
    hand_written(
        "annotations",
        queries=pa.Table.from_pylist([query], QUERY_SCHEMA),
        annotated_triplets=[{"reference_id": one, "target_id": other, "corpus": "judged_train"}],
    )
    assert splits_of(SPLITS.run(recipe(), hand_written.store)[0]) == before


@pytest.mark.parametrize("count", [1, 2, 10])
def test_tiny_corpora(hand_written: HandWritten, count: int) -> None:
    world(hand_written, count)
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    assert "train" in splits_of(artifact).values()


def test_nothing_left_to_train_on_is_an_error(hand_written: HandWritten) -> None:
    world(hand_written, 2, overrides={0: {"split": "evaluation"}, 1: {"split": "evaluation"}})
    with pytest.raises(InputError, match="no image of 2 is left to train on"):
        SPLITS.run(recipe(), hand_written.store)


def test_a_corpus_chained_together_is_reported(hand_written: HandWritten) -> None:
    angles = np.arange(12) * 0.15
    world(hand_written, vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1))
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    assert artifact.details["largest_component"] == 12 and "12 of 12" in artifact.details["warning"]
    near, _ = SPLITS.run(recipe(near_duplicate_cosine=0.99), hand_written.store)
    assert near.details["largest_component"] == 1 and "warning" not in near.details


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="together must be below 1"):
        SplitSettings(validation_share=0.5, evaluation_share=0.5)


def test_products_are_linked_and_sources_only_share_a_split(hand_written: HandWritten) -> None:
    groups = {1: "shoe", 4: "shoe", 6: "shoe", 2: "bag", 3: "bag"}
    ids = world(hand_written, overrides={row: {"group": name} for row, name in groups.items()})
    images = ImageSettings(reader={"kind": "folder", "folder": "pictures", "group_column": "product"})

    def linked(**settings: Any) -> tuple[set[tuple[str, str, str]], list[int]]:
        with_groups = recipe(**settings).model_copy(update={"images": images})
        artifact, _ = SPLITS.run(with_groups, hand_written.store)
        table = artifact.table("near_duplicates.parquet").to_pylist()
        return {(row["image_a"], row["image_b"], row["found_by"]) for row in table}, components_of(artifact)

    products, product_components = linked()
    sources, source_components = linked(groups_are="sources")
    assert products == {(ids[a], ids[b], "group") for a, b in ((1, 4), (1, 6), (4, 6), (2, 3))}
    assert sources == set() and source_components == product_components
    generated = recipe().model_copy(update={"images": ImageSettings(reader={"kind": "shapes"})})
    by_reader, _ = SPLITS.run(generated, hand_written.store)
    assert len(by_reader.table("near_duplicates.parquet")) == 0, "a reader's own groups are sources"


def test_two_variants_of_a_product_are_different_things_in_one_split(hand_written: HandWritten) -> None:
    variants = {1: "red", 4: "red", 6: "blue", 8: ""}
    rows = {row: {"group": "tee", "attributes": [("variant", name)]} for row, name in variants.items()}
    ids = world(hand_written, overrides=rows)
    artifact, _ = SPLITS.run(recipe(), hand_written.store)
    table = artifact.table("near_duplicates.parquet").to_pylist()
    assert {(row["image_a"], row["image_b"]) for row in table} == {
        (ids[a], ids[b]) for a, b in ((1, 4), (1, 8), (4, 8), (6, 8))
    }
    assert len({components_of(artifact)[row] for row in variants}) == 1


@pytest.mark.parametrize("chained", [False, True])
def test_things_share_a_split_unless_they_chain_the_corpus_together(hand_written: HandWritten, chained: bool) -> None:
    ids = world(hand_written, 120, {row: {"group": f"g{row // 2 if chained else row}"} for row in range(120)})
    captions = [{"image_id": name, "caption": f"thing{(row + 1) // 2}"} for row, name in enumerate(ids)]
    hand_written("captions", captions=captions)
    made, _ = SPLITS.run(recipe(hold_out="things", validation_share=0.2, groups_are="sources"), hand_written.store)
    split = list(splits_of(made).values())
    assert split.count("validation") >= 20 and ("things_warning" in made.details) == chained
    components = np.array(components_of(made))
    together = [(row, row + 1) for row in range(0 if chained else 1, 119, 2)]
    assert all(components[first] == components[second] for first, second in together)
