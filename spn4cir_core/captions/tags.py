"""Captions without a language model: the dominant colour's name and an ImageNet label ("a maroon sweatshirt")."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import util
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.colours import NAMED, dominant_colour
from spn4cir_core.captions.readings import Reading
from spn4cir_core.captions.title_text import without_slug
from spn4cir_core.errors import MissingExtra
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.models.answer_text import one_line
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.models.fixed_batches import torch_device
from spn4cir_core.models.lite0_levels import POOLED, Lite0Levels, classifier_of_pooled
from spn4cir_core.models.precision import Precision
from spn4cir_core.store.fingerprints import (
    OmitDefaultFromFingerprint,
    OmitFromFingerprint,
    fingerprint,
    plain,
)

VERSION = 5
"""Goes up whenever the same picture would get other words or readings."""
READINGS = 10
"""Most likely labels that a picture may be called by, as in ConSE (Norouzi et al. 2014, section 4)."""
BLOCK_ROWS = 64
"""Pictures whose readings are computed at a time."""
SINGULAR_ENDS = ("ss", "us", "is", "as")
SINGULAR_WORDS = {"flandres", "hen-of-the-woods", "lens", "pyrenees", "triceratops"}
"""Singular words whose final s :data:`SINGULAR_ENDS` does not cover, among the 1,000 labels."""


class Tags(Captioner):
    """What the picture shows (by its metadata, or EfficientNet-Lite0's most likely ImageNet class) and its colour."""

    plugin_kind: ClassVar[str] = "tags"
    size_px: int = Field(default=224, ge=32, le=1024)
    """Side of the square that the network sees."""
    min_probability: float = Field(default=0.1, ge=0, le=1)
    """Below it the label is left out: "something maroon"."""
    label_attribute: str = ""
    """Key of the pictures' metadata that names what they show; where it has a value, that is the label."""
    without_label: Annotated[Literal["tag", "drop"], OmitDefaultFromFingerprint()] = "tag"
    """Whether the network names pictures without a value of ``label_attribute``, or they get no caption."""
    precision: Annotated[Precision, OmitFromFingerprint()] = "auto"
    """What the network computes in; :meth:`fingerprint` holds what it comes to."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the network's features, settings and the version of the wording."""
        levels = Lite0Levels(self.size_px, self.precision).fingerprint()
        return fingerprint({**plain(self), "version": VERSION, "levels": levels})

    @override
    def trunk_for(self, image: ToCaption) -> Lite0Levels | None:
        """None where the metadata names what the picture shows, or it gets no caption."""
        label = self._given_label(image)
        return None if label or self._drops(label) else self._trunk

    @override
    def names_colour(self, image: ToCaption) -> bool:
        return not self._drops(self._given_label(image))

    @property
    def _trunk(self) -> Lite0Levels:
        return Lite0Levels(self.size_px, self.precision, torch_device(self.device))

    @override
    def for_uploads(self) -> Captioner | None:
        return self

    @override
    def metadata_columns(self) -> tuple[str, ...]:
        return (self.label_attribute,) if self.label_attribute else ()

    @override
    def prompt(self, image: ToCaption) -> str:
        """Empty: there is no prompt."""
        return ""

    @override
    def row_key(self, image: ToCaption) -> str:
        """With the label that the metadata gives: another label is another caption."""
        return f"{super().row_key(image)}{self._given_label(image)}"

    @override
    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str]]:
        """Load the network.

        Raises:
            MissingExtra: timm or the weight package is not installed.
        """
        names = label_names()
        probabilities = classifier_of_pooled()
        encode = FirstUse(self._trunk.start)

        def pooled(images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> np.ndarray:
            features = [image.features for image in images if image.features is not None]
            return (np.stack(features) if len(features) == len(images) else encode(pictures))[:, :POOLED]

        def caption(images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str]:
            labels = [self._given_label(image) for image in images]
            unnamed = [index for index, label in enumerate(labels) if not label and not self._drops(label)]
            shown = [images[index] for index in unnamed], [pictures[index] for index in unnamed]
            for index, row in zip(unnamed, probabilities(pooled(*shown)) if unnamed else (), strict=True):
                labels[index] = names[row.argmax()] if row.max() >= self.min_probability else ""
            return [
                phrase(image.colour or dominant_colour(picture), label) if self.names_colour(image) else ""
                for image, picture, label in zip(images, pictures, labels, strict=True)
            ]

        return caption

    @override
    def readings(self, images: Sequence[ToCaption], captions: Sequence[str]) -> list[Sequence[Reading]]:
        """The caption with each of the most likely labels; none where the metadata names what the picture shows."""
        names, probabilities = label_names(), classifier_of_pooled()

        def of(caption: str, share_C: np.ndarray) -> Sequence[Reading]:
            best = most_likely(share_C)
            label = names[best[0]] if share_C[best[0]] >= self.min_probability else ""
            colour = next((colour for colour in NAMED if phrase(colour, label) == caption), "")
            total = share_C[best].sum()
            return [(phrase(colour, names[row]), float(share_C[row] / total)) for row in best] if colour else ()

        pooled = {
            row: image.features[:POOLED]
            for row, image in enumerate(images)
            if image.features is not None and self.trunk_for(image) is not None
        }
        readings: list[Sequence[Reading]] = [() for _ in images]
        for start in range(0, len(pooled), BLOCK_ROWS):
            rows = list(pooled)[start : start + BLOCK_ROWS]
            for row, share_C in zip(rows, probabilities(np.stack([pooled[row] for row in rows])), strict=True):
                readings[row] = of(captions[row], share_C)
        return readings

    def _drops(self, given_label: str) -> bool:
        return bool(self.label_attribute) and self.without_label == "drop" and not given_label

    def _given_label(self, image: ToCaption) -> str:
        if not self.label_attribute:
            return ""
        return without_slug(one_line(image.attributes.get(self.label_attribute, ""))).lower()


def most_likely(share_C: np.ndarray) -> np.ndarray:
    """The classes of the :data:`READINGS` largest shares, the largest first, of equal ones the first."""
    least = np.partition(share_C, -READINGS)[-READINGS]
    candidates = np.flatnonzero(share_C >= least)
    return candidates[np.argsort(-share_C[candidates], kind="stable")[:READINGS]]


def label_names() -> list[str]:
    """The first synonym of each of the 1,000 ImageNet classes, from timm's tables: importing it takes seconds.

    Raises:
        MissingExtra: timm is not installed.
    """
    package = util.find_spec("timm")
    if package is None or package.origin is None:
        raise MissingExtra("timm", "offline")
    tables = Path(package.origin).parent / "data" / "_info"
    lemmas = (tables / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    words_of = dict(line.split("\t", 1) for line in lemmas)
    synsets = (tables / "imagenet_synsets.txt").read_text(encoding="utf-8").splitlines()
    return [words_of[synset].partition(",")[0] for synset in synsets]


def phrase(colour: str, label: str) -> str:
    """``a maroon sweatshirt``, ``an olive hat``, ``blue pants``, or ``something maroon`` where there is no label."""
    if not label:
        return f"something {colour}"
    if is_plural(label):
        return f"{colour} {label}"
    return f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {label}"


@cache
def is_plural(label: str) -> bool:
    """Whether the label's last word looks like a plural: trousers, sunglasses; not dress, bus, lens."""
    last = label.lower().split()[-1]
    return last.endswith("s") and not last.endswith(SINGULAR_ENDS) and last not in SINGULAR_WORDS
