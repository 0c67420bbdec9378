"""The pipeline resource: which recipe, which store; runs a core stage and reports its artefact to Dagster."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from dagster_project.materialization import materialization
from dagster_project.pipes_launch import run_through_pipes
from dagster_project.previews import previews
from dagster_project.run_processes import follow_run
from spn4cir_core.engine.progress import Throttled
from spn4cir_core.engine.stage import Stage
from spn4cir_core.errors import Spn4cirError
from spn4cir_core.flow import STAGES, check_parents
from spn4cir_core.launch.launcher import Launch, launch_from
from spn4cir_core.launch.recipe_source import claimed, own_name
from spn4cir_core.operations.requirements import check_requirements
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.remote_store import open_store


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A recipe (packaged name or TOML path), the store its artefacts live in, and how its stages are launched.

    The fields of the launch are those of :class:`spn4cir_core.launch.launcher.Launch`; what is left out comes from the
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
    retries: int = 3
    """How often a stage is tried again after an error that may pass: a server that does not answer, a process that was
    killed, an artefact that another process is writing. Others would only come back, and are not tried again."""
    retry_wait_s: float = 30.0
    """Before the first of those tries; doubled for each further one."""

    def load(self) -> tuple[Recipe, Store]:
        """The validated recipe, under its name in the store, and the store."""
        store = open_store(self.store)
        return own_name(load_recipe(self.recipe), store), store

    def materialize(self, context: dg.AssetExecutionContext, stage: Stage) -> dg.MaterializeResult:  # type: ignore[type-arg]
        """Bring one stage up to date.

        Raises:
            dg.RetryRequested: it failed with an error that may pass, and is tried again after a while.
            dg.Failure: it failed for good, with a message for the user.
        """
        follow_run(context)
        try:
            recipe, store = self.load()
            claimed(recipe, store)
            check_parents([stage.name], recipe, store)
            check_requirements(recipe, store, _stages_of_run(context))
            launch = launch_from({name: getattr(self, name) for name in Launch.model_fields})
            if launch.starts(stage, recipe, store):
                artifact, reused = run_through_pipes(context, launch, stage, recipe, store)
            else:
                artifact, reused = stage.run(recipe, store, Throttled(context.log.info))
        except Spn4cirError as error:
            if error.passing and context.retry_number < self.retries:
                wait_s = self.retry_wait_s * 2**context.retry_number
                context.log.warning(f"{error}\nTrying again in {wait_s:.0f} s.")
                raise dg.RetryRequested(max_retries=self.retries, seconds_to_wait=wait_s) from error
            raise dg.Failure(str(error), allow_retries=False) from None  # its trace would stand above the message
        return materialization(artifact, reused, previews(artifact, recipe, store))


def _stages_of_run(context: dg.AssetExecutionContext) -> set[str]:
    """The stages that the run is to make, so that its first step says what a later one lacks."""
    selection = context.run.asset_selection
    return set(STAGES) if selection is None else {key.path[-1] for key in selection}


def pipeline_from_environment() -> Pipeline:
    """``SPN4CIR_RECIPE`` (default: the demo); ``SPN4CIR_STORE``, a URL or folder (default: ``store`` in this one)."""
    store = os.environ.get("SPN4CIR_STORE") or "store"
    return Pipeline(
        recipe=os.environ.get("SPN4CIR_RECIPE", "demo"),
        store=store if "://" in store else str(Path(store).absolute()),
    )
