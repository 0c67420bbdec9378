from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.embeddings.vectors import open_vectors, write_vectors
from spn4cir_core.errors import InputError
from spn4cir_core.pairs.miner import Miner, MiningJob
from spn4cir_core.pairs.pair_table import SCHEMA
from spn4cir_core.pairs.picks import Picks
from spn4cir_core.pairs.rank_window import RankWindow
from spn4cir_core.pairs.settings import PairSettings
from spn4cir_core.pairs.stage import PAIRS, choose_miner, near_duplicate_components
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from tests.pairs.conftest import clustered, slow_ranking


def name(row: int) -> str:
    return f"toys/{row:05d}.png"


def parents(store: Store, vectors: np.ndarray, **columns: Any) -> None:
    """Write the parents of ``pairs`` by hand."""
    rows = len(vectors)
    ids = [name(row) for row in range(rows)]
    split = columns.get("split", ["train"] * rows)
    tables = {
        "images": {"images.parquet": pa.table({"image_id": ids, "category": columns.get("category", [""] * rows)})},
        "annotations": {"annotated_triplets.parquet": links(columns.get("annotated", []), "reference_id", "target_id")},
        "image_embeddings": {"image_embeddings.parquet": pa.table({"image_id": ids})},
        "splits": {
            "splits.parquet": pa.table(
                {"image_id": ids, "component": pa.array([0] * rows, pa.int32()), "split": split}
            ),
            "near_duplicates.parquet": links(columns.get("near", []), "image_a", "image_b").append_column(
                "found_by", pa.array([columns.get("found_by", "phash")] * len(columns.get("near", [])), pa.string())
            ),
        },
    }
    if "captions" in columns:
        tables["captions"] = {"captions.parquet": pa.table({"image_id": ids, "caption": columns["captions"]})}
    for noun, files in tables.items():
        with store.writing(noun, "f" * 16, {}) as draft:
            for file, table in files.items():
                draft.write_table(table, file)
            if noun == "image_embeddings":
                write_vectors(draft, [vectors], rows, str(vectors.dtype))
        artifact = store.get(noun, "f" * 16)
        assert artifact is not None
        store.point("demo", artifact)


def links(pairs: list[tuple[int, int]], left: str, right: str) -> pa.Table:
    return pa.table(
        {
            left: pa.array([name(a) for a, _ in pairs], pa.string()),
            right: pa.array([name(b) for _, b in pairs], pa.string()),
        }
    )


def run(store: Store, **settings: Any) -> Artifact:
    return PAIRS.run(recipe(**settings), store)[0]


def recipe(**settings: Any) -> Recipe:
    return load_recipe(
        "demo", {"pairs": {"mode": "auto", "window": [0, 20], "per_reference": 1, "max_cosine": 1.01, **settings}}
    )


@pytest.mark.parametrize("mode", ["auto", "exact", "neighbours"])
def test_pairs_stay_in_their_split_and_window(tmp_path: Path, mode: str) -> None:
    vectors, store = clustered(120, 8), Store(tmp_path)
    split = np.array(["train", "validation", "evaluation"])[np.random.default_rng(0).integers(0, 3, 120)]
    parents(store, vectors, split=split.tolist())
    artifact = run(store, window=[2, 9], mode=mode)
    table = artifact.table()
    assert table.schema.equals(SCHEMA)
    assert table["pair_id"].to_pylist() == sorted(table["pair_id"].to_pylist())
    assert len(table) == artifact.summary["rows"] == 120
    for pair in table.to_pylist():
        rows = [int(pair[key][5:10]) for key in ("reference_id", "target_id")]
        assert split[rows[0]] == split[rows[1]] == pair["split"]
        members = np.flatnonzero(split == pair["split"])
        ranking = slow_ranking(vectors[members], int(np.searchsorted(members, rows[0])))
        assert ranking[pair["rank"]] == np.searchsorted(members, rows[1])
        assert (pair["window_first_rank"], pair["window_end_rank"]) == (2, 9)
        assert 2 <= pair["rank"] < 9
        assert pair["score"] == pytest.approx(float(vectors[rows[0]] @ vectors[rows[1]]), abs=1e-6)


