"""Which shards of an earlier index stay in a later one, and which vectors are written anew.

What an image's vectors are made of is its key, so that a shard's rows are used as long as images of these keys are
there. Rows of images that are gone stay until they are more than the others; and a shard that is no larger than what is
written beside it is written into that: a vector is copied at most log₂ N times, however the corpus grows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KEY_BYTES = 16


@dataclass(frozen=True)
class Layout:
    """In which shard the vectors of N images lie.

    Attributes:
        shared: numbers of the earlier shards that stay, ascending.
        shard_N: of each image the number of its shard among these; one more than the last for those to be written.
        row_N: its row there.
        moved_K: images to be written whose vectors an earlier shard has, ascending.
        new_K: images to be written whose vectors none has, ascending.
        earlier_shard_N: of each image the number of the earlier shard that has its vectors; -1: none.
        earlier_row_N: its row there.
    """

    shared: Sequence[int]
    shard_N: np.ndarray
    row_N: np.ndarray
    moved_K: np.ndarray
    new_K: np.ndarray
    earlier_shard_N: np.ndarray
    earlier_row_N: np.ndarray


def layout_of(key_N: np.ndarray, earlier: Sequence[np.ndarray]) -> Layout:
    """Which of the earlier shards stay, and what is written.

    Args:
        key_N: bytes, of the images in order.
        earlier: bytes, of the rows of each earlier shard.
    """
    shard_N, row_N = np.full(len(key_N), -1, np.int64), np.zeros(len(key_N), np.int64)
    for number, key_R in enumerate(earlier):
        _, images, rows = np.intersect1d(key_N, key_R, assume_unique=True, return_indices=True)
        free = shard_N[images] < 0
        shard_N[images[free]], row_N[images[free]] = number, rows[free]
    counts = np.bincount(shard_N[shard_N >= 0], minlength=len(earlier))
    stays = {number for number, key_R in enumerate(earlier) if counts[number] > 0 and len(key_R) <= 2 * counts[number]}
    written = len(key_N) - sum(int(counts[number]) for number in stays)
    for number in sorted(stays, key=lambda one: int(counts[one])):
        if counts[number] <= written:
            stays.remove(number)
            written += int(counts[number])
    shared = sorted(stays)
    is_written_N = ~np.isin(shard_N, shared)
    number_of = np.full(len(earlier) + 1, len(shared), np.int64)
    number_of[shared] = np.arange(len(shared))
    new_row_N = row_N.copy()
    new_row_N[is_written_N] = np.arange(int(is_written_N.sum()))
    return Layout(
        shared,
        np.where(is_written_N, len(shared), number_of[shard_N]),
        new_row_N,
        np.flatnonzero(is_written_N & (shard_N >= 0)),
        np.flatnonzero(shard_N < 0),
        shard_N,
        row_N,
    )


def key_bytes(keys: Sequence[str]) -> np.ndarray:
    """(N,) hashes of the keys, of ``KEY_BYTES`` bytes each."""
    return np.array([hashlib.sha256(key.encode()).digest()[:KEY_BYTES] for key in keys], f"S{KEY_BYTES}")
