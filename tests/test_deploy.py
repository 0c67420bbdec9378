"""What is shipped in ``deploy/`` fits together, and Dagster's own parsers take it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from dagster_project.executors import EXECUTORS
from dagster_project.stage_asset import GPU_POOL, stage_asset
from spn4cir_core.captions.stage import CAPTIONS
from spn4cir_core.recipe import load_recipe

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def parsed(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def values() -> dict[str, Any]:
    read = parsed("helm-values.yaml")
    assert isinstance(read, dict)
    return read


def code_location() -> dict[str, Any]:
    (deployment,) = values()["dagster-user-deployments"]["deployments"]
    assert isinstance(deployment, dict)
    return deployment


def kubernetes_objects() -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def expect_valid_instance(settings: Mapping[str, Any]) -> None:
    schema = dagster_instance_config_schema()
    known = {name: value for name, value in settings.items() if name in schema}
    assert set(known) == set(settings), "dagster.yaml knows each key"
    result = validate_config(schema, known)
    assert result.success, [error.message for error in result.errors or []]


def test_a_shared_instance_is_the_single_one_with_another_storage() -> None:
    added = parsed("dagster-postgres.yaml")
    single = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    storage = added["storage"]["postgres"]["postgres_db"]
    assert storage.pop("scheme") == values()["postgresql"]["postgresqlScheme"]
    assert all(set(value) == {"env"} for value in storage.values()), "no password in a file"
    assert not set(added) & set(single), "one can be put after the other"
    expect_valid_instance(added | single)


def test_the_cluster_has_the_limits_of_the_single_machine() -> None:
    chart = values()
    single = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    pools, runs = chart["concurrency"]["pools"], chart["concurrency"]["runs"]
    assert single["concurrency"] == {
        "pools": {"granularity": pools["granularity"], "default_limit": pools["defaultLimit"]},
        "runs": {"max_concurrent_runs": runs["maxConcurrentRuns"]},
    }
    monitoring = chart["dagsterDaemon"]["runMonitoring"]
    assert monitoring["freeSlotsAfterRunEndSeconds"] == single["run_monitoring"]["free_slots_after_run_end_seconds"]
    assert chart["pythonLogs"]["managedPythonLoggers"] == single["python_logs"]["managed_python_loggers"]
    more = chart["additionalInstanceConfig"]
    assert more.items() <= single.items()
    expect_valid_instance(more)


def test_what_the_chart_names_is_there(tmp_path: Path) -> None:
    location, objects = code_location(), kubernetes_objects()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert location["dagsterApiGrpcArgs"] == ["-m", project["tool"]["dagster"]["module_name"]]
    assert location["env"]["SPN4CIR_EXECUTOR"] in EXECUTORS
    volumes = {volume["name"]: volume for volume in location["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == objects["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["recipe"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in location["volumeMounts"]}
    assert set(mounts) == set(volumes)
    assert Path(location["env"]["SPN4CIR_STORE"]).is_relative_to(mounts["data"])
    for name, text in objects["ConfigMap"]["data"].items():
        assert f"{mounts['recipe']}/{name}" == location["env"]["SPN4CIR_RECIPE"]
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert load_recipe(str(tmp_path / name)).name == "shoes"


def test_a_step_on_the_gpu_becomes_a_job_with_the_store_shared_memory_and_a_gpu() -> None:
    pytest.importorskip("dagster_k8s", reason="dagster-k8s is not installed: pip install 'spn4cir[kubernetes]'")
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

    location, launcher = code_location(), values()["runLauncher"]["config"]["k8sRunLauncher"]
    handed_on = ("volume_mounts", "volumes", "resources")
    camel = {"volumeMounts": "volume_mounts"}
    context = {camel.get(name, name): value for name, value in location.items()}
    of_location = K8sContainerContext.create_from_config(
        {
            "k8s": {name: context[name] for name in handed_on if name in context}
            | {"env_secrets": [secret["name"] for secret in location["envSecrets"]]}
        }
    )
    run_config = {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in launcher["runK8sConfig"].items()}
    of_launcher = K8sContainerContext(run_k8s_config=UserDefinedDagsterK8sConfig.from_dict(run_config))
    tags = stage_asset(CAPTIONS, group="g", kinds=set(), about=None, pool=GPU_POOL).op.tags
    of_step = UserDefinedDagsterK8sConfig.from_dict(json.loads(tags["dagster-k8s/config"]))
    merged = of_launcher.merge(of_location).merge(K8sContainerContext(run_k8s_config=of_step))
    image = "{repository}:{tag}".format(**location["image"])
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image=image), ["dagster", "api", "execute_step"], "step", merged.run_k8s_config
    ).to_dict()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == image and container["command"] is None, "the image's entry point passes the command on"
    limits = {
        "memory": launcher["runK8sConfig"]["containerConfig"]["resources"]["limits"]["memory"],
        "nvidia.com/gpu": "1",
    }
    assert container["resources"]["limits"] == limits
    assert {mount["mount_path"] for mount in container["volume_mounts"]} >= {"/data", "/recipes", "/dev/shm"}
    assert {mount["name"] for mount in container["volume_mounts"]} <= {volume["name"] for volume in pod["volumes"]}
    assert "spn4cir-secrets" in str(container["env_from"])
    assert pod["security_context"]["run_as_non_root"] and pod["security_context"]["run_as_user"] == 1000
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["nvidia.com/gpu"]


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_image_copies_what_is_there_and_runs_without_privileges() -> None:
    copied = [line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"]
    for verb, words in instructions():
        if verb == "COPY" and "--from" not in words:
            for source in [word for word in words.split() if not word.startswith("--")][:-1]:
                assert (ROOT / source).exists() and source.split("/")[0] in copied, source
    users = [words for verb, words in instructions() if verb == "USER"]
    assert users and users[-1].split(":")[0] == "1000"
    verbs = [verb for verb, _ in instructions()]
    assert verbs.index("USER") > max(index for index, verb in enumerate(verbs) if verb in {"RUN", "COPY"})
    assert {"HEALTHCHECK", "ENTRYPOINT", "CMD"} <= set(verbs)


def test_the_image_asks_for_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = [words.partition("=")[2] for verb, words in instructions() if verb == "ARG" and "EXTRAS" in words]
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


@pytest.fixture
def container(tmp_path: Path) -> dict[str, str]:
    """A folder like the image's, with programs that say how they were called."""
    for name in ("dagster", "dagster-webserver", "dagster-daemon"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "home").mkdir()
    home = f'#!/bin/sh\nexec {sys.executable} -m spn4cir_core.cli.app "$@"\n'
    (tmp_path / "spn4cir").write_text(home)
    (tmp_path / "spn4cir").chmod(0o755)
    (tmp_path / "dagster-postgres.yaml").write_bytes((DEPLOY / "dagster-postgres.yaml").read_bytes())
    path = f"{tmp_path}:{os.environ['PATH']}"
    return {"PATH": path, "DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}


def entered(folder: Path, environment: dict[str, str], *words: str) -> str:
    command = ["sh", str(DEPLOY / "entrypoint.sh"), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_entry_point_knows_three_roles_and_runs_anything_else(tmp_path: Path, container: dict[str, str]) -> None:
    assert entered(tmp_path, container, "webserver") == "dagster-webserver -h 0.0.0.0 -p 3000 -w workspace.yaml"
    assert entered(tmp_path, container, "daemon") == "dagster-daemon run -w workspace.yaml"
    server = entered(tmp_path, container, "code-server")
    assert server == "dagster api grpc -h 0.0.0.0 -p 4000 -m dagster_project.definitions"
    assert entered(tmp_path, container, "echo", "a b", "c") == "a b c"


def test_the_home_is_settled_once(tmp_path: Path, container: dict[str, str]) -> None:
    settings, single = tmp_path / "home" / "dagster.yaml", (ROOT / "dagster.yaml").read_text()
    shared = single + (DEPLOY / "dagster-postgres.yaml").read_text()
    entered(tmp_path, container | {"DAGSTER_PG_HOST": "db"}, "daemon")
    assert settings.read_text() == shared
    entered(tmp_path, container, "daemon")
    assert settings.read_text() == shared, "what is there is left alone"
    settings.unlink()
    entered(tmp_path, container, "daemon")
    assert settings.read_text() == single


@pytest.mark.parametrize(
    ("runs", "answer"), [("dagster-daemon", "liveness-check"), ("dagster", "api grpc-health-check -p 4000")]
)
def test_health_is_asked_of_the_role(runs: str, answer: str, tmp_path: Path, container: dict[str, str]) -> None:
    words = {"dagster-daemon": "run", "dagster": "api grpc -p 4000"}[runs]
    script = tmp_path / "waits"
    script.write_text("import sys\nprint('ready', flush=True)\nsys.stdin.read()\n")
    line = [sys.executable, str(script), f"{runs} {words}"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        said = entered(tmp_path, container | {"SPN4CIR_MAIN_PROCESS": str(process.pid)}, "healthy")
    assert said == f"{runs} {answer}"


def test_a_process_without_a_command_line_is_not_healthy(tmp_path: Path, container: dict[str, str]) -> None:
    """As one that has ended has none, and one that is just starting another program."""
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(subprocess.CalledProcessError):
            entered(tmp_path, container | {"SPN4CIR_MAIN_PROCESS": str(process.pid)}, "healthy")