def test_landmarks_and_their_accuracy(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(3000, 16, dtype="float16"))
    about = run(store, window=[0.4, 0.8], mode="landmarks", landmarks=2000).details["splits"]["train"]
    assert (about["mode"], about["rank_is"], about["landmarks"]) == ("landmarks", "estimated", 2000)
    assert about["window_ranks"] == [1200, 2399]
    assert about["sampled_inside_window"] >= 0.95
    assert run(store, window=[0.4, 0.8], mode="landmarks", landmarks=4000).details["splits"]["train"]["mode"] == "exact"


def test_constraints_and_counts(tmp_path: Path) -> None:
    vectors, store = clustered(60, 6), Store(tmp_path)
    rng = np.random.default_rng(0)
    category = rng.integers(0, 2, 60)
    near = [(0, row) for row in range(1, 30)]
    annotated = [(row, int(other)) for row in range(40) for other in rng.integers(0, 60, 20)]
    parents(store, vectors, category=[f"c{c}" for c in category], near=near, annotated=annotated)
    artifact = run(store, window=[0, 59], per_reference=5, same_category=True, references="annotated", max_cosine=0.9)
    table = artifact.table()
    pairs = [(int(a[5:10]), int(b[5:10])) for a, b in zip(*table.select([1, 2]).to_pydict().values(), strict=True)]
    assert len(pairs) > 100
    assert len(set(pairs)) == len(pairs)
    assert {a for a, _ in pairs} <= set(range(40))
    assert not set(pairs) & set(annotated)
    assert not any(a < 30 and b < 30 for a, b in pairs)
    assert all(category[a] == category[b] for a, b in pairs)
    assert max(table["score"].to_pylist()) < 0.9
    drops = artifact.summary["drops"]
    assert {
        "drawn pair is already annotated",
        "drawn target is in its reference's component of near-duplicates",
    } <= set(drops)


@pytest.mark.parametrize(
    ("found_by", "pair_views", "paired"),
    [("phash", False, False), ("phash", True, False), ("group", False, False), ("group", True, True)],
)
def test_views_of_one_product_are_a_pair_by_option_only_and_near_duplicates_never(
    tmp_path: Path, found_by: str, pair_views: bool, paired: bool
) -> None:
    product = {(a, b) for a in range(5) for b in range(a + 1, 5)}
    parents(Store(tmp_path), clustered(20, 6), near=sorted(product), found_by=found_by)
    rows = [
        [int(pair[key][5:10]) for key in ("reference_id", "target_id")]
        for pair in run(Store(tmp_path), per_reference=19, pair_views=pair_views).table().to_pylist()
    ]
    assert any((min(row), max(row)) in product for row in rows) is paired
    assert any(max(row) >= 5 for row in rows)


def test_max_pairs_keeps_a_random_choice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(100, 6))
    every, some = run(store, window=[1, 20]), run(store, window=[1, 20], max_pairs=30)
    pair_ids = some.table()["pair_id"].to_pylist()
    assert len(pair_ids) == 30
    assert set(pair_ids) < set(every.table()["pair_id"].to_pylist())
    assert some.summary["drops"] == {"pair beyond max_pairs": 70}
    assert pair_ids != every.table()["pair_id"].to_pylist()[:30]


def test_same_bytes_again(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        store = Store(tmp_path / folder)
        parents(store, clustered(100, 6))
        files.append(run(store, window=[1, 20]).summary["files"])
    assert files[0] == files[1]


def test_another_seed_draws_other_pairs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(100, 6))
    first = run(store, window=[1, 20]).table()
    second = PAIRS.run(load_recipe("demo", {"seed": 1, "pairs": {"mode": "auto", "per_reference": 1}}), store)[
        0
    ].table()
    assert first["target_id"].to_pylist() != second["target_id"].to_pylist()


@pytest.mark.parametrize(
    ("images", "window", "message"),
    [
        (1, [1, 20], "holds 1 image, and a pair needs 2"),
        (2, [1, 20], r"window \[1, 20\] holds no image: the training split has 2 images.*\[0, 1\]"),
        (10, [10_000, 20_000], r"\[10000, 20000\].*10 images.*window = \[1, 9\]"),
        (10, [0.41, 0.42], r"window = \[0.0, 1.0\]"),
    ],
)
def test_an_empty_window_is_said(tmp_path: Path, images: int, window: list[float], message: str) -> None:
    parents(Store(tmp_path), clustered(10, 4)[:images])
    with pytest.raises(InputError, match=message):
        run(Store(tmp_path), window=window)


