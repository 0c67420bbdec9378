"""Settings of the training stages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spn4cir_core.backbones.base import Backbone
from spn4cir_core.fingerprints import NotFingerprinted
from spn4cir_core.objectives.base import OBJECTIVES, Objective
from spn4cir_core.plugins import Choice, Room, Settings

BACKBONES = Room(
    "backbone",
    {
        "small": "spn4cir_core.backbones.small:Small",
        "heads": "spn4cir_core.backbones.heads:Heads",
        "clip4cir": "spn4cir_core.backbones.clip4cir:Clip4Cir",
        "blip4cir": "spn4cir_core.backbones.blip4cir:Blip4Cir",
        "sprc": "spn4cir_core.backbones.sprc:Sprc",
    },
)


class Schedule(Settings):
    """What every training stage has: steps, batch, optimiser."""

    steps: int | None = Field(default=None, ge=0)
    """Optimiser steps; None means ``epochs`` decides."""
    epochs: float = Field(default=10, gt=0)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate climbs; it then falls as a cosine."""
    clip_norm: float = Field(default=1.0, gt=0)
    temperature: float = Field(default=0.05, gt=0)
    learn_temperature: bool = False
    save_every_steps: Annotated[int, NotFingerprinted()] = Field(default=200, ge=1)
    device: Annotated[str, NotFingerprinted()] = "auto"
    threads: Annotated[int | None, NotFingerprinted()] = None


class Stage1Settings(Schedule):
    """Stage 1: query and target encoder, in-batch negatives."""

    backbone: Annotated[Backbone, Choice(BACKBONES)]
    objective: Annotated[Objective, Choice(OBJECTIVES)]
    learn_temperature: bool = True
    start_from: Annotated[str, NotFingerprinted()] = ""
    """A published checkpoint file of the backbone, or the folder of a checkpoint artefact, in place of the backbone's
    own starting weights; with ``steps = 0`` it is stage 1 as it stands. Its bytes decide, not its path."""


class Stage2Settings(Schedule):
    """Stage 2: query encoder alone, the whole candidate bank as negatives."""

    objective: Annotated[Objective, Choice(OBJECTIVES)]


class ControlSettings(Settings):
    """The control is stage 1 trained on for stage 2's steps, with stage 1's objective."""


class BankSettings(Settings):
    """How the candidate bank is stored."""

    dtype: Literal["float16", "float32"] = "float32"
    """float16 halves the file and reads twice as many rows a second from a slow disk."""
    reference_features: bool = True
    """Also keep what the frozen towers make of each candidate, where a backbone has such features: stage 2 then reads
    no picture. They may be large (BLIP4CIR: 0.9 MB an image in float16); without them each step runs the towers."""
