"""Which split each component of images gets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, EVALUATION = "train", "validation", "evaluation"
STRICTEST_FIRST = (EVALUATION, VALIDATION, TRAIN)
LARGEST_PART = 0.25
"""A component that is more than this part of what a split should hold is trained on: one contributor's
pictures would else be most of the evaluation."""


@dataclass(frozen=True)
class Assignment:
    """The split of every image, and how it came about."""

    splits: list[str]
    conflicts: Counter[str]
    """Counts of images whose split differs from the requested one, by ``requested → given``."""
    free_images: int
    """Number of images in components without a requested split."""


def assign_splits(
    image_ids: Sequence[str],
    component_N: np.ndarray,
    requested: Sequence[Collection[str]],
    shares: dict[str, float],
    seed: int,
) -> Assignment:
    """Give all images of a component one split.

    The strictest split requested for any of its images wins: evaluation, validation, train. A component with
    none has a place in an order by a seeded hash of its first image's id; from its start, evaluation and
    then validation take components up to their shares (one at most half over). So adding images moves
    components only at the ends of those stretches. Something is always left to train on.

    Args:
        requested: the requested splits of each image, none to several.
        shares: the share of the free images for validation and for evaluation.
    """
    wishes: dict[int, set[str]] = {}
    first: dict[int, str] = {}
    for image_id, component, wish in zip(image_ids, component_N.tolist(), requested, strict=True):
        wishes.setdefault(component, set()).update(wish)
        first[component] = min(first.get(component, image_id), image_id)
    given = {component: min(wish, key=STRICTEST_FIRST.index) for component, wish in wishes.items() if wish}
    sizes = Counter(component_N.tolist())
    free = {component: _draw(seed, first[component]) for component in sizes if component not in given}
    given.update(_draw_splits(free, sizes, shares, taken=set(given.values())))
    splits = [given[component] for component in component_N.tolist()]
    conflicts = Counter(
        f"{wish} → {split}" for split, wanted in zip(splits, requested, strict=True) for wish in wanted if wish != split
    )
    return Assignment(splits, conflicts, sum(sizes[component] for component in free))


def _draw(seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _draw_splits(
    free: dict[int, float], sizes: Counter[int], shares: dict[str, float], taken: set[str]
) -> dict[int, str]:
    images = sum(sizes[component] for component in free)
    in_order = sorted(free, key=lambda component: (free[component], component))
    given: dict[int, str] = {}
    for split in (EVALUATION, VALIDATION):
        wanted, held = shares[split] * images, 0
        for component in in_order:
            size = sizes[component]
            if component in given or size > max(1, wanted * LARGEST_PART):
                continue
            if held + size / 2 > wanted:
                break
            given[component] = split
            held += size
    if in_order and TRAIN not in taken and len(given) == len(in_order):
        del given[in_order[-1]]
    return {component: given.get(component, TRAIN) for component in in_order}
