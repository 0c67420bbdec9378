"""Backbone for real photographs, offline: small trained heads on a frozen EfficientNet-Lite0 and a frozen MiniLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import COMPOSERS, Backbone
from spn4cir_core.backbones.composers import Composer, Sum
from spn4cir_core.engine.plugins import Choice
from spn4cir_core.models.lite0 import weights_file
from spn4cir_core.models.sentence_encoder import minilm_folder
from spn4cir_core.store.fingerprints import file_sha256, fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network


class Heads(Backbone):
    """Both trunks come with Python packages (extra ``offline``); no stage trains them.

    A picture passes its trunk once and is stored as 1,280 features; a text is encoded once per training.
    """

    plugin_kind: ClassVar[str] = "heads"
    dim: int = Field(default=256, ge=8)
    hidden: int = Field(default=512, ge=8)
    image_px: int = Field(default=160, ge=64, le=512)
    composer: Annotated[Composer, Choice(COMPOSERS)] = Sum()

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def fingerprint(self) -> str:
        """Hash of settings and weights.

        Raises:
            MissingExtra: a weight package is not installed.
        """
        weights = [file_sha256(weights_file()), file_sha256(minilm_folder() / "model.safetensors")]
        return fingerprint({"settings": self, "weights": weights})

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"kind": "lite0", "image_px": self.image_px, "weights": file_sha256(weights_file())})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """MiniLM reads BERT's tokens."""
        return "bert", 128

    @override
    def build(self, texts: Sequence[str], seed: int) -> Network:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network()

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        network = self._network()
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _network(self) -> Network:
        from spn4cir_core.backbones.heads.network import HeadsNetwork

        return HeadsNetwork(
            dim=self.dim, hidden=self.hidden, image_px=self.image_px, make_composer=self.composer.network
        )
