"""Image encoder: any model of timm, its pooled features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.errors import InputError, MissingExtra, RecipeError
from spn4cir_core.models.fixed_batches import Dtype, in_fixed_batches, to_device, torch_device
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint

LITE0 = "package:efficientnet-lite0"


class TimmEncoder(ImageEncoder):
    """Pooled features (before the classifier) of a timm model."""

    plugin_kind = "timm"

    model: str = "tf_efficientnet_lite0"
    """Name of the architecture in timm."""
    weights: str = LITE0
    """``package:efficientnet-lite0``, the path of a local safetensors file, or ``pretrained`` (timm downloads)."""
    size_px: int = Field(default=224, ge=8)
    dtype: Dtype = "float32"
    """What the network computes in; weights stay float32."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"
    """A torch device; auto takes the GPU if there is one."""

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def missing(self) -> Iterable[str]:
        return () if self.weights in (LITE0, "pretrained") else missing_by(self._file)

    @override
    def fingerprint(self) -> str:
        """Hash of settings, weights and the version of timm."""
        settings = self.model_dump(exclude={"device", "weights"})
        return fingerprint({"kind": self.plugin_kind, **settings, "weights": self._weights_mark()})

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the model."""
        import torch

        device = torch_device(self.device)
        model = self._load().eval().to(device, memory_format=torch.channels_last)
        self._check_size(model)
        mean, std = _statistics(model)

        def forward(pixels: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = model(pixels.contiguous(memory_format=torch.channels_last))
            return features

        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            pixels = np.stack([self._pixels(image, mean, std) for image in images])
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            return in_fixed_batches(forward, to_device(batch, device), self.dtype)

        return encode

    def _check_size(self, model: Any) -> None:
        """Refuse a size that the model cannot read: a vision transformer has positions for one.

        Raises:
            RecipeError: ``size_px`` is another one.
        """
        fixed = getattr(getattr(model, "patch_embed", None), "img_size", None)
        strict = getattr(getattr(model, "patch_embed", None), "strict_img_size", False)
        if strict and fixed and tuple(fixed) != (self.size_px, self.size_px):
            raise RecipeError(
                f"image encoder: timm's {self.model!r} reads pictures of {fixed[0]} px; set size_px = {fixed[0]}"
            )

    def _pixels(self, image: Image.Image, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Shorter side to ``size_px``, centre crop, normalise: (H, W, 3) float32."""
        scale = self.size_px / min(image.size)
        width, height = (max(self.size_px, round(side * scale)) for side in image.size)
        left, top = (width - self.size_px) // 2, (height - self.size_px) // 2
        box = (left / scale, top / scale, (left + self.size_px) / scale, (top + self.size_px) / scale)
        box = (box[0], box[1], min(box[2], image.width), min(box[3], image.height))
        cut = image.convert("RGB").resize((self.size_px, self.size_px), Image.Resampling.BICUBIC, box=box)
        pixels: np.ndarray = (np.asarray(cut, np.float32) / 255 - mean) / std
        return pixels

    def _load(self) -> Any:
        timm = _timm()
        if self.weights == LITE0:
            from spn4cir_core.models.lite0 import load_lite0

            if self.model != "tf_efficientnet_lite0":
                raise RecipeError(f"weights {LITE0!r} fit the model 'tf_efficientnet_lite0', not {self.model!r}")
            model: Any = load_lite0()
            model.reset_classifier(0)
            return model
        if self.model not in timm.list_models() and self.model not in timm.list_pretrained():
            raise RecipeError(f"timm has no model {self.model!r}; timm.list_models() names them")
        if self.weights == "pretrained":
            return timm.create_model(self.model, pretrained=True, num_classes=0)
        return self._from_file(timm)

    def _from_file(self, timm: Any) -> Any:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            state = load_file(str(self._file()))
            model = timm.create_model(self.model, pretrained=False, num_classes=0)
            wanted = model.state_dict().keys()
            model.load_state_dict({name: value for name, value in state.items() if name in wanted})
        except (SafetensorError, RuntimeError) as error:
            raise InputError(f"{self.weights} does not hold the weights of timm's {self.model!r}: {error}") from error
        return model

    def _file(self) -> Path:
        path = Path(self.weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"no weights at {self.weights!r}: give the path of a safetensors file, {LITE0!r} or 'pretrained'"
            )
        return path

    def _weights_mark(self) -> dict[str, str]:
        if self.weights in (LITE0, "pretrained"):
            return {"weights": self.weights, "timm": str(_timm().__version__)}
        return {"sha256": weights_sha256(self._file())}


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtra("timm", "offline") from error
    return timm


def _statistics(model: Any) -> tuple[np.ndarray, np.ndarray]:
    config = model.pretrained_cfg
    return np.asarray(config["mean"], np.float32), np.asarray(config["std"], np.float32)
