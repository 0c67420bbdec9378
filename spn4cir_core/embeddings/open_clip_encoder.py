"""Image encoder: the image side of any open_clip model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.errors import InputError, RecipeError
from spn4cir_core.models.fixed_batches import Dtype, in_fixed_batches, to_device, torch_device
from spn4cir_core.models.model_source import missing_by
from spn4cir_core.models.open_clip_weights import TrainedWith, trained_with, trained_with_of_file
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint, fingerprint

HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
DECIDING = {".json", ".safetensors", ".bin", ".pth"}
"""Suffixes of the files of a model folder that decide a vector."""
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


class OpenClipEncoder(ImageEncoder):
    """Image embeddings of an open_clip model, before normalisation."""

    plugin_kind = "open_clip"
    reads_texts = True

    model: str = Field(default="ViT-B-32", min_length=1)
    """A name that open_clip knows, a folder with ``open_clip_config.json`` and weights, or ``hf-hub:owner/name``."""
    pretrained: str = ""
    """For a known name: a tag (open_clip downloads) or the path of a weight file. Folder and hub bring their own."""
    weights_of: Annotated[str, OmitDefaultFromFingerprint()] = ""
    """For a weight file: the tag whose weights it holds, or from which they were trained on. Preprocessing and
    activation are that tag's; needed where the model's tags differ in them."""
    dtype: Dtype = "float32"
    """What the network computes in; weights stay float32."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"
    """A torch device; auto takes the GPU if there is one."""

    @override
    def missing(self) -> Iterable[str]:
        return missing_by(self._folder)

    @override
    def fingerprint(self) -> str:
        """Hash of settings, weights and, where open_clip downloads, its version."""
        folder, file = self._folder(), self._file()
        inputs: dict[str, Any] = {"kind": self.plugin_kind, "dtype": self.dtype}
        if folder is not None:
            deciding = sorted(path for path in folder.iterdir() if path.suffix in DECIDING and path.is_file())
            return fingerprint({**inputs, "files": {path.name: weights_sha256(path) for path in deciding}})
        inputs["model"] = self.model
        trained = self._trained_with() or TrainedWith()
        if file is not None and (differing := trained.differing()):
            inputs["trained_with"] = differing
        elif trained.quick_gelu:
            inputs["quick_gelu"] = True  # open_clip itself warns, and uses GELU
        if file is not None:
            return fingerprint({**inputs, "sha256": weights_sha256(file)})
        import open_clip

        return fingerprint({**inputs, "pretrained": self.pretrained, "open_clip": open_clip.__version__})

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the model and its preprocessing."""
        import torch

        model, preprocess = self._load()
        device = torch_device(self.device)
        model.eval().to(device)

        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            pixels = torch.stack([preprocess(image) for image in images])
            return in_fixed_batches(model.encode_image, to_device(pixels, device), self.dtype)

        return encode

    @override
    def start_texts(self) -> Callable[[Sequence[str]], np.ndarray]:
        model, tokenize = self.load_text_side()
        device = torch_device(self.device)
        model.eval().to(device)

        def encode(texts: Sequence[str]) -> np.ndarray:
            return in_fixed_batches(model.encode_text, tokenize(list(texts)).to(device), self.dtype)

        return encode

    def load_text_side(self) -> tuple[Any, Any]:
        """The whole model, and its tokenizer: from texts to (B, P) token ids."""
        import open_clip

        folder = self._folder()
        return self._load()[0], open_clip.get_tokenizer(self.model if folder is None else f"local-dir:{folder}")

    def _load(self) -> tuple[Any, Any]:
        import open_clip

        folder, file = self._folder(), self._file()
        source = self.model if folder is None else f"local-dir:{folder}"
        weights = str(file) if file is not None else self.pretrained or None
        options: dict[str, Any] = {}
        if trained := self._trained_with():
            options = {f"image_{name}": getattr(trained, name) for name in PREPROCESSING}
            options["force_quick_gelu"] = trained.quick_gelu
        try:
            loaded: tuple[Any, Any] = open_clip.create_model_from_pretrained(source, weights, **options)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"image encoder: open_clip cannot load model {self.model!r}, pretrained {self.pretrained!r}: {error}. "
                "Without a network, give a folder or a weight file."
            ) from error
        return loaded

    def _trained_with(self) -> TrainedWith | None:
        """None where folder or hub say it themselves."""
        file = self._file()
        if file is not None:
            return trained_with_of_file(self._name(), file, self.weights_of)
        if self.weights_of:
            raise RecipeError("image encoder: weights_of is for a weight file; a tag, a folder and the hub need none")
        is_tag = self._folder() is None and not self.model.startswith(HUB)
        return trained_with(self._name(), self.pretrained) if is_tag else None

    def _name(self) -> str:
        return self.model.replace("/", "-")

    def _folder(self) -> Path | None:
        """The local folder, or None for a name or a hub id.

        Raises:
            InputError: it looks like a path, and no open_clip model lies there.
            RecipeError: ``pretrained`` is given although the folder or the hub brings the weights.
        """
        path = Path(self.model).expanduser()
        is_hub = self.model.startswith(HUB)
        is_path = not is_hub and (path.is_dir() or path.is_absolute() or self.model.startswith("."))
        if (is_hub or is_path) and self.pretrained:
            raise RecipeError(f"image encoder: {self.model!r} brings its weights; leave out pretrained")
        if not is_path:
            return None
        if not (path / CONFIG).is_file():
            raise InputError(f"image encoder: no open_clip model at {path} ({CONFIG} is missing there)")
        return path.resolve()

    def _file(self) -> Path | None:
        """The weight file of a known name, or None where folder, hub or tag give the weights.

        Raises:
            RecipeError: open_clip does not know the name, or ``pretrained`` is neither a file nor a tag of it.
        """
        if self.model.startswith(HUB) or self._folder() is not None:
            return None
        import open_clip

        if self._name() not in open_clip.list_models():
            raise RecipeError(f"open_clip has no model {self.model!r}; open_clip.list_models() names them")
        path = Path(self.pretrained).expanduser()
        if self.pretrained and path.is_file():
            return path
        tags = open_clip.list_pretrained_tags_by_model(self._name())
        if self.pretrained not in tags:
            raise RecipeError(
                f"image encoder: pretrained {self.pretrained!r} is neither a file nor a tag of {self.model!r}; "
                f"its tags: {', '.join(tags) or 'none'}"
            )
        return None
