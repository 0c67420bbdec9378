"""Which split each component of images gets."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

TRAIN, VALIDATION, EVALUATION = "train", "validation", "evaluation"
STRICTEST_FIRST = (EVALUATION, VALIDATION, TRAIN)
ALL_SPLITS_FROM_COMPONENTS = 10
"""With fewer free components a split may stay empty; with more, each split with a share gets one."""


@dataclass(frozen=True)
class Assignment:
    """The split of every image, and how it came about."""

    splits: list[str]
    conflicts: Counter[str]
    """Images that got another split than was asked for them, by ``asked → given``."""
    free_images: int
    """Images of components for which no split was asked."""


def assign_splits(
    image_ids: Sequence[str],
    component_N: np.ndarray,
    asked: Sequence[Collection[str]],
    shares: dict[str, float],
    seed: int,
) -> Assignment:
    """Give all images of a component one split.

    The strictest split asked for any of its images wins: evaluation, validation, train. A component with
    none gets one by a seeded hash of its first image's id, so that adding images moves no others. A
    component with more than half of the free images is trained on, and training always gets one.

    Args:
        asked: the splits asked for each image, none to several.
        shares: the share of the free images for validation and for evaluation.
    """
    wishes: dict[int, set[str]] = {}
    first: dict[int, str] = {}
    for image_id, component, wish in zip(image_ids, component_N.tolist(), asked, strict=True):
        wishes.setdefault(component, set()).update(wish)
        first[component] = min(first.get(component, image_id), image_id)
    given = {component: min(wish, key=STRICTEST_FIRST.index) for component, wish in wishes.items() if wish}
    sizes = Counter(component_N.tolist())
    free = {component: _draw(seed, first[component]) for component in sizes if component not in given}
    given.update(_draw_splits(free, sizes, shares, taken=set(given.values())))
    splits = [given[component] for component in component_N.tolist()]
    conflicts = Counter(
        f"{wish} → {split}" for split, wanted in zip(splits, asked, strict=True) for wish in wanted if wish != split
    )
    return Assignment(splits, conflicts, sum(sizes[component] for component in free))


def _draw(seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{seed}\0{key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _draw_splits(
    free: dict[int, float], sizes: Counter[int], shares: dict[str, float], taken: set[str]
) -> dict[int, str]:
    images = sum(sizes[component] for component in free)
    given: dict[int, str] = {}
    for component, draw in free.items():
        giant = 2 * sizes[component] > images
        if draw < shares[EVALUATION] and not giant:
            given[component] = EVALUATION
        elif draw < shares[EVALUATION] + shares[VALIDATION] and not giant:
            given[component] = VALIDATION
        else:
            given[component] = TRAIN
    by_draw = sorted(free, key=lambda component: (free[component], component))
    if free and TRAIN not in taken | set(given.values()):
        given[by_draw[-1]] = TRAIN
    if len(free) >= ALL_SPLITS_FROM_COMPONENTS:
        for split in (EVALUATION, VALIDATION):
            if shares[split] and split not in taken | set(given.values()):
                given[next(component for component in by_draw if given[component] == TRAIN)] = split
    return given
