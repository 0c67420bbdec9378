"""Backbones that start from pretrained models go the whole way: both stages, bank, report and search, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spn4cir_core.images.files import image_files
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.search.models import Models
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.checkpoints import as_module, load_network, read_metrics
from tests.backbones.small_backbones import WRITERS
from tests.pipelines import TINY, tiny_recipe_file

BEFORE_TRAINING = (
    "images",
    "templates",
    "annotations",
    "captions",
    "image_embeddings",
    "splits",
    "pairs",
    "modified_texts",
    "triplets",
    "false_negatives",
)
CLIP_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")
OWN = {
    "blip4cir": ("text_",),
    "clip4cir": tuple(f"clip.{part}" for part in CLIP_TEXT),
    "lora": ("query.",),
    "sprc": ("query_former.",),
    "tgcir": (*(f"clip.{part}" for part in CLIP_TEXT), "text_fc.", "masks_text", "tokenlearn_text.", "s_remain_map."),
}
"""Kind → beginnings of the names of what stage 2 trains."""
OWN_OBJECTIVES = {"sprc": "prompt_alignment", "tgcir": "target_guided"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What comes before training, made once for all backbones."""
    folder = tmp_path_factory.mktemp("through")
    made = Store(folder / "store")
    run(load_recipe(tiny_recipe_file(folder)), made, BEFORE_TRAINING)
    return made


@pytest.fixture(scope="module", params=OWN)
def finished(request: pytest.FixtureRequest, store: Store) -> tuple[str, Recipe, dict[str, Artifact]]:
    folder = store.root.parent / request.param
    folder.mkdir()
    table = WRITERS[request.param](folder / "model")
    schedule = {**TINY["stage1_checkpoint"], "learning_rate": 0.01}
    objective = {"kind": OWN_OBJECTIVES.get(request.param, "in_batch")}
    table |= {"teacher": True} if request.param == "tgcir" else {}
    tables = {
        "stage1_checkpoint": {**schedule, "chunk_size": 7, "backbone": table, "objective": objective},
        "candidate_bank": {"dtype": "float16"},
        "stage2_checkpoint": {**schedule, "objective": {"kind": "bank"}, "learn_temperature": True},
    }
    recipe = load_recipe(tiny_recipe_file(folder, **tables))
    return request.param, recipe, run(recipe, store)


def changed(before: Any, after: Any) -> set[str]:
    return {name for name, value in after.items() if name not in before or not np.array_equal(value, before[name])}


def test_each_stage_trains_its_part_alone(finished: tuple[str, Recipe, dict[str, Artifact]]) -> None:
    kind, recipe, made = finished
    networks = {name: load_network(made[f"{name}_checkpoint"]) for name in ("stage1", "control", "stage2")}
    states = {name: as_module(network).state_dict() for name, network in networks.items()}
    start = as_module(recipe.stage1_checkpoint.backbone.build([], recipe.seed)).state_dict()
    first, second = changed(start, states["stage1"]), changed(states["stage1"], states["stage2"])
    assert first and not any(name.startswith("vision_model.") for name in first)
    assert kind not in ("clip4cir", "tgcir") or any(name.startswith("clip.visual.") for name in first)
    assert (kind == "sprc") == ("prompt_tokens" in first), "SPRC's own objective trains the learnt prompts too"
    assert (kind == "tgcir") == ("teacher.remain.0.weight" in first), "and TG-CIR's its teacher"
    assert changed(states["stage1"], states["control"]) <= first
    assert second and all(name.startswith(OWN[kind]) for name in second)
    assert all(np.isfinite(line["loss"]) for line in read_metrics(made["stage2_checkpoint"]))


def test_features_made_before_stage_1_train_it_as_the_pictures_do(
    finished: tuple[str, Recipe, dict[str, Artifact]], store: Store
) -> None:
    _, recipe, made = finished
    if not load_network(made["stage1_checkpoint"]).keeps_features_in_stage1:
        pytest.skip("stage 1 trains its towers")
    stage1 = recipe.stage1_checkpoint.model_copy(update={"keep_features": False})
    plain = run(recipe.model_copy(update={"stage1_checkpoint": stage1}), store, ["stage1_checkpoint"])
    with_features, without = (read_metrics(artifacts["stage1_checkpoint"]) for artifacts in (made, plain))
    assert with_features != without, "float16 shows"
    assert with_features[0]["loss"] == pytest.approx(without[0]["loss"], rel=0.01)


