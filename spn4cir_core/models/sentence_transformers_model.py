"""Loading a model of sentence-transformers, and its vectors row by row."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from spn4cir_core.engine.progress import without_loading_bar
from spn4cir_core.errors import MissingExtra
from spn4cir_core.models.fixed_batches import ROWS_ON_CPU, ROWS_ON_GPU, Dtype, side_by_side, torch_device
from spn4cir_core.models.model_source import ModelSource, load_error

log = logging.getLogger(__name__)


def load_sentence_transformers(
    kind: Literal["SentenceTransformer", "CrossEncoder"], role: str, source: ModelSource, device: str, **settings: Any
) -> Any:
    """The model in eval mode, with float32 weights from safetensors; no code from its repository is run.

    Args:
        kind: the class of sentence-transformers that loads it.
        role: what the model is for, as an error names it (``reranker``).
        device: as a recipe names it; ``auto`` is this process's GPU where there is one.
        settings: further arguments of the class.

    Raises:
        InputError: it cannot be loaded.
        MissingExtra: sentence-transformers is not installed.
    """
    import torch

    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingExtra("sentence-transformers", "sentence") from error
    where: dict[str, Any] = {"local_files_only": True} if source.folder else {"revision": source.revision}
    weights = {"dtype": torch.float32, "use_safetensors": True}
    try:
        with without_loading_bar():
            load = getattr(sentence_transformers, kind)
            model = load(source.name, device=torch_device(device), model_kwargs=weights, **where, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise load_error(role, source.name, error) from error
    return model.eval()


def encoded_rows(model: Any, inputs: Sequence[Any], prompt: str, device: str, dtype: Dtype = "float32") -> np.ndarray:
    """(B, D) float32; a row of NaN where the model's processor refuses the input, a picture too elongated for it.

    On a CPU one input at a time, so that a vector depends on nothing beside it.

    Args:
        inputs: texts, pictures, or dicts of both.
        prompt: instruction that goes with every input; empty: none.
    """
    import torch

    device = torch.device(torch_device(device)).type
    rows = rows_at_once(device)

    def encoded(part: Sequence[Any]) -> np.ndarray:
        try:
            with torch.autocast(device, getattr(torch, dtype), enabled=dtype != "float32"):
                vectors_BD: torch.Tensor = model.encode(
                    part, prompt=prompt or None, batch_size=rows, show_progress_bar=False, convert_to_tensor=True
                )
            return vectors_BD.float().cpu().numpy()
        except (ArithmeticError, ValueError) as error:
            if len(part) > 1:
                return np.concatenate([encoded([one]) for one in part])
            log.warning("a model of sentence-transformers refuses an input: %s", error)
            return np.full((1, int(model.get_embedding_dimension())), np.nan, np.float32)

    parts = [inputs[start : start + rows] for start in range(0, len(inputs), rows)]
    return np.concatenate(side_by_side(encoded, parts, device))


def rows_at_once(device: str) -> int:
    """Inputs of one forward pass on a device."""
    return ROWS_ON_CPU if torch_device(device) == "cpu" else ROWS_ON_GPU
