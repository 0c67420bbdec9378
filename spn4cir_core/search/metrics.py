"""Figures of a running server for Prometheus: requests by route and status, their seconds, and requests in a batch."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of prometheus_client: the folder in which several server processes add up their figures."""
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROUTES = (
    "/",
    "/page.js",
    "/health",
    "/ready",
    "/metrics",
    "/openapi.json",
    "/api/images",
    "/api/models",
    "/api/search",
    "/api/filters",
    "/api/judgements",
    "/api/judging/next",
)
"""Addresses that are labels of their own; all thumbnails are one, and so is everything else."""


class Metrics:
    """The figures of one application; :meth:`text` is what ``/metrics`` answers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("spn4cir_requests", "Answered requests.", ("route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "spn4cir_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "spn4cir_batch_requests",
            "Search requests that were answered together.",
            buckets=BATCHES,
            registry=self._registry,
        )
        self._reloads = Counter(
            "spn4cir_reloads", "New indexes, by whether they could be opened.", ("result",), registry=self._registry
        )

    def count_batch(self, requests: int) -> None:
        """Note that so many requests were answered together."""
        self._batches.observe(requests)

    def count_reload(self, is_opened: bool) -> None:
        """Note that a new index answers, or that it could not be opened."""
        self._reloads.labels("opened" if is_opened else "failed").inc()

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Note one answer."""
        route = _route(path)
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Prometheus's text format; of all server processes where there are several."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _route(path: str) -> str:
    if path.startswith("/thumbnail/"):
        return "/thumbnail"
    return path if path in ROUTES else "other"


class MeasuredRequests:
    """Counts what passes through it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note its status and seconds; 500 where it has no answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def with_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, with_status)
        finally:
            self._metrics.count_request(scope["path"], status, time.perf_counter() - started)
