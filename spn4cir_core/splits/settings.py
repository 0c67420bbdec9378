"""Settings of the ``splits`` stage."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.splits.appearance import APPEARANCE_VERSION

THINGS_VERSION = 2
"""Goes up whenever other images would be held out together as those of one thing."""


class SplitSettings(Settings):
    """Limits of near-duplicates, and the held-out shares."""

    near_duplicates_by: tuple[Literal["phash", "embedding"], ...] = ("phash", "embedding")
    """How near-duplicates are found; ``[]`` turns it off, for corpora of pictures that differ in little."""
    near_duplicate_cosine: float = Field(default=0.98, gt=0, le=1)
    """Embeddings at least this similar belong to near-duplicates if nothing else is compared (``compare_pictures``)."""
    near_duplicate_bits: int = Field(default=4, ge=0, le=8)
    """Likewise, how many of 64 bits of two perceptual hashes may differ."""
    compare_pictures: bool = True
    """Whether hash and embedding only propose near-duplicates, and small colour versions of the two pictures decide.
    ``false``: whatever they propose is a near-duplicate, two colours of one thing included (as published)."""
    candidate_cosine: float = Field(default=0.93, gt=0, le=1)
    """Embeddings at least this similar propose a near-duplicate; raised where that would be very many."""
    candidate_bits: int = Field(default=8, ge=0, le=8)
    """Perceptual hashes that differ in at most this many of 64 bits propose a near-duplicate."""
    most_different_share: float = Field(default=0.035, ge=0, lt=1)
    """Near-duplicates may disagree in this share of the 32 × 32 cells of their small versions."""
    groups_are: Literal["products", "sources"] = "products"
    """What images with one value in the reader's ``group_column`` have in common. ``products``: they show one thing, so
    they are no pair, no negatives of one another, and equally right answers, as near-duplicates are. ``sources``: a
    contributor or a shoot; they only share a split."""
    validation_share: float = Field(default=0.05, ge=0, lt=1)
    evaluation_share: float = Field(default=0.1, ge=0, lt=1)
    """Shares of the images that the corpus puts in no split itself."""
    hold_out: Literal["images", "things"] = "images"
    """``things``: images whose captions have one rare word in common stay in one split: what is held out shows things
    that training has not seen, as a user's new pictures do. Where that would chain most images together, as ``images``.
    """

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> SplitSettings:
        if self.validation_share + self.evaluation_share >= 1:
            raise ValueError("validation_share and evaluation_share together must be below 1")
        return self


class SplitsInput(Settings):
    """The tables of a recipe that this stage reads."""

    splits: SplitSettings
    images: ImageSettings
    seed: int


def group_column(images: ImageSettings) -> str | None:
    """The metadata column whose groups can be products; None for readers that group pictures by themselves."""
    return getattr(images.reader, "group_column", "") or None


def groups_may_be_products(images: ImageSettings) -> bool:
    """Whether groups come from metadata; the groups of a reader that makes them itself are no products."""
    return hasattr(images.reader, "group_column")


COMPARISON_SETTINGS = ("compare_pictures", "candidate_cosine", "candidate_bits", "most_different_share")


def deciding_settings(splits: SplitSettings) -> dict[str, Any]:
    """What of the settings decides the artefact. Where no pictures are compared, splits are those made before this
    comparison existed, with the same fingerprint."""
    values = splits.model_dump(mode="json")
    comparison = {name: values.pop(name) for name in COMPARISON_SETTINGS}
    if splits.compare_pictures and splits.near_duplicates_by:
        values |= comparison | {"appearance_version": APPEARANCE_VERSION}
    if splits.groups_are == "products":  # with a group column, which enters with the reader's table
        del values["groups_are"]
    if splits.hold_out == "images":  # as before there was a choice
        del values["hold_out"]
    else:
        values["things_version"] = THINGS_VERSION
    return values


def reads_captions(tables: SplitsInput) -> bool:
    """Whether captions decide which images share a split."""
    return tables.splits.hold_out == "things"
