"""The search page and the JSON API behind it, described at ``/openapi.json``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import resources
from itertools import islice
from typing import Annotated, Any, Literal, Protocol

from fastapi import Depends, FastAPI, File, Form, Path, Query, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from spn4cir_core.engine.plugins import message_of
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import PictureError
from spn4cir_core.images.formats import FORMATS
from spn4cir_core.search.access_control import AccessControl
from spn4cir_core.search.filters import parse_where
from spn4cir_core.search.hits import Hit
from spn4cir_core.search.judging import Judging, NoSuchIndex
from spn4cir_core.search.judging_api import add_judging
from spn4cir_core.search.metrics import MeasuredRequests, Metrics
from spn4cir_core.search.models import INDEXED, Model, NoSuchModel
from spn4cir_core.search.request_limit import RequestLimit
from spn4cir_core.search.service import IndexedImage, NoSuchImage, QueryKind, SearchService
from spn4cir_core.training.roles import ModelName

MAX_UPLOAD_BYTES = 10_000_000
MAX_FORM_BYTES = 64_000
"""What a request may be longer than the picture in it."""
MAX_TEXT = 1000
MOST_WAITING = 512
"""Requests with a body that are under way at a time; a further one is refused at once, and may be sent again."""
REFUSALS = (401, 403, 404, 408, 411, 413, 415, 422, 429)
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
KEEP_THUMBNAILS = {"cache-control": "private, max-age=3600"}
PAGE_FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/judging.js": ("judging.js", "text/javascript"),
    "/recent.js": ("recent.js", "text/javascript"),
    "/region.js": ("region.js", "text/javascript"),
    "/filters.js": ("filters.js", "text/javascript"),
}
"""File and media type by address."""
DESCRIPTION = (
    "Composed image retrieval: a reference image and a text that says what should be different in, the best images "
    'out. Errors are `{"error": "…"}` with a status of 4xx. A server that other machines can reach answers only '
    "requests with the header `Authorization: Bearer …`."
)
QUERIES = (
    "`composed`: with reference image and text; `image` and `text`: with one of them alone; `sum`: with both, their "
    "vectors only added (what a composing network has to beat)."
)


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
CONDITIONS = (
    "What hits must have, as `COLUMN=VALUE`, such as `colour=red`; `/api/filters` lists both. Several of one column: "
    "any of them; all columns must agree."
)
MOST_VALUES = 200
"""Values of a column that are listed, the commonest ones."""
Condition = Annotated[str, Field(max_length=1000)]
ImageId = Annotated[str, Field(max_length=4096)]


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


class ServiceSource(Protocol):
    """A service, or what follows the newest one."""

    def current(self) -> SearchService:
        """The service that answers now."""


class Endpoints:
    """The functions behind the addresses."""

    def __init__(self, source: ServiceSource, name: str, metrics: Metrics, judging: bool = False) -> None:
        self._source, self._name, self._metrics, self._judging = source, name, metrics, judging

    @property
    def _service(self) -> SearchService:
        return self._source.current()

    def images(
        self, count: Annotated[int, Query(ge=1, le=200)] = 24, seed: Annotated[int, Query(ge=0, lt=2**53)] = 0
    ) -> Images:
        """Pictures to start from, drawn at random; a seed always draws the same."""
        service = self._service
        return Images(name=self._name, total=len(service), reranks=service.reranks, images=service.draw(count, seed))

    def models(self) -> ModelList:
        """The model of the index, first, and those to be seen beside it; each is opened when first asked."""
        return ModelList(models=self._service.models(), judging=self._judging)

    def health(self) -> Health:
        """Whether the process lives; for whoever restarts it."""
        return Health()

    def ready(self, response: Response) -> Ready:
        """Whether to send requests here; 503 until the models are loaded."""
        service = self._service
        response.status_code = 200 if service.is_warm else 503
        return Ready(ready=service.is_warm, index=service.fingerprint, images=len(service))

    def metrics(self) -> Response:
        """Requests, seconds and batches in Prometheus's text format."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)

    def filters(self) -> FilterList:
        """Columns and values for the field `where` of a search, the commonest values first."""
        listed = {
            column: [FilterValue(value=value, count=count) for value, count in islice(values.items(), MOST_VALUES)]
            for column, values in self._service.filters().items()
        }
        return FilterList(filters=listed)

    def thumbnail(self, image_id: Annotated[str, Path(description="An id of the index, percent-encoded.")]) -> Response:
        """A JPEG of at most 320 pixels a side."""
        return Response(self._service.thumbnail(image_id), media_type="image/jpeg", headers=KEEP_THUMBNAILS)

    async def search(
        self,
        text: Annotated[str, Form(max_length=MAX_TEXT, description="What should be different.")] = "",
        image_id: Annotated[list[ImageId], Form(description="Reference images of the index; mostly one.")] = [],  # noqa: B006
        image: Annotated[list[UploadFile], File(description="Or pictures, at most 10 MB together.")] = [],  # noqa: B006
        query: Annotated[QueryKind, Form(description=QUERIES)] = "composed",
        top: Annotated[int, Form(ge=1, le=200, description="How many images.")] = 12,
        model: Annotated[ModelName, Form(description="One that /api/models lists without a reason.")] = INDEXED,
        weight: Annotated[list[float], Form(description="Of each reference image; image_id first, then image.")] = [],  # noqa: B006
        rerank: Annotated[bool, Form(description="The recipe's reranker puts the first hits in order; slow.")] = False,
        where: Annotated[list[Condition], Form(description=CONDITIONS)] = [],  # noqa: B006
    ) -> Response:
        """The best images for a reference image and a text; a reference of the index is not among its own hits."""
        image_ids, conditions, service = list(filter(None, image_id)), parse_where(where), self._service
        if image or rerank or conditions or model != INDEXED:  # what may take long, in another thread
            result = await run_in_threadpool(
                lambda: service.search(
                    *(image_ids, _bytes_of(image), text, query, top),
                    *(model, weight, rerank, conditions),
                )
            )
        else:
            result = await service.search_soon(image_ids, text, query, top, weight)
        answer = Answer.model_construct(
            query=query,
            model=model,
            text=text.strip(),
            image_id=next(iter(image_ids), None),
            image_ids=image_ids,
            vectors=result.vectors,
            note=result.note,
            index=result.index,
            reranked=result.reranked,
            hits=result.hits,
        )
        return Response(answer.model_dump_json(), media_type="application/json")


