"""Settings of the ``annotations`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitFromFingerprint


class AnnotationSettings(Settings):
    """Which annotated triplets join."""

    max_triplets: int | None = Field(default=None, ge=0)
    """Keep the first this many annotated triplets of a seeded shuffle; None keeps all."""
    judgements_step: Annotated[int, OmitFromFingerprint()] = Field(default=0, ge=0)
    """What people judged on the search page joins in steps of this many judgements: whenever so many more have been
    given, the next run reads them, and the sensor starts one. 0: none join. The files made of them decide the artefact.
    """


class AnnotationsInput(Settings):
    """The tables of a recipe that this stage reads."""

    images: ImageSettings
    annotations: AnnotationSettings
    seed: int
    name: str
    """Of the recipe, whose judgements are read; it decides nothing by itself."""
