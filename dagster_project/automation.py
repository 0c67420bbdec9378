"""Jobs to start by hand, and a sensor and a schedule that start what is out of date. Both are shipped stopped."""

import os
from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import BaseModel, ValidationError

from dagster_project.resources import Pipeline
from dagster_project.sync import active_run, state_of, sync_request

LOOK_EVERY_S = int(os.environ.get("SPN4CIR_LOOK_EVERY_S", "60"))
NIGHTLY_CRON = os.environ.get("SPN4CIR_NIGHTLY_CRON", "0 3 * * *")


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


class Seen(BaseModel):
    """What the sensor remembers from look to look."""

    state: str = ""
    turn: int = 0
    """How often the state has changed."""

    @classmethod
    def read(cls, cursor: str | None) -> "Seen":
        """What the cursor holds; nothing where it was written by another version."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()


@dg.sensor(target=dg.AssetSelection.all(), minimum_interval_seconds=LOOK_EVERY_S)
def sync_when_changed(context: dg.SensorEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """Looks for new pictures, edited templates, recipes or annotations, and starts what follows of them.

    A change has to be seen twice: of a directory that is being copied nothing is started before it holds still.
    """
    if reason := active_run(context.instance):
        return dg.SkipReason(reason)
    state = state_of(pipeline)
    seen = Seen.read(context.cursor)
    if state.digest != seen.state:
        context.update_cursor(Seen(state=state.digest, turn=seen.turn + 1).model_dump_json())
        return dg.SkipReason(state.reason or "something changed; a run starts if it looks the same at the next look")
    return sync_request(context.instance, context.repository_def, state, seen.turn)


@dg.schedule(target=dg.AssetSelection.all(), cron_schedule=NIGHTLY_CRON)
def nightly_sync(context: dg.ScheduleEvaluationContext, pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """The same once a night, in UTC; costs nothing when nothing changed."""
    return sync_request(context.instance, context.repository_def, state_of(pipeline))