def _bytes_of(pictures: Sequence[UploadFile]) -> list[bytes]:
    """The content of uploads.

    Raises:
        HTTPException: 413, where they are too large together.
    """
    uploads = [each.file.read(MAX_UPLOAD_BYTES + 1) for each in pictures]
    if sum(map(len, uploads)) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD_BYTES / 1e6:.0f} MB")
    return uploads


SEARCH_FIELDS = frozenset(inspect.signature(Endpoints.search).parameters) - {"self"}


async def is_search_form(request: Request) -> None:
    """Refuse a body that is no form (415), and a form with fields that a search does not have (422)."""
    content = request.headers.get("content-type", "")
    if content and content.partition(";")[0].strip().lower() not in FORMS:
        raise HTTPException(415, f"a search is sent as a form ({FORMS[0]}), not as {content[:100]}")
    if unknown := sorted((await request.form()).keys() - SEARCH_FIELDS):
        fields = ", ".join(sorted(SEARCH_FIELDS))
        raise HTTPException(422, f"there is no field {unknown[0][:100]!r}; a search has {fields}")


def create_app(
    service: ServiceSource,
    name: str,
    token: str = "",
    judging: Judging | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The application.

    Args:
        judging: takes judgements; None: the page shows hits and takes none.
        name: what the page calls the pictures, such as the recipe's name.
        token: what every request for data must send as ``Authorization: Bearer``; empty: only requests addressed to
            a loopback name are answered.
        metrics: where requests are counted; None: this application's own.
    """
    metrics = metrics or Metrics()
    # No documentation pages: theirs load scripts from elsewhere. The schema itself is served.
    app = FastAPI(
        title="spn4cir search", description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=closing(service)
    )
    endpoints = Endpoints(service, name, metrics, judging is not None)
    failures: dict[int | str, dict[str, Any]] = {code: {"model": Failure} for code in REFUSALS}
    app.add_api_route("/api/images", endpoints.images, methods=["GET"], responses=failures)
    app.add_api_route("/api/models", endpoints.models, methods=["GET"], responses=failures)
    app.add_api_route("/api/filters", endpoints.filters, methods=["GET"], responses=failures)
    form = [Depends(is_search_form)]
    app.add_api_route(
        "/api/search",
        endpoints.search,
        methods=["POST"],
        response_model=Answer,
        responses=failures,
        dependencies=form,
    )
    app.add_api_route("/health", endpoints.health, methods=["GET"])
    app.add_api_route("/ready", endpoints.ready, methods=["GET"], responses={503: {"model": Ready}})
    app.add_api_route("/metrics", endpoints.metrics, methods=["GET"], responses=failures, response_class=Response)
    app.add_api_route(
        "/thumbnail/{image_id:path}",
        endpoints.thumbnail,
        methods=["GET"],
        responses={**failures, 200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
    )
    if judging is not None:
        add_judging(app, judging, service.current, failures)
    for path, (file, kind) in PAGE_FILES.items():
        app.add_api_route(path, _static(file, kind), methods=["GET"], include_in_schema=False)
    for error, answer in FAILURES.items():
        app.add_exception_handler(error, answer)
    app.add_middleware(RequestLimit, most=MOST_WAITING)
    app.add_middleware(AccessControl, token=token, max_body_bytes=MAX_UPLOAD_BYTES + MAX_FORM_BYTES)
    app.add_middleware(MeasuredRequests, metrics=metrics)
    return app


def closing(source: ServiceSource) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What closes the service once the last request is answered."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        source.current().close()

    return lifespan


def _static(file: str, kind: str) -> Callable[[], Response]:
    content = resources.files("spn4cir_core.search").joinpath(file).read_text(encoding="utf-8")
    return lambda: Response(content, media_type=kind, headers={"cache-control": "no-cache"})


def _failed(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = [f"{'.'.join(map(str, each['loc'][1:]))}: {message_of(each)}" for each in error.errors()]
    return _failed(422, "; ".join(problems))


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


def _unusable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PictureError)
    # What a file that is no picture starts with is for logs, not for people.
    message = f"not a picture; {', '.join(FORMATS)} are read" if error.reason == "not a picture" else str(error)
    return _failed(422, f"the picture cannot be used: {message}")


FAILURES: dict[type[Exception], Callable[[Request, Exception], JSONResponse]] = {
    NoSuchModel: lambda _, error: _failed(404, str(error)),
    NoSuchImage: lambda _, error: _failed(404, str(error)),
    NoSuchIndex: lambda _, error: _failed(404, str(error)),
    PictureError: _unusable,
    InputError: lambda _, error: _failed(422, str(error)),
    RequestValidationError: _invalid,
    HTTPException: _refused,
}
