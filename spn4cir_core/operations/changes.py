"""Why a stage would run: what differs between how its artefact was made and how it would be made now."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from spn4cir_core.engine.stage import UNREADABLE, Stage
from spn4cir_core.errors import StoreError
from spn4cir_core.flow import STAGES, downstream_of, outdated
from spn4cir_core.images.stage import picture_changes
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.summaries import SUMMARY

NOT_MADE = "not made yet"
OUTSIDE = "what it reads from outside the store has changed"
UNKNOWN = "whether it is up to date is not known"
SHOWN_CHARACTERS = 60
SHOWN_REASONS = 12


def why_outdated(recipe: Recipe, store: Store) -> dict[str, list[str]]:
    """The reasons of each stage that would run, in flow order; a stage that is not named is up to date."""
    late = outdated(recipe, store)
    return {name: _reasons(STAGES[name], recipe, store, late) for name in late}


def reusable_artifacts(recipe: Recipe, store: Store) -> dict[str, Artifact]:
    """Artefacts that a run would use as they are, although the recipe's own of that stage is another one or none."""
    present: dict[str, Artifact] = {}
    for stage in STAGES.values():
        parents = {name: present.get(name) for name in stage.parents_of(recipe)}
        known = {name: parent for name, parent in parents.items() if parent is not None}
        if len(known) == len(parents):
            with suppress(*UNREADABLE):
                artifact = store.get(stage.name, fingerprint(stage.inputs(recipe, store, known)))
                if artifact is not None and not artifact.damage():
                    present[stage.name] = artifact
    current = {name: store.current(recipe.name, name) for name in present}
    return {name: made for name, made in present.items() if (own := current[name]) is None or own.path != made.path}


def late_above(names: Iterable[str], late: Iterable[str]) -> dict[str, list[str]]:
    """The late stages that are not among ``names`` and come before one of them; by that one."""
    others = [name for name in late if name not in set(names)]
    reached = {name: downstream_of(name) for name in others}
    above = {name: [other for other in others if name in reached[other]] for name in names}
    return {name: others for name, others in above.items() if others}


def _reasons(stage: Stage[Any], recipe: Recipe, store: Store, late: Collection[str]) -> list[str]:
    artifact = store.current(recipe.name, stage.name)
    parents = {name: store.current(recipe.name, name) for name in stage.parents_of(recipe)}
    present = {name: parent for name, parent in parents.items() if parent is not None}
    try:
        now = stage.inputs(recipe, store, present)
    except UNREADABLE as error:
        now, unreadable = {}, [str(error)]
    else:
        unreadable = []
    if artifact is None:
        folder = store.without_summary(recipe.name, stage.name)
        lost = f"{folder} has no {SUMMARY}: it was lost; the artefact is made anew"
        return [lost if folder else NOT_MADE, *unreadable]
    if damage := artifact.damage():
        return [damage, *unreadable]
    behind = [name for name in parents if name in late]
    follows = [f"{', '.join(behind)} would run"] if behind else []
    if unreadable:
        return [*follows, f"{UNKNOWN}: {unreadable[0]}"]
    was = {name: fingerprint for name, fingerprint in artifact.summary["parents"].items() if name not in late}
    will = {name: fingerprint for name, fingerprint in now["parents"].items() if name not in late}
    own = [
        *own_reasons(artifact, now, lambda: changed_inputs(stage.name, artifact, recipe, store)),
        *(f"made from another {difference}" for difference in _differences(was, will)),
    ]
    more = [f"and {len(own) - SHOWN_REASONS} more"] if len(own) > SHOWN_REASONS else []
    return [*follows, *own[:SHOWN_REASONS], *more]


def own_reasons(
    artifact: Artifact, now: Mapping[str, Any], changed: Callable[[], Iterable[str]] = tuple
) -> Iterator[str]:
    """What differs of a stage's version, settings and external inputs.

    Args:
        now: as ``Stage.inputs`` gives them, or another artefact's summary.
        changed: says which files have changed, where that is known.
    """
    was = artifact.summary
    if was["version"] != now["version"]:
        yield f"the stage works in another way: version {was['version']} → {now['version']}"
    yield from _differences(was["settings"], json.loads(json.dumps(now["settings"])))
    if was["outside"] != json.loads(json.dumps(now["outside"])):
        named = [*changed()] or [*_changed_entries(was["outside"], now["outside"])]
        yield f"{OUTSIDE}: {'; '.join(named)}" if named else OUTSIDE


def changed_inputs(stage: str, artifact: Artifact, recipe: Recipe, store: Store) -> list[str]:
    """Pictures and metadata that differ from those that ``images`` was made of; of other stages nothing is known."""
    try:
        return picture_changes(recipe.images, store, artifact) if stage == "images" else []
    except StoreError:  # another version wrote the artefact
        return []


def _changed_entries(was: Any, now: Any) -> Iterator[str]:
    """What an input from outside the store that has names, such as annotation files, differs in."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in sorted(was.keys() | now.keys()):
            if name not in was:
                yield f"{name} is new"
            elif name not in now:
                yield f"{name} is gone"
            elif was[name] != now[name]:
                yield f"{name} has changed"


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], table: str = "") -> Iterator[str]:
    """``pairs.window: [0, 20] → [5, 100]`` for each leaf of two nested tables that differs."""
    for key in sorted(was.keys() | now.keys()):
        one, other = was.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{table}{key}.")
        elif key not in was:
            yield f"{table}{key}: {_short(other)} (was not asked before)"
        elif key not in now:
            yield f"{table}{key}: no longer asked (was {_short(one)})"
        elif one != other:
            yield f"{table}{key}: {_short(one)} → {_short(other)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
