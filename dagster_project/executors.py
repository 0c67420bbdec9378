"""One setting, ``SPN4CIR_EXECUTOR``, picks how the steps of a run are executed."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import dagster as dg

from dagster_project.resources import pipeline_from_environment
from spn4cir_core.errors import MissingExtra

STEPS_AT_ONCE = 2
SECRET_WORDS = ("KEY", "PASSWORD", "SECRET", "TOKEN")


def _multiprocess() -> dg.ExecutorDefinition:
    return dg.multiprocess_executor.configured({"max_concurrent": STEPS_AT_ONCE})


def _ray() -> dg.ExecutorDefinition:
    """Each step a Ray job on the cluster of ``RAY_ADDRESS``, with this code location's settings."""
    try:
        if find_spec("ray") is None:  # imported with the run
            raise ImportError("ray")
        from dagster_ray.core.executor import ray_executor
    except ImportError as error:
        raise MissingExtra("dagster-ray", "ray") from error
    configured: dg.ExecutorDefinition = ray_executor.configured({"ray": {"env_vars": settings_of_a_step()}})
    return configured


def _k8s() -> dg.ExecutorDefinition:
    """Each step a Kubernetes job, configured as the run launcher's jobs and by the op tags."""
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise MissingExtra("dagster-k8s", "kubernetes") from error
    executor: dg.ExecutorDefinition = k8s_job_executor
    return executor


EXECUTORS: dict[str, Callable[[], dg.ExecutorDefinition]] = {
    "in_process": lambda: dg.in_process_executor,
    "multiprocess": _multiprocess,
    "ray": _ray,
    "k8s": _k8s,
}


def executor_for(name: str) -> dg.ExecutorDefinition:
    """The executor of that name.

    Raises:
        ValueError: there is none of that name.
        MissingExtra: its package is not installed.
    """
    if name not in EXECUTORS:
        raise ValueError(f"SPN4CIR_EXECUTOR={name!r}: known executors are {', '.join(EXECUTORS)}")
    return EXECUTORS[name]()


def settings_of_a_step() -> list[str]:
    """``NAME=value`` of this code location's ``SPN4CIR_`` variables, for a step in another folder.

    Secrets are left out, since Ray shows the variables of its jobs.
    """
    pipeline = pipeline_from_environment()
    recipe = Path(pipeline.recipe)
    given = {name: value for name, value in os.environ.items() if name.startswith("SPN4CIR_") and not _secret(name)}
    given["SPN4CIR_STORE"] = pipeline.store
    given["SPN4CIR_RECIPE"] = str(recipe.absolute()) if recipe.is_file() else pipeline.recipe
    return sorted(f"{name}={value}" for name, value in given.items())


def _secret(name: str) -> bool:
    return any(word in name for word in SECRET_WORDS)
