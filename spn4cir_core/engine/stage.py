"""A stage: the settings it reads, its parents, the version of its logic, and the function that does the work."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from spn4cir_core.engine.freed_memory import freed_memory_kept
from spn4cir_core.engine.garbage_collection import seldom_collected
from spn4cir_core.engine.growth import Corpus, Load, per_image
from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.processes import ALONE, Processes
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.errors import (
    AlreadyWritten,
    InputChanged,
    InputError,
    LaunchError,
    MissingExtra,
    RecipeError,
    StoreError,
)
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.fingerprints import fingerprint, fingerprint_key, plain
from spn4cir_core.store.lineage import Ancestors, LineagePath

log = logging.getLogger(__name__)
WRITE, KEEP = "write", "keep"
TRIES = 3
"""Attempts to run a stage whose inputs change while it reads them."""
UNREADABLE = (InputError, MissingExtra, RecipeError)
"""What :meth:`Stage.inputs` raises where something from outside the store cannot be read."""


class Tables(Protocol):
    """A recipe as the engine sees it: a name, and tables that a stage's typed view picks by their names."""

    @property
    def name(self) -> str:
        """Name of the recipe, under which its artefacts are current."""


View = TypeVar("View", bound=Settings)
"""The tables of a recipe that one stage reads: ``class CaptionsInput(Settings): captions: …; images: …``."""


@dataclass(frozen=True)
class Work(Generic[View]):
    """What a stage's function gets: its settings, its parents, and the draft to fill."""

    settings: View
    """The tables that the stage declares; reading another one is a type error."""
    store: Store
    parents: Mapping[str, Artifact]
    draft: Draft
    progress: Progress
    processes: Processes = ALONE
    ancestors: Mapping[str, Artifact] = field(default_factory=dict)
    """What ``Stage.reads_also`` declares, by name."""
    earlier: Artifact | None = None
    """The recipe's artefact of this stage before this one, whose files may be shared; it decides nothing of what
    the new one says."""


