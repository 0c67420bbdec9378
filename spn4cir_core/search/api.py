"""The search page and the JSON API behind it, described at ``/openapi.json``."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from importlib import resources
from itertools import islice
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from spn4cir_core.engine.plugins import message_of
from spn4cir_core.errors import InputError
from spn4cir_core.images.files import PictureError
from spn4cir_core.images.formats import FORMATS
from spn4cir_core.search.access_control import AccessControl
from spn4cir_core.search.api_answers import (
    Answer,
    Failure,
    FilterList,
    FilterValue,
    Health,
    Images,
    ModelList,
    Ready,
)
from spn4cir_core.search.filters import parse_where
from spn4cir_core.search.judging import Judging, NoSuchIndex
from spn4cir_core.search.judging_api import add_judging
from spn4cir_core.search.metrics import MeasuredRequests, Metrics
from spn4cir_core.search.models import INDEXED, NoSuchModel
from spn4cir_core.search.request_limit import RequestLimit
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.search_form import (
    MAX_FORM_BYTES,
    MAX_UPLOAD_BYTES,
    AskedModel,
    Conditions,
    ImageIds,
    Kind,
    Rerank,
    Text,
    Top,
    Uploads,
    Weights,
    bytes_of,
    check_search_form,
)
from spn4cir_core.search.service import NoSuchImage, SearchService

MOST_WAITING = 512
"""Requests with a body that are under way at a time; a further one is refused at once, and may be sent again."""
REFUSALS = (401, 403, 404, 408, 411, 413, 415, 422, 429)
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
MOST_VALUES = 200
"""Values of a column that are listed, the commonest ones."""


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
        text: Text = "",
        image_id: ImageIds = [],  # noqa: B006
        image: Uploads = [],  # noqa: B006
        query: Kind = "composed",
        top: Top = 12,
        model: AskedModel = INDEXED,
        weight: Weights = [],  # noqa: B006
        rerank: Rerank = False,
        where: Conditions = [],  # noqa: B006
    ) -> Response:
        """The best images for a reference image and a text; a reference of the index is not among its own hits."""
        image_ids, service = list(filter(None, image_id)), self._service
        wanted = RequestedSearch(image_ids, (), text, query, top, model, weight, rerank, parse_where(where))
        if image or wanted.takes_long:
            result = await run_in_threadpool(lambda: service.search(replace(wanted, uploads=bytes_of(image))))
        else:
            result = await service.search_soon(wanted)
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


async def is_search_form(request: Request) -> None:
    """Refuse what is no form of a search; see :func:`check_search_form`."""
    await check_search_form(request, SEARCH_FIELDS)


SEARCH_FIELDS = frozenset(inspect.signature(Endpoints.search).parameters) - {"self"}


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
