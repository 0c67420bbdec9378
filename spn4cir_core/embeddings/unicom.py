"""Image encoder: unicom, the one that the published pairs were mined with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field, field_validator
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.errors import InputError
from spn4cir_core.models.clip_pixels import clip_pixels
from spn4cir_core.models.fixed_batches import Dtype, in_fixed_batches, to_device, torch_device
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.models.weight_files import load_strictly, read_weights, weights_sha256
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint


@dataclass(frozen=True)
class UnicomShape:
    """Sizes of one published network."""

    size_px: int
    patch_px: int
    width: int
    depth: int
    heads: int
    dimensions: int


SHAPES = {
    "ViT-B/32": UnicomShape(size_px=224, patch_px=32, width=768, depth=12, heads=12, dimensions=512),
    "ViT-B/16": UnicomShape(size_px=224, patch_px=16, width=768, depth=12, heads=12, dimensions=768),
    "ViT-L/14": UnicomShape(size_px=224, patch_px=14, width=1024, depth=24, heads=16, dimensions=768),
    "ViT-L/14@336px": UnicomShape(size_px=336, patch_px=14, width=1024, depth=24, heads=16, dimensions=768),
}
RELEASES = "https://github.com/deepglint/unicom/releases"


class Unicom(ImageEncoder):
    """Embeddings of a unicom network from a local copy of its published weights.

    Sizes, names of the tensors and preprocessing are those of the public code, read in November 2026. The weight
    files themselves were not at hand: that they hold these names and no others rests on the public loader,
    which loads them strictly.
    """

    plugin_kind = "unicom"

    model: str = "ViT-L/14"
    """``ViT-B/32``, ``ViT-B/16``, ``ViT-L/14`` or ``ViT-L/14@336px``."""
    weights: str = Field(min_length=1)
    """Path of the published file (``FP16-ViT-L-14.pt``), or of a safetensors file with the same tensors."""
    dtype: Dtype = "float32"
    """What the transformer's blocks compute in; weights stay float32. Published: float16 on a GPU."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"
    """A torch device; auto takes the GPU if there is one."""

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model not in SHAPES:
            raise ValueError(f"unicom has no model {model!r}; it has {', '.join(SHAPES)}")
        return model

    @override
    def missing(self) -> Iterable[str]:
        return missing_by(self._file)

    @override
    def fingerprint(self) -> str:
        """Hash of settings and weights."""
        settings = self.model_dump(exclude={"device", "weights"})
        return fingerprint({"kind": self.plugin_kind, **settings, "sha256": weights_sha256(self._file())})

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the network."""
        import torch

        from spn4cir_core.embeddings.unicom_network import UnicomNetwork

        shape, path, device = SHAPES[self.model], self._file(), torch_device(self.device)
        with torch.device("meta"):
            network = UnicomNetwork(**asdict(shape))
        load_strictly(network, read_weights(path), f"unicom {self.model}", path)
        network.eval().to(device)

        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            return in_fixed_batches(network, to_device(clip_pixels(images, shape.size_px), device), self.dtype)

        return encode

    def _file(self) -> Path:
        path = Path(self.weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"image encoder: no unicom weights at {self.weights!r}; "
                f"download the file of {self.model} from {RELEASES}"
            )
        return path
