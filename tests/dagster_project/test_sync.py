from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from dagster_project.materialization import COMPUTED, STATE_KEY, UP_TO_DATE
from dagster_project.sync import RUN_KEY, STATE, State, sync_request

LATE = State(late=["captions"], digest="captions are wanted")


def assets(says: str = COMPUTED) -> dg.Definitions:
    @dg.asset(name="captions")
    def captions() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult(metadata={STATE_KEY: says})

    return dg.Definitions(assets=[captions])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def request_or_skip(instance: dg.DagsterInstance, state: State = LATE, turn: int = 0) -> dg.RunRequest | str:
    outcome = sync_request(instance, assets().get_repository_def(), state, turn)
    return outcome if isinstance(outcome, dg.RunRequest) else str(outcome.skip_message)


def run(instance: dg.DagsterInstance, request: dg.RunRequest | str, says: str = COMPUTED) -> None:
    """As the daemon does it: with the request's tags and its run key."""
    assert isinstance(request, dg.RunRequest)
    tags = {**request.tags, RUN_KEY: str(request.run_key)}
    job = assets(says).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, tags=tags).success


def failed(instance: dg.DagsterInstance, request: dg.RunRequest | str) -> str:
    assert isinstance(request, dg.RunRequest)
    job = assets().resolve_implicit_global_asset_job_def()
    tags = {**request.tags, RUN_KEY: str(request.run_key)}
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=tags).run_id


def test_a_request_names_the_late_assets_and_its_state(instance: dg.DagsterInstance) -> None:
    request = request_or_skip(instance)
    assert isinstance(request, dg.RunRequest) and request.asset_selection == [dg.AssetKey("captions")]
    assert request.tags == {STATE: LATE.digest, "dagster/retry_strategy": "ALL_STEPS"}


def test_a_state_that_failed_is_said_and_tried_again_when_another_one_was_seen(instance: dg.DagsterInstance) -> None:
    run_id = failed(instance, request_or_skip(instance, turn=1))
    assert f"run {run_id[:8]} for this state has ended as failure" in str(request_or_skip(instance, turn=1))
    assert isinstance(request_or_skip(instance, turn=3), dg.RunRequest), "something else was seen in between"
    assert isinstance(request_or_skip(instance, State(["captions"], "another state"), turn=2), dg.RunRequest)


def test_a_state_that_a_run_leaves_as_it_was_starts_no_runs_without_end(instance: dg.DagsterInstance) -> None:
    run(instance, request_or_skip(instance), UP_TO_DATE)
    said = request_or_skip(instance)
    assert "found nothing to do, and yet captions are out of date: the code has changed" in str(said)
    assert isinstance(request_or_skip(instance, State(["captions"], "another state")), dg.RunRequest)


def test_what_was_computed_and_is_gone_again_is_computed_again(instance: dg.DagsterInstance) -> None:
    run(instance, request_or_skip(instance))
    assert isinstance(request_or_skip(instance), dg.RunRequest)
