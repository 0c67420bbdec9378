"""The built-in backbone: a convolutional image tower and a one-layer text tower, trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS, Backbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.store.fingerprints import fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network


class Small(Backbone):
    """A third of a million parameters, for small generated pictures; needs no weights from anywhere."""

    plugin_kind: ClassVar[str] = "small"

    dim: int = Field(default=128, ge=8)
    image_px: int = Field(default=48, ge=16, le=256)
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()

    @override
    def fingerprint(self) -> str:
        return fingerprint(self)

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"kind": "small", "image_px": self.image_px})

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
            return self._network(vocabulary_of(texts))

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        network = self._network(state["vocabulary"])
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _network(self, vocabulary: Sequence[str]) -> Network:
        from spn4cir_core.backbones.small.network import SmallNetwork

        return SmallNetwork(vocabulary, dim=self.dim, image_px=self.image_px, make_composer=self.composer.network)
