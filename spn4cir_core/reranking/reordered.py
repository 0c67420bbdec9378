"""Hits in, the same hits in a reranker's order out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from spn4cir_core.images.files import ImageFiles, PictureError
from spn4cir_core.models.first_use import FirstUse
from spn4cir_core.reranking.base import Reranker, Score, Shortlist, new_order, usable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenedShortlist:
    """A shortlist without the pictures that are gone, and the positions of its candidates among all ``count`` hits."""

    shortlist: Shortlist
    positions: tuple[int, ...]
    count: int

    @classmethod
    def of(
        cls, files: ImageFiles, references: Sequence[Image.Image], text: str, paths: Sequence[str], side_px: int
    ) -> OpenedShortlist:
        """Open the hits, each made to fit into ``side_px`` at once; a picture that cannot be opened is logged."""
        candidates: dict[int, Image.Image] = {}
        for position, path in enumerate(paths):
            try:
                candidates[position] = _fitted(files.open(path), side_px)
            except PictureError as error:
                log.warning("reranking without a candidate that cannot be opened: %s", error)
        fitted = tuple(_fitted(reference.convert("RGB"), side_px) for reference in references)
        return cls(Shortlist(fitted, text, tuple(candidates.values())), tuple(candidates), len(paths))

    def scores(self, score: Callable[[Shortlist], Sequence[Score]]) -> list[Score]:
        """A score of each hit; None where the picture cannot be opened or the reranker gives none."""
        scores: list[Score] = [None] * self.count
        given = usable(score(self.shortlist), len(self.positions)) if self.positions else []
        for position, one in zip(self.positions, given, strict=True):
            scores[position] = one
        return scores


class Reranking:
    """A reranker over the pictures of a folder, loaded at its first query. For one thread at a time."""

    def __init__(self, reranker: Reranker, files: ImageFiles) -> None:
        self.reranker, self._files = reranker, files
        self._score = FirstUse(lambda: reranker.start(files))
        self.unanswered = 0
        """Queries so far of which no candidate got a score, so that the order stayed."""

    def fitted(self, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        """Copies as small as the reranker needs them."""
        return [_fitted(picture.convert("RGB"), self.reranker.picture_px) for picture in pictures]

    def order(self, references: Sequence[Image.Image], text: str, paths: Sequence[str]) -> list[int] | None:
        """Positions of the first hits in their new order, for the first ``top`` paths; the others are not named.

        Returns:
            None where no candidate got a score: the order stays, and the log says it.
        """
        top = paths[: self.reranker.top]
        scores = OpenedShortlist.of(self._files, references, text, top, self.reranker.picture_px).scores(self._score)
        if all(score is None for score in scores):
            self.unanswered += 1
            log.warning("the reranker %r gives no usable score: the order stays", self.reranker.plugin_kind)
            return None
        return new_order(scores)


def _fitted(picture: Image.Image, side_px: int) -> Image.Image:
    small = picture.copy()
    small.thumbnail((side_px, side_px))
    return small
