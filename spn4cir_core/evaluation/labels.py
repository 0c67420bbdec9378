"""True composed queries built from two attributes of the images, a label and a colour."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Annotated

import numpy as np
from pydantic import Field

from spn4cir_core.evaluation.base import Evaluator, Query, QuerySet, evaluation_ids
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.images.manifest import read_manifest
from spn4cir_core.store.artifacts import Artifact
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint

DETECT = "detect"


@dataclass(frozen=True)
class _Described:
    """An image of the gallery with its two attributes."""

    image_id: str
    label: str
    colour: str


class Labels(Evaluator):
    """ "The same colour, but trousers": one attribute must come from the picture, the other from the text.

    Neither the reference image nor the text alone says what the targets are.
    """

    plugin_kind = "labels"

    label: str = "label"
    """Attribute of the images that people gave them, or ``category``: the category in the manifest."""
    colour: str = DETECT
    """Attribute that holds the colour, or ``detect``: the dominant colour of the picture. Empty: colours do not matter,
    all images with the label are targets."""
    ignore: tuple[str, ...] = ("", "Not sure", "Other", "Skip")
    """Labels that say nothing."""
    max_queries: int = Field(default=1000, ge=1)
    """Most queries of each kind; a seeded sample beyond."""
    label_text: str = "the same colour, but {label}"
    colour_text: str = "the same {label}, but {colour}"
    plain_labels: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether texts name labels without hyphens and underscores, and of another label only what differs: "standard
    instead of medium fat" from ``medium-fat-milk`` to ``standard-milk``."""

    def query_sets(self, parents: Mapping[str, Artifact], files: ImageFiles, seed: int) -> list[QuerySet]:
        """Queries of kind ``label`` and ``colour``; targets are all images with both attributes as asked."""
        gallery = evaluation_ids(parents["splits"])
        images, drops = self._described(parents["images"], set(gallery), files)
        by_both: dict[tuple[str, str], list[str]] = defaultdict(list)
        for image in images:
            by_both[image.label, image.colour].append(image.image_id)
        drawn = self._draw_queries(images, set(by_both), seed)
        queries = tuple(self._query(image, label, colour, by_both[label, colour]) for image, label, colour in drawn)
        if not queries:
            return []
        source = (
            "not looked at"
            if not self.colour
            else "detected by us as the picture's dominant colour (no one checked it)"
            if self.colour == DETECT
            else f"the corpus' attribute {self.colour!r}"
        )
        protocol = (
            f"Queries built from two attributes of the images: the label is the corpus' attribute {self.label!r}, "
            f"the colour is {source}. Targets are all images with the attribute that the text names and the "
            f"reference's other one; gallery: all {len(gallery)} images of the evaluation split; the reference image "
            "is removed from the ranking."
        )
        return [QuerySet("labels", protocol, queries, gallery, remove_reference=True, headline=True, drops=drops)]

    def _described(
        self, manifest: Artifact, gallery: set[str], files: ImageFiles
    ) -> tuple[list[_Described], Counter[str]]:
        described, drops = [], Counter[str]()
        for row in read_manifest(manifest, "image_id", "path", "category", "attributes").to_pylist():
            if row["image_id"] not in gallery:
                continue
            attributes = {"category": row["category"], **dict(row["attributes"] or ())}
            label = attributes.get(self.label, "")
            if label in self.ignore:
                drops[f"image without a usable {self.label!r}: not asked about"] += 1
                continue
            colour = _dominant_colour(files, row["path"]) if self.colour == DETECT else attributes.get(self.colour, "")
            if colour or not self.colour:
                described.append(_Described(row["image_id"], label, colour))
            else:
                drops["image without a colour: not asked about"] += 1
        return sorted(described, key=lambda image: image.image_id), drops

    def _draw_queries(
        self, images: Sequence[_Described], known: set[tuple[str, str]], seed: int
    ) -> list[tuple[_Described, str, str]]:
        """(reference, label asked for, colour asked for), at most ``max_queries`` per kind."""
        labels = sorted({label for label, _ in known})
        colours = sorted({colour for _, colour in known})
        kinds = (
            [
                (i, label, i.colour)
                for i in images
                for label in labels
                if label != i.label and (label, i.colour) in known
            ],
            [(i, i.label, c) for i in images for c in colours if c != i.colour and (i.label, c) in known],
        )
        random = np.random.default_rng(seed)
        queries = []
        for possible in kinds:
            count = min(self.max_queries, len(possible))
            queries += (
                [possible[row] for row in sorted(random.choice(len(possible), count, replace=False))] if count else []
            )
        return queries

    def _query(self, image: _Described, label: str, colour: str, targets: list[str]) -> Query:
        kind = "label" if label != image.label else "colour"
        text = self.label_text if kind == "label" else self.colour_text
        word = label if kind == "label" else colour
        named = _plain(label, image.label) if self.plain_labels else label.lower()
        return Query(
            query_id=f"{kind}:{image.image_id}:{word}",
            reference_id=image.image_id,
            modified_text=text.format(label=named, colour=colour.lower()),
            target_ids=tuple(targets),
            kind=kind,
        )


def _plain(label: str, of_reference: str) -> str:
    """The label in words; of one that begins or ends as the reference's only what differs, and what it replaces."""
    new, old = (re.sub(r"[\s_/-]+", " ", name).lower().split() for name in (label, of_reference))
    first = _shared_start(new, old)
    last = _shared_start(new[first:][::-1], old[first:][::-1])
    own, gone = new[first : len(new) - last], old[first : len(old) - last]
    return f"{' '.join(own)} instead of {' '.join(gone)}" if own and gone and (first or last) else " ".join(new)


def _shared_start(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _dominant_colour(files: ImageFiles, path: str) -> str:
    from spn4cir_core.captions.colours import dominant_colour

    return dominant_colour(files.open(path))
