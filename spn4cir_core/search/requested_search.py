"""A search as the page asks for it: reference images, a text, what makes the query of them, and what hits must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from spn4cir_core.errors import InputError
from spn4cir_core.search.filters import Where
from spn4cir_core.search.models import INDEXED
from spn4cir_core.training.roles import ModelName

MOST_REFERENCES = 4

QueryKind = Literal["composed", "image", "text", "sum"]


@dataclass(frozen=True)
class RequestedSearch:
    """What is asked of a service.

    Attributes:
        image_ids: reference images of the index; none of them is among the hits.
        uploads: further reference images, as files.
        query: which of images and text make the query, and how.
        top: how many hits, at most.
        weights: of the reference images, those of the index first; none: all count alike.
        rerank: whether the recipe's reranker puts the first hits in order; other searches do not wait for it.
        where: what hits must have.
    """

    image_ids: Sequence[str] = ()
    uploads: Sequence[bytes] = ()
    text: str = ""
    query: QueryKind = "composed"
    top: int = 12
    model: ModelName = INDEXED
    weights: Sequence[float] = ()
    rerank: bool = False
    where: Where = field(default_factory=dict)

    @property
    def takes_long(self) -> bool:
        """Whether more than the waiting for others delays the answer: pictures to decode, a model, images to filter."""
        return bool(self.uploads or self.rerank or self.where or self.model != INDEXED)

    def check_references(self) -> None:
        """Raise an InputError where there are too many reference images, or none for a query that needs one."""
        references = len(self.image_ids) + len(self.uploads)
        if references > MOST_REFERENCES:
            raise InputError(f"a query has at most {MOST_REFERENCES} reference images; leave some out")
        if self.query != "text" and not references:
            raise InputError(f"a query of kind {self.query!r} needs a reference image: choose or upload one")
        if self.rerank and (self.query != "composed" or self.model != INDEXED):
            raise InputError("only a composed query of the index's own model is reranked")

    def check_text(self) -> None:
        """Raise an InputError where a query that needs a text has none."""
        if self.query != "image" and not self.text.strip():
            raise InputError(f"a query of kind {self.query!r} needs a text: say what should be different")
