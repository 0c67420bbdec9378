"""What the JSON API answers with."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spn4cir_core.search.hits import Hit
from spn4cir_core.search.models import INDEXED, Model
from spn4cir_core.search.requested_search import QueryKind
from spn4cir_core.search.service import IndexedImage
from spn4cir_core.training.roles import ModelName

EXAMPLE: dict[str, Any] = {
    "query": "composed",
    "model": INDEXED,
    "text": "the same, but red",
    "image_id": "shirts/17.jpg",
    "image_ids": ["shirts/17.jpg"],
    "vectors": "",
    "note": "",
    "index": "5f0b1c2d3e4f5a6b",
    "hits": [
        {
            "image_id": "shirts/203.jpg",
            "path": "shirts/203.jpg",
            "caption": "a red shirt",
            "score": 4.25,
            "rank": 0,
            "channels": {"edited caption": 3.0, "frozen picture similarity": 1.25},
        }
    ],
}


class Images(BaseModel):
    """Pictures drawn at random. ``total`` is how many can be found; ``name`` is the recipe's."""

    name: str
    total: int
    reranks: bool = Field(default=False, description="Whether `rerank` of a search has a reranker behind it.")
    images: list[IndexedImage]


class ModelList(BaseModel):
    """The models that can be asked, and why others cannot (``missing``); ``judging``: whether judgements are taken."""

    models: list[Model]
    judging: bool


class FilterValue(BaseModel):
    """A value, and how many images have it."""

    value: str
    count: int


class FilterList(BaseModel):
    """Columns by which hits can be filtered, with their commonest values."""

    filters: dict[str, list[FilterValue]]


class Answer(BaseModel):
    """The hits, best first. Scores of the blend are weighted sums of its channels' scores, those of a network alone are
    cosines; they are comparable within one model and kind of query only."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    query: QueryKind
    model: ModelName
    text: str
    image_id: str | None = Field(description="The reference image of the index, if it was one; of several the first.")
    image_ids: list[str] = Field(default=[], description="All reference images of the index.")
    vectors: str = Field(description="Whose candidate vectors the hits were found among; empty: the indexed model's.")
    note: str = Field(default="", description="What is to be known of this answer, such as that the text was cut.")
    index: str = Field(default="", description="Fingerprint of the index; a judgement on a hit names it.")
    reranked: bool = Field(default=False, description="Whether a reranker put the first hits in order.")
    hits: list[Hit]


class Failure(BaseModel):
    """Why there is no answer."""

    error: str


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether a search is answered at once: before, its models are still being loaded."""

    ready: bool
    index: str = Field(description="Fingerprint of the search index that answers.")
    images: int = Field(description="How many images can be found.")
