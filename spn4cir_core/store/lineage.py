"""The artefacts that an artefact was made from: its parents, their parents, and so on."""

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


def lineage(parents: Mapping[str, Artifact], store: Store) -> dict[str, Artifact]:
    """The parents and all they rest on, by noun, every artefact after those it was made from.

    Of several artefacts of one noun the nearest counts: a parent before what another parent was made from.
    """
    nearest: dict[str, Artifact] = dict(parents)
    layer = list(parents.values())
    while layer:
        above = {noun: key for artifact in layer for noun, key in artifact.summary["parents"].items()}
        ancestors = [store.get(noun, key) for noun, key in sorted(above.items()) if noun not in nearest]
        layer = [artifact for artifact in ancestors if artifact is not None]
        nearest |= {artifact.noun: artifact for artifact in layer}
    artifacts: dict[str, Artifact] = {}

    def visit(noun: str) -> None:
        if noun in nearest and noun not in artifacts:
            for name in sorted(nearest[noun].summary["parents"]):
                visit(name)
            artifacts[noun] = nearest[noun]

    for noun in parents:
        visit(noun)
    return artifacts
