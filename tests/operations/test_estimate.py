"""What a larger corpus would cost, against sums done by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spn4cir_core.cli.app import app
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.stage import Stage
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.flow import STAGES
from spn4cir_core.operations import estimate as estimating
from spn4cir_core.operations.estimate import (
    Cost,
    Rates,
    estimate,
    few_measured,
    grown,
    load_rates,
    measured_corpus,
    record_run,
)
from spn4cir_core.pairs.stage import PAIRS
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store
from tests.reranking.rerankers import ByColour

SPEED = 1e9


@pytest.fixture(autouse=True)
def known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "products_per_s", lambda: SPEED)
    monkeypatch.setattr(estimating, "accelerator_products_per_s", lambda: None)


@pytest.fixture
def recipe() -> Recipe:
    changed: dict[str, Any] = {
        "name": "test",
        "pairs": {"window": [0.4, 0.8], "mode": "auto", "per_reference": 2},
        "splits": {"near_duplicates_by": ["embedding"]},
        "stage1_checkpoint": {"min_steps": 0},
        "stage2_checkpoint": {"steps": 100, "batch_size": 10},
    }
    return load_recipe("folder", {"images": {"reader": {"kind": "folder", "folder": "x"}}, **changed})


def put(store: Store, noun: str, rows: int, seconds: dict[str, float], files: int = 0, **details: Any) -> None:
    with store.writing(noun, f"{noun}{rows}", {}) as draft:
        draft.rows, draft.details = rows, details
        draft.seconds.update(seconds)
        draft.file(f"{noun}.parquet").write_bytes(bytes(files))
        draft.file("model.safetensors").write_bytes(bytes(70))
    artifact = store.get(noun, f"{noun}{rows}")
    assert artifact is not None
    store.point("test", artifact)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    put(store, "images", 1000, {"compute": 2, "read": 1}, files=500)
    put(store, "captions", 1000, {"compute": 50, "write": 1}, computed=500)
    put(store, "image_embeddings", 1000, {"compute": 10}, computed=1000, dimensions=8)
    put(store, "splits", 1000, {"compute": 1}, images={"train": 800, "validation": 0, "evaluation": 200})
    put(store, "pairs", 2000, {"compute": 1})
    put(store, "triplets", 2500, {"compute": 1}, triplets={"train generated": 1500, "train annotated": 100})
    put(
        store,
        "false_negatives",
        6400,
        {"compute": 1},
        triplets=1600,
        by_reason={"same_caption": 4800, "same_text": 1600},
    )
    put(store, "stage1_checkpoint", 1600, {"compute": 64, "read": 8}, triplets=1600, triplets_per_s=100.0)
    put(store, "candidate_bank", 800, {"compute": 4}, dim=4, target_tokens=2)
    put(store, "stage2_checkpoint", 1600, {"compute": 10, "read": 1}, triplets_per_s=100.0)
    return store


def by_stage(costs: list[Cost]) -> dict[str, Cost]:
    return {cost.stage: cost for cost in costs}


def test_the_corpus_is_what_the_summaries_say(recipe: Recipe, store: Store) -> None:
    corpus = measured_corpus(recipe, store)
    assert (corpus.images, corpus.pairs, corpus.triplets, corpus.candidates) == (1000, 2000, 1600, 800)
    assert corpus.excluded_per_triplet == 4 and corpus.bank_dimensions == 8 and corpus.dimensions == 8
    larger = grown(corpus, 10_000, recipe)
    assert larger.splits == {"train": 8000, "validation": 0, "evaluation": 2000}
    assert (larger.pairs, larger.triplets, larger.excluded_per_triplet) == (20_000, 16_000, 40)
    assert grown(corpus, 500_000, recipe).excluded == {"same_caption": 1000, "same_text": 500}, (
        "most_per_guard is 1,000"
    )


def test_rows_that_cost_the_same_grow_with_the_corpus_and_reused_ones_do_not_count(
    recipe: Recipe, store: Store
) -> None:
    costs = by_stage(estimate(recipe, store, 10_000))
    assert costs["images"].seconds == pytest.approx(30)
    assert costs["image_embeddings"].seconds == pytest.approx(100)
    assert costs["captions"].seconds == pytest.approx(51 / 500 * 10_000), "500 of the 1,000 were computed"
    assert "51.0 s for 500 images here" in costs["captions"].rests_on
    assert costs["candidate_bank"].seconds == pytest.approx(40)
    assert costs["images"].disk_bytes == pytest.approx(500 * 10 + 70), "the model stays as large as it is"


def test_multiply_adds_grow_by_their_own_law(recipe: Recipe, store: Store) -> None:
    costs = by_stage(estimate(recipe, store, 10_000))
    compared_now, compared_then = 1000**2 * 8 / 2 / SPEED, 10_000**2 * 8 / 2 / SPEED
    assert costs["splits"].seconds == pytest.approx((1 - compared_now) * 10 + compared_then)
    many = grown(measured_corpus(recipe, store), 1_000_000, recipe)
    assert PAIRS.growth(many, PAIRS.settings_of(recipe)).products < (800_000**2 + 200_000**2) * 8 / 20, (
        "landmarks, not all with all"
    )
    bank_now, bank_then = 2 * 1000 * 800 * 8 / SPEED, 2 * 1000 * 8000 * 8 / SPEED
    stage2 = costs["stage2_checkpoint"].seconds
    assert stage2 == pytest.approx(10 - bank_now + bank_then + 10), (
        "100 steps stay 100 steps; 1 s of reading becomes 10"
    )


def test_epochs_grow_with_the_triplets(recipe: Recipe, store: Store) -> None:
    costs = by_stage(estimate(recipe, store, 10_000))
    assert recipe.stage1_checkpoint.epochs == 4
    assert costs["stage1_checkpoint"].seconds == pytest.approx(4 * 16_000 / 100 + 80)
    few = recipe.model_copy(
        update={
            "annotations": recipe.annotations.model_copy(update={"max_triplets": 300}),
            "triplets": recipe.triplets.model_copy(update={"annotated_repeats": 8}),
        }
    )
    capped = by_stage(estimate(few, store, 10_000))
    assert capped["stage1_checkpoint"].seconds == pytest.approx(4 * (15_000 + 8 * 300) / 100 + 80)


def test_reranking_grows_with_the_queries_and_not_with_the_report(recipe: Recipe, store: Store) -> None:
    reranked = recipe.model_copy(update={"rerank": ByColour()})
    assert "reranking" not in by_stage(estimate(recipe, store, 10_000))
    assert by_stage(estimate(reranked, store, 10_000))["reranking"].seconds is None
    seconds = {"spent_s": 30.0, "s_per_query": 0.25}
    put(store, "eval_report", 100, {"compute": 32}, queries={"drawn": 100}, reranking=seconds)
    costs = by_stage(estimate(reranked, store, 10_000, rates=Rates(products_per_s=1e30)))
    assert costs["reranking"].seconds == pytest.approx(0.25 * 1000)
    assert costs["eval_report"].seconds == pytest.approx(2 * 10), "30 of its 32 s were the reranker's"
    given = by_stage(estimate(reranked, store, 10_000, rates=Rates(seconds_per_row={"reranking": 2.0})))
    assert given["reranking"].seconds == pytest.approx(2000)


def test_products_never_take_more_than_was_measured(recipe: Recipe, store: Store) -> None:
    slow = Rates(products_per_s=1.0)
    costs = by_stage(estimate(recipe, store, 2000, rates=slow))
    assert costs["splits"].seconds == pytest.approx(4), "1 s, all of it products, four times as many"


def test_stages_that_spread_are_shared_and_others_are_not(recipe: Recipe, store: Store) -> None:
    one, four = by_stage(estimate(recipe, store, 5000)), by_stage(estimate(recipe, store, 5000, processes=4))
    for name in ("captions", "image_embeddings", "stage1_checkpoint", "candidate_bank"):
        assert four[name].seconds == pytest.approx(one[name].seconds / 4) and "shared by 4" in four[name].rests_on
    assert four["images"].seconds == one["images"].seconds


def test_what_was_not_measured_is_not_known_unless_a_rate_is_given(
    recipe: Recipe, store: Store, tmp_path: Path
) -> None:
    assert by_stage(estimate(recipe, store, 5000))["control_checkpoint"].seconds is None
    path = tmp_path / "rates.toml"
    path.write_text("products_per_s = 1e12\n[seconds_per_row]\ncontrol_checkpoint = 0.01\ncaptions = 2\n")
    given = by_stage(estimate(recipe, store, 5000, rates=load_rates(path)))
    assert given["control_checkpoint"].seconds == pytest.approx(100 * 10 * 0.01)
    assert given["captions"].seconds == 10_000 and given["captions"].rests_on.startswith("given: 2 s per image")
    for wrong, says in (
        ("[seconds_per_row]\ncaption = 1", "seconds_per_row.caption = 1.0: the stages are images"),
        ("[seconds_per_row]\ncaptions = -1", "captions = -1.0"),
        ("speed = 1", "unknown key 'speed'"),
        ("a = [", "rates.toml"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=says.replace("[", r"\[")):
            load_rates(path)


def test_every_law_grows_and_stays_finite(recipe: Recipe, store: Store) -> None:
    corpus = measured_corpus(recipe, store)
    for name, stage in STAGES.items():
        corpora = [grown(corpus, images, recipe) for images in (1000, 100_000, 10_000_000)]
        loads = [stage.growth(one, stage.settings_of(recipe)) for one in corpora]
        assert all(math.isfinite(load.products + load.memory_bytes) and load.rows >= 1 for load in loads), name
        assert loads[0].rows <= loads[1].rows <= loads[2].rows, name


def test_the_command_prints_a_table_and_says_what_to_do_without_a_sample(
    recipe: Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="sample of the pictures first"):
        estimate(recipe, Store(tmp_path / "empty"), 5000)
    file = tmp_path / "test.toml"
    file.write_text('base = "folder"\nname = "test"\n[images.reader]\nkind = "folder"\nfolder = "./x"\n')
    (tmp_path / "x").mkdir()
    words = ["estimate", "--for", "1000000", "--gpus", "2", "-r", str(file), "-s", str(store.root)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["stage", "time", "memory", "disk", "rests", "on"] and len(lines) == len(STAGES) + 3
    (captions,) = [line for line in lines if line.startswith("captions")]
    assert "14 h 10 min" in captions and "shared by 2" in captions
    assert lines[-1].startswith("together") and "stages of which nothing is known" in lines[-1]


@pytest.mark.parametrize(("images", "says"), [(1, "1 picture only"), (3, "3 pictures only"), (200, ""), (5000, "")])
def test_of_few_pictures_the_estimate_says_that_they_are_few(images: float, says: str) -> None:
    sentence = few_measured(images)
    assert (says in sentence and "sample" in sentence) if says else not sentence


def test_every_stage_and_the_results_per_picture_have_a_line(recipe: Recipe, store: Store) -> None:
    part = store.root / "rows" / "captions" / "model" / "part-1.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(300))
    costs = estimate(recipe, store, 10_000)
    assert [cost.stage for cost in costs] == [*STAGES, "rows/"]
    assert costs[-1].disk_bytes == 3000


def test_what_a_whole_run_took_beside_its_stages_has_a_line(recipe: Recipe, store: Store) -> None:
    assert "around stages" not in by_stage(estimate(recipe, store, 10_000))
    store.set_recipe_note("test", {"recipe": "folder"})
    images, captions = store.current("test", "images"), store.current("test", "captions")
    assert images is not None and captions is not None
    record_run(recipe, store, [images, captions], 60.0)
    assert store.recipe_note("test")["recipe"] == "folder"
    assert by_stage(estimate(recipe, store, 10_000))["around stages"].seconds == pytest.approx(60 - 3 - 51)


def test_a_blend_grows_until_it_has_all_its_queries(recipe: Recipe, store: Store) -> None:
    put(store, "splits", 1001, {"compute": 1}, images={"train": 800, "validation": 100, "evaluation": 100})
    put(store, "blend", 3, {"compute": 4})
    assert by_stage(estimate(recipe, store, 3000))["blend"].seconds == pytest.approx(4 * (300 + 300) / (300 + 100))
    assert by_stage(estimate(recipe, store, 10**6))["blend"].seconds == pytest.approx(4 * (300 + 500) / (300 + 100))


def test_a_stage_without_a_law_of_its_own_grows_with_the_images(
    recipe: Recipe, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STAGES, "things", Stage("things", (), Settings, 1, lambda work: None))
    put(store, "things", 1000, {"compute": 3})
    assert by_stage(estimate(recipe, store, 10_000))["things"].seconds == pytest.approx(30)