@pytest.mark.parametrize(
    ("images", "window"), [(2, [0, 1]), (2, [0.4, 0.8]), (3, [1, 20]), (3, [0.4, 0.8]), (10, [1, 20])]
)
def test_tiny_corpora(tmp_path: Path, images: int, window: list[float]) -> None:
    parents(Store(tmp_path), clustered(10, 4)[:images])
    assert len(run(Store(tmp_path), window=window).table()) == images


def test_a_small_validation_split_does_not_stop_the_rest(tmp_path: Path) -> None:
    parents(Store(tmp_path), clustered(30, 4), split=["train"] * 28 + ["validation"] * 2)
    artifact = run(Store(tmp_path), window=[5, 20])
    assert set(artifact.table()["split"].to_pylist()) == {"train"}
    assert artifact.summary["drops"] == {"reference in a split too small for the window (validation)": 2}


def test_nothing_allowed_is_said(tmp_path: Path) -> None:
    parents(Store(tmp_path), clustered(30, 4))
    with pytest.raises(InputError, match=r"not one pair .* is allowed \(drawn target is a near-duplicate"):
        run(Store(tmp_path), max_cosine=-0.99)
    with pytest.raises(InputError, match="no reference image"):
        run(Store(tmp_path), references="annotated")


def test_images_without_a_vector_are_no_candidates(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(30, 4), annotated=[(0, 29)], near=[(1, 29)])
    with store.writing("image_embeddings", "a" * 16, {}) as draft:
        draft.write_table(pa.table({"image_id": [name(row) for row in range(29)]}), "image_embeddings.parquet")
        write_vectors(draft, [clustered(30, 4)[:29]], 29, "float32")
    artifact = store.get("image_embeddings", "a" * 16)
    assert artifact is not None and len(open_vectors(artifact)) == 29
    store.point("demo", artifact)
    table = run(store, window=[0, 28], per_reference=28).table()
    assert name(29) not in table["reference_id"].to_pylist() + table["target_id"].to_pylist()


def test_modes_chosen_by_size_and_window() -> None:
    def mode(window: tuple[int, int], images: int, **settings: Any) -> str:
        return choose_miner(PairSettings(**settings), RankWindow(*window, images - 1))[0].plugin_kind

    assert mode((1, 20), 5000) == "exact"
    assert mode((1, 20), 50_000) == "neighbours"
    assert mode((20_000, 40_000), 50_000) == "landmarks"
    assert mode((20_000, 20_500), 50_000) == "exact"
    assert mode((400_000, 800_000), 1_000_000) == "landmarks"
    assert mode((0, 1000), 2000, mode="landmarks", landmarks=5000) == "exact"
    with pytest.raises(InputError, match="reaches rank 2032"):
        mode((20_000, 40_000), 50_000, mode="neighbours")


def test_components_of_near_duplicates() -> None:
    numbers = near_duplicate_components(7, np.array([0, 2, 3]), np.array([1, 3, 4]))
    assert numbers[0] == numbers[1] != numbers[2] == numbers[3] == numbers[4]
    assert numbers[5] == numbers[6] == -1


class NextInOrder(Miner):
    """A stranger's miner: the image that follows, at rank 0."""

    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        references = job.references[:-1]
        scores = job.vectors.cosines(references, references + 1).astype(np.float32)
        return Picks(references, references + 1, np.zeros(len(references), np.int32), scores), {"rank_is": "made up"}


def test_a_strangers_miner_works_by_its_dotted_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(30, 8))
    mode = f"{__name__}:NextInOrder"
    artifact = run(store, mode=mode)
    details = artifact.details["splits"]["train"]
    assert (details["mode"], details["rank_is"]) == (mode, "made up")
    assert details["pairs"] == details["images"] - 1


