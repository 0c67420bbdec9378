"""Settings of the ``image_embeddings`` stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spn4cir_core.child_processes import ReadIn
from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.fingerprints import NotFingerprinted
from spn4cir_core.plugins import Choice, Room, Settings

IMAGE_ENCODERS = Room(
    "image encoder",
    {
        "open_clip": "spn4cir_core.embeddings.open_clip_encoder:OpenClipEncoder",
        "timm": "spn4cir_core.embeddings.timm_encoder:TimmEncoder",
        "unicom": "spn4cir_core.embeddings.unicom:Unicom",
        "vision_tower": "spn4cir_core.embeddings.vision_tower:VisionTower",
    },
)


class EmbeddingSettings(Settings):
    """Which encoder, and how much at a time."""

    encoder: Annotated[ImageEncoder, Choice(IMAGE_ENCODERS)]
    dtype: Literal["float16", "float32"] = "float32"
    batch_rows: Annotated[int, NotFingerprinted()] = Field(default=64, ge=1)
    shard_rows: Annotated[int, NotFingerprinted()] = Field(default=2048, ge=1)
    readers: Annotated[int, NotFingerprinted()] = Field(default=2, ge=1)
    read_in: Annotated[ReadIn, NotFingerprinted()] = "threads"
