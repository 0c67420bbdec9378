"""The code location: assets, jobs, checks, automation."""

from __future__ import annotations

import os

import dagster as dg

from dagster_project import assets, sqlite_connections  # noqa: F401 -- it sets up connections
from dagster_project.automation import jobs, nightly_sync, sync_when_changed
from dagster_project.checks import checks
from dagster_project.executors import executor_for
from dagster_project.resources import Pipeline, pipeline_from_environment
from dagster_project.watched_executor import watched


def definitions_for(pipeline: Pipeline, prefix: str | None = None) -> dg.Definitions:
    """One recipe as a code location.

    A second recipe is a second location whose asset keys carry a prefix. Put this into a file of your own
    and name it in ``workspace.yaml``::

        from dagster_project.definitions import definitions_for
        from dagster_project.resources import Pipeline

        defs = definitions_for(Pipeline(recipe="shoes.toml", store="store"), prefix="shoes")
    """
    key_prefix = [prefix] if prefix else None
    return dg.Definitions(
        assets=dg.load_assets_from_package_module(assets, key_prefix=key_prefix),
        asset_checks=checks(key_prefix or []),
        jobs=jobs(key_prefix or []),
        sensors=[sync_when_changed],
        schedules=[nightly_sync],
        resources={"pipeline": pipeline},
        executor=watched(executor_for(os.environ.get("SPN4CIR_EXECUTOR", "in_process")), pipeline),
    )


defs = definitions_for(pipeline_from_environment())
