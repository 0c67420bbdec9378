"""A corpus that grew, lost pictures and had some replaced gives the artefacts of a run from nothing, byte by byte."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.launch.run_flow import run
from spn4cir_core.pairs import caption_overlap
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.summaries import SUMMARY
from spn4cir_core.triplets.caption_gates import TextMissesChange

STAGES_WITHOUT_TRAINING = (
    *("images", "templates", "annotations", "captions", "image_embeddings", "splits"),
    *("pairs", "modified_texts", "triplets", "false_negatives"),
)
TITLES = [
    f"{colour} {thing}{extra}"
    for colour, thing, extra in product(
        ("red", "blue", "green", "black"), ("kettle", "lamp", "mug", "chair", "clock"), ("", " with lid", ", striped")
    )
]


def draw(folder: Path, seed_of: Mapping[int, int]) -> None:
    """Pictures of noise by number and seed, and the table of their titles; other pictures go."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for number, seed in seed_of.items():
        noise = np.random.default_rng((number, seed)).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03d}.png")
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = [(f"{number:03d}.png", TITLES[(7 * number + seed) % len(TITLES)]) for number, seed in seed_of.items()]
        csv.writer(stream).writerows([("file", "title"), *rows])


def recipe_of(folder: Path, **triplets: Any) -> Recipe:
    tower = {"kind": "vision_tower", "model": "builtin:shapes", "pooling": "flatten"}
    return load_recipe(
        "folder",
        {
            "images": {"reader": {"kind": "folder", "folder": str(folder)}},
            "image_embeddings": {"encoder": tower},
            "splits": {"near_duplicates_by": [], "hold_out": "images"},
            "pairs": {"mode": "caption_overlap", "per_reference": 3},
            "triplets": triplets,
        },
    )


def bytes_of(artifact: Artifact) -> dict[str, bytes]:
    files = (path for path in artifact.path.rglob("*") if path.is_file() and path.name != SUMMARY)
    return {path.relative_to(artifact.path).as_posix(): path.read_bytes() for path in files}


def test_a_grown_corpus_has_the_artefacts_of_a_run_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_overlap, "MOST_CAPTIONS_PER_WORD", 12)
    recipe, grown = recipe_of(tmp_path / "pictures"), Store(tmp_path / "grown")
    before = dict.fromkeys(range(60), 0)
    draw(tmp_path / "pictures", before)
    first = run(recipe, grown, STAGES_WITHOUT_TRAINING)
    gone, replaced = {3, 20}, {5: 1, 31: 1}
    draw(tmp_path / "pictures", {number: 0 for number in range(64) if number not in gone} | replaced)
    after = run(recipe, grown, STAGES_WITHOUT_TRAINING)
    anew = run(recipe, Store(tmp_path / "anew"), STAGES_WITHOUT_TRAINING)
    for name in STAGES_WITHOUT_TRAINING:
        assert after[name].fingerprint == anew[name].fingerprint
        assert bytes_of(after[name]) == bytes_of(anew[name]), name
    pairs = {name: set(made["pairs"].table()["pair_id"].to_pylist()) for name, made in (("a", first), ("b", after))}
    assert len(pairs["a"] & pairs["b"]) > len(pairs["b"]) / 2, "most pairs stay"
    reused = after["modified_texts"].details["pairs_with_texts_before"]
    assert 0 < reused <= len(pairs["a"] & pairs["b"]) and anew["modified_texts"].details["pairs_with_texts_before"] == 0


def test_other_gates_of_a_grown_corpus_refuse_what_they_refuse_in_a_store_that_has_no_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, store = tmp_path / "pictures", Store(tmp_path / "store")
    draw(pictures, dict.fromkeys(range(40), 0))
    run(recipe_of(pictures), store, STAGES_WITHOUT_TRAINING)
    draw(pictures, dict.fromkeys(range(42), 0) | {5: 1, 31: 1})
    grown = run(recipe_of(pictures), store, STAGES_WITHOUT_TRAINING)
    gates = ["caption_is_common", "captions_nearly_equal", "text_misses_change", "text_names_target"]
    changed: list[dict[str, Any]] = [{"gates": gates, "most_caption_overlap": 0.6, "most_caption_share": 0.04}, {}]
    seen = [bytes_of(grown["triplets"])]
    for number, triplets in enumerate(changed):
        if not triplets:  # another version of a gate that is in use
            monkeypatch.setattr(TextMissesChange, "plugin_version", TextMissesChange.plugin_version + 1)
            monkeypatch.setattr(TextMissesChange, "refusal", lambda gate, triplet, _: "lid" * ("lid" in str(triplet)))
        other = Store(tmp_path / f"without answers {number}")
        shutil.copytree(store.root, other.root)
        for noun in ("text_gates", "texts_name_target", "caption_meanings"):
            shutil.rmtree(other.root / "rows" / noun)
        recipe, names = recipe_of(pictures, **triplets), ("triplets", "false_negatives")
        made, anew = run(recipe, store, names), run(recipe, other, names)
        for name in names:
            assert made[name].fingerprint == anew[name].fingerprint and bytes_of(made[name]) == bytes_of(anew[name])
        assert made["triplets"].details == anew["triplets"].details
        assert bytes_of(made["triplets"]) not in seen
        seen.append(bytes_of(made["triplets"]))
