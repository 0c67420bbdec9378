"""Settings of a FAISS index of candidate vectors, whether it is searched or measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from spn4cir_core.engine.plugins import Settings
from spn4cir_core.errors import RecipeError
from spn4cir_core.index.base import INDEXES, Index


def _known(kind: str) -> str:
    try:
        INDEXES.member(kind)
    except RecipeError as error:
        raise ValueError(str(error)) from error
    return kind


class IndexSettings(Settings):
    """Which kind of index it is, and how widely it is searched."""

    flat_up_to: int = Field(default=200_000, ge=1)
    """Above this many vectors (one per image, with SPRC 32) the index is what ``above`` says and a search approximate,
    with its recall measured; below, every image is compared."""
    above: Annotated[str, AfterValidator(_known)] = "ivf"
    """``ivf`` is built faster and no larger than the vectors; ``hnsw`` is searched faster, built slowly, and larger."""
    probed_share: float = Field(default=0.1, gt=0, le=1)
    """Share of an IVF index's cells that a search looks into."""
    hnsw_links: int = Field(default=32, ge=2, le=512)
    """Links that each vector of an HNSW index has to others; eight bytes each."""
    hnsw_breadth: int = Field(default=128, ge=1)
    """Vectors that a search of an HNSW index goes on from at a time."""

    def kind_for(self, vectors: int) -> str:
        """Kind of an index of so many vectors: ``flat``, or ``above``."""
        return "flat" if vectors <= self.flat_up_to else self.above

    def index_for(self, vectors: int) -> Index:
        """The member of :data:`INDEXES` for so many vectors, with those of these settings that it declares."""
        return self.index_for_kind(self.kind_for(vectors))

    def index_for_kind(self, kind: str) -> Index:
        """The member of :data:`INDEXES` of a kind, with those of these settings that it declares."""
        member = INDEXES.member(kind)
        settings = {name: getattr(self, name) for name in member.model_fields if name in type(self).model_fields}
        index = member.model_validate(settings)
        assert isinstance(index, Index)
        return index
