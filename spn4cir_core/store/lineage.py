"""Artefacts further up than a stage's parents: the very ones that its parents were made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from typing_extensions import override

from spn4cir_core.errors import StoreError
from spn4cir_core.store.artifacts import Artifact, Store

LineagePath = tuple[str, ...]
"""Stage names from a parent up to an artefact: ``("triplets", "splits", "image_embeddings")``."""


@dataclass(frozen=True)
class Ancestors(Mapping[str, Artifact]):
    """The artefacts that a stage declares to read beside its parents, by name; each is looked up when it is read.

    Reading one that is not declared is a KeyError.
    """

    store: Store
    parents: Mapping[str, Artifact]
    paths: tuple[LineagePath, ...]

    @override
    def __getitem__(self, name: str) -> Artifact:
        """The artefact at the end of the declared path.

        Raises:
            StoreError: an artefact was made without such a parent, or the parent has been deleted.
        """
        for first, *others in self.paths:
            if name == [first, *others][-1]:
                return ancestor(self.store, self.parents[first], *others)
        raise KeyError(f"{name} is not declared in Stage.reads_also, which has {list(self)}")

    @override
    def __iter__(self) -> Iterator[str]:
        return (path[-1] for path in self.paths)

    @override
    def __len__(self) -> int:
        return len(self.paths)


def ancestor(store: Store, artifact: Artifact, *nouns: str) -> Artifact:
    """Follow parents by name: ``ancestor(store, triplets, "splits", "image_embeddings")``.

    Raises:
        StoreError: an artefact was made without such a parent, or the parent has been deleted.
    """
    for noun in nouns:
        fingerprint = artifact.summary["parents"].get(noun)
        parent = store.get(noun, fingerprint) if fingerprint else None
        if parent is None:
            raise StoreError(
                f"{artifact.noun} {artifact.fingerprint} was made of {noun} {fingerprint}, which is not in {store}; "
                f"materialise {noun} again"
            )
        artifact = parent
    return artifact
