"""Run stages of the flow, each where it is launched."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.flow import STAGES, check_parents, unknown_stage
from spn4cir_core.launch.launcher import INLINE, Launch
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store


def run(
    recipe: Recipe,
    store: Store,
    names: Iterable[str] = STAGES,
    progress: Progress = silent,
    on_stage_done: Callable[[Artifact, bool], None] = lambda artifact, reused: None,
    launch: Launch = INLINE,
) -> dict[str, Artifact]:
    """Bring the named stages up to date, in the order of the flow.

    Args:
        on_stage_done: called after each stage with its artefact and whether it was already there.
        launch: where the stages run; a machine that is not the first runs only its part of those that are spread.

    Raises:
        RecipeError: a name is not a stage.
        StoreError: something that the stages are made of is missing, and is not among them.
    """
    wanted = set(names)
    if unknown := wanted - STAGES.keys():
        raise unknown_stage(min(unknown))
    check_parents(wanted, recipe, store)
    artifacts = {}
    for stage in STAGES.values():
        if stage.name in wanted and (launch.machine_rank == 0 or launch.is_multi_process(stage)):
            artifacts[stage.name], reused = launch.run(stage, recipe, store, progress)
            on_stage_done(artifacts[stage.name], reused)
    return artifacts
