"""The addresses by which the page keeps judgements, and shows those that were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field, model_validator

from spn4cir_core.judgements.judgement import WHOLE_QUERY, JudgedHit, Purpose, Stratum, one_line
from spn4cir_core.search.judging import Judging, ShownBy
from spn4cir_core.search.judging_queue import POOLED, QueueOfIndex
from spn4cir_core.search.requested_search import MOST_REFERENCES
from spn4cir_core.search.service import IndexedImage, SearchService

LONGEST_NAME, LONGEST_TEXT, LONGEST_ID = 80, 1000, 4096
MOST_SHOWN = 200
ANONYMOUS = "anonymous"
ImageId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
JudgeName = Annotated[str, Field(max_length=LONGEST_NAME, description="Any name; empty: anonymous.")]
References = Annotated[list[ImageId], Field(min_length=1, max_length=MOST_REFERENCES)]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
IndexFingerprint = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$", description="As in the answer to the search.")]


class GivenJudgement(BaseModel):
    """A verdict on one hit of a query (``right``, ``wrong``, ``unsure``) or, without ``image_id``, on all that were
    shown (``none``: none of these). ``withdrawn`` takes the last one back."""

    model_config = {
        "extra": "forbid",
        "json_schema_extra": {
            "examples": [
                {
                    "judge": "Ann",
                    "model": "blend",
                    "index": "0123456789abcdef",
                    "image_ids": ["shoes/1.jpg"],
                    "text": "but red",
                    "image_id": "shoes/7.jpg",
                    "rank": 0,
                    "verdict": "right",
                }
            ]
        },
    }

    judge: JudgeName = ""
    model: Annotated[ShownBy, Field(description="The one that showed the hit; pooled: from /api/judging/next.")]
    index: IndexFingerprint
    image_ids: References = Field(description="The reference images.")
    text: Text
    image_id: Annotated[str, Field(max_length=LONGEST_ID)] = WHOLE_QUERY
    rank: Annotated[int, Field(ge=0, lt=10_000)] | None = None
    verdict: Literal["right", "wrong", "unsure", "none", "withdrawn"]
    shown: Annotated[list[ImageId], Field(max_length=MOST_SHOWN)] = []

    @model_validator(mode="after")
    def _is_of_a_hit_or_of_the_query(self) -> GivenJudgement:
        whole = self.image_id == WHOLE_QUERY
        if whole != (self.verdict == "none") and self.verdict != "withdrawn":
            raise ValueError("right, wrong and unsure need an image_id, and none is of the whole query")
        if self.verdict == "none" and not self.shown:
            raise ValueError("none needs the hits that were shown")
        if self.image_id in self.image_ids:
            raise ValueError("the reference image is not a hit")
        if not one_line(self.text):
            raise ValueError("the text is empty")
        return self

    def hit(self) -> JudgedHit:
        """The verdict without its judge."""
        references = tuple(dict.fromkeys(self.image_ids))
        shown = tuple(dict.fromkeys(self.shown)) if self.verdict == "none" else ()
        return JudgedHit(references, one_line(self.text), self.image_id, self.verdict, self.rank, shown)


class JudgementPurpose(BaseModel):
    """The purpose that a new judgement serves."""

    purpose: Purpose


class OwnJudgements(BaseModel):
    """What judgements on this query serve (null: nothing, its reference images are of several splits), and the last
    verdicts of one judge by image id; the empty id is the whole query."""

    purpose: Purpose | None
    verdicts: dict[str, str]


class NextQuery(BaseModel):
    """The next query of the queue (null: none is left), and how wide the interval of the first hit's share of right
    answers still is."""

    index: str
    number: int = Field(description="Queries of the queue that this judge has done.")
    total: int = Field(description="Queries in the queue.")
    reference: IndexedImage | None
    text: str = ""
    hits: list[IndexedImage] = Field(default=[], description="First hits of all models, in random order.")
    judged: int = Field(description="Queries whose first hit has been judged by anybody.")
    half_width: float = Field(description="Of the 95 % interval of that share, from 0 to 1.")


class JudgingEndpoints:
    """The functions behind the addresses."""

    def __init__(self, judging: Judging, service: Callable[[], SearchService]) -> None:
        self._judging, self._service, self._queue = judging, service, QueueOfIndex(judging)

    def next(self, judge: Annotated[JudgeName, Query()] = "") -> NextQuery:
        """The next query that is worth judging; the first call searches with all models and takes a while."""
        service = self._service()
        item = self._queue.next(service, one_line(judge) or ANONYMOUS)
        share, total = self._queue.share_right(service), len(self._queue.queue(service).queries)
        state = {"total": total, "judged": share.judged, "half_width": share.half_width}
        if item is None:
            return NextQuery(index=service.fingerprint, number=total, reference=None, **state)
        return NextQuery(
            index=service.fingerprint,
            number=item.number,
            reference=item.reference,
            text=item.modified_text,
            hits=item.hits,
            **state,
        )

    def add(self, given: GivenJudgement) -> JudgementPurpose:
        """Keep a judgement; it is on the disk when this answers."""
        judge, hit = one_line(given.judge) or ANONYMOUS, given.hit()
        stratum = self._queue.stratum_of(given.index, hit.query_id) if given.model == POOLED else Stratum()
        return JudgementPurpose(purpose=self._judging.add(judge, given.model, given.index, [hit], stratum))

    def own(
        self,
        index: Annotated[IndexFingerprint, Query()],
        image_id: Annotated[References, Query()],
        text: Annotated[Text, Query()],
        judge: Annotated[JudgeName, Query()] = "",
    ) -> OwnJudgements:
        """What one judge has said of the hits of a query."""
        references = list(dict.fromkeys(image_id))
        verdicts = self._judging.log.of_query(references, text, one_line(judge) or ANONYMOUS)
        return OwnJudgements(purpose=self._judging.purpose(index, references), verdicts=verdicts)


def add_judging(
    app: FastAPI,
    judging: Judging,
    service: Callable[[], SearchService],
    failures: dict[int | str, dict[str, Any]],
) -> None:
    """Add the addresses to the application; ``service`` gives the one that answers now."""
    endpoints = JudgingEndpoints(judging, service)
    address = "/api/judgements"
    app.add_api_route(address, endpoints.add, methods=["POST"], status_code=201, responses=failures)
    app.add_api_route(address, endpoints.own, methods=["GET"], responses=failures)
    app.add_api_route("/api/judging/next", endpoints.next, methods=["GET"], responses=failures)