def test_captions_pair_colourways_that_no_window_of_ranks_would_and_each_split_keeps_to_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    things = ["kettle", "drum", "bell", "violin", "tent", "sofa", "lamp", "jug"]
    captions = [f"a {colour} {thing}" for thing in things for colour in ("red", "blue", "green")]
    split = ["train"] * 12 + ["validation"] * 12
    parents(store, clustered(24, 8), captions=captions, split=split)
    made = run(store, mode={"kind": "caption_overlap"}, per_reference=2)
    table = made.table("pairs.parquet")
    ids = [name(row) for row in range(24)]
    pairs = {
        (captions[ids.index(reference)].split()[2], captions[ids.index(target)].split()[2])
        for reference, target in zip(table["reference_id"].to_pylist(), table["target_id"].to_pylist(), strict=True)
    }
    assert pairs == {(thing, thing) for thing in things} and len(table) == 24 * 2
    assert made.summary["details"]["splits"]["train"]["mode"] == "caption_overlap"
    assert "captions" in made.summary["parents"]


@pytest.mark.parametrize(
    ("captions", "positives"),
    [
        (
            [f"a {colour} {thing}" for thing in ("bell", "drum", "jug", "tent") for colour in ("red", "blue", "green")],
            True,
        ),
        ([f"a photograph of thing{row}" for row in range(12)], False),
        (["a grey bell"] * 12, False),
        ([""] * 12, False),
    ],
)
def test_auto_positives_pairs_by_captions_where_they_share_words_and_else_by_looks(
    tmp_path: Path, captions: list[str], positives: bool
) -> None:
    store = Store(tmp_path / "store")
    evaluation = [f"a {colour} kettle" for colour in ("red", "blue", "green")]  # must not decide
    parents(store, clustered(15, 8), captions=[*captions, *evaluation], split=["train"] * 12 + ["evaluation"] * 3)
    details = run(store, mode="auto_positives", window=[0, 2]).details
    assert details["strategy"]["positives"] == ("caption_overlap" if positives else "auto")
    assert details["strategy"]["paired_share"] == (1.0 if positives else 0.0) and "50%" in details["strategy"]["why"]
    modes = {split: about["mode"] for split, about in details["splits"].items()}
    assert modes == dict.fromkeys(("train", "evaluation"), "caption_overlap" if positives else "exact")


def test_a_split_with_fewer_images_than_targets_a_reference_is_mined(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    captions = [f"{colour} {thing}" for thing in ("bell", "drum", "jug", "tent") for colour in ("red", "blue", "tan")]
    parents(store, clustered(12, 8), captions=captions)
    assert len(run(store, mode="caption_overlap", per_reference=20).table()) == 12 * 2


def test_captions_without_words_in_common_are_a_clear_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    parents(store, np.eye(4, dtype=np.float32), captions=["one", "two", "three", ""])
    with pytest.raises(InputError, match="no two captions of a split share enough words"):
        run(store, mode="caption_overlap")


def test_pairs_by_looks_do_not_hang_on_captions(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    parents(store, clustered(20, 8))
    assert "captions" not in run(store, window=[1, 5]).summary["parents"]


def test_ranks_may_be_those_among_images_of_annotated_triplets_alone(tmp_path: Path) -> None:
    vectors, store = clustered(60, 8), Store(tmp_path)
    ranked = [3, 5, 8, 13, 21, 34, 55]
    parents(store, vectors, annotated=[*pairwise(ranked)], split=["train"] * 50 + ["evaluation"] * 10)
    pairs = run(store, window=[0, 3], images="annotated", references="annotated").table().to_pylist()
    inside = [row for row in ranked if row < 50]
    for pair in pairs:
        order = slow_ranking(vectors[inside], inside.index(int(pair["reference_id"][5:10])))
        assert inside[order[pair["rank"]]] == int(pair["target_id"][5:10])
    assert {pair["reference_id"] for pair in pairs} <= {name(row) for row in inside}
    assert len(pairs) >= 3


def test_without_annotated_triplets_there_is_nothing_to_rank_among(tmp_path: Path) -> None:
    store = Store(tmp_path)
    parents(store, clustered(20, 8))
    with pytest.raises(InputError, match='rank all images with images = "split"'):
        run(store, images="annotated")
