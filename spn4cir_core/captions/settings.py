"""Settings of the ``captions`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spn4cir_core.captions.base import Captioner
from spn4cir_core.child_processes import ReadIn
from spn4cir_core.fingerprints import NotFingerprinted
from spn4cir_core.plugins import Choice, Room, Settings

CAPTIONERS = Room(
    "captioner",
    {
        "blip": "spn4cir_core.captions.blip:Blip",
        "blip2": "spn4cir_core.captions.blip:Blip2",
        "endpoint": "spn4cir_core.captions.endpoint:Endpoint",
        "llava": "spn4cir_core.captions.llava:Llava",
        "sidecar": "spn4cir_core.captions.sidecar:Sidecar",
        "tags": "spn4cir_core.captions.tags:Tags",
    },
)


class CaptionSettings(Settings):
    """Who captions, and how much at a time."""

    captioner: Annotated[Captioner, Choice(CAPTIONERS)]
    batch_rows: Annotated[int, NotFingerprinted()] = Field(default=16, ge=1)
    shard_rows: Annotated[int, NotFingerprinted()] = Field(default=512, ge=1)
    readers: Annotated[int, NotFingerprinted()] = Field(default=2, ge=1)
    read_in: Annotated[ReadIn, NotFingerprinted()] = "threads"
