"""The graph says what the core's flow says, and a bare ``triplets+`` means everything downstream."""

from __future__ import annotations

import os
import subprocess
import sys

import dagster as dg

from dagster_project.definitions import definitions_for, defs
from dagster_project.resources import Pipeline
from spn4cir_core.flow import STAGES, downstream_of


def pick(selection: str) -> set[str]:
    keys = dg.AssetSelection.from_string(selection).resolve(defs.resolve_asset_graph())
    return {key.to_user_string() for key in keys}


def test_every_stage_is_an_asset_with_the_same_parents_and_version() -> None:
    graph = defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == set(STAGES)
    for name, stage in STAGES.items():
        node = graph.get(dg.AssetKey(name))
        parents = {parent.to_user_string() for parent in node.parent_keys}
        assert parents - set(stage.inputs_drawn) <= {"triplets"} and parents >= set(stage.inputs_drawn)
        assert node.code_version == str(stage.version)
        assert node.description


def test_triplets_plus_is_everything_downstream() -> None:
    assert pick("triplets+") == pick('key:"triplets"+') == {"triplets"} | downstream_of("triplets")
    assert {"stage1_checkpoint", "candidate_bank", "stage2_checkpoint", "blend", "eval_report", "search_index"} < pick(
        "triplets+"
    )


def test_templates_reach_only_texts_and_what_follows() -> None:
    downstream = pick('key:"templates"+')
    assert not downstream & {"images", "captions", "image_embeddings", "splits", "pairs", "annotations"}
    assert {"modified_texts", "triplets", "stage2_checkpoint", "eval_report"} <= downstream


def test_a_second_recipe_carries_its_name_as_key_prefix() -> None:
    second = definitions_for(Pipeline(recipe="demo", store="elsewhere"), prefix="shoes")
    dg.Definitions.validate_loadable(second)
    graph = second.resolve_asset_graph()
    assert {key.path[0] for key in graph.materializable_asset_keys} == {"shoes"}
    triplets = graph.get(dg.AssetKey(["shoes", "triplets"]))
    assert dg.AssetKey(["shoes", "pairs"]) in triplets.parent_keys
    assert second.resolve_job_def("from_templates").asset_layer.selected_asset_keys == {
        key for key in graph.materializable_asset_keys if key.path[-1] in pick('key:"templates"+')
    }


def test_the_night_is_when_the_owner_says() -> None:
    assert [schedule.cron_schedule for schedule in defs.get_repository_def().schedule_defs] == ["0 3 * * *"]
    says = "from dagster_project.automation import nightly_sync; print(nightly_sync.cron_schedule)"
    environment = {**os.environ, "SPN4CIR_NIGHTLY_CRON": "30 22 * * 1-5"}
    process = subprocess.run([sys.executable, "-c", says], env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "30 22 * * 1-5"


def test_automation_is_shipped_stopped() -> None:
    repository = defs.get_repository_def()
    assert all(sensor.default_status == dg.DefaultSensorStatus.STOPPED for sensor in repository.sensor_defs)
    assert all(schedule.default_status == dg.DefaultScheduleStatus.STOPPED for schedule in repository.schedule_defs)


def test_loading_the_definitions_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, dagster_project.definitions; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