@dataclass(frozen=True)
class Stage(Generic[View]):
    """One step of the flow. ``name`` is the noun of its artefact, its module room and its asset."""

    name: str
    parents: tuple[str, ...]
    view: type[View]
    """The tables of the recipe that the stage reads."""
    version: int
    write: Callable[[Work[View]], None]
    external_inputs: Callable[[View, Store], Any] | None = None
    """A JSON value that changes when something read from outside the store changes (files, weights)."""
    multi_process: bool = False
    """Whether several processes can run it together. ``write`` is then called in each of them: the draft of the first
    is published, those of the others vanish. The artefact must not depend on how many they are."""
    fingerprint_part: Mapping[str, Callable[[Any], Any] | None] = field(default_factory=dict, hash=False)
    """Table → the part of it that decides the artefact, as a JSON value; for tables that are read in part. None, or
    a value of None: the parents already decide all of it (for example how pictures of the manifest are opened)."""
    parents_if: Mapping[str, Callable[[View], bool]] = field(default_factory=dict, hash=False)
    """Parent → whether this recipe reads it, for optional parents. A parent that is not read is not an input."""
    reads_also: tuple[LineagePath, ...] = ()
    """Artefacts further up that it reads, each by its path from a parent: ``(("triplets", "images"), …)``. They are
    drawn as inputs, and do not enter the fingerprint: that of the parent, which was made of them, decides it."""
    main_file: str = ""
    """The file that the Python API reads where none is named; empty: the one named like the artefact."""
    growth: Callable[[Corpus, View], Load] = per_image
    """The law by which its work grows with the corpus: ``spn4cir estimate`` multiplies it with the measured rate."""

    @property
    def inputs_drawn(self) -> tuple[str, ...]:
        """All artefacts that it may open: its parents, and those further up that it declares."""
        return tuple(dict.fromkeys((*self.parents, *(path[-1] for path in self.reads_also))))

    def parents_of(self, recipe: Tables) -> tuple[str, ...]:
        """The parents that this recipe's artefact is made of."""
        view = self.settings_of(recipe)
        return tuple(name for name in self.parents if name not in self.parents_if or self.parents_if[name](view))

    def settings_of(self, recipe: Tables) -> View:
        """The tables of the recipe that this stage reads, and no others."""
        return self.view.model_validate({name: getattr(recipe, name) for name in self.view.model_fields})

    def run(
        self, recipe: Tables, store: Store, progress: Progress = silent, processes: Processes = ALONE
    ) -> tuple[Artifact, bool]:
        """Bring the recipe's artefact of this stage up to date; called in each of the processes.

        Returns:
            The artefact, and whether it was already there.

        Raises:
            StoreError: a parent has not been materialised, or the store cannot be written.
            InputChanged: what it reads from outside the store has changed since it began.
            LaunchError: this stage runs in one process, and there are several.
        """
        if processes.count > 1 and not self.multi_process:
            raise LaunchError(f"{self.name} runs in one process, and {processes.count} were started")
        with store.translate_write_errors(self.name), freed_memory_kept(), seldom_collected():
            if not processes.first:
                return self._help(recipe, store, processes)
            for _ in range(TRIES - 1 if processes.count == 1 else 0):
                with suppress(InputChanged):  # a folder that grows all the time holds still for a second, shorter look
                    return self._run(recipe, store, progress, processes)
            return self._run(recipe, store, progress, processes)

    def _run(self, recipe: Tables, store: Store, progress: Progress, processes: Processes) -> tuple[Artifact, bool]:
        parents = {name: self._parent(recipe, store, name) for name in self.parents_of(recipe)}
        inputs = self.inputs(recipe, store, parents)
        digest = fingerprint(inputs)
        artifact = store.get(self.name, digest)
        reused = artifact is not None
        if artifact is not None and (damage := artifact.damage()):
            raise StoreError(damage)
        if artifact is None:
            log.info("%s: writing %s", self.name, digest)
            try:
                with store.writing(self.name, digest, inputs) as draft:
                    processes.gather(f"{WRITE} {digest}")
                    self.write(self._work(recipe, store, parents, draft, progress, processes))
                    processes.wait()  # nothing is published before all have done their part
                    self._check_external_inputs(recipe, store, inputs, draft)
            except AlreadyWritten:
                reused = True
            artifact = store.get(self.name, digest)
            assert artifact is not None
        if reused:
            processes.gather(f"{KEEP} {digest}")
            log.debug("%s: %s is up to date", self.name, digest)
        store.point(recipe.name, artifact)
        processes.wait()
        return artifact, reused

    def _help(self, recipe: Tables, store: Store, processes: Processes) -> tuple[Artifact, bool]:
        """Do this process's part of what the first one, which holds the lock, has found to be done."""
        order, digest = processes.gather("")[0].split()
        if order == WRITE:
            parents = {name: self._parent(recipe, store, name) for name in self.parents_of(recipe)}
            if (own := fingerprint(self.inputs(recipe, store, parents))) != digest:
                raise StoreError(
                    f"{self.name}: process {processes.rank} finds {own} to be written, process 0 {digest}: they see "
                    "other files, another recipe or another version. Give all machines the same, and one store"
                )
            with tempfile.TemporaryDirectory(prefix="spn4cir-") as folder:
                draft = Draft(Path(folder))
                self.write(self._work(recipe, store, parents, draft, silent, processes))
                processes.wait()
        processes.wait()
        artifact = store.get(self.name, digest)
        if artifact is None:
            raise StoreError(f"{self.name} {digest} is not in {store}; do all machines share this store?")
        return artifact, order == KEEP

    def _work(
        self,
        recipe: Tables,
        store: Store,
        parents: Mapping[str, Artifact],
        draft: Draft,
        progress: Progress,
        processes: Processes,
    ) -> Work[View]:
        ancestors = Ancestors(store, parents, self.reads_also)
        earlier = self._earlier(recipe, store)
        return Work(self.settings_of(recipe), store, parents, draft, progress, processes, ancestors, earlier)

    def _earlier(self, recipe: Tables, store: Store) -> Artifact | None:
        """None also where it is damaged."""
        with suppress(StoreError):
            earlier = store.current(recipe.name, self.name)
            return None if earlier is None or earlier.damage() else earlier
        return None

    def _check_external_inputs(self, recipe: Tables, store: Store, inputs: Mapping[str, Any], draft: Draft) -> None:
        """What was read while it changed belongs to no fingerprint: an edit that is taken back would bring it up."""
        now = self.external_inputs(self.settings_of(recipe), store) if self.external_inputs else None
        if fingerprint({"outside": now}) != fingerprint({"outside": inputs["outside"]}):
            shutil.rmtree(draft.path, ignore_errors=True)
            raise InputChanged(f"{self.name}: what it reads was changed meanwhile; run again when it holds still")

    def inputs(self, recipe: Tables, store: Store, parents: Mapping[str, Artifact]) -> dict[str, Any]:
        """All that decides the artefact; its hash is the artefact's fingerprint."""
        settings = self.settings_of(recipe)
        return {
            "stage": self.name,
            "version": self.version,
            "settings": self.deciding_settings(settings),
            "outside": self.external_inputs(settings, store) if self.external_inputs else None,
            "parents": {name: artifact.fingerprint for name, artifact in parents.items()},
        }

    def deciding_settings(self, settings: View) -> dict[str, Any]:
        """What of its settings enters the fingerprint, by table."""
        deciding: dict[str, Any] = {}
        for name, field_info in self.view.model_fields.items():
            part = self.fingerprint_part.get(name, plain)
            value = getattr(settings, name)
            if name not in self.fingerprint_part or (part is not None and part(value) is not None):
                deciding[fingerprint_key(name, field_info)] = plain(part(value) if part else value)
        return deciding

    def wanted(self, recipe: Tables, store: Store) -> str | None:
        """The fingerprint that running this stage now would give, or None while a parent is missing."""
        parents = {name: store.current(recipe.name, name) for name in self.parents_of(recipe)}
        present = {name: artifact for name, artifact in parents.items() if artifact is not None}
        if len(present) < len(parents):
            return None
        return fingerprint(self.inputs(recipe, store, present))

    def is_made(self, recipe: Tables, store: Store) -> bool:
        """Whether running this stage now would compute nothing."""
        digest = self.wanted(recipe, store)
        return digest is not None and store.get(self.name, digest) is not None

    def _parent(self, recipe: Tables, store: Store, name: str) -> Artifact:
        artifact = store.current(recipe.name, name)
        if artifact is None:
            raise StoreError(
                f"{self.name} needs {name}, which recipe {recipe.name!r} has not made in {store}. "
                f"Materialise {name} first, or run everything: spn4cir run"
            )
        return artifact
