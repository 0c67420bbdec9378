"""Random draws that depend on image ids and the seed alone: not on order, block size, threads or process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

MASK = 2**64 - 1
STEP = 0x9E3779B97F4A7C15


def id_keys(image_ids: Sequence[str], seed: int) -> np.ndarray:
    """One uint64 per image id: the state of its own stream of draws."""
    salt = seed.to_bytes(8, "little", signed=True)
    digests = (hashlib.blake2b(image_id.encode(), digest_size=8, salt=salt).digest() for image_id in image_ids)
    return np.frombuffer(b"".join(digests), np.uint64).copy()


def draw(keys: np.ndarray, step: np.ndarray | int) -> np.ndarray:
    """The ``step``-th uint64 of each key's stream (SplitMix64, Steele, Lea & Flood 2014)."""
    state = keys + (np.atleast_1d(np.asarray(step, np.uint64)) + np.uint64(1)) * np.uint64(STEP)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


def draw_one(key: int, step: int) -> int:
    """The same for one key, in plain integers."""
    state = (key + (step + 1) * STEP) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def shuffled(size: int, key: int) -> Iterator[int]:
    """Yield 0 … size-1 in random order, lazily (Fisher-Yates; the bias of the remainder is below size / 2**64)."""
    moved: dict[int, int] = {}
    for step in range(size):
        position = step + draw_one(key, step) % (size - step)
        yield moved.get(position, position)
        moved[position] = moved.get(step, step)
