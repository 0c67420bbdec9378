"""Backbone that starts as frozen picture similarity and learns what a text changes; for photographs, offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.base import Backbone
from spn4cir_core.models.lite0 import weights_file
from spn4cir_core.models.sentence_encoder import minilm_folder
from spn4cir_core.store.fingerprints import file_sha256, fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network
    from spn4cir_core.backbones.residual.network import ResidualNetwork


class Residual(Backbone):
    """Features of four levels of a frozen EfficientNet-Lite0, a frozen MiniLM, and a residual composer.

    Helps on concepts that training has not seen: whatever the text does not name stays as the frozen features have it.
    Both trunks come with Python packages (extra ``offline``). A picture passes its trunk once and is kept as 5,528
    float16 features, 11 kB.
    """

    plugin_kind: ClassVar[str] = "residual"
    image_px: int = Field(default=224, ge=64, le=512)
    level_dims: int = Field(default=256, ge=8, le=1008)
    """Principal components that are kept of each level; the embedding has four times as many dimensions."""
    hidden: int = Field(default=512, ge=8)
    rank: int = Field(default=64, ge=1)
    """Directions of the image vector that a text can scale."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def fingerprint(self) -> str:
        weights = [file_sha256(weights_file()), file_sha256(minilm_folder() / "model.safetensors")]
        return fingerprint({"settings": self, "weights": weights})

    @override
    def inputs_fingerprint(self) -> str:
        return fingerprint({"kind": "lite0 levels", "image_px": self.image_px, "weights": file_sha256(weights_file())})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        return "bert", 128

    @override
    def build(self, texts: Sequence[str], seed: int) -> Network:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network([self.level_dims] * 4)

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        network = self._network(state["level_dims"])
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _network(self, level_dims: Sequence[int]) -> ResidualNetwork:
        from spn4cir_core.backbones.residual.network import ResidualNetwork

        return ResidualNetwork(
            level_dims=level_dims, hidden=self.hidden, rank=self.rank, dropout=self.dropout, image_px=self.image_px
        )
