"""Every check passes on a sound world and fails on the faults it is there for, each put in alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import StoreError
from spn4cir_core.operations.checks import CHECKS, Finding, RecipeArtifacts
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.fingerprints import fingerprint

IMAGES = [f"c/{number:02d}.png" for number in range(24)]
TRAIN, HELD_OUT = IMAGES[:20], IMAGES[20:]
World = dict[str, dict[str, Any]]
Fault = Callable[[World], object]


def unit(rows: int) -> list[list[float]]:
    vectors = np.random.default_rng(0).normal(size=(rows, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()


def recall(k: int, value: float, model: str = "stage2") -> dict[str, Any]:
    row = {"query_set": "held_out", "kind": "all", "model": model, "query": "composed", "k": k, "queries": 40}
    return row | {"recall": value, "low": value - 0.1, "high": value + 0.1}


def sound() -> World:
    """Tables, vectors and lines of every artefact that a check reads."""
    pair = {"rank": 3, "window_first_rank": 0, "window_end_rank": 5, "split": "train"}
    pairs = [{"pair_id": f"p{n}", "reference_id": TRAIN[n], "target_id": TRAIN[n + 1], **pair} for n in range(6)]
    triplets = [
        {"triplet_id": f"t{n}", "reference_id": one["reference_id"], "target_id": one["target_id"]}
        | {"modified_texts": ["now red"], "split": "train"}
        for n, one in enumerate(pairs)
    ]
    loss = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.0}]
    precision = {key: value for key, value in recall(10, 0.5).items() if key != "recall"}
    return {
        "images": {"images.parquet": [{"image_id": one} for one in IMAGES]},
        "captions": {"captions.parquet": [{"image_id": one, "caption": f"a thing {one}"} for one in IMAGES]},
        "image_embeddings": {
            "image_embeddings.parquet": [{"image_id": one} for one in IMAGES],
            "vectors_00000.npy": unit(24),
        },
        "splits": {
            "splits.parquet": [
                {"image_id": one, "split": "train" if one in TRAIN else "evaluation", "component": number}
                for number, one in enumerate(IMAGES)
            ]
        },
        "pairs": {"pairs.parquet": pairs},
        "modified_texts": {
            "modified_texts.parquet": [{"pair_id": one["pair_id"], "modified_texts": ["now red"]} for one in pairs]
        },
        "triplets": {
            "triplets.parquet": triplets,
            "candidates.parquet": [{"image_id": one} for one in TRAIN],
        },
        "stage1_checkpoint": {"metrics.jsonl": deepcopy(loss)},
        "control_checkpoint": {"metrics.jsonl": deepcopy(loss)},
        "stage2_checkpoint": {"metrics.jsonl": deepcopy(loss)},
        "candidate_bank": {"candidate_bank.parquet": [{"image_id": one} for one in TRAIN], "bank.npy": unit(20)},
        "eval_report": {
            "recall.parquet": [recall(1, 0.3), recall(10, 0.6)],
            "queries.parquet": [
                {"query_set": "held_out", "query_id": "q", "reference_id": "r", "modified_text": "red"}
                | {"target_ids": ["t"]}
            ],
            "report.json": [
                {"query_sets": [{"name": "held_out", "queries": 40, "gallery": 4, "gallery_fingerprint": "g"}]}
            ],
            "mean_average_precision.parquet": [precision | {"mean_average_precision": 0.4}],
        },
        "search_index": {"search_index.parquet": [{"image_id": one} for one in IMAGES]},
    }


def keep(store: Store, world: World, parents: dict[str, dict[str, str]] | None = None) -> RecipeArtifacts:
    for noun, files in world.items():
        artifact_fingerprint = fingerprint(json.loads(json.dumps([files, parents])))
        if store.get(noun, artifact_fingerprint) is None:
            with store.writing(noun, artifact_fingerprint, {"parents": (parents or {}).get(noun, {})}) as draft:
                for name, content in files.items():
                    if name.endswith(".parquet"):
                        draft.write_table(pa.Table.from_pylist(content), name)
                    elif name.endswith(".npy"):
                        np.save(draft.file(name), np.array(content, np.float32))
                    else:
                        draft.file(name).write_text("".join(json.dumps(line) + "\n" for line in content))
        artifact = store.get(noun, artifact_fingerprint)
        assert artifact is not None
        store.point("test", artifact)
    return RecipeArtifacts("test", store)


def outcome_of(made: RecipeArtifacts, name: str) -> Finding:
    return next(check for _, check, _ in CHECKS if check.__name__ == name)(made)


def made_by_stage1(store: Store, world: World) -> RecipeArtifacts:
    """Keep the world, its bank naming the stage-1 checkpoint that is in use."""
    keep(store, {noun: files for noun, files in world.items() if noun != "candidate_bank"})
    stage1 = store.current("test", "stage1_checkpoint")
    assert stage1 is not None
    return keep(
        store,
        {"candidate_bank": world["candidate_bank"]},
        {"candidate_bank": {"stage1_checkpoint": stage1.fingerprint}},
    )


def set_in(noun: str, file: str, row: int, **values: Any) -> Fault:
    return lambda world: world[noun][file][row].update(values)


def doubled(noun: str, file: str) -> Fault:
    return lambda world: world[noun][file].append(world[noun][file][0])


def number_in(noun: str, file: str, value: float) -> Fault:
    def spoil(world: World) -> None:
        world[noun][file][5][2] = value

    return spoil


def all_equal(world: World) -> None:
    for row in world["captions"]["captions.parquet"][:13]:
        row["caption"] = "A photo "


FAULTS: list[tuple[str, Fault]] = [
    ("captions_join_images", set_in("captions", "captions.parquet", 3, caption="  ")),
    ("captions_join_images", set_in("captions", "captions.parquet", 3, image_id="c/none.png")),
    ("captions_join_images", doubled("captions", "captions.parquet")),
    ("captions_differ", all_equal),
    ("images_have_captions", lambda world: world["captions"]["captions.parquet"].pop()),
    ("vectors_are_unit", number_in("image_embeddings", "vectors_00000.npy", float("nan"))),
    ("vectors_are_unit", number_in("image_embeddings", "vectors_00000.npy", 3.0)),
    ("vectors_are_unit", lambda world: world["image_embeddings"]["vectors_00000.npy"].pop()),
    ("embeddings_join_images", set_in("image_embeddings", "image_embeddings.parquet", 0, image_id="c/none.png")),
    ("embeddings_join_images", doubled("image_embeddings", "image_embeddings.parquet")),
    ("ranks_lie_in_window", set_in("pairs", "pairs.parquet", 2, rank=5)),
    ("ranks_lie_in_window", set_in("pairs", "pairs.parquet", 2, rank=-1)),
    ("ranks_lie_in_window", set_in("pairs", "pairs.parquet", 2, rank=None)),
    ("ranks_lie_in_window", set_in("pairs", "pairs.parquet", 2, target_id=TRAIN[2])),
    ("pairs_join_one_split", set_in("pairs", "pairs.parquet", 2, target_id=HELD_OUT[0])),
    ("pairs_join_one_split", set_in("pairs", "pairs.parquet", 2, split="evaluation")),
    ("pairs_join_one_split", set_in("pairs", "pairs.parquet", 2, reference_id="c/none.png")),
    ("pairs_join_one_split", doubled("pairs", "pairs.parquet")),
    (
        "placeholders_are_filled",
        set_in("modified_texts", "modified_texts.parquet", 1, modified_texts=["ok", "{added}"]),
    ),
    ("placeholders_are_filled", set_in("modified_texts", "modified_texts.parquet", 1, modified_texts=["as {kept}"])),
    ("placeholders_are_filled", set_in("modified_texts", "modified_texts.parquet", 1, modified_texts=[" "])),
    ("placeholders_are_filled", set_in("modified_texts", "modified_texts.parquet", 1, modified_texts=[])),
    ("texts_join_pairs", set_in("modified_texts", "modified_texts.parquet", 1, pair_id="p99")),
    ("texts_join_pairs", doubled("modified_texts", "modified_texts.parquet")),
    ("triplets_are_whole", set_in("triplets", "triplets.parquet", 1, target_id=TRAIN[1])),
    ("triplets_are_whole", set_in("triplets", "triplets.parquet", 1, target_id="c/none.png")),
    ("triplets_are_whole", set_in("triplets", "triplets.parquet", 1, modified_texts=[])),
    ("triplets_are_whole", doubled("triplets", "triplets.parquet")),
    ("splits_do_not_share_images", set_in("triplets", "triplets.parquet", 1, target_id=HELD_OUT[1])),
    ("splits_do_not_share_images", set_in("triplets", "candidates.parquet", 1, image_id=HELD_OUT[1])),
    ("splits_do_not_share_images", set_in("splits", "splits.parquet", 1, component=20)),
    ("splits_do_not_share_images", set_in("triplets", "triplets.parquet", 1, target_id="c/none.png")),
    *(
        (f"{stage}_checkpoint_loss_is_finite", set_in(f"{stage}_checkpoint", "metrics.jsonl", 1, loss=loss))
        for stage, loss in (("stage1", float("nan")), ("control", float("inf")), ("stage2", None))
    ),
    ("bank_holds_the_candidates", number_in("candidate_bank", "bank.npy", float("inf"))),
    ("bank_holds_the_candidates", lambda world: world["candidate_bank"]["bank.npy"].pop()),
    ("bank_holds_the_candidates", lambda world: world["candidate_bank"]["candidate_bank.parquet"].reverse()),
    ("recall_is_a_share", set_in("eval_report", "recall.parquet", 0, recall=1.2)),
    ("recall_is_a_share", set_in("eval_report", "recall.parquet", 0, recall=float("nan"))),
    ("recall_is_a_share", set_in("eval_report", "mean_average_precision.parquet", 0, mean_average_precision=-0.1)),
    ("index_joins_images", set_in("search_index", "search_index.parquet", 0, image_id="c/removed.png")),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("checks"))


def test_a_sound_world_passes_every_check(store: Store) -> None:
    made = made_by_stage1(store, sound())
    failed = {check.__name__: check(made) for _, check, _ in CHECKS if not check(made).passed}
    assert failed == {}


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_fails_its_check(store: Store, name: str, fault: Fault) -> None:
    world = sound()
    fault(world)
    finding = outcome_of(made_by_stage1(store, world), name)
    assert not finding.passed and finding.says


def test_every_check_has_an_example_on_which_it_fails() -> None:
    elsewhere = {"bank_matches_checkpoint", "recall_is_not_worse"}
    assert {name for name, _ in FAULTS} | elsewhere == {check.__name__ for _, check, _ in CHECKS}


def test_a_bank_of_several_vectors_per_target_is_read(store: Store) -> None:
    world = sound()
    world["candidate_bank"]["bank.npy"] = [[row, row] for row in unit(20)]
    assert outcome_of(made_by_stage1(store, world), "bank_holds_the_candidates").passed
    world["candidate_bank"]["bank.npy"][3][1] = [0.0] * 4
    finding = outcome_of(made_by_stage1(store, world), "bank_holds_the_candidates")
    assert not finding.passed and finding.examples == [TRAIN[3]]


def test_a_bank_of_another_checkpoint_is_found(store: Store) -> None:
    world = sound()
    made = made_by_stage1(store, world)
    world["stage1_checkpoint"]["metrics.jsonl"][0]["loss"] = 9.0
    keep(store, {"stage1_checkpoint": world["stage1_checkpoint"]})
    finding = outcome_of(made, "bank_matches_checkpoint")
    assert not finding.passed and "checkpoint in use" in finding.says


def test_a_recall_that_falls_beyond_chance_is_a_warning(tmp_path: Path) -> None:
    store, world = Store(tmp_path), sound()
    made = keep(store, world)
    assert "no report before" in outcome_of(made, "recall_is_not_worse").says
    for value, passed in ((0.55, True), (0.4, False), (0.9, True)):
        world["eval_report"]["recall.parquet"][1] = recall(10, value)
        keep(store, {"eval_report": world["eval_report"]})
        finding = outcome_of(made, "recall_is_not_worse")
        assert finding.passed is passed, value
    world["eval_report"]["recall.parquet"][1] = recall(10, 0.1)
    world["eval_report"]["report.json"][0]["query_sets"][0]["gallery_fingerprint"] = "another"
    keep(store, {"eval_report": world["eval_report"]})
    finding = outcome_of(made, "recall_is_not_worse")
    assert finding.passed and "nothing can be compared" in finding.says, "another gallery"
    assert finding.examples == ["held_out: another gallery (4 images before, 4 now)"]
    world["eval_report"]["queries.parquet"][0]["modified_text"] = "blue"
    world["eval_report"]["recall.parquet"][1] = recall(10, 0.0)
    keep(store, {"eval_report": world["eval_report"]})
    assert outcome_of(made, "recall_is_not_worse").passed, "other queries cannot be compared"
    assert not next(blocking for _, check, blocking in CHECKS if check.__name__ == "recall_is_not_worse")


def test_a_fall_of_what_is_served_is_a_warning_though_stage_2_is_as_good(tmp_path: Path) -> None:
    store, world = Store(tmp_path), sound()
    rows = world["eval_report"]["recall.parquet"]
    world["eval_report"]["recall.parquet"] = [*rows, recall(10, 0.8, "blend"), recall(10, 0.3, "control")]
    made = keep(store, world)
    for served, control, passed in ((0.75, 0.0, True), (0.5, 0.3, False)):
        changed = [recall(10, served, "blend"), recall(10, control, "control")]
        again = {"eval_report": {**world["eval_report"], "recall.parquet": [*rows, *changed]}}
        keep(store, world)
        keep(store, again)
        finding = outcome_of(made, "recall_is_not_worse")
        assert finding.passed is passed and all("blend" in example for example in finding.examples)


def test_a_missing_artefact_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="recipe 'test' has no pairs in"):
        RecipeArtifacts("test", Store(tmp_path))("pairs")
