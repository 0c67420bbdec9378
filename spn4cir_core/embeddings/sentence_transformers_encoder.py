"""Image encoder: a multimodal model of sentence-transformers, which reads pictures, texts, or both together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.errors import InputError
from spn4cir_core.models.fixed_batches import Dtype
from spn4cir_core.models.model_source import find_model, missing_model
from spn4cir_core.models.sentence_transformers_model import encoded_rows, load_sentence_transformers
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint

QUERY_SETTINGS = {"query_prompt", "together"}
"""What decides the vector of a query, and none of a picture's."""


class SentenceTransformersEncoder(ImageEncoder):
    """Vectors of a model that ``SentenceTransformer(…)`` loads: Qwen3-VL-Embedding, GME, BGE-VL, CLIP, SigLIP."""

    plugin_kind = "sentence_transformers"
    reads_texts = True

    model: str
    """A folder (safetensors), or a hub id ``owner/name``."""
    revision: str = "main"
    """Revision of a hub id. Pin a commit: ``main`` may change without notice."""
    prompt: str = ""
    """Instruction that goes with every picture of the gallery; for models that take one."""
    query_prompt: str = ""
    """Instruction that goes with a composed query."""
    together: bool = False
    """Picture and text of a query go in together, for models that read both in one; not for two towers."""
    dimensions: int | None = Field(default=None, ge=1)
    """Only the first so many numbers of a vector, for models trained for that (Matryoshka)."""
    dtype: Dtype = "float32"
    """What the network computes in; weights stay float32."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def extras(self) -> tuple[str, ...]:
        return ("sentence",)

    @override
    def missing(self) -> Iterable[str]:
        return missing_model(self.model, self.revision)

    @override
    def fingerprint(self) -> str:
        """Hash of the settings that decide a picture's vector, and of every file of the folder."""
        settings = self.model_dump(exclude={"device", "model", "revision", *QUERY_SETTINGS})
        weights = find_model(self.model, self.revision).tree_fingerprint
        return fingerprint({"kind": self.plugin_kind, **settings, "weights": weights})

    @property
    @override
    def composes(self) -> bool:
        return self.together

    @override
    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        """Load the model.

        Raises:
            InputError: it cannot be loaded, reads no pictures, or has fewer dimensions than are to be left.
            MissingExtra: sentence-transformers is not installed.
        """
        model = self.load()
        self._require(model, "image")
        return lambda images: self._encoded(model, list(images), self.prompt)

    @override
    def start_texts(self) -> Callable[[Sequence[str]], np.ndarray]:
        model = self.load()
        self._require(model, "text")
        return lambda texts: self._encoded(model, list(texts), self.query_prompt)

    @override
    def start_composed(self) -> Callable[[Sequence[tuple[Image.Image, str]]], np.ndarray]:
        """Load the model.

        Raises:
            InputError: as :meth:`start`, or the model does not read a picture and a text in one.
        """
        model = self.load()
        if not model.supports(("image", "text")):
            raise InputError(
                f"image encoder: {self.model} reads a picture or a text, not both in one; leave out together = true: "
                "the channel 'frozen_composed' then adds the two vectors"
            )
        return lambda queries: self._encoded(
            model, [{"image": picture, "text": text} for picture, text in queries], self.query_prompt
        )

    def _encoded(self, model: Any, inputs: Sequence[Any], prompt: str) -> np.ndarray:
        return encoded_rows(model, inputs, prompt, self.device, self.dtype)

    def _require(self, model: Any, modality: str) -> None:
        if not model.supports(modality):
            raise InputError(
                f"image encoder: {self.model} reads {', '.join(map(str, model.modalities))}, and no {modality}; "
                "take a multimodal embedding model"
            )

    def exported_settings(self) -> dict[str, Any]:
        """What a loader outside this package needs beside the model's folder to come to the same vectors."""
        return {name: getattr(self, name) for name in ("prompt", "query_prompt", "dimensions", "together")}

    def load(self) -> Any:
        """The model itself, in eval mode.

        Raises:
            InputError: it cannot be loaded.
            MissingExtra: sentence-transformers is not installed.
        """
        source = find_model(self.model, self.revision)
        return load_sentence_transformers(
            "SentenceTransformer", "image encoder", source, self.device, truncate_dim=self.dimensions
        )
