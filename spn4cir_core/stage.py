"""A stage: the settings it reads, its parents, the version of its logic, and the function that does the work."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spn4cir_core.artifacts import Artifact, Draft, Store
from spn4cir_core.errors import AlreadyWritten, InputChanged, LaunchError, StoreError
from spn4cir_core.fingerprints import fingerprint, plain
from spn4cir_core.processes import ALONE, Processes
from spn4cir_core.progress import Progress, silent

if TYPE_CHECKING:
    from spn4cir_core.recipe import Recipe

log = logging.getLogger(__name__)
WRITE, KEEP = "write", "keep"
TRIES = 3
"""Of a stage that reads what changes meanwhile."""


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
    spreads: bool = False
    """Whether several processes can run it together. ``write`` is then called in each of them: the draft of the first
    is published, those of the others vanish. The artefact must not depend on how many they are."""
    narrows: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict, hash=False)
    """For tables of which only a part is read: table → a JSON value of what of it decides the artefact."""
    parents_if: Mapping[str, Callable[[Recipe], bool]] = field(default_factory=dict, hash=False)
    """For parents that not every recipe reads: parent → whether this one does. One that is not read is no input."""

    def parents_of(self, recipe: Recipe) -> tuple[str, ...]:
        """The parents that this recipe's artefact is made of."""
        return tuple(name for name in self.parents if name not in self.parents_if or self.parents_if[name](recipe))

    def run(
        self, recipe: Recipe, store: Store, progress: Progress = silent, processes: Processes = ALONE
    ) -> tuple[Artifact, bool]:
        """Bring the recipe's artefact of this stage up to date; called in each of the processes.

        Returns:
            The artefact, and whether it was already there.

        Raises:
            StoreError: a parent has not been materialised, or the store cannot be written.
            InputChanged: what it reads from outside the store has changed since it began.
            LaunchError: this stage runs in one process, and there are several.
        """
        if processes.count > 1 and not self.spreads:
            raise LaunchError(f"{self.name} runs in one process, and {processes.count} were started")
        with store.guarded(self.name):
            if not processes.first:
                return self._help(recipe, store, processes)
            for _ in range(TRIES - 1 if processes.count == 1 else 0):
                with suppress(InputChanged):  # a folder that grows all the time holds still for a second, shorter look
                    return self._run(recipe, store, progress, processes)
            return self._run(recipe, store, progress, processes)

    def _run(self, recipe: Recipe, store: Store, progress: Progress, processes: Processes) -> tuple[Artifact, bool]:
        parents = {name: self._parent(recipe, store, name) for name in self.parents_of(recipe)}
        inputs = self.inputs(recipe, store, parents)
        mark = fingerprint(inputs)
        artifact = store.get(self.name, mark)
        reused = artifact is not None
        if artifact is None:
            log.info("%s: writing %s", self.name, mark)
            try:
                with store.writing(self.name, mark, inputs) as draft:
                    processes.gather(f"{WRITE} {mark}")
                    self.write(Work(recipe.only(self.reads), store, parents, draft, progress, processes))
                    processes.wait()  # nothing is published before all have done their part
                    self._check_outside(recipe, store, inputs, draft)
            except AlreadyWritten:
                reused = True
            artifact = store.get(self.name, mark)
            assert artifact is not None
        if reused:
            processes.gather(f"{KEEP} {mark}")
            log.debug("%s: %s is up to date", self.name, mark)
        store.point(recipe.name, artifact)
        processes.wait()
        return artifact, reused

    def _help(self, recipe: Recipe, store: Store, processes: Processes) -> tuple[Artifact, bool]:
        """Do this process's part of what the first one, which holds the lock, has found to be done."""
        order, mark = processes.gather("")[0].split()
        if order == WRITE:
            parents = {name: self._parent(recipe, store, name) for name in self.parents_of(recipe)}
            if (own := fingerprint(self.inputs(recipe, store, parents))) != mark:
                raise StoreError(
                    f"{self.name}: process {processes.rank} finds {own} to be written, process 0 {mark}: they see "
                    "other files, another recipe or another version. Give all machines the same, and one store"
                )
            with tempfile.TemporaryDirectory(prefix="spn4cir-") as folder:
                draft = Draft(Path(folder))
                self.write(Work(recipe.only(self.reads), store, parents, draft, silent, processes))
                processes.wait()
        processes.wait()
        artifact = store.get(self.name, mark)
        if artifact is None:
            raise StoreError(f"{self.name} {mark} is not in {store}; do all machines share this store?")
        return artifact, order == KEEP

    def _check_outside(self, recipe: Recipe, store: Store, inputs: Mapping[str, Any], draft: Draft) -> None:
        """What was read while it changed belongs to no fingerprint: an edit that is taken back would bring it up."""
        now = self.outside(recipe.only(self.reads), store) if self.outside else None
        if fingerprint({"outside": now}) != fingerprint({"outside": inputs["outside"]}):
            shutil.rmtree(draft.path, ignore_errors=True)
            raise InputChanged(f"{self.name}: what it reads was changed meanwhile; run again when it holds still")

    def inputs(self, recipe: Recipe, store: Store, parents: Mapping[str, Artifact]) -> dict[str, Any]:
        """All that decides the artefact; its hash is the artefact's fingerprint."""
        part = recipe.only(self.reads)
        return {
            "stage": self.name,
            "version": self.version,
            "settings": {name: plain(self.narrows.get(name, plain)(getattr(part, name))) for name in self.reads},
            "outside": self.outside(part, store) if self.outside else None,
            "parents": {name: artifact.fingerprint for name, artifact in parents.items()},
        }

    def wanted(self, recipe: Recipe, store: Store) -> str | None:
        """The fingerprint that running this stage now would give, or None while a parent is missing."""
        parents = {name: store.current(recipe.name, name) for name in self.parents_of(recipe)}
        present = {name: artifact for name, artifact in parents.items() if artifact is not None}
        if len(present) < len(parents):
            return None
        return fingerprint(self.inputs(recipe, store, present))

    def is_made(self, recipe: Recipe, store: Store) -> bool:
        """Whether running this stage now would compute nothing."""
        mark = self.wanted(recipe, store)
        return mark is not None and store.get(self.name, mark) is not None

    def _parent(self, recipe: Recipe, store: Store, name: str) -> Artifact:
        artifact = store.current(recipe.name, name)
        if artifact is None:
            raise StoreError(
                f"{self.name} needs {name}, which recipe {recipe.name!r} has not made in {store}. "
                f"Materialise {name} first, or run everything: spn4cir run"
            )
        return artifact
