"""Rerankers for tests: real plug-ins that read nothing but pixels, or answer nonsense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.reranking.base import Reranker, Score, Shortlist

CHANNEL = {"red": 0, "green": 1, "blue": 2}


class ByColour(Reranker):
    """The colour that the text names, in the candidate's pixels."""

    plugin_kind = "tests.reranking.rerankers:ByColour"

    @property
    def picture_px(self) -> int:
        return 32

    def fingerprint(self, files: ImageFiles) -> str:
        return "by colour"

    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        return lambda shortlist: [colour_score(picture, shortlist.text) for picture in shortlist.candidates]


def colour_score(picture: object, text: str) -> float:
    pixels = np.asarray(picture, np.float32).reshape(-1, 3)
    channels = [number for colour, number in CHANNEL.items() if colour in text]
    return float((pixels[:, channels].sum(1) - len(channels) * pixels.mean(1)).mean())


class Nonsense(Reranker):
    plugin_kind = "tests.reranking.rerankers:Nonsense"
    answers: Literal["nothing", "too many", "not a number"] = "nothing"

    @property
    def picture_px(self) -> int:
        return 32

    def fingerprint(self, files: ImageFiles) -> str:
        return self.answers

    def start(self, files: ImageFiles) -> Callable[[Shortlist], Sequence[Score]]:
        given: dict[str, Callable[[int], list[Score]]] = {
            "nothing": lambda count: [],
            "too many": lambda count: [1.0] * (count + 1),
            "not a number": lambda count: [float("nan")] * count,
        }
        return lambda shortlist: given[self.answers](len(shortlist.candidates))
