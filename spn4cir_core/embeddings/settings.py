"""Settings of the ``image_embeddings`` stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.engine.child_processes import ReadIn
from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitFromFingerprint


class EmbeddingSettings(Settings):
    """Which encoder, and how much at a time."""

    encoder: Annotated[ImageEncoder, Choice(IMAGE_ENCODERS)]
    dtype: Literal["float16", "float32"] = "float32"
    batch_rows: Annotated[int, OmitFromFingerprint()] = Field(default=64, ge=1)
    shard_rows: Annotated[int, OmitFromFingerprint()] = Field(default=2048, ge=1)
    readers: Annotated[int, OmitFromFingerprint()] = Field(default=2, ge=1)
    read_in: Annotated[ReadIn, OmitFromFingerprint()] = "threads"


class EmbeddingsInput(Settings):
    """The tables of a recipe that this stage reads."""

    image_embeddings: EmbeddingSettings
    images: ImageSettings
