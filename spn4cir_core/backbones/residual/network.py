"""The network of the ``residual`` backbone. B images or texts, F input features, D embedding dimensions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs
from spn4cir_core.backbones.frozen_trunks import TEXT_FEATURES, FrozenTexts, FrozenTrunksNetwork
from spn4cir_core.engine.blas_threads import one_blas_thread
from spn4cir_core.models.lite0 import LEVEL_FEATURES
from spn4cir_core.models.lite0_levels import folded_lite0
from spn4cir_core.models.products import Linear, product
from spn4cir_core.models.unit_rows import unit_rows

ROWS_MEASURED = 20_000
"""Training pictures that statistics and principal components are measured on, at most."""
ROWS_AT_ONCE = 2048
"""Pictures whose features are multiplied at once."""
LEVEL_STARTS = [0, *accumulate(LEVEL_FEATURES[:-1])]
LEAST_DEVIATION = 1e-3
LEAST_VARIANCE = 1e-5
"""Of a component, as a share of the first one's; what is below is what float32 leaves of none."""
EIGENVALUE_POWER = -0.25
"""Components are scaled by this power of their variance: half-way between plain and whitened principal components."""

START_DEVIATION = 1e-4
"""Deviation of the last layers' starting weights: 3 % of the image vector, so that a text has a direction."""


