"""What `spn4cir run` has made and Dagster has not recorded: its UI would show it as never materialized."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from dagster_project.materialization import materialization
from dagster_project.previews import previews
from dagster_project.resources import Pipeline
from spn4cir_core.flow import STAGES

DATA_VERSION_TAG = "dagster/data_version"


def record_artifacts(instance: dg.DagsterInstance, pipeline: Pipeline, prefix: Sequence[str] = ()) -> list[str]:
    """Record the recipe's current artefacts as materializations without a run, parents first.

    An artefact whose fingerprint is the data version of its asset's last materialization is left out.

    Args:
        prefix: of the asset keys, as in :func:`dagster_project.definitions.definitions_for`.

    Returns:
        The names of the stages whose artefacts were recorded.

    Raises:
        Spn4cirError: the recipe or the store cannot be read.
    """
    recipe, store = pipeline.load()
    recorded = []
    for name in STAGES:
        artifact = store.current(recipe.name, name)
        key = dg.AssetKey([*prefix, name])
        if artifact is None or artifact.fingerprint == _last_data_version(instance, key):
            continue
        result = materialization(artifact, reused=True, beside=previews(artifact, recipe, store))
        event = dg.AssetMaterialization(key, metadata=result.metadata, tags={DATA_VERSION_TAG: artifact.fingerprint})
        instance.report_runless_asset_event(event)
        recorded.append(name)
    return recorded


def _last_data_version(instance: dg.DagsterInstance, key: dg.AssetKey) -> str | None:
    entry = instance.get_latest_materialization_event(key)
    event = entry.asset_materialization if entry else None
    return event.tags.get(DATA_VERSION_TAG) if event and event.tags else None
