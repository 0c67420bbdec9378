"""Why a stage would run: what differs between how its artefact was made and how it would be made now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from spn4cir_core.engine.stage import Stage
from spn4cir_core.flow import STAGES, downstream_of, outdated
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import SUMMARY, Artifact, Store

NOT_MADE = "not made yet"
OUTSIDE = "what it reads from outside the store has changed: pictures, side files or weights"
SHOWN_CHARACTERS = 60
SHOWN_REASONS = 12


def why_outdated(recipe: Recipe, store: Store) -> dict[str, list[str]]:
    """The reasons of each stage that would run, in flow order; a stage that is not named is up to date."""
    late = outdated(recipe, store)
    return {name: _reasons(STAGES[name], recipe, store, late) for name in late}


def late_above(names: Iterable[str], recipe: Recipe, store: Store) -> dict[str, list[str]]:
    """The stages that are out of date, are not among ``names``, and come before one of them; by that one."""
    others = [name for name in outdated(recipe, store) if name not in set(names)]
    reached = {name: downstream_of(name) for name in others}
    above = {name: [other for other in others if name in reached[other]] for name in names}
    return {name: late for name, late in above.items() if late}


def _reasons(stage: Stage[Any], recipe: Recipe, store: Store, late: Mapping[str, object]) -> list[str]:
    artifact = store.current(recipe.name, stage.name)
    if artifact is None:
        folder = store.without_summary(recipe.name, stage.name)
        return [f"{folder} has no {SUMMARY}: it was lost; the artefact is made anew"] if folder else [NOT_MADE]
    if damage := artifact.damage():
        return [damage]
    parents = {name: store.current(recipe.name, name) for name in stage.parents_of(recipe)}
    present = {name: parent for name, parent in parents.items() if parent is not None}
    now = stage.inputs(recipe, store, present)
    behind = [name for name in parents if name in late]
    follows = [f"{', '.join(behind)} would run"] if behind else []
    was = {name: fingerprint for name, fingerprint in artifact.summary["parents"].items() if name not in late}
    will = {name: fingerprint for name, fingerprint in now["parents"].items() if name not in late}
    own = [*own_reasons(artifact, now), *(f"made from another {difference}" for difference in _differences(was, will))]
    more = [f"and {len(own) - SHOWN_REASONS} more"] if len(own) > SHOWN_REASONS else []
    return [*follows, *own[:SHOWN_REASONS], *more]


def own_reasons(artifact: Artifact, now: Mapping[str, Any]) -> Iterator[str]:
    """What differs of a stage's version, settings and external inputs.

    Args:
        now: as ``Stage.inputs`` gives them, or another artefact's summary.
    """
    was = artifact.summary
    if was["version"] != now["version"]:
        yield f"the stage works in another way: version {was['version']} → {now['version']}"
    yield from _differences(was["settings"], json.loads(json.dumps(now["settings"])))
    if was["outside"] != json.loads(json.dumps(now["outside"])):
        yield OUTSIDE


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
