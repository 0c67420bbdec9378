"""A stage in processes of its own, as a Dagster Pipes process: its progress comes into the run's log as it happens."""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from spn4cir_core.engine.stage import Stage
from spn4cir_core.errors import ProcessLost
from spn4cir_core.launch.launcher import Launch
from spn4cir_core.launch.messages import LaunchFolder
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store

WORKER = "dagster_project.worker"


def run_through_pipes(
    context: dg.AssetExecutionContext, launch: Launch, stage: Stage[Any], recipe: Recipe, store: Store
) -> tuple[Artifact, bool]:
    """Launch the stage's processes and wait for them. As :meth:`spn4cir_core.launch.launcher.Launch.run`.

    What they print goes to the step's compute logs. A run that is terminated stops them in order.
    """
    with LaunchFolder.made(recipe) as folder:
        command = launch.command(WORKER, stage, store, folder)
        try:
            ended = dg.PipesSubprocessClient(env=launch.environment()).run(context=context, command=command)
        except DagsterPipesExecutionError as error:
            raise folder.first_error() or ProcessLost(
                f"{stage.name}: {error}, perhaps killed for want of memory; see the compute logs. "
                "Finished shards and checkpoints are kept; run again to go on"
            ) from error
    (message,) = ended.get_custom_messages()
    artifact = store.get(stage.name, message["fingerprint"])
    assert artifact is not None
    return artifact, message["reused"]
