"""Which requests a served index accepts: token, host and size."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_TO_ALL = ("/", "/page.js", "/judging.js", "/recent.js", "/region.js", "/filters.js", "/health", "/ready")
"""The page itself holds no data; it asks for the token and sends it with every request for some."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
LOOPBACK_HOST = re.compile(rf"({'|'.join(map(re.escape, LOOPBACK_NAMES))})(:[0-9]{{1,5}})?", re.IGNORECASE)
"""A Host header that names this machine: an exact name and, where there is one, a port."""
BODY_SECONDS = 60.0
"""Seconds that a client may take to send a body."""
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class AccessControl:
    """Refuses a request before its body is read into memory.

    Without a token only requests addressed to this machine by a loopback name are answered: a page of another site
    whose name was made to point here (DNS rebinding) gets nothing, and neither does one that posts here from its own
    address (cross-site request forgery). With a token, every request that sends it is answered.
    """

    def __init__(self, app: ASGIApp, token: str, max_body_bytes: int) -> None:
        self._app, self._token, self._max_body_bytes = app, token, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, or pass it on and add the headers that confine the page."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        refused = self.refusal(scope)
        if refused is None:
            # FastAPI gives a route no HEAD of its own; the server leaves out the body.
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            await self._app({**scope, "method": method}, _within_time(receive), with_headers)
            return
        status, message = refused
        body = json.dumps({"error": message}).encode()
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length), (b"connection", b"close")]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await with_headers({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _discard_body(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """HTTP status (401, 403, 411 or 413) and message of a refused request; None for an accepted one."""
        headers = dict(scope["headers"])
        if self._token:
            given, wanted = headers.get(b"authorization", b""), f"Bearer {self._token}".encode()
            if scope["path"] not in OPEN_TO_ALL and not hmac.compare_digest(given, wanted):
                return 401, "send the token of this server: Authorization: Bearer …"
        elif not _names_this_machine(scope):
            return 403, f"this server answers only requests addressed to {', '.join(LOOPBACK_NAMES)}"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if not self._token and not _from_own_page(scope):
            return 403, "this server takes requests from its own page only, not from one of another origin"
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "send the length of the body: Content-Length"
        if int(length) > self._max_body_bytes:
            return 413, f"at most {self._max_body_bytes / 1e6:.0f} MB can be sent; this is {int(length) / 1e6:.1f} MB"
        return None


def _within_time(receive: Receive) -> Receive:
    """As ``receive``, but the whole body has to be there within ``BODY_SECONDS``.

    Raises:
        HTTPException: 408, when awaited for longer.
    """
    from starlette.exceptions import HTTPException

    end = asyncio.get_running_loop().time() + BODY_SECONDS
    more = True

    async def received() -> Message:
        nonlocal more
        if not more:  # what comes now is the end of the connection, and that may take as long as the answer
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError as error:
            text = f"the body was not sent within {BODY_SECONDS:g} seconds"
            raise HTTPException(408, text, {"connection": "close"}) from error
        more = bool(message.get("more_body"))
        return message

    return received


async def _discard_body(receive: Receive) -> None:
    """Read what a client still sends: one whose connection is closed earlier misses its answer (RFC 9112, 9.6)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while (await receive()).get("more_body"):
                pass


def _values(scope: Scope, name: bytes) -> list[str]:
    """The values of all headers of a name; several of one kind are not taken for one."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _names_this_machine(scope: Scope) -> bool:
    hosts = _values(scope, b"host")
    return len(hosts) == 1 and LOOPBACK_HOST.fullmatch(hosts[0]) is not None


def _from_own_page(scope: Scope) -> bool:
    """Whether no browser sent it, or one did for a page of this server: Fetch standard, Origin header."""
    own = f"{scope['scheme']}://{_values(scope, b'host')[0]}".lower()
    return all(origin.lower() == own for origin in _values(scope, b"origin"))
