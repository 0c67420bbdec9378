"""Settings of the ``annotations`` stage."""

from __future__ import annotations

from pydantic import Field

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.images.settings import ImageSettings


class AnnotationSettings(Settings):
    """Which annotated triplets join."""

    max_triplets: int | None = Field(default=None, ge=0)
    """Keep the first this many annotated triplets of a seeded shuffle; None keeps all."""


class AnnotationsInput(Settings):
    """The tables of a recipe that this stage reads."""

    images: ImageSettings
    annotations: AnnotationSettings
    seed: int
