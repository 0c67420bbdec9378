"""Base class of pair miners, which pick target images whose similarity rank lies in a window."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.pairs.allowed import Allowed
from spn4cir_core.pairs.picks import Picks, Vectors
from spn4cir_core.pairs.rank_window import RankWindow


@dataclass(frozen=True)
class MiningJob:
    """The pairs to mine among the N images of one split."""

    vectors: Vectors
    """(N, D) unit vectors."""
    window: RankWindow
    references: np.ndarray
    """Rows that may be a reference image, ascending."""
    keys: np.ndarray
    """(N,) uint64: each image's stream of random draws."""
    per_reference: int
    """Targets of one reference image."""
    allowed: Allowed
    """Which pairs may be made; counts those that were drawn and refused."""
    landmarks: int
    """Landmark images that keep estimated ranks in the window."""
    seed: int
    image_ids: Sequence[str]
    captions: Sequence[str] | None = None
    """Caption of each image, empty where it has none; None for a miner that does not read captions."""
    on_progress: Callable[[int], None] = lambda done: None
    """Called with the number of references done."""


class Miner(Plugin):
    """Picks targets for reference images. Settings of its own are fields."""

    reads_captions: ClassVar[bool] = False
    """Whether captions decide the pairs, and no window of similarity ranks does."""

    def suited_to(self, window: RankWindow, landmarks: int) -> Miner:
        """The miner that does the work for this window: this one, or a cheaper one with the same picks.

        Raises:
            InputError: it cannot mine this window.
        """
        return self

    def suited_to_captions(self, captions: Sequence[str]) -> tuple[Miner, dict[str, Any]]:
        """The miner that pairs images of such captions, and details for the summary that say why: this one, if not
        overridden.

        Args:
            captions: of the training split's images, empty where one has none; empty for a miner that reads none.
        """
        return self, {}

    @abstractmethod
    def mine(self, job: MiningJob) -> tuple[Picks, dict[str, Any]]:
        """The picks, and details for the summary: ``rank_is`` says what the ranks mean."""
