"""The built-in backbone: a convolutional image tower and a one-layer text tower, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS, Backbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.errors import InputError
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network


class Small(Backbone):
    """A third of a million parameters, for small generated pictures; needs no weights from anywhere."""

    plugin_kind: ClassVar[str] = "small"

    dim: int = Field(default=128, ge=8)
    image_px: int = Field(default=48, ge=16, le=256)
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()
    encoder: Annotated[Annotated[ImageEncoder, Choice(IMAGE_ENCODERS)] | None, OmitDefaultFromFingerprint()] = None
    """A frozen image encoder that reads the pictures in place of convolutions that are trained."""
    encoder_tokens: Annotated[int, OmitDefaultFromFingerprint()] = Field(default=1, ge=1)
    """Tokens that the encoder's vector is cut into, for composers that look at tokens: its patches, where they lie side
    by side in the vector."""

    @override
    def fingerprint(self) -> str:
        return fingerprint(self if self.encoder is None else {"settings": self, "weights": self.encoder.fingerprint()})

    @override
    def inputs_fingerprint(self) -> str:
        if self.encoder is not None:
            return self.encoder.fingerprint()
        return fingerprint({"kind": "small", "image_px": self.image_px})

    @property
    @override
    def inputs_encoder(self) -> ImageEncoder | None:
        return self.encoder

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """Whole words are the tokens."""
        return "words", 64

    @override
    def build(self, texts: Sequence[str], seed: int) -> Network:
        """A network whose vocabulary is every word of the texts."""
        import torch

        from spn4cir_core.backbones.small.words import vocabulary_of

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network(vocabulary_of(texts), self._features())

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        network = self._network(state["vocabulary"], state.get("image_features", 0))
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _features(self) -> int:
        """Length of the frozen encoder's vectors, 0 without one.

        Raises:
            InputError: it cannot be cut into the tokens.
        """
        if self.encoder is None:
            return 0
        from PIL import Image

        features = self.encoder.start()([Image.new("RGB", (self.image_px, self.image_px))]).shape[1]
        if features % self.encoder_tokens:
            raise InputError(
                f"encoder_tokens = {self.encoder_tokens}: a vector of {features} numbers is not cut evenly"
            )
        return int(features)

    def _network(self, vocabulary: Sequence[str], features: int) -> Network:
        from spn4cir_core.backbones.small.network import FrozenImages, SmallNetwork

        frozen = None
        if self.encoder is not None:
            frozen = FrozenImages(FirstUse(self.encoder.start), features, self.encoder_tokens)
        return SmallNetwork(
            vocabulary, dim=self.dim, image_px=self.image_px, make_composer=self.composer.network, frozen=frozen
        )
