"""What is out of date, and the run that mends it. Level-triggered: it compares states, so no event can be lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterEventType

from dagster_project.materialization import COMPUTED, STATE_KEY
from dagster_project.resources import Pipeline
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.flow import outdated
from spn4cir_core.store.fingerprints import fingerprint

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
RUN_KEY = "dagster/run_key"
STATE = "spn4cir/state"
"""Tag of a run: the state that it was started for."""


@dataclass(frozen=True)
class State:
    """Comparison of the store with what the recipe wants."""

    late: list[str] = field(default_factory=list)
    """Stages that are out of date, in the order of the flow."""
    digest: str = ""
    """Equal for equal states: what is wanted of the late stages, and what there is."""
    reason: str = ""
    """Why nothing is to be run."""


def state_of(pipeline: Pipeline) -> State:
    """Compare the store with the recipe, the files outside, and the code."""
    try:
        recipe, store = pipeline.load()
        wanted = outdated(recipe, store)
        present = {name: store.current(recipe.name, name) for name in wanted}
    except Spn4cirError as error:
        reason = f"cannot tell what is out of date: {error}"
        return State(digest=fingerprint(reason), reason=reason)
    if not wanted:
        return State(reason="everything is up to date")
    if problems := [f"{name}: {late.unreadable}" for name, late in wanted.items() if late.unreadable]:
        reason = f"cannot tell what is out of date: {'; '.join(problems)}"
        return State(digest=fingerprint(reason), reason=reason)
    pairs = {
        name: [late.wanted, artifact and artifact.fingerprint]
        for (name, late), artifact in zip(wanted.items(), present.values(), strict=True)
    }
    return State(list(wanted), fingerprint(pairs))


def active_run(instance: dg.DagsterInstance) -> str:
    """Says which run is active; empty where none is."""
    runs = instance.get_runs(dg.RunsFilter(statuses=ACTIVE), limit=1)
    return f"a run is active: {runs[0].run_id[:8]} ({runs[0].status.value.lower()})" if runs else ""


def sync_request(
    instance: dg.DagsterInstance, repository: dg.RepositoryDefinition | None, state: State, turn: int = 0
) -> dg.RunRequest | dg.SkipReason:
    """A run of exactly what is out of date, or the reason why none is started.

    The run key names the state, the last run that succeeded, and the turn, so that a state that failed is not tried
    for ever, and a state that comes back (an edit and its revert) is not mistaken for the old one.

    Args:
        turn: how often the state has changed; the same one is tried again when another was seen in between.
    """
    if reason := active_run(instance) or state.reason:
        return dg.SkipReason(reason)
    last = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
    run_key = fingerprint({"state": state.digest, "after": last[0].run_id if last else None, "turn": turn})
    if tried := instance.get_runs(dg.RunsFilter(tags={RUN_KEY: run_key}), limit=1):
        return dg.SkipReason(
            f"run {tried[0].run_id[:8]} for this state has ended as {tried[0].status.value.lower()}; the next one "
            "starts when something changes, or by hand"
        )
    if last and last[0].tags.get(STATE) == state.digest and not _computed(instance, last[0].run_id):
        return dg.SkipReason(
            f"run {last[0].run_id[:8]} found nothing to do, and yet {', '.join(state.late)} are out of date: the code "
            "has changed since it was loaded; reload the code location"
        )
    assert repository is not None
    keys = [key for key in repository.asset_graph.materializable_asset_keys if key.path[-1] in state.late]
    # A run whose process was killed is started again by the daemon (run_retries), with whatever has changed since.
    tags = {STATE: state.digest, "dagster/retry_strategy": "ALL_STEPS"}
    return dg.RunRequest(run_key=run_key, asset_selection=sorted(keys), tags=tags)


def _computed(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run has computed anything."""
    events = instance.all_logs(run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION)
    made = [event.asset_materialization for event in events if event.asset_materialization]
    return any(one.metadata[STATE_KEY].value == COMPUTED for one in made)
