"""The stages in the order of the flow."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from spn4cir_core.annotations.stage import ANNOTATIONS
from spn4cir_core.blend.stage import BLEND
from spn4cir_core.captions.stage import CAPTIONS
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.engine.stage import UNREADABLE, Stage
from spn4cir_core.errors import RecipeError, StoreError
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.negatives.stage import FALSE_NEGATIVES
from spn4cir_core.pairs.stage import PAIRS
from spn4cir_core.recipe import Recipe
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.splits.stage import SPLITS
from spn4cir_core.store.artifacts import Store
from spn4cir_core.texts.stages import MODIFIED_TEXTS, TEMPLATES
from spn4cir_core.training.stages import CANDIDATE_BANK, CONTROL_CHECKPOINT, STAGE1_CHECKPOINT, STAGE2_CHECKPOINT
from spn4cir_core.triplets.stage import TRIPLETS

STAGES: dict[str, Stage[Any]] = {
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
        BLEND,
        EVAL_REPORT,
        SEARCH_INDEX,
    )
}


def downstream_of(name: str) -> set[str]:
    """The stages that a stage's artefact reaches, itself left out."""
    reached = {name}
    for stage in STAGES.values():
        if reached & set(stage.inputs_drawn):
            reached.add(stage.name)
    return reached - {name}


def unknown_stage(name: str) -> RecipeError:
    """The error to raise where a name is not a stage's."""
    near = difflib.get_close_matches(name, STAGES, n=1)
    hint = f"did you mean {near[0]!r}? The" if near else "the"
    return RecipeError(f"no stage {name!r}; {hint} stages are {', '.join(STAGES)}")


def selected(names: Sequence[str]) -> list[str]:
    """The stages that names stand for, in the order of the flow; ``triplets+`` is ``triplets`` and all downstream.

    Raises:
        RecipeError: a name is not a stage.
    """
    wanted = set[str]()
    for name in names:
        stage = name.removesuffix("+")
        if stage not in STAGES:
            raise unknown_stage(stage)
        wanted |= {stage, *(downstream_of(stage) if name.endswith("+") else ())}
    return [stage for stage in STAGES if stage in wanted]


def check_parents(names: Collection[str], recipe: Recipe, store: Store) -> None:
    """Check that everything that the named stages are made of is there, or among them.

    Raises:
        StoreError: it is not; the message names all that is missing.
    """
    needed, missing = set(names), list[str]()
    for stage in reversed(STAGES.values()):
        if stage.name not in needed:
            continue
        if stage.name not in names:
            if store.current(recipe.name, stage.name) is not None:
                continue
            missing.insert(0, stage.name)
        needed |= set(stage.parents_of(recipe))
    if missing:
        raise StoreError(
            f"recipe {recipe.name!r} has not made {', '.join(missing)} in {store}, for "
            f"{', '.join(name for name in STAGES if name in names)}. Select these too, or run everything: spn4cir run"
        )


@dataclass(frozen=True)
class Late:
    """A stage that is not up to date, or of which that cannot be known."""

    wanted: str | None = None
    """The fingerprint that it should have; None where a late parent decides that, or nothing can be known."""
    unreadable: str = ""
    """The error of what it reads from outside the store: nothing can be known of it then."""


def outdated(recipe: Recipe, store: Store) -> dict[str, Late]:
    """Stages whose artefact is missing, damaged or was made from other inputs, and all that follows from them.

    A stage that reads something from outside the store that cannot be read, such as a model's folder that is gone,
    counts as one of them: others can still be looked at, and run.

    Returns:
        By stage name, in flow order.

    Raises:
        StoreError: the store cannot be read.
    """
    late: dict[str, Late] = {}
    for stage in STAGES.values():
        if late.keys() & set(stage.parents_of(recipe)):
            late[stage.name] = Late()
            continue
        current = store.current(recipe.name, stage.name)
        try:
            wanted = stage.wanted(recipe, store)
        except UNREADABLE as error:
            late[stage.name] = Late(unreadable=str(error))
            continue
        if current is None or current.fingerprint != wanted or current.damage():
            late[stage.name] = Late(wanted)
    return late
