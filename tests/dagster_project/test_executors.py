"""One setting picks the executor; whichever it is, the artefacts are the same and a GPU has one step at a time."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from dagster_project.executors import executor_for, settings_of_a_step
from dagster_project.gpu_requests import gpu_requests
from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.captions.stage import CAPTIONS
from spn4cir_core.errors import MissingExtra
from spn4cir_core.launch.run_flow import run
from spn4cir_core.pairs.stage import PAIRS
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from tests.dagster_project.executed_jobs import FEATURES, ROOT, coloured_corpus, features, said, shipped_instance

BLOCKED = f"blocked by limit for pool {GPU_POOL}"


def test_an_unknown_executor_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match="'dask': known executors are in_process, multiprocess, ray, k8s"):
        executor_for("dask")


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("ray", "dagster_ray", "ray"), ("k8s", "dagster_k8s", "kubernetes")]
)
def test_a_missing_extra_is_named(name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'spn4cir\[{extra}\]'"):
        executor_for(name)


def tags(pool: str | None, monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, object]:
    for name in ("SPN4CIR_GPUS", "SPN4CIR_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stage = CAPTIONS if pool else PAIRS
    asset = stage_asset(stage, group="g", kinds=set(), about=None, pool=pool)
    return {name: json.loads(value) for name, value in asset.op.tags.items() if name.startswith("dagster-")}


def test_only_stages_on_the_accelerator_ask_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tags(None, monkeypatch) == {}
    assert tags(GPU_POOL, monkeypatch)["dagster-ray/config"] == {"num_gpus": 1}
    assert tags(GPU_POOL, monkeypatch, SPN4CIR_PROCESSES="4")["dagster-ray/config"] == {"num_gpus": 4}
    assert tags(GPU_POOL, monkeypatch, SPN4CIR_PROCESSES="4", SPN4CIR_GPUS="2")["dagster-ray/config"] == {"num_gpus": 2}
    assert tags(GPU_POOL, monkeypatch, SPN4CIR_GPUS="0") == {}
    monkeypatch.setenv("SPN4CIR_GPUS", "half")
    with pytest.raises(ValueError, match="SPN4CIR_GPUS='half'"):
        gpu_requests()


def test_a_step_elsewhere_is_told_full_paths_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shoes.toml").write_text('base = "demo"\nname = "shoes"\n')
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "RECIPE": "shoes.toml",
        "STORE": "here",
        "TOKEN": "x",
        "API_KEY": "y",
        "WHEN_LOCKED": "wait",
    }.items():
        monkeypatch.setenv(f"SPN4CIR_{name}", value)
    given = dict(setting.split("=", 1) for setting in settings_of_a_step())
    assert given["SPN4CIR_RECIPE"] == str(tmp_path / "shoes.toml") and given["SPN4CIR_STORE"] == str(tmp_path / "here")
    assert given["SPN4CIR_WHEN_LOCKED"] == "wait"
    assert not {"SPN4CIR_TOKEN", "SPN4CIR_API_KEY"} & set(given)


def test_a_run_waits_while_another_has_the_gpu(tmp_path: Path) -> None:
    waited = threading.Event()

    @dg.asset(pool=GPU_POOL)
    def model() -> None:
        assert waited.is_set(), "the GPU was another run's"

    settings = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"concurrency": settings["concurrency"]}) as instance:
        slots = instance.event_log_storage
        slots.initialize_concurrency_limit_to_default(GPU_POOL)
        assert slots.claim_concurrency_slot(GPU_POOL, "another run", "its step").is_claimed

        def other_run_ends() -> None:
            while slots.get_concurrency_info(GPU_POOL).pending_step_count == 0:
                time.sleep(0.05)
            waited.set()
            slots.free_concurrency_slot_for_step("another run", "its step")

        other = threading.Thread(target=other_run_ends, daemon=True)
        other.start()
        assert dg.materialize([model], instance=instance).success
        other.join()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def executed(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a run on that corpus with a store of its own."""
    for name, value in {"RECIPE": corpus, "STORE": tmp_path / "store"}.items():
        monkeypatch.setenv(f"SPN4CIR_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield monkeypatch


def expect_the_bytes_of_the_core(corpus: Path, folder: Path) -> None:
    recipe = load_recipe(str(corpus))
    for name, here in run(recipe, Store(folder / "core"), FEATURES).items():
        there = Store(folder / "store").current(recipe.name, name)
        assert there is not None and there.fingerprint == here.fingerprint, name
        assert there.summary["files"] == here.summary["files"], name


def test_processes_side_by_side_make_the_same_bytes_and_take_turns_on_the_gpu(
    executed: pytest.MonkeyPatch, corpus: Path, tmp_path: Path
) -> None:
    executed.setenv("SPN4CIR_EXECUTOR", "multiprocess")
    with shipped_instance(tmp_path / "home") as instance:
        result = dg.execute_job(dg.reconstructable(features), instance)
    assert result.success
    assert any(BLOCKED in message for message in said(result)), "both were ready, one waited"
    on_the_gpu = [event for event in result.all_events if event.step_key in FEATURES[1:]]
    order = [
        (event.event_type_value, event.step_key) for event in on_the_gpu if event.is_step_start or event.is_step_success
    ]
    assert [kind for kind, _ in order] == ["STEP_START", "STEP_SUCCESS"] * 2
    assert order[0][1] == order[1][1] and order[2][1] == order[3][1]
    expect_the_bytes_of_the_core(corpus, tmp_path)


@pytest.fixture
def ray_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray head on this machine that says it has a GPU, since the steps ask for one.

    With ``RAY_API_SERVER_ADDRESS`` the cluster there, which can import our modules.
    """
    given = os.environ.get("RAY_API_SERVER_ADDRESS")
    if not given:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # read when Ray is imported
        for name, value in {"PYTHONPATH": str(ROOT), **token}.items():
            monkeypatch.setenv(name, value)
    pytest.importorskip("dagster_ray", reason="dagster-ray is not installed: pip install 'spn4cir[ray]'")
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'spn4cir[ray]'")
    if given:
        yield
        return
    head = ray.init(num_cpus=2, num_gpus=1, include_dashboard=True, log_to_driver=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://{head.dashboard_url}")
    yield
    ray.shutdown()


def test_jobs_on_a_ray_cluster_make_the_same_bytes(
    ray_cluster: None, executed: pytest.MonkeyPatch, corpus: Path, tmp_path: Path
) -> None:
    executed.setenv("SPN4CIR_EXECUTOR", "ray")
    with shipped_instance(tmp_path / "home") as instance:
        result = dg.execute_job(dg.reconstructable(features), instance)
    assert result.success
    assert sum("in Ray job" in message for message in said(result)) == len(FEATURES)
    expect_the_bytes_of_the_core(corpus, tmp_path)
