"""Settings of the ``search_index`` stage."""

from __future__ import annotations

from typing import Annotated, Literal

from spn4cir_core.embeddings.settings import EmbeddingSettings
from spn4cir_core.engine.plugins import Choice, Settings
from spn4cir_core.images.settings import ImageSettings
from spn4cir_core.index.settings import IndexSettings
from spn4cir_core.reranking.base import RERANKERS, Reranker


class SearchSettings(IndexSettings):
    """Which images are indexed, and by which kind of index."""

    images: Literal["all", "evaluation", "train"] = "all"
    """The split whose images are indexed; ``all``: every image."""


class SearchIndexInput(Settings):
    """The tables of a recipe that this stage reads."""

    search_index: SearchSettings
    images: ImageSettings
    image_embeddings: EmbeddingSettings
    rerank: Annotated[Reranker, Choice(RERANKERS)] | None
    seed: int
