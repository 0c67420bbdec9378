"""One pass of a picture through a frozen EfficientNet-Lite0: what tags, picture vectors and the backbone read of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import util
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from spn4cir_core.models.fixed_batches import side_by_side
from spn4cir_core.models.lite0 import LEVEL_FEATURES, PACKAGE, lite0_pixels, lite0_weights, weights_file
from spn4cir_core.models.precision import Precision, precision_of
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

POOLED = LEVEL_FEATURES[0]
"""The first features are the last level, pooled: what the ImageNet classifier and picture vectors are made of."""
GRID = 3
ROWS_ON_CPU, ROWS_ON_GPU = 4, 32
FLOAT32_LAYERS = 2
"""The first convolutions, and the projection that begins each stage, stay float32: rounding them costs the most."""
CEILING = 6.0
"""Ceiling of ReLU6, the network's activation."""
BLOCKS_AND_STRIDES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""(blocks, stride of the first) of each stage; the other blocks add their input. The first stage does not expand."""
TENSORS_OF_A_LAYER = 6
WEIGHT_BITS, POOLED_BITS = 24, 20
"""Binary places of the classifier's factors. The sizes of a class's weights sum to 82 at most, pooled features are 6 at
most: a sum of products needs 9 + 24 + 20 bits, and float64 has 53."""
NORM_EPSILON = 1e-3
"""ε of the batch norms, TensorFlow's value."""


@dataclass(frozen=True)
class Lite0Levels:
    """Features of four levels of the network: kinds of things, parts, shapes, colours; see :meth:`start`."""

    size_px: int = 224
    """Side of the square that the network sees: the picture's centre, its shorter side scaled to this."""
    precision: Precision = "auto"
    device: str = "cpu"

    @property
    def is_installed(self) -> bool:
        """Whether the package with the weights is there."""
        return util.find_spec(PACKAGE) is not None

    def fingerprint(self) -> str:
        """Hash of weights, size, and what is computed in on this machine; features are stored and shared under it.

        Raises:
            MissingExtra: the weight package is not installed.
        """
        deciding = {"size_px": self.size_px, "precision": precision_of(self.precision), "version": 3}
        return fingerprint({"kind": "lite0 levels", **deciding, "weights": weights_sha256(weights_file())})

    def seen(self, image: Image) -> Image:
        """The square of an RGB picture that the network sees; of a square of that size, itself."""
        from PIL.Image import Resampling

        side = (self.size_px, self.size_px)
        return image if image.size == side else largest_square(image).resize(side, Resampling.BICUBIC)

    def start(self) -> Callable[[Sequence[Image]], np.ndarray]:
        """Load the network and return the function from B RGB images to (B, 5528) float16 features.

        The last level is pooled over the picture; the others over the cells of a 3 × 3 grid, channel by channel. Row i
        does not depend on the other images.

        A process loads the network once; threads that come meanwhile wait for it.

        Raises:
            InputError: the weight file is damaged.
            MissingExtra: the weight package is not installed.
        """
        with _loading:
            return _started(self)

    def _start(self) -> Callable[[Sequence[Image]], np.ndarray]:
        import torch

        levels = folded_lite0(precision_of(self.precision) == "bfloat16", self.device)
        rows = ROWS_ON_CPU if self.device == "cpu" else ROWS_ON_GPU

        def one_batch(images: Sequence[Image]) -> np.ndarray:
            pixels_BCHW = lite0_pixels([self.seen(image) for image in images], self.size_px)
            if len(images) < rows:
                padding = pixels_BCHW.new_zeros((rows - len(images), *pixels_BCHW.shape[1:]))
                pixels_BCHW = torch.cat([pixels_BCHW, padding])
            batch = pixels_BCHW.to(self.device).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode():
                features_BF: np.ndarray = levels(batch)[: len(images)].to(torch.float16).cpu().numpy()
            return features_BF

        def encode(images: Sequence[Image]) -> np.ndarray:
            batches = [images[start : start + rows] for start in range(0, len(images), rows)]
            return np.concatenate([np.empty((0, sum(LEVEL_FEATURES)), np.float16), *side_by_side(one_batch, batches)])

        return encode


