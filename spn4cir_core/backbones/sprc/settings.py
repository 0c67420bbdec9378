"""SPRC: BLIP-2's Q-Former, which turns reference and text into prompts, and reads those with the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.blip_backbone import BlipBackbone
from spn4cir_core.errors import InputError
from spn4cir_core.models.fixed_batches import Dtype

if TYPE_CHECKING:
    from torch import Tensor

    from spn4cir_core.backbones.base import Network
    from spn4cir_core.backbones.sprc.network import SprcNetwork

NAME_STARTS = (
    ("vision_model.post_layernorm.", "ln_vision."),
    ("embeddings.", "former.embeddings."),
    ("qformer.", "former.qformer."),
    ("text_projection.", "former.text_projection."),
)
"""Starts of the names of tensors in a ``Blip2ForImageTextRetrieval``, and in our network where they differ."""


class Sprc(BlipBackbone):
    """BLIP-2's Q-Former read twice (Sentence-level Prompts for CIR, Bai et al. 2024); a target has 32 vectors.

    The vision tower is frozen in both stages; stage 2 trains the second reading alone, on its own Q-Former.
    """

    plugin_kind: ClassVar[str] = "sprc"
    model_type: ClassVar[str] = "blip-2"
    model_class: ClassVar[str] = "Blip2ForImageTextRetrieval"
    added_tokens: ClassVar[tuple[str, ...]] = ("[DEC]",)

    model: str = Field(default="Salesforce/blip2-itm-vit-g", min_length=1)
    """A folder as ``save_pretrained`` leaves it, or a hub id, of a ``Blip2ForImageTextRetrieval``."""
    image_px: int = Field(default=224, ge=16, le=1024)
    max_tokens: int = Field(default=32, ge=4, le=512)
    """Longer texts are cut; texts of more than 50 words are cut before that, as published."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the trained layers of the Q-Former."""
    vision_dtype: Dtype = "float32"
    """Number format of the frozen tower; published: float16."""

    @override
    def restore(self, state: dict[str, Any]) -> Network:
        from transformers import Blip2Config

        network = self._drawn(Blip2Config(**state["config"]), state["vocabulary"], 0)
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    @override
    def _network(self, config: Any, vocabulary: str) -> SprcNetwork:
        from spn4cir_core.backbones.sprc.network import SprcNetwork

        if not config.qformer_config.use_qformer_text_input:
            raise InputError(
                f"the Q-Former of {self.model!r} reads no texts (use_qformer_text_input is off in its config), as in "
                "captioning models; give a retrieval model such as Salesforce/blip2-itm-vit-g"
            )
        return SprcNetwork(
            config,
            vocabulary,
            image_px=self.image_px,
            max_tokens=self.max_tokens,
            dropout=self.dropout,
            vision_dtype=self.vision_dtype,
        ).eval()

    @override
    def _renamed(self, tensors: dict[str, Tensor], network: Any) -> dict[str, Tensor]:
        """No BLIP-2 has prompt tokens: they stay as the seed drew them."""
        renamed = {_name_in_network(name): tensor for name, tensor in tensors.items()}
        return {**renamed, "prompt_tokens": network.prompt_tokens.detach()}


def _name_in_network(name: str) -> str:
    for theirs, ours in NAME_STARTS:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