def test_bank_and_features_are_those_of_the_network(
    finished: tuple[str, Recipe, dict[str, Artifact]], store: Store
) -> None:
    import torch

    kind, recipe, made = finished
    network = load_network(made["stage1_checkpoint"])
    bank = np.load(made["candidate_bank"].file("bank.npy"))
    has_features = "references.npy" in made["candidate_bank"].summary["files"]
    assert has_features == (kind != "lora"), "each step runs the whole encoder of that one"
    several = (network.target_tokens,) if network.target_tokens > 1 else ()
    assert bank.shape == (made["candidate_bank"].summary["rows"], *several, network.dim) and bank.dtype == np.float16
    paths = made["triplets"].table("candidates.parquet")["path"].to_pylist()
    files = image_files(recipe.images, store)
    for row in (0, len(paths) - 1):
        picture = torch.from_numpy(network.read_images([files.open(paths[row])]))
        with torch.inference_mode():
            np.testing.assert_allclose(bank[row], network.encode_target(picture)[0].numpy(), atol=2e-3)
            stored = network.image_features(picture)
            assert (stored is not None) == has_features
            if stored is not None:
                features = np.load(made["candidate_bank"].file("references.npy"), mmap_mode="r")
                np.testing.assert_allclose(features[row], stored[0].numpy(), atol=2e-2)


def test_hits_equal_a_slow_scan_of_every_vector_of_every_picture(
    finished: tuple[str, Recipe, dict[str, Artifact]], store: Store
) -> None:
    import torch

    _, recipe, made = finished
    searcher = Models.of_recipe(recipe.name, recipe.images, store).open("stage2").searcher
    network = load_network(made["stage2_checkpoint"])
    files = image_files(recipe.images, store)
    paths = [row["path"] for row in searcher.rows]
    reference = files.open(paths[3])
    with torch.inference_mode():
        targets = network.encode_target(torch.from_numpy(network.read_images([files.open(path) for path in paths])))
        picture, tokens = torch.from_numpy(network.read_images([reference])), network.tokenize(["make it red"])
        query = network.encode_query(picture, tokens)[0]
    slow = [float((vectors @ query).max()) for vectors in targets.reshape(len(paths), -1, network.dim)]
    hits = searcher.search(reference, "make it red", 5, without=[paths[0]], once="all")
    reference_and_left_out = {0, 3}
    expected = sorted(set(range(len(paths))) - reference_and_left_out, key=lambda row: -slow[row])[:5]
    assert len({hit.path for hit in hits}) == 5
    np.testing.assert_allclose([hit.score for hit in hits], [slow[row] for row in expected], atol=1e-5)
    np.testing.assert_allclose([hit.score for hit in hits], [slow[paths.index(hit.path)] for hit in hits], atol=1e-5)


def test_every_query_set_is_ranked_in_every_mode(finished: tuple[str, Recipe, dict[str, Artifact]]) -> None:
    ranks = finished[2]["eval_report"].table("ranks.parquet").to_pandas()
    assert set(ranks[ranks["model"] != "blend"]["query"]) == {"composed", "image", "text", "sum"}
    assert set(ranks["model"]) == {"stage1", "control", "stage2", "blend"}
    assert (ranks["rank"] >= 0).all() and (ranks["rank"] < ranks["gallery"]).all()


def test_a_published_stage_2_file_is_evaluated_without_training(store: Store, tmp_path: Path) -> None:
    """Stage 1 with no steps, from a stage-2 file: the report is of the published model."""
    import torch

    from tests.backbones.blip_models import as_lavis_wrote, backbone

    table = WRITERS["sprc"](tmp_path / "model")
    network: Any = backbone(table).build([], 0)
    network.untie_query_encoder()
    with torch.no_grad():
        network.query_former.text_projection.weight.mul_(-1)
    torch.save(
        {"epoch": 1, "state_dict": {f"blip_model.{name}": value for name, value in as_lavis_wrote(network).items()}},
        tmp_path / "best.pt",
    )
    stage1 = {"steps": 0, "start_from": str(tmp_path / "best.pt"), "backbone": table, "objective": {"kind": "in_batch"}}
    recipe = load_recipe(tiny_recipe_file(tmp_path, stage1_checkpoint=stage1))
    made = run(recipe, store, ["stage1_checkpoint"])["stage1_checkpoint"]
    assert made.details["start_from"]["layout"] == "stage 2 of sprc"
    loaded = as_module(load_network(made)).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())
