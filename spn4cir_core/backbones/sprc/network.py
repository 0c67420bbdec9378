"""The network of SPRC. B images or texts, P visual tokens, W wide, T = 32 query tokens of width H, D dimensions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel, Blip2TextEmbeddings, Blip2VisionModel
from typing_extensions import override

from spn4cir_core.backbones.base import ExportedInputs, Network
from spn4cir_core.backbones.blip_layers import checkpoint_layers
from spn4cir_core.backbones.blip_tokens import BertTokens, without_punctuation
from spn4cir_core.backbones.blip_vision import cast_vision_after_load, empty_vision, visual_tokens
from spn4cir_core.backbones.pixels import target_padded_squares

if TYPE_CHECKING:
    from spn4cir_core.models.fixed_batches import Dtype

PROMPT_OUTPUTS = frozenset({"prompt_text_queries", "prompt_distances"})
WORDS_KEPT = 50
UNUSED_BY_READING = ("crossattention", "intermediate_query", "output_query")
"""Parts of a Q-Former that do nothing where there is no image."""


class QFormer(nn.Module):
    """Text embeddings, Q-Former and text projection: all that makes a query of prompts and text."""

    def __init__(self, config: Any, dim: int) -> None:
        super().__init__()
        self.embeddings: nn.Module = Blip2TextEmbeddings(config)  # type: ignore[no-untyped-call]
        self.qformer: Any = Blip2QFormerModel(config)
        self.text_projection = nn.Linear(config.hidden_size, dim)

    def see(self, queries_BTH: Tensor, visual_BPW: Tensor) -> Tensor:
        """(B, T, H): query tokens that have looked at an image."""
        seen: Tensor = self.qformer(query_embeds=queries_BTH, encoder_hidden_states=visual_BPW).last_hidden_state
        return seen

    def fuse(self, queries_BTH: Tensor, tokens_BL: Tensor, mask_BL: Tensor, visual_BPW: Tensor) -> Tensor:
        """(B, T, H): query tokens that have looked at an image beside a text, SPRC's sentence-level prompt."""
        count = queries_BTH.shape[1]
        fused: Tensor = self.qformer(
            query_embeds=self.embeddings(input_ids=tokens_BL, query_embeds=queries_BTH),
            query_length=count,
            attention_mask=_with_prompts(mask_BL, count),
            encoder_hidden_states=visual_BPW,
        ).last_hidden_state[:, :count]
        return fused

    def read(self, prompts_BTH: Tensor, tokens_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D) unit vectors: the text's first token, having read prompts and text without an image."""
        count = prompts_BTH.shape[1]
        embedded = self.embeddings(input_ids=tokens_BL, query_embeds=prompts_BTH)
        return self._first(embedded, _with_prompts(mask_BL, count), count)

    def read_within(self, prompts_BTH: Tensor, tokens_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D) unit vectors as :meth:`read`, the prompts standing behind the text's first token."""
        text = self.embeddings(input_ids=tokens_BL)
        embedded = torch.cat([text[:, :1], prompts_BTH, text[:, 1:]], dim=1)
        return self._first(embedded, _with_prompts(mask_BL, prompts_BTH.shape[1]), 0)

    def text(self, tokens_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """(B, D) unit vectors of texts alone, as BLIP-2 compares them with images."""
        return self._first(self.embeddings(input_ids=tokens_BL), mask_BL, 0)

    def _first(self, embedded: Tensor, mask: Tensor, position: int) -> Tensor:
        # With a query length of 0 all tokens pass the text's layers, the prompts too, as in the altered original.
        hidden = self.qformer(query_embeds=embedded, query_length=0, attention_mask=mask).last_hidden_state
        return functional.normalize(self.text_projection(hidden[:, position]), dim=-1)


class SprcNetwork(nn.Module, Network):
    """A query is read twice by the Q-Former: with the reference into 32 prompts, then prompts and text without it.

    The prompts are made with the text of the query at hand, in training as in search. When stage 2 begins, the second
    reading gets its own Q-Former; the first one, and the targets, stay with stage 1's.
    """

    def __init__(
        self, config: Any, vocabulary: str, *, image_px: int, max_tokens: int, dropout: float, vision_dtype: Dtype
    ) -> None:
        super().__init__()
        former, vision = config.qformer_config, config.vision_config
        former.hidden_dropout_prob = former.attention_probs_dropout_prob = dropout
        self.config, self.image_px = config, image_px
        self.dim, self.target_tokens = config.image_text_hidden_size, config.num_query_tokens
        self.words = BertTokens(vocabulary, max_tokens, former.vocab_size)
        self.vision_model: Any = empty_vision(Blip2VisionModel, vision, vision_dtype)
        self.vision_model.post_layernorm = nn.Identity()
        self.ln_vision = nn.LayerNorm(vision.hidden_size, eps=vision.layer_norm_eps)
        self.query_tokens = nn.Parameter(torch.zeros(1, self.target_tokens, former.hidden_size))
        self.prompt_tokens = nn.Parameter(torch.randn_like(self.query_tokens) * former.initializer_range)
        self.former = QFormer(former, self.dim)
        self.vision_projection = nn.Linear(former.hidden_size, self.dim)
        self.query_former: QFormer | None = None
        cast_vision_after_load(self, vision_dtype)

    @override
    def state(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "vocabulary": self.words.vocabulary,
            "query_encoder_is_apart": self.query_former is not None,
        }

    def read_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        """(B, 3, px, px) uint8, padded by TargetPad."""
        return target_padded_squares(images, self.image_px)

    @override
    def exported_inputs(self) -> ExportedInputs:
        text = {"tokenizer": "bert", "limit": self.words.limit, "most_words": WORDS_KEPT}
        return ExportedInputs({"fit": "target_pad", "px": self.image_px}, text, self.words.vocabulary)

    def image_features(self, images: Tensor) -> Tensor:
        """(B, P, W) tokens of the vision tower before ``ln_vision``, which stage 1 trains."""
        return images if images.is_floating_point() else visual_tokens(self.vision_model, images)

    @override
    def untie_query_encoder(self) -> None:
        if self.query_former is None:
            self.query_former = copy.deepcopy(self.former).requires_grad_(True)
            for name, parameter in self.query_former.named_parameters():
                parameter.requires_grad_(not any(part in name for part in UNUSED_BY_READING))

    @property
    @override
    def keeps_features_in_stage1(self) -> bool:
        """The vision tower is frozen from the start."""
        return True

    @override
    def checkpoint_activations(self) -> None:
        """Only the Q-Former that is trained stores activations."""
        checkpoint_layers(self.former if self.query_former is None else self.query_former)

    @override
    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return self.words.ids([without_punctuation(text, WORDS_KEPT) for text in texts])

    @override
    def token_counts(self, texts: Sequence[str]) -> list[int]:
        return self.words.counts([without_punctuation(text) for text in texts])

    @property
    @override
    def token_limit(self) -> int:
        return self.words.limit

    def encode_target(self, images: Tensor) -> Tensor:
        """(B, T, D): the query tokens, having looked at the image, each projected."""
        visual_BPW = self._visual(images)
        seen_BTH = self.former.see(self.query_tokens.expand(images.shape[0], -1, -1), visual_BPW)
        return functional.normalize(self.vision_projection(seen_BTH), dim=-1)

    def encode_query(self, images: Tensor | None, tokens: Tensor | None) -> Tensor:
        """(B, D). An image alone is the mean of its target vectors; a text alone is BLIP-2's own text vector."""
        reader = self.former if self.query_former is None else self.query_former
        if tokens is None:
            if images is None:
                raise ValueError("a query needs images, texts, or both")
            return functional.normalize(self.encode_target(images).mean(dim=1), dim=-1)
        mask_BL = self.words.mask(tokens)
        if images is None:
            return reader.text(tokens, mask_BL)
        return reader.read(self.prompts(images, tokens), tokens, mask_BL)

    def prompts(self, images: Tensor, tokens: Tensor) -> Tensor:
        """(B, T, H) prompts of references and the texts that go with them; no gradient once stage 2 has begun."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.query_former is None):
            queries_BTH = self.query_tokens.expand(images.shape[0], -1, -1)
            return self.former.fuse(queries_BTH, tokens, self.words.mask(tokens), self._visual(images))

    @property
    @override
    def output_names(self) -> frozenset[str]:
        return super().output_names | PROMPT_OUTPUTS

    @override
    def extra_outputs(
        self, names: frozenset[str], references: Tensor, tokens: Tensor, read_targets: Callable[[], Tensor]
    ) -> dict[str, Tensor]:
        """``prompt_text_queries``: (B, D) unit vectors of the texts read with the learnt prompts in place of the
        reference. ``prompt_distances``: (B,) mean squared distances of the queries' mean prompts from the learnt ones.

        The learnt prompts take a gradient from the text vectors alone.
        """
        outputs = super().extra_outputs(names, references, tokens, read_targets)
        if not names & PROMPT_OUTPUTS:
            return outputs
        own_BH, learnt_1H = self.prompts(references, tokens).mean(dim=1), self.prompt_tokens.detach().mean(dim=1)
        prompts_BTH = self.prompt_tokens.expand(len(tokens), -1, -1)
        texts_BD = self.former.read_within(prompts_BTH, tokens, self.words.mask(tokens))
        distances_B = (own_BH - learnt_1H).square().mean(dim=1)
        return outputs | {"prompt_text_queries": texts_BD, "prompt_distances": distances_B}

    def frozen_in_stage1(self) -> Sequence[nn.Module | nn.Parameter]:
        """The vision tower, as published."""
        return [self.vision_model]

    def frozen_in_stage2(self) -> Sequence[nn.Module | nn.Parameter]:
        """All but the second reading's own Q-Former and projection."""
        return [
            self.vision_model,
            self.ln_vision,
            self.query_tokens,
            self.prompt_tokens,
            self.former,
            self.vision_projection,
        ]

    def _visual(self, images: Tensor) -> Tensor:
        features_BPW = self.image_features(images)
        normed_BPW: Tensor = self.ln_vision(features_BPW.to(self.ln_vision.weight.dtype))
        return normed_BPW


def _with_prompts(mask_BL: Tensor, count: int) -> Tensor:
    return torch.cat([mask_BL.new_ones(mask_BL.shape[0], count), mask_BL], dim=1)
