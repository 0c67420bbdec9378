"""The stage ``blend`` on small corpora, good and bad, and what a search by its weights then answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from spn4cir_core.annotations.annotation_tables import TRIPLET_SCHEMA, TRIPLETS_FILE
from spn4cir_core.annotations.settings import AnnotationSettings
from spn4cir_core.annotations.stage import ANNOTATIONS
from spn4cir_core.blend.fitted import BLEND_FILE, FittedBlend, channel_of, read_blend, title_of
from spn4cir_core.blend.settings import BlendSettings
from spn4cir_core.blend.stage import BLEND, LEAST_QUERIES, NOTHING_TO_FIT, UNFITTED
from spn4cir_core.blend.ties import TIE_BREAK
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.images.files import ImageFiles, pixel_sha256
from spn4cir_core.images.manifest import DROP_SCHEMA, DROPS_FILE, DUPLICATE_SCHEMA, DUPLICATES_FILE
from spn4cir_core.judgements.judgement import Judgement
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.whole_file import read_json
from spn4cir_core.triplets.triplet import SCHEMA as TRIPLETS
from tests.measured_store import NAME, recipe, write, write_checkpoint

CAPTIONS = [
    f"{colour} {thing}{extra}"
    for colour, thing, extra in product(
        ("red", "blue", "green"), ("hat", "shirt", "belt"), ("", " with stars", " with a dot")
    )
]
COLOURS, THINGS = ("red", "blue", "green"), ("hat", "shirt", "belt", "car", "dress")
TEXTS = ("make it blue", "quux frobnicated", "without stars", "换成蓝色", "change red to green", "")


def corpus(root: Path, captions: Sequence[str], split: str = "validation", shown: Sequence[str] | None = None) -> Store:
    """Pictures of noise with these captions, empty ones left out, all in one split.

    Args:
        shown: what the pictures look alike by, where captions do not say it.
    """
    store, random = Store(root / "store"), np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    look = {word: random.integers(0, 255, (16, 16, 3)) for word in sorted(set(shown or []))}
    rows = []
    for number in range(len(captions)):
        noise = random.integers(0, 255, (16, 16, 3))
        pixels = noise if shown is None else 0.9 * look[shown[number]] + 0.1 * noise
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(root / "pictures" / f"{number:03d}.png")
        rows.append({"image_id": f"{number:03d}.png", "pixel_sha256": pixel_sha256(picture)})
    ids = [row["image_id"] for row in rows]
    images = {**{name: [row[name] for row in rows] for name in ("image_id", "pixel_sha256")}, "path": ids}
    images |= {"category": [""] * len(ids), "corpus": ["noise"] * len(ids)}
    images |= {"attributes": pa.array([[]] * len(ids), pa.map_(pa.string(), pa.string()))}
    write(store, "images", {"images.parquet": pa.table(images)})
    captioned = [number for number, caption in enumerate(captions) if caption]
    text = pa.array([captions[number] for number in captioned], pa.string())
    captions_table = {"image_id": pa.array([ids[number] for number in captioned], pa.string()), "caption": text}
    captions_table["captioner"] = pa.array(["sidecar"] * len(captioned), pa.string())
    write(store, "captions", {"captions.parquet": pa.table(captions_table)}, ["images"])
    near = pa.table({name: pa.array([], pa.string()) for name in ("image_a", "image_b", "found_by")})
    splits = pa.table({"image_id": ids, "split": [split] * len(ids)})
    write(store, "splits", {"splits.parquet": splits, "near_duplicates.parquet": near}, ["images"])
    write(store, "annotations", {TRIPLETS_FILE: TRIPLET_SCHEMA.empty_table()}, ["images"])
    write(store, "triplets", {"triplets.parquet": TRIPLETS.empty_table()}, ["images", "captions", "splits"])
    for seed, noun in enumerate(("stage1_checkpoint", "control_checkpoint", "stage2_checkpoint")):
        write_checkpoint(store, noun, seed)
    return store


def fitted(store: Store, **settings: Any) -> tuple[FittedBlend, dict[str, Any]]:
    """The blend of the corpus, and what its file says of it."""
    made = recipe(store.root.parent / "pictures").model_copy(
        update={"blend": BlendSettings(sentence_encoder=None, **settings)}
    )
    IMAGE_EMBEDDINGS.run(made, store)
    artifact, _ = BLEND.run(made, store)
    return read_blend(artifact), {**read_json(artifact.file(BLEND_FILE)), "drops": artifact.summary["drops"]}


def test_weights_are_fitted_on_validation_captions_and_served_recall_is_no_worse_than_a_channels(
    tmp_path: Path,
) -> None:
    blend, table = fitted(corpus(tmp_path, CAPTIONS * 2, shown=[caption.split()[1] for caption in CAPTIONS * 2]))
    assert table["queries_are"] == "generated" and table["pictures_of"] == "validation"
    assert table["queries"] >= LEAST_QUERIES and table["recall@1"] > 0.5
    assert table["recall@1"] >= max(channel.recall for channel in blend.channels) - 1e-9
    weights = {channel.name: channel.weight for channel in blend.channels}
    assert weights["edited_caption"] > 0 and weights["text_to_picture"] == 0
    assert all(channel.low <= channel.weight + 1e-6 <= channel.high + 2e-6 for channel in blend.channels)
    assert "edited caption in captions" in table["served"]


def test_what_orders_pictures_of_equal_captions_is_named_beside_what_is_served(tmp_path: Path) -> None:
    blend, table = fitted(corpus(tmp_path, [f"{colour} {thing}" for colour, thing in product(COLOURS, THINGS)] * 3))
    looks = [channel for channel in blend.channels if channel.weight and not channel_of(channel.name).reads_captions]
    assert [0 < channel.weight <= TIE_BREAK for channel in looks] == [True], table["served"]
    title = title_of(looks[0].name)
    assert f"leave equal are ordered by {title} (0.01): 100% of them share their caption" in table["served"]
    of_distinct = fitted(corpus(tmp_path / "distinct", CAPTIONS))[1]["served"]
    assert of_distinct.endswith("leave equal are ordered by frozen picture similarity (0.01).")


def test_the_same_corpus_gives_the_same_blend(tmp_path: Path) -> None:
    one, other = (fitted(corpus(tmp_path / name, CAPTIONS))[1] for name in ("one", "other"))
    assert one == other


def test_with_training_pictures_the_trained_channels_are_not_fitted(tmp_path: Path) -> None:
    blend, table = fitted(corpus(tmp_path, CAPTIONS, split="train"))
    assert table["pictures_of"] == "validation and training"
    assert not any(channel.weight for channel in blend.channels if channel.name in ("stage1", "control", "stage2"))
    assert sum("training pictures would flatter it" in reason for reason in table["drops"]) == 3


def test_channels_that_are_left_out_have_no_part(tmp_path: Path) -> None:
    blend, _ = fitted(corpus(tmp_path, CAPTIONS), channels=("picture", "modified_text"))
    assert blend.names == ("picture", "modified_text", "missing_caption", "stage1", "control", "stage2")


def test_where_nothing_can_be_weighed_the_trained_model_is_served(tmp_path: Path) -> None:
    store = corpus(tmp_path, CAPTIONS, split="train")
    blend, table = fitted(store, channels=())
    assert table["served"] == NOTHING_TO_FIT
    assert {channel.name: channel.weight for channel in blend.channels} == {"stage1": 0, "control": 0, "stage2": 1}
    assert blend.calibration.apply(np.array([[[0.1, 0.4]] * 3])).any(), "its scores count"


BAD: dict[str, tuple[list[str], bool]] = {
    "no captions": ([""] * 27, False),
    "one caption for all": (["red hat"] * 27, False),
    "captions that share nothing": ([f"thing{number}" for number in range(27)], False),
    "another script": ([caption.replace("red", "红色").replace("hat", "帽子") for caption in CAPTIONS], True),
    "Cyrillic": ([f"{colour} платье {extra}" for colour, extra in product("абвгде", "жзиклмн")], True),
    "half without captions": ([caption if row % 2 else "" for row, caption in enumerate(CAPTIONS * 2)], True),
    "three pictures": (["red hat", "blue hat", "red shirt"], True),
    "one picture": (["red hat"], False),
}
"""Captions, and whether weights can be fitted on them."""


@pytest.mark.parametrize("name", BAD)
def test_bad_captions_give_a_sensible_search_or_one_clear_sentence(tmp_path: Path, name: str) -> None:
    captions, fits = BAD[name]
    store = corpus(tmp_path, captions)
    blend, table = fitted(store)
    assert (table["served"] != UNFITTED) is fits, table["served"]
    if not fits:
        assert [channel.name for channel in blend.channels if channel.weight] == ["stage2"]
    made = recipe(tmp_path / "pictures")
    searcher = Searcher.open(SEARCH_INDEX.run(made, store)[0])
    reference = ImageFiles(tmp_path / "pictures").open("000.png")
    for text in TEXTS:
        hits = searcher.search(reference, text, 5)
        assert len(hits) == min(5, len(captions) - 1) and "000.png" not in {hit.image_id for hit in hits}, text
        assert np.isfinite([hit.score for hit in hits]).all(), text


@pytest.mark.parametrize(("judgements", "fitted_on"), [(60, "annotated"), (10, "generated")])
def test_judged_queries_join_the_fit(tmp_path: Path, judgements: int, fitted_on: str) -> None:
    """Right hits of validation queries, from the log through the annotations; of others, and wrong hits, nothing."""
    store, captions = corpus(tmp_path, CAPTIONS * 2), CAPTIONS * 2
    ids = [f"{number:03d}.png" for number in range(len(captions))]
    pairs = [(one, (one + 9) % len(ids)) for one in range(len(ids))]
    right = [Judgement((ids[one],), f"{captions[other]}", ids[other], "right", judge="Ann") for one, other in pairs]
    wrong = [Judgement((ids[one],), f"{captions[other]}", ids[one - 1], "wrong", judge="Ann") for one, other in pairs]
    JudgementLog(store, NAME).add([*right, *wrong][:judgements], dict.fromkeys(ids, "validation"))
    made = recipe(tmp_path / "pictures").model_copy(update={"annotations": AnnotationSettings(judgements_step=10)})
    images = store.current(NAME, "images")
    assert images is not None
    none = {DUPLICATES_FILE: DUPLICATE_SCHEMA.empty_table(), DROPS_FILE: DROP_SCHEMA.empty_table()}
    write(store, "images", {"images.parquet": images.table(), **none}, key="more")
    ANNOTATIONS.run(made, store)
    _, table = fitted(store, least_annotated=20)
    assert table["queries_are"] == fitted_on
    assert fitted_on == "generated" or table["queries"] == len(right)
