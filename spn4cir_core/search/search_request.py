"""What is searched for: reference images and a text, how many hits, and which images must not be among them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from spn4cir_core.errors import InputError
from spn4cir_core.images.files import Picture
from spn4cir_core.search.encoder import Made, Query, pair_up, several, shares
from spn4cir_core.search.filters import Where
from spn4cir_core.search.repeats import Once


@dataclass(frozen=True)
class SearchRequest:
    """One question of one or several reference images; see :meth:`Searcher.search` for its parts.

    Attributes:
        queries: each reference image with the text.
        reference_ids: of each reference image that is one of the index.
        share_R: of each reference image, what it counts; 1 in sum.
    """

    queries: Sequence[Query]
    reference_ids: Sequence[str | None]
    share_R: np.ndarray
    top: int
    without: Collection[str]
    made: Made
    once: Once
    where: Where = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the number of hits."""
        if self.top < 1:
            raise InputError(f"top = {self.top}: ask for at least one image")

    def __len__(self) -> int:
        """R, the number of reference images; 1 where there is a text alone."""
        return len(self.queries)

    @classmethod
    def of(
        cls,
        image: Picture | Sequence[Picture] | None,
        text: str | None,
        top: int = 10,
        without: Collection[str] = (),
        made: Made = "composed",
        reference_id: str | Sequence[str | None] | None = None,
        once: Once = "pictures",
        weights: Sequence[float] = (),
        where: Where = MappingProxyType({}),
    ) -> SearchRequest:
        """One question; arguments and errors of :meth:`Searcher.search`."""
        given = several(image)
        pictures: list[Any] = [image] if given is None else given or [None]
        ids = [reference_id] if reference_id is None or isinstance(reference_id, str) else list(reference_id)
        has_picture = any(picture is not None for picture in pictures)
        share_R, queries = shares(weights, len(pictures)), pair_up(pictures if has_picture else None, text)
        reference_ids = [*ids, *[None] * len(queries)][: len(queries)]
        return cls(queries, reference_ids, share_R, top, without, made, once, where)

    @property
    def wanted(self) -> int:
        """Images to rank at first, so that enough are left without those that must not be found."""
        return self.top + len(self.without) + len(self.queries)
