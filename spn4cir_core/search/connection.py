"""A client's connection, and how long it may take to send the headers of a request."""

from __future__ import annotations

import asyncio

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 30.0
"""From the connection or, in one that is kept alive, from the first byte of a request to the end of its headers."""


class Connection(H11Protocol):
    """Closed where headers are half-sent for ``HEADER_SECONDS``; uvicorn limits only the time between requests."""

    _limit: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit = self.loop.call_later(HEADER_SECONDS, transport.close)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:  # the headers of a request are complete
            self._stop()
        elif self._limit is None:
            self._limit = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
