"""The shipped ``deploy/dagster-postgres.yaml`` on a real PostgreSQL: runs, events, a pool and the sensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from dagster_project.automation import sync_when_changed
from dagster_project.definitions import definitions_for
from dagster_project.resources import pipeline_from_environment
from dagster_project.stage_asset import GPU_POOL
from tests.dagster_project.executed_jobs import FEATURES, ROOT, coloured_corpus, features, shipped_instance
from tests.postgres import postgres_server, programs


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed: pip install 'spn4cir[postgres]'")
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server on this machine; Debian: apt-get install postgresql")
    with postgres_server(folder) as access:
        for name, value in access.items():
            monkeypatch.setenv(name, value)
        yield access


def rows(access: dict[str, str], table: str) -> int:
    import psycopg2

    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}
    connection = psycopg2.connect(**{name: access[f"DAGSTER_PG_{key}"] for name, key in names.items()})
    with connection, connection.cursor() as cursor:
        cursor.execute(f"select count(*) from {table}")
        (count,) = cursor.fetchone()
    connection.close()
    return int(count)


def test_a_run_and_a_tick_of_the_sensor_are_kept_in_postgres(
    server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RECIPE": coloured_corpus(tmp_path), "STORE": tmp_path / "store"}.items():
        monkeypatch.setenv(f"SPN4CIR_{name}", str(value))
    with shipped_instance(tmp_path / "home", ROOT / "deploy" / "dagster-postgres.yaml") as instance:
        assert "PostgresEventLogStorage" in instance.info_str()
        assert server["DAGSTER_PG_PASSWORD"] not in instance.info_str()
        run = features().execute_in_process(instance=instance)
        assert run.success and rows(server, "runs") == 1
        assert rows(server, "event_logs") >= 3 * len(FEATURES)
        assert rows(server, "asset_keys") == len(FEATURES)
        assert instance.event_log_storage.get_concurrency_info(GPU_POOL).slot_count == 1
        pipeline = pipeline_from_environment()
        context = dg.build_sensor_context(
            instance, definitions=definitions_for(pipeline), resources={"pipeline": pipeline}
        )
        outcome = sync_when_changed(context)
        assert isinstance(outcome, dg.RunRequest) or "something changed" in str(outcome.skip_message)
