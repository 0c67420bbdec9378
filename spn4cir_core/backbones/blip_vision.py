"""The vision tower of the BLIP backbones, which no stage trains. B images of P visual tokens, W wide."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from spn4cir_core.backbones.pixels import normalised

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.models.fixed_batches import Dtype


def empty_vision(architecture: type[Any], config: Any, dtype: Dtype) -> nn.Module:
    """A vision model whose weights are yet to be loaded; nothing is drawn at random for a billion of them."""
    with torch.device("meta"):
        tower: nn.Module = architecture(config)
    return tower.to(getattr(torch, dtype)).to_empty(device="cpu").requires_grad_(False).eval()


def cast_vision_after_load(network: nn.Module, dtype: Dtype) -> None:
    """Whatever is loaded into the network, its ``vision_model`` stays of this dtype: half of EVA's 4 GB at float16."""

    def cast(loaded: nn.Module, _: Any) -> None:
        tower = loaded.vision_model
        assert isinstance(tower, nn.Module)
        tower.to(getattr(torch, dtype)).requires_grad_(False)

    network.register_load_state_dict_post_hook(cast)  # type: ignore[no-untyped-call]


def visual_tokens(tower: Any, pixels_BCHW: Tensor) -> Tensor:
    """(B, P, W) visual tokens of uint8 pixels; positions are interpolated where the size is not the tower's own.

    Computed in the tower's own dtype whatever the precision of the training: cached features and fresh ones are equal.
    """
    weight = next(tower.parameters())
    side = tower.config.image_size
    recording = torch.compiler.is_exporting()  # without gradients and autocast then, and a graph has no such blocks
    own_precision = nullcontext() if recording else torch.autocast(weight.device.type, enabled=False)
    with nullcontext() if recording else torch.no_grad(), own_precision:
        pixels = normalised(pixels_BCHW.to(weight.device), weight.dtype)
        tokens_BPW: Tensor = tower(pixels, interpolate_pos_encoding=pixels.shape[-1] != side).last_hidden_state
    return tokens_BPW
