"""Backbone that starts as a frozen multimodal encoder and trains small heads on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS, Backbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.embeddings.base import IMAGE_ENCODERS, ImageEncoder
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.frozen.network import FrozenNetwork


def _reads_texts(encoder: ImageEncoder) -> ImageEncoder:
    if not encoder.reads_texts:
        raise ValueError(
            f"the image encoder {encoder.plugin_kind!r} reads no texts; take sentence_transformers or open_clip"
        )
    return encoder


class Frozen(Backbone):
    """Heads on the vectors of an encoder that reads pictures and texts: CLIP, SigLIP, Qwen3-VL-Embedding.

    Both heads begin as the identity. With the composer ``sum`` an untrained network is the encoder as it is downloaded:
    a target is its vector of the picture, a query the sum of its unit vectors of reference image and text. Pictures and
    texts pass the encoder once; no stage trains it.
    """

    plugin_kind: ClassVar[str] = "frozen"

    encoder: Annotated[ImageEncoder, Choice(IMAGE_ENCODERS), AfterValidator(_reads_texts)]
    """An image encoder's table; mostly the same as that of ``[image_embeddings]``."""
    hidden: int = Field(default=512, ge=8)
    """Width of the heads."""
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()

    @override
    def fingerprint(self) -> str:
        return fingerprint({"settings": self, "weights": self.encoder.fingerprint()})

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"kind": self.plugin_kind, "encoder": self.encoder.fingerprint()})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """Words, up to CLIP's limit: the encoder's own tokenizer is not known before it is loaded."""
        return "words", 77

    @override
    def build(self, texts: Sequence[str], seed: int) -> FrozenNetwork:
        """See the base class; the encoder is loaded to learn how long its vectors are.

        Raises:
            InputError: the encoder cannot be loaded.
        """
        import torch

        from spn4cir_core.backbones.frozen.network import TextSide

        dim = len(TextSide(self.encoder).start()(["a"])[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network(dim)

    @override
    def restore(self, state: dict[str, Any]) -> FrozenNetwork:
        network = self._network(state["dim"])
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _network(self, dim: int) -> FrozenNetwork:
        from spn4cir_core.backbones.frozen.network import FrozenNetwork

        return FrozenNetwork(encoder=self.encoder, dim=dim, hidden=self.hidden, make_composer=self.composer.network)
