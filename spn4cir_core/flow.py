"""The stages in the order of the flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spn4cir_core.annotations.read_annotations import ANNOTATIONS
from spn4cir_core.artifacts import Artifact, Store
from spn4cir_core.captions.write_captions import CAPTIONS
from spn4cir_core.embeddings.embed_images import IMAGE_EMBEDDINGS
from spn4cir_core.errors import RecipeError
from spn4cir_core.images.scan_images import IMAGES
from spn4cir_core.launch import INLINE, Launch
from spn4cir_core.negatives.mine_false_negatives import FALSE_NEGATIVES
from spn4cir_core.pairs.mine_pairs import PAIRS
from spn4cir_core.progress import Progress, silent
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.write_report import EVAL_REPORT
from spn4cir_core.search.build_index import SEARCH_INDEX
from spn4cir_core.splits.split_images import SPLITS
from spn4cir_core.stage import Stage
from spn4cir_core.texts.snapshot_templates import TEMPLATES
from spn4cir_core.texts.write_texts import MODIFIED_TEXTS
from spn4cir_core.training.embed_candidates import CANDIDATE_BANK
from spn4cir_core.training.stages import CONTROL_CHECKPOINT, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.triplets.compose_triplets import TRIPLETS

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        IMAGES,
        TEMPLATES,
        ANNOTATIONS,
        CAPTIONS,
        IMAGE_EMBEDDINGS,
        SPLITS,
        PAIRS,
        MODIFIED_TEXTS,
        TRIPLETS,
        FALSE_NEGATIVES,
        STAGE1_CHECKPOINT,
        CONTROL_CHECKPOINT,
        CANDIDATE_BANK,
        STAGE2_CHECKPOINT,
        EVAL_REPORT,
        SEARCH_INDEX,
    )
}


def run(
    recipe: Recipe,
    store: Store,
    names: Iterable[str] = STAGES,
    progress: Progress = silent,
    told: Callable[[Artifact, bool], None] = lambda artifact, reused: None,
    launch: Launch = INLINE,
) -> dict[str, Artifact]:
    """Bring the named stages up to date, in the order of the flow.

    Args:
        told: called after each stage with its artefact and whether it was already there.
        launch: where the stages run; a machine that is not the first runs only its part of those that are spread.

    Raises:
        RecipeError: a name is no stage.
    """
    wanted = set(names)
    if unknown := wanted - STAGES.keys():
        raise RecipeError(f"no stage {sorted(unknown)[0]!r}; the stages are {', '.join(STAGES)}")
    artifacts = {}
    for stage in STAGES.values():
        if stage.name in wanted and (launch.machine_rank == 0 or launch.spreads(stage)):
            artifacts[stage.name], reused = launch.run(stage, recipe, store, progress)
            told(artifacts[stage.name], reused)
    return artifacts


def outdated(recipe: Recipe, store: Store) -> dict[str, str | None]:
    """Stages whose artefact is missing or was made from other inputs, and all that follows from them.

    Returns:
        Stage name → the fingerprint it should have, None where a late parent decides that; in flow order.
    """
    late: dict[str, str | None] = {}
    for stage in STAGES.values():
        if late.keys() & set(stage.parents_of(recipe)):
            late[stage.name] = None
            continue
        wanted, current = stage.wanted(recipe, store), store.current(recipe.name, stage.name)
        if current is None or current.fingerprint != wanted:
            late[stage.name] = wanted
    return late