class Levels(nn.Module):
    """Frozen features of four levels of one image network as one vector of even parts.

    Each level is standardised, reduced to principal components, scaled by ``EIGENVALUE_POWER``, and brought to a mean
    norm of 1, all measured once on the training pictures.
    """

    def __init__(self, level_dims: Sequence[int]) -> None:
        super().__init__()
        self.level_dims = list(level_dims)
        for level, (features, dims) in enumerate(zip(LEVEL_FEATURES, self.level_dims, strict=True)):
            self.register_buffer(f"mean{level}", torch.zeros(features))
            self.register_buffer(f"components{level}", torch.eye(features, dims))

    def measure(self, inputs_NF: np.ndarray) -> None:
        """Measure statistics on training pictures; fewer pictures than components leave fewer components."""
        every = max(1, -(-len(inputs_NF) // ROWS_MEASURED))
        for level, (start, features) in enumerate(zip(LEVEL_STARTS, LEVEL_FEATURES, strict=True)):
            part_MG = torch.from_numpy(np.array(inputs_NF[::every, start : start + features], np.float32))
            mean_G = part_MG.mean(0)
            scale_G = 1 / (part_MG.std(0, correction=0) + LEAST_DEVIATION)
            standard_MG = part_MG.sub_(mean_G).mul_(scale_G)
            components_GD = _principal_components(standard_MG, self.level_dims[level])
            self.level_dims[level] = components_GD.shape[1]
            norm = product(standard_MG, components_GD.T).square().sum(1).mean().sqrt().clamp(min=1e-9)
            setattr(self, f"mean{level}", mean_G)
            setattr(self, f"components{level}", components_GD * scale_G[:, None] / norm)

    def forward(self, inputs_BF: Tensor) -> Tensor:
        """(B, D) float32."""
        parts = torch.split(inputs_BF.float(), list(LEVEL_FEATURES), dim=1)
        return torch.cat(
            [
                product(part_BG - getattr(self, f"mean{level}"), getattr(self, f"components{level}").T)
                for level, part_BG in enumerate(parts)
            ],
            dim=1,
        )


def _principal_components(standard_MG: Tensor, wanted: int) -> Tensor:
    """(G, D) directions of largest variance, scaled by ``EIGENVALUE_POWER``, signs fixed, D <= wanted."""
    from scipy.linalg import eigh

    features = standard_MG.shape[1]
    covariance_GG = torch.zeros(features, features)
    for block_BG in torch.split(standard_MG, ROWS_AT_ONCE):
        covariance_GG += product(block_BG.T, block_BG.T)
    covariance_GG /= len(standard_MG)
    largest = (max(0, features - wanted), features - 1)
    symmetric_GG = covariance_GG.numpy().T  # in Fortran's order, so that it is not copied
    with one_blas_thread():
        largest_part = eigh(symmetric_GG, overwrite_a=True, subset_by_index=largest)
    variance_D, direction_GD = map(torch.from_numpy, largest_part)
    rank = int((variance_D > LEAST_VARIANCE * variance_D[-1].clamp(min=1e-12)).sum())
    dims = max(1, rank)
    direction_GD = direction_GD[:, -dims:].flip(1)
    largest_D = direction_GD.gather(0, direction_GD.abs().argmax(0, keepdim=True))
    scale_D = variance_D[-dims:].flip(0).clamp(min=1e-12) ** EIGENVALUE_POWER
    components_GD: Tensor = direction_GD * largest_D.sign() * scale_D
    return components_GD


class ImageMap(nn.Module):
    """A linear map that starts as the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = Linear(dim, dim, bias=False)
        nn.init.eye_(self.linear.weight)

    def forward(self, levels_BD: Tensor) -> Tensor:
        """(B, D) unit vectors."""
        return unit_rows(self.linear(levels_BD))


class Change(nn.Module):
    """The change that a text makes to an image vector, near zero at the start: ``add(h) + U((V z √D) ⊙ g(h))``."""

    def __init__(self, dim: int, hidden: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.text = nn.Sequential(Linear(TEXT_FEATURES, hidden), nn.GELU(), nn.Dropout(dropout))
        self.add = Linear(hidden, dim)
        self.look = Linear(dim, rank, bias=False)
        self.gate = Linear(hidden, rank)
        self.write = Linear(rank, dim, bias=False)
        for layer in (self.add, self.write):
            nn.init.normal_(layer.weight, std=START_DEVIATION)
        nn.init.zeros_(self.add.bias)

    def forward(self, image_UD: Tensor | None, rows_B: Tensor | None, text_BT: Tensor) -> Tensor:
        """(B, D) change of the image at each of the rows; the part that looks at the image is left out without one."""
        hidden_BH = self.text(text_BT * TEXT_FEATURES**0.5)
        change_BD: Tensor = self.add(hidden_BH)
        if image_UD is None:
            return change_BD
        seen_BR = _at(self.look(image_UD) * image_UD.shape[-1] ** 0.5, rows_B)
        change_BD = change_BD + self.write(seen_BR * self.gate(hidden_BH))
        return change_BD


def _at(values_UD: Tensor, rows_B: Tensor | None) -> Tensor:
    """The values at these rows; None: each once, in their order."""
    return values_UD if rows_B is None else values_UD.index_select(0, rows_B)


class ResidualNetwork(FrozenTrunksNetwork, nn.Module):
    """A target is the mapped image vector; a query is the reference's plus the change that the text makes.

    Before :meth:`expect_images` has measured the training pictures, the components are the features' first ones.
    """

    features_dtype = "float32"

    def __init__(
        self,
        *,
        level_dims: Sequence[int],
        hidden: int,
        rank: int,
        dropout: float,
        read: Callable[[Sequence[Image.Image]], np.ndarray],
        texts: FrozenTexts,
        image_px: int,
    ) -> None:
        """``read`` gives the (B, 5528) float16 levels of pictures by the frozen trunk."""
        super().__init__()
        self.levels = Levels(level_dims)
        self.hidden, self.rank, self.dropout = hidden, rank, dropout
        self._random_state = torch.get_rng_state()  # of the recipe's seed, whatever is drawn before the pictures come
        self._make_trainable()
        self.query_image: ImageMap | None = None
        self.texts, self._read, self.image_px = texts, read, image_px

    def _make_trainable(self) -> None:
        self.dim = sum(self.levels.level_dims)
        self.image = ImageMap(self.dim)
        self.change = Change(self.dim, self.hidden, self.rank, self.dropout)

    @override
    def state(self) -> dict[str, Any]:
        return {"query_encoder_is_apart": self.query_image is not None, "level_dims": self.levels.level_dims}

    @override
    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 5528) float16 features of the frozen trunk, :class:`~spn4cir_core.models.lite0_levels.Lite0Levels`."""
        return self._read(images)

    @override
    def exported_inputs(self) -> ExportedInputs:
        """The trunk in float32, and its features without being rounded to float16."""
        return self.exported_as({"fit": "square", "px": self.image_px}, folded_lite0(bfloat16=False))

    @override
    def expect_images(self, inputs: np.ndarray) -> None:
        before = list(self.levels.level_dims)
        self.levels.measure(inputs)
        if self.levels.level_dims != before:  # few pictures
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(self._random_state)
                self._make_trainable()

    @override
    def image_features(self, images: Tensor) -> Tensor:
        """(B, D) components of the levels, which no stage trains once :meth:`expect_images` has measured them."""
        return images.float() if images.shape[-1] == self.dim else self.levels(images)

    @property
    @override
    def keeps_features_in_stage1(self) -> bool:
        return True

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
        vectors_BD: Tensor = self.image(self.image_features(images))
        return vectors_BD

    @override
    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        if images is None and tokens is None:
            raise ValueError("a query needs images, texts, or both")
        return self._queries(images, None, tokens)

    @override
    def encode_queries(self, images: Tensor, rows_M: Tensor, tokens: Tensor) -> Tensor:
        return self._queries(images, rows_M, tokens)

    def _queries(self, images: Tensor | None, rows_B: Tensor | None, tokens: Tensor | None) -> Tensor:
        image_map = self.image if self.query_image is None else self.query_image
        image_UD: Tensor | None = None if images is None else image_map(self.image_features(images))
        if tokens is None:
            assert image_UD is not None
            return image_UD
        change_BD: Tensor = self.change(image_UD, rows_B, self.texts.features(tokens))
        return unit_rows(change_BD if image_UD is None else _at(image_UD, rows_B) + change_BD)

    @override
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.image]
