"""The pipeline resource: which recipe, which store; runs a core stage and tells Dagster what came of it."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from dagster_project.materialization import materialization
from dagster_project.pipes_launch import run_through_pipes
from spn4cir_core.artifacts import Store
from spn4cir_core.errors import InputError, RecipeError, Spn4cirError
from spn4cir_core.launch import Launch, launch_from
from spn4cir_core.progress import Throttled
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.remote_store import open_store
from spn4cir_core.stage import Stage


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A recipe (packaged name or TOML path), the store its artefacts live in, and how its stages are launched.

    The fields of the launch are those of :class:`spn4cir_core.launch.Launch`; what is left out comes from the
    environment (``SPN4CIR_PROCESSES``, ``SPN4CIR_LAUNCHER`` …).
    """

    recipe: str
    store: str
    launcher: str | None = None
    processes: int | None = None
    machines: int | None = None
    machine_rank: int | None = None
    main_address: str | None = None
    main_port: int | None = None

    def load(self) -> tuple[Recipe, Store]:
        """The validated recipe and its store."""
        return load_recipe(self.recipe), open_store(self.store)

    def materialize(self, context: dg.AssetExecutionContext, stage: Stage) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """Bring one stage up to date.

        Raises:
            dg.Failure: the stage failed with a message for the user; bad input is not retried.
        """
        try:
            recipe, store = self.load()
            launch = launch_from({name: getattr(self, name) for name in Launch.model_fields})
            if launch.starts(stage, recipe, store):
                artifact, reused = run_through_pipes(context, launch, stage, recipe, store)
            else:
                artifact, reused = stage.run(recipe, store, Throttled(context.log.info))
        except Spn4cirError as error:
            raise dg.Failure(str(error), allow_retries=not isinstance(error, InputError | RecipeError)) from error
        return materialization(artifact, reused)


def pipeline_from_environment() -> Pipeline:
    """``SPN4CIR_RECIPE`` (default: the demo); ``SPN4CIR_STORE``, a URL or folder (default: ``store`` in this one)."""
    store = os.environ.get("SPN4CIR_STORE") or "store"
    return Pipeline(
        recipe=os.environ.get("SPN4CIR_RECIPE", "demo"),
        store=store if "://" in store else str(Path(store).absolute()),
    )
