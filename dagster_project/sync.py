"""What is out of date, and the run that mends it. Level-triggered: it compares states, so no event can be lost."""

from __future__ import annotations

import dagster as dg

from dagster_project.resources import Pipeline
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.fingerprints import fingerprint
from spn4cir_core.flow import outdated

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def sync_request(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    """A run of exactly what is out of date, or the reason why none is started.

    The run key names the wanted state and the last run that succeeded, so a state that failed is not tried
    for ever, and a state that comes back (an edit and its revert) is not mistaken for the old one.
    """
    if instance.get_runs_count(dg.RunsFilter(statuses=ACTIVE)):
        return dg.SkipReason("a run is active")
    try:
        recipe, store = pipeline.load()
        late = outdated(recipe, store)
    except Spn4cirError as error:
        return dg.SkipReason(f"cannot tell what is out of date: {error}")
    if not late:
        return dg.SkipReason("everything is up to date")
    assert repository is not None
    keys = [key for key in repository.asset_graph.materializable_asset_keys if key.path[-1] in late]
    last = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
    run_key = fingerprint({"late": late, "after": last[0].run_id if last else None})
    return dg.RunRequest(run_key=run_key, asset_selection=sorted(keys))
