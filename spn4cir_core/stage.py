"""A stage: the settings it reads, its parents, the version of its logic, and the function that does the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spn4cir_core.artifacts import Artifact, Draft, Store
from spn4cir_core.errors import StoreError
from spn4cir_core.fingerprints import fingerprint, plain
from spn4cir_core.processes import ALONE, Processes
from spn4cir_core.progress import Progress, silent

if TYPE_CHECKING:
    from spn4cir_core.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a stage's function gets: its part of the recipe, its parents, and the draft to fill."""

    recipe: Recipe
    """Holds only the tables named in ``Stage.reads``; any other one is an AttributeError."""
    store: Store
    parents: Mapping[str, Artifact]
    draft: Draft
    progress: Progress
    processes: Processes = ALONE


@dataclass(frozen=True)
class Stage:
    """One step of the flow. ``name`` is the noun of its artefact, its module room and its asset."""

    name: str
    parents: tuple[str, ...]
    reads: tuple[str, ...]
    version: int
    write: Callable[[Work], None]
    outside: Callable[[Recipe, Store], Any] | None = None
    """A JSON value that changes when something read from outside the store changes (files, weights)."""

    def run(self, recipe: Recipe, store: Store, progress: Progress = silent) -> tuple[Artifact, bool]:
        """Bring the recipe's artefact of this stage up to date.

        Returns:
            The artefact, and whether it was already there.

        Raises:
            StoreError: a parent has not been materialised, or the store cannot be written.
        """
        with store.guarded(self.name):
            return self._run(recipe, store, progress)

    def _run(self, recipe: Recipe, store: Store, progress: Progress) -> tuple[Artifact, bool]:
        parents = {name: self._parent(recipe, store, name) for name in self.parents}
        inputs = self.inputs(recipe, store, parents)
        mark = fingerprint(inputs)
        artifact = store.get(self.name, mark)
        reused = artifact is not None
        if artifact is None:
            log.info("%s: writing %s", self.name, mark)
            with store.writing(self.name, mark, inputs) as draft:
                self.write(Work(recipe.only(self.reads), store, parents, draft, progress))
            artifact = store.get(self.name, mark)
            assert artifact is not None
        else:
            log.info("%s: %s is up to date", self.name, mark)
        store.point(recipe.name, artifact)
        return artifact, reused

    def inputs(self, recipe: Recipe, store: Store, parents: Mapping[str, Artifact]) -> dict[str, Any]:
        """All that decides the artefact; its hash is the artefact's fingerprint."""
        part = recipe.only(self.reads)
        return {
            "stage": self.name,
            "version": self.version,
            "settings": {name: plain(getattr(part, name)) for name in self.reads},
            "outside": self.outside(part, store) if self.outside else None,
            "parents": {name: artifact.fingerprint for name, artifact in parents.items()},
        }

    def wanted(self, recipe: Recipe, store: Store) -> str | None:
        """The fingerprint that running this stage now would give, or None while a parent is missing."""
        parents = {name: store.current(recipe.name, name) for name in self.parents}
        present = {name: artifact for name, artifact in parents.items() if artifact is not None}
        if len(present) < len(parents):
            return None
        return fingerprint(self.inputs(recipe, store, present))

    def _parent(self, recipe: Recipe, store: Store, name: str) -> Artifact:
        artifact = store.current(recipe.name, name)
        if artifact is None:
            raise StoreError(
                f"{self.name} needs {name}, which recipe {recipe.name!r} has not made in {store.root}. "
                f"Materialise {name} first, or run everything: spn4cir run"
            )
        return artifact
