"""BLIP4CIR: BLIP whose text encoder cross-attends to the reference image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.blip_backbone import BlipBackbone

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network
    from spn4cir_core.backbones.blip4cir.network import Blip4CirNetwork


VISION_EPSILON = 1e-6
"""ε of the layer norms of the original's vision tower; the hub's configuration of the same weights has 1e-5."""


class Blip4Cir(BlipBackbone):
    """BLIP's vision tower for targets; its text encoder, attending to the reference's visual tokens, for queries.

    The filtering stage of Candidate Set Re-ranking (Liu et al. 2023), which SPN4CIR calls BLIP4CIR. Vision tower and
    target projection are frozen in both stages; text encoder, text projection and temperature are trained.
    """

    plugin_kind: ClassVar[str] = "blip4cir"
    model_type: ClassVar[str] = "blip"
    model_class: ClassVar[str] = "BlipForImageTextRetrieval"
    added_tokens: ClassVar[tuple[str, ...]] = ("[DEC]", "[ENC]")
    """The second replaces a query's first token."""

    model: str = Field(default="Salesforce/blip-itm-base-coco", min_length=1)
    """A folder as ``save_pretrained`` leaves it, or a hub id, of a ``BlipForImageTextRetrieval``."""
    image_px: int = Field(default=384, ge=16, le=1024)
    max_tokens: int = Field(default=512, ge=4, le=512)
    """Longer texts are cut; the published code cuts nothing, BERT's limit is 512."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the text encoder. The published stage 2 has none."""

    @override
    def bare_parts(self) -> tuple[Any, str]:
        """The model's own, but for the tower's epsilon: published files were trained with the original's."""
        config, vocabulary = super().bare_parts()
        config.vision_config.layer_norm_eps = VISION_EPSILON
        return config, vocabulary

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        from transformers import BlipConfig

        return self._drawn(BlipConfig(**state["config"]), state["vocabulary"], 0)

    @override
    def _network(self, config: Any, vocabulary: str) -> Blip4CirNetwork:
        from spn4cir_core.backbones.blip4cir.network import Blip4CirNetwork

        return Blip4CirNetwork(
            config,
            vocabulary,
            image_px=self.image_px,
            max_tokens=self.max_tokens,
            dropout=self.dropout,
            vision_dtype=self.vision_dtype,
        ).eval()
