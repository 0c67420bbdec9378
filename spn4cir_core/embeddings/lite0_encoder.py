"""Image encoder: EfficientNet-Lite0, in the one pass over the pictures that tags and the residual backbone share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.models.fixed_batches import torch_device
from spn4cir_core.models.lite0_levels import POOLED, Lite0Levels
from spn4cir_core.models.precision import Precision
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint


class Lite0Encoder(ImageEncoder):
    """Pooled features (before the classifier) of the picture's centre square; 1,280 dimensions."""

    plugin_kind: ClassVar[str] = "lite0"

    size_px: int = Field(default=224, ge=64, le=512)
    """Side of the square that the network sees. Stages that ask for the same size share one pass over the pictures."""
    precision: Annotated[Precision, OmitFromFingerprint()] = "auto"
    """What the network computes in; :meth:`fingerprint` holds what it comes to."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def fingerprint(self) -> str:
        levels = Lite0Levels(self.size_px, self.precision).fingerprint()
        return fingerprint({"kind": self.plugin_kind, "levels": levels})

    @property
    @override
    def trunk(self) -> Lite0Levels:
        return Lite0Levels(self.size_px, self.precision, torch_device(self.device))

    @override
    def of_features(self, features_BF: np.ndarray) -> np.ndarray:
        return features_BF[:, :POOLED].astype(np.float32)

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        read = self.trunk.start()
        return lambda images: self.of_features(read(images))
