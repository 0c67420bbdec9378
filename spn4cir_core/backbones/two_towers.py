"""Base class of networks with an image tower, a text tower and a composer. B images or texts, D dimensions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from spn4cir_core.backbones.base import Network
from spn4cir_core.backbones.composer_networks import ComposerNetwork, Encoded


class TwoTowerNetwork(nn.Module, Network):
    """A target is the image tower's vector; a query is composed of the reference's and the text's.

    In stage 1 query and target share the image tower. When stage 2 begins the query encoder gets its own copy,
    so that it can move while the targets stay as the bank has them.
    """

    def __init__(self, dim: int, image: nn.Module, text: nn.Module, composer: ComposerNetwork) -> None:
        super().__init__()
        self.dim = dim
        self.image = image
        self.text = text
        self.composer = composer
        self.query_image: nn.Module | None = None

    @override
    def state(self) -> dict[str, Any]:
        return {"query_encoder_is_apart": self.query_image is not None}

    @override
    def untie_query_encoder(self) -> None:
        if self.query_image is None:
            self.query_image = copy.deepcopy(self.image).requires_grad_(True)

    @override
    def target_follows(self) -> Sequence[tuple[nn.Parameter, nn.Parameter]]:
        own = () if self.query_image is None else self.query_image.parameters()
        return list(zip(self.image.parameters(), own, strict=False))

    @override
    def encode_target(self, images: Tensor) -> Tensor:
        encoded: Encoded = self.image(images)
        return functional.normalize(encoded.pooled_BD, dim=-1)

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        tower = self.image if self.query_image is None else self.query_image
        image: Encoded | None = None if images is None else tower(images)
        text: Encoded | None = None if tokens is None else self.text(tokens)
        return functional.normalize(self.composer(image, text), dim=-1)

    @override
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.image]
