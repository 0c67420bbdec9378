"""The network of BLIP4CIR. B images or texts, P visual tokens of width W, L text tokens, D dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.blip.modeling_blip import BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs, Network
from spn4cir_core.backbones.blip_layers import checkpoint_layers
from spn4cir_core.backbones.blip_tokens import BertTokens
from spn4cir_core.backbones.blip_vision import cast_vision_after_load, empty_vision, visual_tokens
from spn4cir_core.backbones.pixels import target_padded_squares

if TYPE_CHECKING:
    from spn4cir_core.models.fixed_batches import Dtype

ENC = "[ENC]"


class Blip4CirNetwork(nn.Module, Network):
    """A query is the text encoder's first token, having cross-attended to the reference's visual tokens.

    Tensors are named as in transformers' ``BlipForImageTextRetrieval``. Query and target share the vision tower
    alone, which stays as it is, so stage 2 needs no copies.
    """

    def __init__(
        self, config: Any, vocabulary: str, *, image_px: int, max_tokens: int, dropout: float, vision_dtype: Dtype
    ) -> None:
        super().__init__()
        text = config.text_config
        text.hidden_dropout_prob = text.attention_probs_dropout_prob = dropout
        self.config, self.image_px = config, image_px
        self.dim = config.image_text_hidden_size
        self.words = BertTokens(vocabulary, min(max_tokens, text.max_position_embeddings), text.vocab_size)
        self.enc = self.words.id_of(ENC)
        self.vision_model = empty_vision(BlipVisionModel, config.vision_config, vision_dtype)
        self.vision_proj = nn.Linear(config.vision_config.hidden_size, self.dim)
        text_model: Any = BlipTextModel  # some releases of transformers type its arguments, some do not
        self.text_encoder: Any = text_model(text, add_pooling_layer=False)
        self.text_proj = nn.Linear(text.hidden_size, self.dim)
        cast_vision_after_load(self, vision_dtype)

    @override
    def state(self) -> dict[str, Any]:
        return {"config": self.config.to_dict(), "vocabulary": self.words.vocabulary}

    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, px, px) uint8, padded by TargetPad."""
        return target_padded_squares(images, self.image_px)

    @override
    def exported_inputs(self) -> ExportedInputs:
        text = {"tokenizer": "bert", "limit": self.words.limit}
        return ExportedInputs({"fit": "target_pad", "px": self.image_px}, text, self.words.vocabulary)

    def image_features(self, images: Tensor) -> Tensor:
        """(B, P, W) visual tokens, the class token first; neither stage changes them."""
        return images if images.is_floating_point() else visual_tokens(self.vision_model, images)

    @property
    @override
    def keeps_features_in_stage1(self) -> bool:
        """The vision tower is frozen from the start."""
        return True

    @override
    def checkpoint_activations(self) -> None:
        """Only the text encoder stores activations: the vision tower takes no gradient."""
        checkpoint_layers(self.text_encoder)

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self.words.ids(texts)

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self.words.counts(texts)

    @property
    @override
    def token_limit(self) -> int:
        return self.words.limit

    def encode_target(self, images: Tensor) -> Tensor:
        """(B, D): the projected class token."""
        class_BW = self.image_features(images)[:, 0].to(self.vision_proj.weight.dtype)
        return functional.normalize(self.vision_proj(class_BW), dim=-1)

    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(B, D). An image alone is encoded as a target; a text alone as BLIP does, which then attends to no image."""
        if tokens is None:
            if images is None:
                raise ValueError("a query needs images, texts, or both")
            return self.encode_target(images)
        mask_BL = self.words.mask(tokens)
        if images is None:
            seen = self.text_encoder(input_ids=tokens, attention_mask=mask_BL)
        else:
            tokens = tokens.clone()
            tokens[:, 0] = self.enc
            visual_BPW = self.image_features(images).to(self.text_proj.weight.dtype)
            seen = self.text_encoder(input_ids=tokens, attention_mask=mask_BL, encoder_hidden_states=visual_BPW)
        return functional.normalize(self.text_proj(seen.last_hidden_state[:, 0]), dim=-1)

    def frozen_in_stage1(self) -> Sequence[nn.Module | nn.Parameter]:
        """Tower and projection of the targets, as published."""
        return self.frozen_in_stage2()

    @override
    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        return [self.vision_model, self.vision_proj]
