"""Base class of the backbones on BLIP and BLIP-2: reading the model, building the network, fingerprints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from typing_extensions import override

from spn4cir_core.backbones.base import Backbone, Pixels
from spn4cir_core.backbones.blip_model import BlipModel, open_model
from spn4cir_core.models.fixed_batches import Dtype
from spn4cir_core.models.model_source import find_model, missing_model
from spn4cir_core.store.fingerprints import OmitDefaultFromFingerprint, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.backbones.base import Network

NOT_NEEDED = ("itm_head.",)
"""Starts of the names of tensors that no retrieval network has."""


class BlipBackbone(Backbone):
    """A model of transformers that reads target-padded pictures and BERT's tokens."""

    model_type: ClassVar[str]
    """``model_type`` in the model's config."""
    model_class: ClassVar[str]
    """Its class in transformers."""
    added_tokens: ClassVar[tuple[str, ...]]
    """BLIP's own special tokens, in this order behind BERT's vocabulary."""

    model: str
    """A folder as ``save_pretrained`` leaves it, or a hub id."""
    revision: str = "main"
    """Revision of a hub id. Pin a commit: ``main`` may change without notice."""
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
    def missing(self) -> Iterable[str]:
        return missing_model(self.model, self.revision)

    @override
    def fingerprint(self) -> str:
        weights = find_model(self.model, self.revision).fingerprint
        return fingerprint({"settings": self.restoring_fingerprint(), "weights": weights})

    def bare_parts(self) -> tuple[Any, str]:
        """The config of a network that a published file is put into, and its vocabulary.

        Raises:
            InputError: the model's config or tokenizer is not there, or is of another kind.
        """
        return self._parts(open_model(self.model, self.revision, weights=False))

    @override
    def bare_fingerprint(self) -> str:
        config, vocabulary = self.bare_parts()
        return fingerprint(
            {"settings": self.restoring_fingerprint(), "config": config.to_dict(), "vocabulary": vocabulary}
        )

    def _stored(self) -> dict[str, str]:
        """What the way of opening pictures adds to a fingerprint."""
        return {"pixels": self.pixels} if self.reads_stored_pixels else {}

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

    @override
    def build(self, texts: Sequence[str], seed: int) -> Network:
        """The network with the model's starting weights; what the model lacks is drawn from the seed.

        Raises:
            InputError: the model is not there, or is of another kind.
        """
        from spn4cir_core.models.weight_files import load_strictly

        model = open_model(self.model, self.revision, weights=True)
        network: Any = self._drawn(*self._parts(model), seed)
        tensors = {
            name: tensor.float()
            for name, tensor in model.tensors().items()
            if not name.startswith(NOT_NEEDED) and not name.endswith(".position_ids")
        }
        load_strictly(network, self._renamed(tensors, network), f"a {self.model_class}", model.folder)
        return cast("Network", network)

    @override
    def build_bare(self, texts: Sequence[str], seed: int) -> Network:
        """Read the model's config and tokenizer, and not its weights."""
        return self._drawn(*self.bare_parts(), seed)

    def _parts(self, model: BlipModel) -> tuple[Any, str]:
        return model.config(self.model_type), model.vocabulary(*self.added_tokens)

    def _drawn(self, config: Any, vocabulary: str, seed: int) -> Network:
        """:meth:`_network` with random weights of the seed; the caller's random numbers stay as they are."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._network(config, vocabulary)

    @abstractmethod
    def _network(self, config: Any, vocabulary: str) -> Network:
        """A network of the settings, in evaluation mode.

        Args:
            config: the model's transformers config.
            vocabulary: its tokenizer as JSON.
        """

    def _renamed(self, tensors: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
        """The model's tensors under the names of the network's, with those that only the network has."""
        return tensors
