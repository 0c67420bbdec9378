"""Further correct images of generated queries, by the rules that exclude false negatives in training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

from spn4cir_core.captions.caption_table import read_captions
from spn4cir_core.splits.split_tables import read_near_duplicates
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.texts.differences import caption_meaning
from spn4cir_core.triplets.triplet import normalised

Rule = Literal["near_duplicate", "same_caption", "same_text"]
RULE_NAMES: Mapping[Rule, str] = {
    "near_duplicate": "near-duplicates of the pair's target",
    "same_caption": "images whose caption says the same as its caption",
    "same_text": "targets of other held-out triplets of the same reference and text",
}


class Equivalents:
    """Answers of generated triplets by several rules; an image of the gallery that any of them names is right."""

    def __init__(
        self,
        rules: Sequence[Rule],
        gallery: Sequence[str],
        captions: Artifact,
        splits: Artifact,
        triplets: Iterable[Mapping[str, Any]],
    ) -> None:
        self._inside = set(gallery)
        self._by_image: dict[str, set[str]] = defaultdict(set)
        self._by_query: dict[tuple[str, str], set[str]] = defaultdict(set)
        if "near_duplicate" in rules:
            self._join_near_duplicates(splits)
        if "same_caption" in rules:
            self._join_captions(captions)
        if "same_text" in rules:
            for row in triplets:
                self._by_query[_query(row)].add(row["target_id"])

    def targets(self, triplet: Mapping[str, Any]) -> tuple[str, ...]:
        """All right answers of a triplet, sorted: its own target and what is equivalent to it, never its reference."""
        own = triplet["target_id"]
        target_ids = {own} | self._by_image.get(own, set()) | self._by_query.get(_query(triplet), set())
        return tuple(sorted((target_ids & self._inside | {own}) - {triplet["reference_id"]}))

    def _join_near_duplicates(self, splits: Artifact) -> None:
        for one, other in read_near_duplicates(splits):
            self._by_image[one].add(other)
            self._by_image[other].add(one)

    def _join_captions(self, captions: Artifact) -> None:
        holders: dict[Hashable, set[str]] = defaultdict(set)
        for image_id, caption in read_captions(captions).items():
            if image_id in self._inside and (meaning := caption_meaning(caption)):
                holders[meaning].add(image_id)
        for group in holders.values():
            for image_id in group:
                self._by_image[image_id] |= group


def _query(triplet: Mapping[str, Any]) -> tuple[str, str]:
    """Reference and text of a triplet as a query: of several texts the first."""
    return triplet["reference_id"], normalised((triplet["modified_texts"] or [""])[0])
