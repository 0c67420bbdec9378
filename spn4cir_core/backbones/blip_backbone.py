"""What the backbones on BLIP and BLIP-2 have in common: where the model is, and what of it decides what."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

from typing_extensions import override

from spn4cir_core.backbones.base import Backbone, Pixels
from spn4cir_core.backbones.blip_model import BlipModel, open_model
from spn4cir_core.models.fixed_batches import Dtype
from spn4cir_core.models.model_source import find_model
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, fingerprint


class BlipBackbone(Backbone):
    """A model of transformers that reads target-padded pictures and BERT's tokens."""

    model: str
    """A folder as ``save_pretrained`` leaves it, or a hub id."""
    revision: str = "main"
    """Of a hub id. Pin a commit: what ``main`` names may change unseen."""
    image_px: int
    max_tokens: int
    """Longer texts are cut."""
    vision_dtype: Dtype = "float32"
    """Number format of the frozen tower."""
    pixels: Annotated[Pixels, OmitDefaultFromFingerprint()] = "managed"
    """How pictures are opened; ``published`` where a benchmark's figures are to be reproduced."""

    @property
    @override
    def reads_stored_pixels(self) -> bool:
        return self.pixels == "published"

    @override
    def fingerprint(self) -> str:
        weights = find_model(self.model, self.revision).fingerprint
        return fingerprint({"settings": self.restoring_fingerprint(), "weights": weights})

    @abstractmethod
    def bare_parts(self) -> tuple[Any, str]:
        """The config of a network that a published file is put into, and its vocabulary.

        Raises:
            InputError: the model's config or tokenizer is not there, or is of another kind.
        """

    @override
    def bare_fingerprint(self) -> str:
        config, vocabulary = self.bare_parts()
        return fingerprint(
            {"settings": self.restoring_fingerprint(), "config": config.to_dict(), "vocabulary": vocabulary}
        )

    def _stored(self) -> dict[str, str]:
        """What the way of opening pictures adds to a fingerprint."""
        return {"pixels": self.pixels} if self.reads_stored_pixels else {}

    def _bare_model(self) -> BlipModel:
        return open_model(self.model, self.revision, weights=False)

    @override
    def restoring_fingerprint(self) -> str:
        """Hash of the settings without the model: checkpoints hold all weights, the config and the vocabulary."""
        return fingerprint(
            {"kind": self.plugin_kind, **self.model_dump(exclude={"model", "revision", "pixels"}), **self._stored()}
        )

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"kind": "target_padded", "image_px": self.image_px, **self._stored()})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """BERT's tokenizer and this backbone's limit."""
        return "bert", self.max_tokens