def largest_square(image: Image) -> Image:
    """The largest square in the middle: photographs squeezed to a square are told apart less well."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


_loading = Lock()


@lru_cache(2)
def _started(levels: Lite0Levels) -> Callable[[Sequence[Image]], np.ndarray]:
    return levels._start()


@lru_cache(1)
def classifier_of_pooled() -> Callable[[np.ndarray], np.ndarray]:
    """The function from (B, 1280) pooled features to (B, 1000) class probabilities; a row hangs on its own alone.

    Factors are rounded to multiples of powers of two, so fine that probabilities differ by less than 1e-6, and so
    coarse that float64 holds every sum of their products exactly: whatever the order of the sums, the bits are equal.
    """
    *_, weight, bias = lite0_weights().values()
    weight_FC, bias_C = _multiples(weight.numpy().T, WEIGHT_BITS), bias.numpy().astype(np.float64)

    def probabilities(pooled_BF: np.ndarray) -> np.ndarray:
        logits_BC = _multiples(pooled_BF, POOLED_BITS) @ weight_FC + bias_C
        odds_BC = np.exp(logits_BC - logits_BC.max(axis=1, keepdims=True))
        probabilities_BC: np.ndarray = odds_BC / odds_BC.sum(axis=1, keepdims=True)
        return probabilities_BC

    return probabilities


def _multiples(numbers: np.ndarray, bits: int) -> np.ndarray:
    """float64 multiples of 2 to the power of -``bits``, contiguous."""
    return np.ldexp(np.rint(np.ldexp(numbers.astype(np.float64, order="C"), bits)), -bits)


def folded_lite0(bfloat16: bool, device: str = "cpu") -> Callable[[Tensor], Tensor]:
    """The function from (B, 3, H, W) pixels to (B, 5528) float32 levels, batch norms folded into convolutions.

    Built from the weight file alone: it needs no timm, whose import takes longer than a first search.
    """
    import torch

    tensors = iter(list(lite0_weights().values())[:-2])
    layers = count()

    def convolution(stride: int = 1, *, is_activated: bool = True, begins_stage: bool = False) -> Convolution:
        number = next(layers)
        rounded = bfloat16 and number >= FLOAT32_LAYERS and not begins_stage
        folded = _folded(*(next(tensors) for _ in range(TENSORS_OF_A_LAYER)))
        return Convolution(*folded, stride, is_activated, torch.bfloat16 if rounded else torch.float32, device)

    stem = convolution(stride=2)
    stages: list[list[list[Convolution]]] = []
    for stage, (blocks, stride) in enumerate(BLOCKS_AND_STRIDES):
        stages.append([])
        for number in range(blocks):
            expand = [convolution()] if stage else []
            depthwise = convolution(1 if number else stride)
            stages[-1].append([*expand, depthwise, convolution(is_activated=False, begins_stage=not number)])
    head = convolution()
    assert next(tensors, None) is None

    def levels(pixels_BCHW: Tensor) -> Tensor:
        hidden, outputs = stem(pixels_BCHW), []
        for blocks in stages:
            for number, convolutions in enumerate(blocks):
                before = hidden
                for layer in convolutions:
                    hidden = layer(hidden)
                hidden = hidden + before if number else hidden
            outputs.append(hidden)
        pooled = head(hidden).float().mean((2, 3))
        cells = [
            torch.nn.functional.adaptive_avg_pool2d(outputs[number].float(), GRID).flatten(1) for number in (6, 4, 2)
        ]
        return torch.cat([pooled, *cells], dim=1)

    return levels


def _folded(
    weight: Tensor, scale_C: Tensor, shift_C: Tensor, mean_C: Tensor, variance_C: Tensor, batches: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm behind it, as the weight file has their six tensors."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    folded, bias = fuse_conv_bn_weights(weight, None, mean_C, variance_C, NORM_EPSILON, scale_C, shift_C)
    return folded.detach(), bias.detach()


class Convolution:
    """A convolution with its batch norm folded in, and its activation: on a CPU one kernel where oneDNN is there."""

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: int, is_activated: bool, dtype: torch.dtype, device: str
    ) -> None:
        import torch

        self.dtype, self.stride, self.is_activated = dtype, stride, is_activated
        self.groups = len(weight) if weight.shape[1] == 1 else 1  # depthwise: one input channel each
        self.weight, self.bias = weight.to(device, dtype), bias.to(device, dtype)
        is_available = torch.backends.mkldnn.is_available() if device == "cpu" else False  # type: ignore[no-untyped-call]
        self._one_kernel = getattr(torch.ops.mkldnn, "_convolution_pointwise", None) if is_available else None
        self._reordered: dict[tuple[int, ...], tuple[Tensor, int]] = {}

    def __call__(self, hidden: Tensor) -> Tensor:
        """(B, C, H, H) in, (B, C', H', H') out, padded as TensorFlow does."""
        import torch

        hidden, stride = hidden.to(self.dtype), [self.stride, self.stride]
        if self._one_kernel is None or torch.compiler.is_exporting():
            weight, padding = self._evenly_padded(hidden.shape[-1])
            given = torch.nn.functional.conv2d(hidden, weight, self.bias, stride, padding, 1, self.groups)
            return torch.nn.functional.relu6(given, inplace=True) if self.is_activated else given
        weight, padding = self._reordered_for(tuple(hidden.shape))
        activation: tuple[str, list[float]] = ("hardtanh", [0.0, CEILING]) if self.is_activated else ("none", [])
        result: Tensor = self._one_kernel(
            hidden, weight, self.bias, [padding, padding], stride, [1, 1], self.groups, *activation, ""
        )
        return result

    def _reordered_for(self, shape: tuple[int, ...]) -> tuple[Tensor, int]:
        """The weight as oneDNN wants it for inputs of a shape, or would reorder it in every call, and the padding."""
        import torch

        if shape not in self._reordered:
            weight, padding = self._evenly_padded(shape[-1])
            layout = [padding, padding], [self.stride, self.stride], [1, 1], self.groups, shape
            self._reordered[shape] = torch.ops.mkldnn._reorder_convolution_weight(weight, *layout), padding
        return self._reordered[shape]

    def _evenly_padded(self, side: int) -> tuple[Tensor, int]:
        """The weight, and the padding of each edge in pixels.

        TensorFlow pads the far edges by one pixel more where the sum is odd. A row and a column of zeros before the
        weight's own say the same, and no copy of the picture is needed, which would take longer than the convolution.
        """
        import torch

        kernel = self.weight.shape[-1]
        pixels = max((-(-side // self.stride) - 1) * self.stride + kernel - side, 0)
        weight = torch.nn.functional.pad(self.weight, [1, 0, 1, 0]) if pixels % 2 else self.weight
        return weight.contiguous(memory_format=torch.channels_last), (pixels + 1) // 2
