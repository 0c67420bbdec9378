"""BLIP4CIR: BLIP whose text encoder cross-attends to the reference image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.blip_backbone import BlipBackbone
from spn4cir_core.backbones.blip_model import BlipModel, open_model

if TYPE_CHECKING:
    from spn4cir_core.backbones.blip4cir.network import Blip4CirNetwork

ADDED_TOKENS = ("[DEC]", "[ENC]")
"""BLIP's own, in this order behind BERT's vocabulary; the second replaces a query's first token."""
NOT_NEEDED = ("itm_head.",)
VISION_EPSILON = 1e-6
"""Of the layer norms of the original's vision tower; the hub's configuration of the same weights says 1e-5."""


class Blip4Cir(BlipBackbone):
    """BLIP's vision tower for targets; its text encoder, attending to the reference's visual tokens, for queries.

    The filtering stage of Candidate Set Re-ranking (Liu et al. 2023), which SPN4CIR calls BLIP4CIR. Vision tower and
    target projection are frozen in both stages; text encoder, text projection and temperature are trained.
    """

    plugin_kind: ClassVar[str] = "blip4cir"

    model: str = Field(default="Salesforce/blip-itm-base-coco", min_length=1)
    """A folder as ``save_pretrained`` leaves it, or a hub id, of a ``BlipForImageTextRetrieval``."""
    image_px: int = Field(default=384, ge=16, le=1024)
    max_tokens: int = Field(default=512, ge=4, le=512)
    """Longer texts are cut; the published code cuts nothing, BERT's limit is 512."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """In the text encoder. The published stage 2 has none."""

    @override
    def build(self, texts: Sequence[str], seed: int) -> Blip4CirNetwork:
        """The network with the model's starting weights.

        Raises:
            InputError: the model is not there, or is of another kind.
        """
        from spn4cir_core.models.weight_files import load_strictly

        model = open_model(self.model, self.revision, weights=True)
        network = self._shaped(model.config("blip"), self._vocabulary(model), seed)
        tensors = {
            name: tensor.float()
            for name, tensor in model.tensors().items()
            if not name.startswith(NOT_NEEDED) and not name.endswith(".position_ids")
        }
        load_strictly(network, tensors, "a BlipForImageTextRetrieval", model.folder)
        return network

    @override
    def build_bare(self, texts: Sequence[str], seed: int) -> Blip4CirNetwork:
        """Read the model's config and tokenizer, and not its weights."""
        return self._shaped(*self.bare_parts(), seed)

    @override
    def bare_parts(self) -> tuple[Any, str]:
        """The model's own, but for the tower's epsilon: published files were trained with the original's."""
        model = self._bare_model()
        config = model.config("blip")
        config.vision_config.layer_norm_eps = VISION_EPSILON
        return config, self._vocabulary(model)

    @override
    def restore(self, state: dict[str, Any]) -> Blip4CirNetwork:
        from transformers import BlipConfig

        return self._shaped(BlipConfig(**state["config"]), state["vocabulary"], 0)

    def _vocabulary(self, model: BlipModel) -> str:
        return model.vocabulary(*ADDED_TOKENS)

    def _shaped(self, config: Any, vocabulary: str, seed: int) -> Blip4CirNetwork:
        import torch

        from spn4cir_core.backbones.blip4cir.network import Blip4CirNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Blip4CirNetwork(
                config,
                vocabulary,
                image_px=self.image_px,
                max_tokens=self.max_tokens,
                dropout=self.dropout,
                vision_dtype=self.vision_dtype,
            ).eval()
