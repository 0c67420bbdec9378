"""Settings of the ``images`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.base import READERS, Reader
from spn4cir_core.store.fingerprints import OmitFromFingerprint


class ImageSettings(Settings):
    """Which pictures there are, and which of them are used."""

    reader: Annotated[Reader, Choice(READERS)]
    min_side_px: int = Field(default=8, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1)
    """Larger pictures are refused from their header, before they are decoded."""
    workers: Annotated[int, OmitFromFingerprint()] = Field(default=2, ge=1)


class ImagesInput(Settings):
    """The tables of a recipe that this stage reads."""

    images: ImageSettings
