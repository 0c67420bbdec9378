"""SPRC: BLIP-2's Q-Former, which turns reference and text into prompts, and reads those with the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field
from typing_extensions import override

from spn4cir_core.backbones.blip_backbone import BlipBackbone
from spn4cir_core.backbones.blip_model import open_model
from spn4cir_core.errors import InputError
from spn4cir_core.models.fixed_batches import Dtype

if TYPE_CHECKING:
    from spn4cir_core.backbones.sprc.network import SprcNetwork

ADDED_TOKEN = "[DEC]"
NOT_NEEDED = ("itm_head.",)
PLACES = (
    ("vision_model.post_layernorm.", "ln_vision."),
    ("embeddings.", "former.embeddings."),
    ("qformer.", "former.qformer."),
    ("text_projection.", "former.text_projection."),
)
"""Where tensors of a ``Blip2ForImageTextRetrieval`` stand in our network, if elsewhere."""


class Sprc(BlipBackbone):
    """BLIP-2's Q-Former read twice (Sentence-level Prompts for CIR, Bai et al. 2024); a target has 32 vectors.

    The vision tower is frozen in both stages; stage 2 trains the second reading alone, on its own Q-Former.
    """

    plugin_kind: ClassVar[str] = "sprc"

    model: str = Field(default="Salesforce/blip2-itm-vit-g", min_length=1)
    """A folder as ``save_pretrained`` leaves it, or a hub id, of a ``Blip2ForImageTextRetrieval``."""
    image_px: int = Field(default=224, ge=16, le=1024)
    max_tokens: int = Field(default=32, ge=4, le=512)
    """Longer texts are cut; texts of more than 50 words are cut before that, as published."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """In what is trained of the Q-Former."""
    vision_dtype: Dtype = "float32"
    """Number format of the frozen tower; published: float16."""

    @override
    def build(self, texts: Sequence[str], seed: int) -> SprcNetwork:
        """The network with the model's weights; prompt tokens, which no BLIP-2 has, are drawn from the seed.

        Raises:
            InputError: the model is not there, or is of another kind.
        """
        from spn4cir_core.models.weight_files import load_strictly

        model = open_model(self.model, self.revision, weights=True)
        network = self._shaped(model.config("blip-2"), model.vocabulary(ADDED_TOKEN), seed)
        tensors = {
            _placed(name): tensor.float()
            for name, tensor in model.tensors().items()
            if not name.startswith(NOT_NEEDED) and not name.endswith(".position_ids")
        }
        tensors["prompt_tokens"] = network.prompt_tokens.detach()
        load_strictly(network, tensors, "a Blip2ForImageTextRetrieval", model.folder)
        return network

    @override
    def build_bare(self, texts: Sequence[str], seed: int) -> SprcNetwork:
        """Read the model's config and tokenizer, and not its weights."""
        return self._shaped(*self.bare_parts(), seed)

    @override
    def bare_parts(self) -> tuple[Any, str]:
        model = self._bare_model()
        return model.config("blip-2"), model.vocabulary(ADDED_TOKEN)

    @override
    def restore(self, state: dict[str, Any]) -> SprcNetwork:
        from transformers import Blip2Config

        network = self._shaped(Blip2Config(**state["config"]), state["vocabulary"], 0)
        if state["query_encoder_is_apart"]:
            network.untie_query_encoder()
        return network

    def _shaped(self, config: Any, vocabulary: str, seed: int) -> SprcNetwork:
        import torch

        from spn4cir_core.backbones.sprc.network import SprcNetwork

        if not config.qformer_config.use_qformer_text_input:
            raise InputError(
                f"the Q-Former of {self.model!r} reads no texts (use_qformer_text_input is off in its config), as in "
                "captioning models; give a retrieval model such as Salesforce/blip2-itm-vit-g"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SprcNetwork(
                config,
                vocabulary,
                image_px=self.image_px,
                max_tokens=self.max_tokens,
                dropout=self.dropout,
                vision_dtype=self.vision_dtype,
            ).eval()


def _placed(name: str) -> str:
    for theirs, ours in PLACES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
