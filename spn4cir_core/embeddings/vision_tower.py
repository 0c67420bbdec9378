"""Image encoder: the vision model of a transformers folder (a LLaVA's tower, CLIP, DINOv2, ViT …)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.errors import InputError
from spn4cir_core.models.fixed_batches import Dtype, in_fixed_batches, to_device, torch_device
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.store.fingerprints import OmitFromFingerprint, files_fingerprint, fingerprint

if TYPE_CHECKING:
    import torch

SHAPES = "builtin:shapes"
DECIDING = {".safetensors", ".json"}
"""Suffixes of the files of a model folder that decide a vector."""


class VisionTower(ImageEncoder):
    """Hidden states of a vision transformer, pooled."""

    plugin_kind = "vision_tower"

    model: str = SHAPES
    """A local transformers folder, a hub id, or ``builtin:shapes`` (the tower of the LLaVA that comes along)."""
    revision: str | None = None
    """Commit of a hub id; without one the fingerprint knows the id alone."""
    pooling: Literal["cls", "mean", "flatten"] = "mean"
    """The class token; the mean of the patch tokens; or all patch tokens side by side, which keeps positions. A
    network without tokens (ConvNeXt, Swin, ResNet) has the places of its feature map as patches."""
    layer: int | Literal["output"] = -1
    """Which hidden state: -1 the last, -2 the one LLaVA reads; or ``output``, which has gone through the last
    normalisation too: with ``pooling = "cls"`` it is the feature that DINOv2 is published with."""
    dtype: Dtype = "float32"
    """What the tower computes in; weights stay float32."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"
    """A torch device; auto takes the GPU if there is one."""

    @override
    def missing(self) -> Iterable[str]:
        return missing_by(self._folder)

    @override
    def fingerprint(self) -> str:
        """Hash of settings and of every file of the folder."""
        folder = self._folder()
        files = (
            _checksum(folder, tuple((path, path.stat().st_mtime_ns) for path in _deciding(folder))) if folder else ""
        )
        settings = self.model_dump(exclude={"device", "model"} if folder else {"device"})
        return fingerprint({"kind": self.plugin_kind, **settings, "files": files})

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the tower and its processor."""
        import torch
        from transformers import AutoImageProcessor, AutoModel
        from transformers.utils import logging as transformers_logging

        logging: Any = transformers_logging

        source, options = self._source()
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # else it reports that a LLaVA's language head is left unused
        try:
            with without_loading_bar():
                model = AutoModel.from_pretrained(source, dtype=torch.float32, **options)
            processors: Any = AutoImageProcessor
            processor = processors.from_pretrained(source, **options)
        except (OSError, ValueError) as error:
            raise InputError(f"image encoder: cannot load {self.model!r}: {error}") from error
        finally:
            logging.set_verbosity(level)
        device = torch_device(self.device)
        tower = _vision_part(model).eval().to(device)

        def forward(pixels: torch.Tensor) -> torch.Tensor:
            pooled: torch.Tensor = _pool(*self._tokens(tower, pixels), self.pooling)
            return pooled

        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            pixels = processor(images=list(images), return_tensors="pt")["pixel_values"]
            if pixels.ndim != 4 or len(pixels) != len(images):
                raise InputError(
                    f"image encoder: the processor of {self.model!r} cuts images into tiles; use its tower"
                )
            return in_fixed_batches(forward, to_device(pixels, device), self.dtype)

        return encode

    def _tokens(self, tower: Any, pixels_BCHW: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Tokens (B, T, D) of the layer, and how many of them (class, registers) stand before the patches.

        Raises:
            InputError: the model is no vision model, or has no such layer.
        """
        try:
            output = tower(pixel_values=pixels_BCHW, output_hidden_states=True)
            states = output.get("reshaped_hidden_states") or output.hidden_states  # Swin's, as feature maps
            last = states[-1]
            state = output.last_hidden_state if self.layer == "output" else states[self.layer]
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(
                f"image encoder: {self.model!r} ({type(tower).__name__}) gives no hidden state {self.layer!r} of a "
                f"picture: {error}. Choose another layer, or the encoder kind open_clip or timm"
            ) from error
        if state.ndim == 4:
            return state.flatten(2).transpose(1, 2), 0
        leading = state.shape[1] - (last.shape[2] * last.shape[3] if last.ndim == 4 else _patches(tower, pixels_BCHW))
        if leading < 0:
            raise InputError(
                f"image encoder: {self.model!r} ({type(tower).__name__}) has fewer tokens than its pictures have "
                "patches, so they cannot be told apart; use the encoder kind timm"
            )
        return state, leading

    def _folder(self) -> Path | None:
        """The local folder, or None for a hub id.

        Raises:
            InputError: it is a path, and no model lies there.
        """
        if self.model == SHAPES:
            folder = Path(str(resources.files("spn4cir_core"))) / "captions" / "shapes_llava"
        else:
            folder = Path(self.model).expanduser()
            if not folder.is_dir() and not folder.is_absolute() and self.model.count("/") <= 1 and self.model[0] != ".":
                return None
        if not (folder / "config.json").is_file():
            raise InputError(f"image encoder: no transformers model at {folder} (config.json is missing there)")
        return folder.resolve()

    def _source(self) -> tuple[str, dict[str, Any]]:
        folder = self._folder()
        if folder is not None:
            return str(folder), {"local_files_only": True}
        offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
        return self.model, {"revision": self.revision, "local_files_only": offline}


def _deciding(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in DECIDING and path.is_file())


@lru_cache(maxsize=16)
def _checksum(folder: Path, stamped: tuple[tuple[Path, int], ...]) -> str:
    """Hash of the files' bytes, once per process while their times stay: a 7B model has 14 GB."""
    return files_fingerprint([path for path, _ in stamped], folder)


def _vision_part(model: Any) -> Any:
    """The vision model inside a LLaVA or a CLIP; a vision model is its own."""
    for holder in (model, getattr(model, "model", None)):
        for name in ("vision_tower", "vision_model"):
            part = getattr(holder, name, None)
            if part is not None:
                return part
    return model


def _patches(tower: Any, pixels_BCHW: torch.Tensor) -> int:
    """How many patches a vision transformer cuts a picture into."""
    patch = getattr(tower.config, "patch_size", None)
    if patch is None:
        raise InputError(f"image encoder: {type(tower).__name__} names no patch size; use the encoder kind timm")
    tall, wide = (patch, patch) if isinstance(patch, int) else patch
    return int((pixels_BCHW.shape[2] // tall) * (pixels_BCHW.shape[3] // wide))


def _pool(hidden_BTD: Any, leading: int, pooling: str) -> Any:
    if pooling == "cls":
        if not leading:
            raise InputError("image encoder: this vision model has no class token; set pooling to 'mean' or 'flatten'")
        return hidden_BTD[:, 0]
    patches = hidden_BTD[:, leading:]
    return patches.mean(1) if pooling == "mean" else patches.flatten(1)
