"""Takes judgements on the hits of an index into the store's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, cast

from spn4cir_core.errors import InputError
from spn4cir_core.judgements.judgement import JudgedHit, Judgement, Purpose, Stratum, same_purpose
from spn4cir_core.judgements.judgement_log import JudgementLog
from spn4cir_core.search.service import NoSuchImage
from spn4cir_core.splits.split_tables import split_of_images
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.roles import ROLES, ModelName

ShownBy = ModelName | Literal["pooled"]


class NoSuchIndex(InputError):
    """The store does not hold the index whose hits are judged."""


class Judging:
    """Whoever judges, and what judgements on a reference image serve.

    A query serves training, validation or evaluation: the split of its reference image when it was first judged. That
    split is a hash of the image's component (near-duplicates, views of one product), made before anybody judged, so
    that no image is both trained on and asked about.
    """

    def __init__(self, store: Store, recipe: str) -> None:
        self._store, self.log = store, JudgementLog(store, recipe)
        self._split_of = lru_cache(2)(self._read_splits)

    def add(
        self,
        judge: str,
        model: ShownBy,
        index_fingerprint: str,
        hits: Sequence[JudgedHit],
        stratum: Stratum = Stratum(),  # noqa: B008
    ) -> Purpose:
        """Keep a judge's verdicts on hits of one query; returns what they serve.

        Args:
            model: the one that showed the hits; ``pooled`` where the hits of all were shown together.
            stratum: of the queue that drew the query.
            index_fingerprint: of the index that it answered from.

        Raises:
            NoSuchIndex: the store holds no such index.
            NoSuchImage: an image is not one of the corpus.
            InputError: the reference images are of several splits, or the log is full.
            StoreError: the log cannot be written.
        """
        index = self._index(index_fingerprint)
        made_by = index.summary["parents"].get(ROLES[model].artifact, "") if model in ROLES else ""
        judgements = [
            Judgement(
                **vars(hit),
                judge=judge,
                model=model,
                model_fingerprint=made_by,
                index_fingerprint=index.fingerprint,
                stratum=stratum.name,
                stratum_queries=stratum.queries,
            )
            for hit in hits
        ]
        purposes = self.purposes(index, [image_id for hit in hits for image_id in hit.image_ids])
        purpose = same_purpose(hits[0].reference_ids, purposes)
        if purpose is None:
            raise InputError(
                "the reference images are of different splits (training and evaluation), and judgements serve one of "
                "them; take one out"
            )
        self.log.add(judgements, purposes)
        return purpose

    def purposes(self, index: Artifact, image_ids: Sequence[str]) -> dict[str, Purpose]:
        """What judgements on these images serve: as decided before, else by the splits that the index was made with.

        Raises:
            NoSuchImage: an image is not one of the corpus.
        """
        decided = self.log.purposes(image_ids)
        split_of = self._split_of(index.summary["parents"]["splits"])
        for image_id in image_ids:
            if image_id not in split_of:
                raise NoSuchImage(f"no image {image_id!r} in the corpus")
        return {image_id: decided.get(image_id, split_of[image_id]) for image_id in image_ids}

    def purpose(self, index_fingerprint: str, reference_ids: Sequence[str]) -> Purpose | None:
        """What judgements on a query with these reference images serve; None where they are of several splits.

        Raises:
            NoSuchIndex, NoSuchImage: as :meth:`add`.
        """
        return same_purpose(reference_ids, self.purposes(self._index(index_fingerprint), reference_ids))

    def splits(self, index_fingerprint: str) -> Mapping[str, Purpose]:
        """The split of every image of the corpus, as the index was made with.

        Raises:
            NoSuchIndex: the store holds no such index.
        """
        return self._split_of(self._index(index_fingerprint).summary["parents"]["splits"])

    def parent(self, index_fingerprint: str, noun: str) -> Artifact | None:
        """An artefact that the index was made with.

        Raises:
            NoSuchIndex: the store holds no such index.
        """
        fingerprint = self._index(index_fingerprint).summary["parents"].get(noun)
        return None if fingerprint is None else self._store.get(noun, fingerprint)

    def _index(self, fingerprint: str) -> Artifact:
        index = self._store.get("search_index", fingerprint)
        if index is None:
            raise NoSuchIndex(f"there is no index {fingerprint!r}; reload the page and search again")
        return index

    def _read_splits(self, fingerprint: str) -> Mapping[str, Purpose]:
        splits = self._store.get("splits", fingerprint)
        return {} if splits is None else cast(dict[str, Purpose], split_of_images(splits))
