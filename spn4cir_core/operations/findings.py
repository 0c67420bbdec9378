"""Findings of checks, kept in the store while what they were made of stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from typing_extensions import override

from spn4cir_core.operations.checks import Check, Finding, RecipeArtifacts
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.checksums import file_state
from spn4cir_core.store.fingerprints import fingerprint
from spn4cir_core.store.folder_state import code_state
from spn4cir_core.store.notes import CHECKED, read_note, write_note

BEFORE = "before "
"""Stands before the noun of an artefact that was current earlier."""


def finding_of(check: Check, artifacts: RecipeArtifacts) -> Finding:
    """The finding of a check, from the store where the same code has looked at the same files.

    Raises:
        StoreError: an artefact that it reads is missing or damaged.
    """
    note = artifacts.store.root / CHECKED / "findings" / artifacts.name / f"{check.__name__}.json"
    seen_by = [code_state(), None if artifacts.recipe is None else fingerprint(artifacts.recipe)]
    match read_note(note):
        case [noted_by, dict(states), dict(noted)] if noted_by == seen_by and _are_as_they_were(artifacts, states):
            return Finding(**noted)
    recording = _Recording(artifacts.name, artifacts.store, artifacts.recipe)
    finding = check(recording)
    if code_state() is not None:
        write_note(note, [seen_by, recording.states, asdict(finding)])
    return finding


def _are_as_they_were(artifacts: RecipeArtifacts, states: Mapping[str, Any]) -> bool:
    return all(_state_of(artifacts, name) == state for name, state in states.items())


def _state_of(artifacts: RecipeArtifacts, name: str) -> Any:
    noun = name.removeprefix(BEFORE)
    return _state(artifacts.before(noun) if name != noun else artifacts.store.current(artifacts.name, noun))


def _state(artifact: Artifact | None) -> Any:
    """Fingerprint of an artefact, and the state of its files on this machine; None where there is none."""
    if artifact is None:
        return None
    paths = {name: artifact.path / name for name in artifact.summary["files"]}
    return [artifact.fingerprint, {name: file_state(path) for name, path in paths.items() if path.is_file()}]


@dataclass(frozen=True)
class _Recording(RecipeArtifacts):
    """Artefacts of a recipe, and which of them were looked at."""

    states: dict[str, Any] = field(default_factory=dict)

    @override
    def __call__(self, noun: str) -> Artifact:
        artifact = super().__call__(noun)
        self.states.setdefault(noun, _state(artifact))
        return artifact

    @override
    def before(self, noun: str) -> Artifact | None:
        artifact = super().before(noun)
        self.states.setdefault(f"{BEFORE}{noun}", _state(artifact))
        return artifact
