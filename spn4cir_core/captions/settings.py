"""Settings of the ``captions`` stage."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spn4cir_core.captions.base import CAPTIONERS, Captioner
from spn4cir_core.engine.child_processes import ReadIn
from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint


class CaptionSettings(Settings):
    """Who captions, and how much at a time."""

    captioner: Annotated[Captioner, Choice(CAPTIONERS)]
    clean_answers: Annotated[bool, OmitDefaultFromFingerprint()] = False
    """Whether thoughts, greetings, Markdown, quotes and openings ("The image features") are taken off the captions. It
    works on the stored answers: switching it asks no model again."""
    batch_rows: Annotated[int, OmitFromFingerprint()] = Field(default=16, ge=1)
    shard_rows: Annotated[int, OmitFromFingerprint()] = Field(default=512, ge=1)
    readers: Annotated[int, OmitFromFingerprint()] = Field(default=2, ge=1)
    read_in: Annotated[ReadIn, OmitFromFingerprint()] = "threads"


class CaptionsInput(Settings):
    """The tables of a recipe that this stage reads."""

    captions: CaptionSettings
    images: ImageSettings
