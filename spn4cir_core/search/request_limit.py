"""A bound on the requests that are under way: each may hold an upload in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

RETRY_AFTER_S = 1


class RequestLimit:
    """Refuses (429) a request with a body while ``most`` others are under way, and says when to send it again."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most, self._under_way = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or pass it on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if self._under_way >= self._most:
            from starlette.responses import JSONResponse

            error = {"error": f"{self._most} requests are under way; send this one again in {RETRY_AFTER_S} s"}
            await JSONResponse(error, 429, {"retry-after": str(RETRY_AFTER_S)})(scope, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1
