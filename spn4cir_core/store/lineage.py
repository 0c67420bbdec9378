"""Artefacts further up than a stage's parents: the very ones that its parents were made of."""

from __future__ import annotations

from spn4cir_core.errors import StoreError
from spn4cir_core.store.artifacts import Artifact, Store


def ancestor(store: Store, artifact: Artifact, *nouns: str) -> Artifact:
    """Follow parents by name: ``ancestor(store, triplets, "splits", "image_embeddings")``.

    Raises:
        StoreError: an artefact was made without such a parent, or the parent has been deleted.
    """
    for noun in nouns:
        mark = artifact.summary["parents"].get(noun)
        parent = store.get(noun, mark) if mark else None
        if parent is None:
            raise StoreError(
                f"{artifact.noun} {artifact.fingerprint} was made of {noun} {mark}, which is not in {store}; "
                f"materialise {noun} again"
            )
        artifact = parent
    return artifact
