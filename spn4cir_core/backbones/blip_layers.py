"""Activation checkpointing of the BLIP backbones' own transformers: BLIP's text encoder does not offer it itself."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def checkpoint_layers(part: nn.Module) -> None:
    """Let every layer compute its activations again in the backward pass, while it is in training mode."""
    layers: list[Any] = [layer for layer in part.modules() if isinstance(layer, GradientCheckpointingLayer)]
    for layer in layers:
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
