"""The two towers of an open_clip model. B images or texts, P tokens of width W, D dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

PADDING = 0


def build_clip(model_cfg: dict[str, Any]) -> Any:
    """A CLIP in open_clip's shape with random weights; its temperature, which nothing here reads, stays as it is."""
    import open_clip

    config = {name: dict(value) if isinstance(value, dict) else value for name, value in model_cfg.items()}
    config["vision_cfg"]["timm_model_pretrained"] = False
    build = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    clip = build(**config)
    for name, parameter in clip.named_parameters():
        if name in ("logit_scale", "logit_bias"):
            parameter.requires_grad_(False)
    return clip.float()


class Tokenizer:
    """open_clip's byte-pair tokenizer; a text that is too long loses its end and keeps the end token."""

    def __init__(self, model_cfg: dict[str, Any]) -> None:
        text = model_cfg["text_cfg"]
        self.limit = int(text.get("context_length", 77))
        self._tokenizer = _byte_pairs(self.limit, tuple((text.get("tokenizer_kwargs") or {}).items()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return self  # it never changes, and is large

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before it is cut, start and end token included."""
        return [len(self._tokenizer.encode(text)) + 2 for text in texts]

    def __call__(self, texts: Sequence[str], length: int | None = None) -> Tensor:
        """(B, P) int64, zero-padded to the longest text or to ``length``."""
        if not texts:
            return torch.zeros((0, length or 2), dtype=torch.int64)
        tokens_BP: Tensor = self._tokenizer(list(texts))
        longest = max(min(count, self.limit) for count in self.counts(texts))
        return tokens_BP[:, : length or longest].contiguous()


@lru_cache(maxsize=4)
def _byte_pairs(limit: int, options: tuple[tuple[str, Any], ...]) -> Any:
    """One per process: building the merges takes half a second."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=limit, **dict(options))


def text_features(clip: Any, tokens_BP: Tensor) -> Tensor:
    """(B, D) raw text features; see :func:`text_tokens`."""
    if not _reads_from_left(clip):
        padding_BP = tokens_BP.new_zeros((tokens_BP.shape[0], clip.context_length - tokens_BP.shape[1]))
        features_BD: Tensor = clip.encode_text(torch.cat([tokens_BP, padding_BP], dim=1))
        return features_BD
    return pooled_text(clip, text_tokens(clip, tokens_BP), tokens_BP)


def text_tokens(clip: Any, tokens_BP: Tensor) -> Tensor:
    """(B, P, W) outputs of the final layer norm.

    The tower is causal, so what stands behind the end token changes nothing before it: P may be less than the
    context length, and the tower then costs that much less.
    """
    length = tokens_BP.shape[1]
    states_BPW = clip.token_embedding(tokens_BP) + clip.positional_embedding[:length]
    states_BPW = clip.transformer(states_BPW, attn_mask=clip.attn_mask[:length, :length])
    normed_BPW: Tensor = clip.ln_final(states_BPW)
    return normed_BPW


def pooled_text(clip: Any, states_BPW: Tensor, tokens_BP: Tensor) -> Tensor:
    """(B, D) features at the end token, which has the highest id."""
    ends_B = tokens_BP.argmax(dim=-1)
    pooled_BW = states_BPW[torch.arange(states_BPW.shape[0], device=states_BPW.device), ends_B]
    projection = clip.text_projection
    if projection is None:
        return pooled_BW
    projected_BD: Tensor = projection(pooled_BW) if isinstance(projection, nn.Linear) else pooled_BW @ projection
    return projected_BD


def _reads_from_left(clip: Any) -> bool:
    """Whether the text tower is OpenAI's: causal, pooled at the end token."""
    return getattr(clip, "attn_mask", None) is not None and getattr(clip, "text_pool_type", "") == "argmax"
