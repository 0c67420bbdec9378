"""Vectors of gallery images and of queries in every mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from spn4cir_core.backbones.base import Network

MODES = ("composed", "image", "text", "sum")
"""Composed; the image-only and text-only baselines; the unit-normalised sum of the two."""
BATCH_ROWS = 256


def encode_gallery(network: Network, inputs_N: np.ndarray) -> np.ndarray:
    """(N, D) float32 unit vectors by the target encoder of the images' inputs; (N, T, D) where a target has T."""
    one = (network.dim,) if network.target_tokens == 1 else (network.target_tokens, network.dim)
    return _in_batches(
        network, lambda rows: network.encode_target(_tensor(network, inputs_N[rows])), len(inputs_N), one
    )


def encode_queries(
    network: Network, inputs_N: np.ndarray, references_Q: Sequence[int] | np.ndarray, texts: Sequence[str]
) -> dict[str, np.ndarray]:
    """(Q, D) float32 unit vectors of each of ``MODES``.

    Args:
        inputs_N: inputs of images, which may be memory-mapped: they are read a batch at a time.
        references_Q: the row of each query's reference image.
        texts: the modified texts.
    """
    import torch

    rows_Q = np.asarray(references_Q, np.int64)

    tokens_QL = network.tokenize(list(texts))

    def encode(rows: slice) -> Any:
        images, tokens = _tensor(network, inputs_N[rows_Q[rows]]), tokens_QL[rows].to(_device(network))
        features = network.image_features(images)  # towers run once for the two modes that look at the reference
        seen = images if features is None else features
        inputs_by_mode = ((seen, tokens), (seen, None), (None, tokens))
        return torch.stack([network.encode_query(*parts) for parts in inputs_by_mode], dim=1)

    vectors_Q3D = _in_batches(network, encode, len(texts), (3, network.dim))
    encoded = {mode: np.ascontiguousarray(vectors_Q3D[:, column]) for column, mode in enumerate(MODES[:3])}
    total = encoded["image"] + encoded["text"]
    encoded["sum"] = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return encoded


def same_target_encoder(first: Network, second: Network) -> bool:
    """Whether all that stage 2 must not change, hence the target encoder, is equal in both networks."""
    import torch

    ours, theirs = frozen_tensors(first), frozen_tensors(second)
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def frozen_tensors(network: Network) -> list[Any]:
    """All tensors that stage 2 must not change, in the network's order."""
    import torch

    tensors: list[Any] = []
    for part in network.frozen_in_stage2():
        tensors += [part] if isinstance(part, torch.nn.Parameter) else list(part.state_dict().values())
    return tensors


def _in_batches(network: Network, encode: Callable[[slice], Any], rows: int, one: tuple[int, ...]) -> np.ndarray:
    from spn4cir_core.models.fixed_batches import in_parts

    vectors = np.zeros((rows, *one), np.float32)
    for start in range(0, rows, BATCH_ROWS):
        batch = range(start, min(start + BATCH_ROWS, rows))

        def encoded(part: slice, batch: range = batch) -> np.ndarray:
            own = batch[part]
            vectors_B: np.ndarray = encode(slice(own.start, own.stop)).float().cpu().numpy()
            return vectors_B

        vectors[start : batch.stop] = np.concatenate(in_parts(encoded, len(batch), str(_device(network))))
    return vectors


def _tensor(network: Network, inputs: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(inputs)).to(_device(network))


def _device(network: Any) -> Any:
    return next(network.parameters()).device
