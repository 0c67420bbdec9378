"""Ranker: images and texts in the common space of an open_clip model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.embeddings.open_clip_encoder import OpenClipEncoder
from spn4cir_core.models.fixed_batches import Dtype, in_fixed_batches, torch_device
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, OmitFromFingerprint, fingerprint
from spn4cir_core.triplets.cached_vectors import CachedVectors, Encode
from spn4cir_core.triplets.ranker import Ranker
from spn4cir_core.triplets.triplet import Picture


class OpenClipRanker(Ranker):
    """Sees the pictures themselves, so that captions' mistakes show."""

    plugin_kind: ClassVar[str] = "open_clip"
    model: str = Field(default="ViT-B-32", min_length=1)
    """A name that open_clip knows, a folder with ``open_clip_config.json`` and weights, or ``hf-hub:owner/name``."""
    pretrained: str = ""
    """For a known name: a tag (open_clip downloads) or the path of a weight file."""
    weights_of: Annotated[str, OmitDefaultFromFingerprint()] = ""
    """For a weight file: the tag whose weights it holds, see :class:`OpenClipEncoder`."""
    dtype: Dtype = "float32"
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def fingerprint(self) -> str:
        return fingerprint({"max_candidates": self.max_candidates, "encoder": self._encoder().fingerprint()})

    @override
    def images(self, pictures: list[Picture], cache: CachedVectors) -> np.ndarray:
        encoder = self._encoder()
        return cache.of_pictures(encoder.fingerprint(), pictures, encoder.start)

    @override
    def texts(self, texts: list[str], cache: CachedVectors) -> np.ndarray:
        return cache.of_texts(self._encoder().fingerprint(), texts, self._start_texts)

    def _encoder(self) -> OpenClipEncoder:
        return OpenClipEncoder(
            model=self.model,
            pretrained=self.pretrained,
            weights_of=self.weights_of,
            dtype=self.dtype,
            device=self.device,
        )

    def _start_texts(self) -> Encode:
        model, tokenize = self._encoder().load_text_side()
        device = torch_device(self.device)
        model.eval().to(device)
        forward: Callable[[Any], Any] = model.encode_text

        def encode(texts: Sequence[str]) -> np.ndarray:
            return in_fixed_batches(forward, tokenize(list(texts)).to(device), self.dtype)

        return encode
