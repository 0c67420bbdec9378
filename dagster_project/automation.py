"""Jobs to start by hand, and a sensor and a schedule that start what is out of date. Both are shipped stopped."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagster_project.resources import Pipeline
from dagster_project.sync import sync_request


def jobs(prefix: Sequence[str]) -> list[Any]:
    """The whole flow, and what follows from the templates or from the triplets."""

    def from_asset(name: str) -> dg.AssetSelection:
        return dg.AssetSelection.assets([*prefix, name]).downstream()

    everything = dg.AssetSelection.key_prefixes(list(prefix)) if prefix else dg.AssetSelection.all()
    return [
        dg.define_asset_job("everything", everything, description="Bring every artefact up to date."),
        dg.define_asset_job("from_templates", from_asset("templates"), description="After an edited template."),
        dg.define_asset_job("from_triplets", from_asset("triplets"), description="Train and evaluate again."),
    ]


@dg.sensor(target=dg.AssetSelection.all(), minimum_interval_seconds=60)
def sync_when_changed(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """Looks every minute for new pictures, edited templates, recipes or annotations, and starts what follows of them.

    A change has to be seen twice: of a directory that is being copied nothing is started before it holds still.
    """
    request = sync_request(context.instance, context.repository_def, pipeline)
    if isinstance(request, dg.RunRequest) and request.run_key != context.cursor:
        context.update_cursor(request.run_key or "")
        return dg.SkipReason("something changed; a run starts if it looks the same at the next look")
    return request


@dg.schedule(target=dg.AssetSelection.all(), cron_schedule="0 3 * * *")
def nightly_sync(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """The same once a night; costs nothing when nothing changed."""
    return sync_request(context.instance, context.repository_def, pipeline)
