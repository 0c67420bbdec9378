"""Base class of the settings of ``heads`` and ``residual``, whose frozen trunks come with Python packages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from typing_extensions import override

from spn4cir_core.backbones.base import Backbone
from spn4cir_core.models.lite0 import weights_file
from spn4cir_core.models.minilm import minilm_folder
from spn4cir_core.models.precision import Precision, precision_of
from spn4cir_core.models.weight_files import weights_sha256
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network


class FrozenBackbone(Backbone):
    """Pictures pass an EfficientNet-Lite0, texts a MiniLM; no stage trains either."""

    image_px: int
    precision: Annotated[Precision, OmitFromFingerprint()] = "auto"
    """What the frozen text encoder computes in, and the image network of ``residual``."""

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",)

    @override
    def fingerprint(self) -> str:
        """Hash of settings, weights, and what the frozen trunks compute in on this machine.

        Raises:
            MissingExtra: a weight package is not installed.
        """
        return fingerprint({"weights": self.restoring_fingerprint(), "precision": precision_of(self.precision)})

    @override
    def restoring_fingerprint(self) -> str:
        """Without the precision: a checkpoint answers on other machines too, its trunks to a cosine of 0.999."""
        weights = [weights_sha256(path) for path in (weights_file(), minilm_folder() / "model.safetensors")]
        return fingerprint({"settings": self, "weights": weights})

    @override
    def text_tokenizer(self) -> tuple[str, int]:
        """MiniLM reads BERT's tokens."""
        return "bert", 128

    @override
    def build(self, texts: Sequence[str], seed: int) -> Network:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network({})

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        network = self._network(state)
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    @abstractmethod
    def _network(self, state: Mapping[str, Any]) -> Network:
        """A network shaped as the one whose state this is; as the settings say where it is empty."""
