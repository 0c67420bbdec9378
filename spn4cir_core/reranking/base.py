"""The contract of rerankers, and the table of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image
from pydantic import Field

from spn4cir_core.engine.plugins import Plugin, Room
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.fingerprints import OmitFromFingerprint

Score = float | None
"""Of one candidate, higher is better, on a scale of the reranker's own; None where the model gave none."""


@dataclass(frozen=True)
class Shortlist:
    """One composed query and the first hits of its search, best first, as upright RGB pictures.

    At least one reference image, one candidate, and a text that is not empty.
    """

    references: tuple[Image.Image, ...]
    text: str
    candidates: tuple[Image.Image, ...]


class Reranker(Plugin):
    """Scores the first hits of a search by looking at them. Settings are fields; :meth:`start` loads what is heavy."""

    top: int = Field(default=50, ge=2, le=200)
    """How many first hits are put in order; the others follow as they were."""
    shard_rows: Annotated[int, OmitFromFingerprint()] = Field(default=16, ge=1)
    """Queries of a report whose scores are stored at a time; a killed run loses at most so many."""

    @property
    @abstractmethod
    def picture_px(self) -> int:
        """Pictures are made to fit into a square of this size before the model gets them."""

    @abstractmethod
    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of all that decides a score besides the query and its candidates.

        Raises:
            InputError: the model is not there.
        """

    @abstractmethod
    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        """Load the model and return the function from one query to a score for each of its candidates.

        Raises:
            InputError: the model cannot be loaded.
            MissingExtra: a package is not installed.
        """


RERANKERS = Room(
    "reranker",
    {
        "cross_encoder": "spn4cir_core.reranking.cross_encoder:MultimodalCrossEncoder",
        "grid": "spn4cir_core.reranking.grid:Grid",
        "judge": "spn4cir_core.reranking.judged:Judged",
    },
)


def usable(scores: Sequence[Score], candidates: int) -> list[Score]:
    """The scores, None for what is not a finite number; all None where they are not one for each candidate."""
    if len(scores) != candidates:
        return [None] * candidates
    return [None if score is None or not math.isfinite(score) else float(score) for score in scores]


def new_order(scores: Sequence[Score]) -> list[int]:
    """Positions of the candidates, best score first; of equal scores the first hit first.

    A candidate without a score stays where it was, and the others share the remaining positions. Where none has a
    score, the order stays.
    """
    scored = sorted((at for at, score in enumerate(scores) if score is not None), key=lambda at: (-_of(scores[at]), at))
    best_first = iter(scored)
    return [at if score is None else next(best_first) for at, score in enumerate(scores)]


def _of(score: Score) -> float:
    return 0.0 if score is None else score
