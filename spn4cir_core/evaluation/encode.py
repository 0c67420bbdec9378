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

    Each distinct reference passes the image towers once, and each distinct text is encoded alone once.

    Args:
        inputs_N: inputs of images, which may be memory-mapped: they are read a batch at a time.
        references_Q: the row of each query's reference image.
        texts: the modified texts.
    """
    distinct_R, number_Q = np.unique(np.asarray(references_Q, np.int64), return_inverse=True)
    tokens_QL = network.tokenize(list(texts))
    image_QD, composed_QD = (np.zeros((len(texts), network.dim), np.float32) for _ in range(2))
    for start in range(0, len(distinct_R), BATCH_ROWS):
        batch_R = distinct_R[start : start + BATCH_ROWS]
        own_B = np.flatnonzero((number_Q >= start) & (number_Q < start + BATCH_ROWS))
        seen, row_B = _seen(network, inputs_N[batch_R]), number_Q[own_B] - start

        def alone(rows: slice, seen: Any = seen) -> Any:
            return network.encode_query(seen[rows], None)

        def together(rows: slice, seen: Any = seen, own_B: np.ndarray = own_B, row_B: np.ndarray = row_B) -> Any:
            return network.encode_query(seen[row_B[rows]], tokens_QL[own_B[rows]].to(_device(network)))

        image_QD[own_B] = _in_batches(network, alone, len(batch_R), (network.dim,))[row_B]
        composed_QD[own_B] = _in_batches(network, together, len(own_B), (network.dim,))
    first_of = {text: row for row, text in reversed(list(enumerate(texts)))}
    tokens_TL = tokens_QL[list(first_of.values())]
    text_TD = _in_batches(
        network,
        lambda rows: network.encode_query(None, tokens_TL[rows].to(_device(network))),
        len(first_of),
        (network.dim,),
    )
    row_of = {text: row for row, text in enumerate(first_of)}
    text_QD = text_TD[[row_of[text] for text in texts]]
    total_QD = image_QD + text_QD
    sum_QD = total_QD / np.maximum(np.linalg.norm(total_QD, axis=1, keepdims=True), 1e-12)
    return dict(zip(MODES, (composed_QD, image_QD, text_QD, sum_QD), strict=True))


def _seen(network: Network, inputs_B: np.ndarray) -> Any:
    """What the network's queries take of images: features of its towers where there are some, else the inputs."""
    import torch

    from spn4cir_core.models.fixed_batches import in_parts

    images = _tensor(network, inputs_B)
    made = in_parts(lambda part: network.image_features(images[part]), len(images), str(_device(network)))
    features = [part for part in made if part is not None]
    return torch.cat(features) if features else images


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
