"""Turns a core stage into a Dagster asset: same name, same parents, same logic version."""

from typing import Any

import dagster as dg

from dagster_project.gpu_requests import gpu_requests
from dagster_project.resources import Pipeline
from spn4cir_core.engine.stage import Stage
from spn4cir_core.flow import downstream_of

GPU_POOL = "gpu"
"""Assets that want the accelerator share this pool; ``dagster.yaml`` lets one of them run at a time."""

SELECTED_WITH_ALL_THAT_FOLLOWS = "triplets"
"""``--select triplets+`` is one layer in Dagster's older selection syntax; a direct edge to every asset that follows
makes it everything downstream."""


def stage_asset(
    stage: Stage[Any], *, group: str, kinds: set[str], about: str | None, pool: str | None = None
) -> dg.AssetsDefinition:
    """An asset that brings its stage up to date; ``about`` (the file's docstring) is its description in the UI."""

    @dg.asset(
        name=stage.name,
        deps=_deps(stage),
        group_name=group,
        kinds=kinds,
        code_version=str(stage.version),
        description=about,
        pool=pool,
        op_tags=gpu_requests() if pool == GPU_POOL else None,
    )
    def materialize(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return pipeline.materialize(context, stage)

    return materialize


def _deps(stage: Stage[Any]) -> list[str]:
    follows = stage.name in downstream_of(SELECTED_WITH_ALL_THAT_FOLLOWS)
    return sorted({*stage.inputs_drawn, *([SELECTED_WITH_ALL_THAT_FOLLOWS] if follows else [])})
