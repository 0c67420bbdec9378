"""One POST to a server that speaks the OpenAI chat protocol, tried again where that may help."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from ipaddress import ip_address
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)
from weakref import WeakSet

from spn4cir_core.errors import InputError, ServerDown

SETTINGS_WRONG = {401: "check api_key_env", 403: "check api_key_env", 404: "check base_url and model"}
OVERLOADED = {429, 502, 503, 504}
TRY_AGAIN = OVERLOADED | {408, 425, 500}
MOST_BYTES = 4_000_000
"""Most bytes of an answer; a caption or a text has a few hundred."""


class NoAnswer(Exception):
    """This request got no usable answer; another one may."""


class CutAnswer(NoAnswer):
    """The answer ends where its tokens were used up (``finish_reason`` is ``length``)."""


@dataclass(eq=False)
class _Problem(Exception):
    """What went wrong in one try, counted under ``name``."""

    name: str
    text: str
    server_down: bool = False
    retry_after_s: float | None = None


@dataclass
class ChatClient:
    """Safe to use from several threads. The key goes into a header and nowhere else."""

    base_url: str
    key: str = field(repr=False)
    timeout_s: float
    retries: int
    first_wait_s: float
    max_wait_s: float
    counts: Counter[str] = field(default_factory=Counter)
    """Requests, retries, and what went wrong, by name."""

    def __post_init__(self) -> None:
        if not (self.key.isascii() and self.key.isprintable()):
            raise InputError("the API key holds characters that no HTTP header may hold; set its variable anew")
        self.url = f"{self.base_url.rstrip('/')}/chat/completions"
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._opener = _opener(self.url, self._opened)
        self._stopped, self._lock = threading.Event(), threading.Lock()

    def stop(self) -> None:
        """Let the threads that wait for an answer or for their next try give up at once."""
        with self._lock:
            self._stopped.set()
            for opened in self._sockets:
                _break(opened)

    def _opened(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.add(opened)
            if self._stopped.is_set():
                _break(opened)

    def count(self, name: str) -> None:
        """Add one under a name."""
        with self._lock:
            self.counts[name] += 1

    def ask(self, body: Mapping[str, Any], seed: str) -> str:
        """The text that the server answers to one chat.

        Waits between tries grow twofold and are spread at random, as ``seed`` has it; a ``Retry-After`` counts.

        Raises:
            CutAnswer: the answer was cut at the limit of tokens; the same request would be cut again.
            NoAnswer: the server refuses this very request, or answers nonsense each time.
            InputError: it cannot be reached, stays overloaded, or refuses every request.
        """
        data, random = json.dumps(body).encode(), Random(seed)
        for attempt in range(self.retries + 1):
            self.count("requests")
            try:
                return self._post(data)
            except _Problem as problem:
                self.count(problem.name)
                wait_s = self._wait_s(problem, attempt, random)
                if attempt == self.retries or wait_s > self.max_wait_s or self._stopped.wait(wait_s):
                    self._give_up(problem, attempt + 1)
            self.count("retries")
        raise AssertionError("the last try returns or raises")

    def _wait_s(self, problem: _Problem, attempt: int, random: Random) -> float:
        if problem.retry_after_s is not None:
            return problem.retry_after_s * (1 + random.random() / 10)
        return min(self.max_wait_s, self.first_wait_s * 2.0**attempt) * (0.5 + random.random() / 2)

    def _give_up(self, problem: _Problem, tries: int) -> None:
        message = f"{problem.text} ({tries} tries)"
        if not problem.server_down:
            raise NoAnswer(message) from problem
        waiting = "" if problem.retry_after_s is None else f"; it asks to wait {problem.retry_after_s:.0f} s"
        raise ServerDown(
            f"the chat server {self.url} is down or overloaded: {message}{waiting}. Start it or check base_url, "
            "timeout_s, retries and max_wait_s, then run again: answers of finished shards are stored"
        ) from problem

    def _post(self, data: bytes) -> str:
        headers = {"Content-Type": "application/json", "User-Agent": "spn4cir"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            content = self._read(Request(self.url, data, headers, method="POST"))
        except HTTPError as error:
            with error:
                raise self._status_problem(error) from None
        except TimeoutError:
            raise _Problem("time_outs", f"no answer within {self.timeout_s:g} s", server_down=True) from None
        except (OSError, HTTPException) as error:
            name = "time_outs" if isinstance(getattr(error, "reason", None), TimeoutError) else "connection_errors"
            raise _Problem(name, self._excerpt(str(error).encode()), server_down=True) from None
        return self._text(content)

    def _read(self, request: Request) -> bytes:
        """The whole answer; the socket's own time-out begins anew with every packet."""
        until, content = time.monotonic() + self.timeout_s, b""
        with self._opener.open(request, timeout=self.timeout_s) as response:
            while part := response.read1(65536):
                content += part
                if time.monotonic() > until:
                    raise TimeoutError
                if len(content) > MOST_BYTES:
                    raise _Problem("malformed", f"an answer of more than {MOST_BYTES:,} bytes")
            announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and len(content) < int(announced):
            raise IncompleteRead(content, int(announced) - len(content))
        return content

    def _status_problem(self, error: HTTPError) -> Exception:
        code, message = error.code, f"status {error.code}: {self._excerpt(_beginning(error))}"
        if code in TRY_AGAIN:
            name = "rate_limited" if code == 429 else "server_errors"
            wait_s = _retry_after_s(error.headers.get("Retry-After", ""), error.headers.get("Date", ""))
            return _Problem(name, message, code in OVERLOADED, wait_s)
        if code in SETTINGS_WRONG or code < 400:
            self.count("refused")
            hint = SETTINGS_WRONG.get(code, "base_url must be the final address, redirects are not followed")
            return InputError(f"the chat server {self.url} refuses, {message}; {hint}")
        self.count("refused")
        return NoAnswer(message)

    def _text(self, content: bytes) -> str:
        """The text of the first choice of a chat completion.

        https://platform.openai.com/docs/api-reference/chat/object
        """
        try:
            choice = json.loads(content)["choices"][0]
            text, ending = choice["message"]["content"], choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            text, ending = 0, ""
        if text is not None and not isinstance(text, str):
            raise _Problem("malformed", f"no chat completion but {self._excerpt(content)!r}")
        if ending == "length":
            self.count("cut")
            raise CutAnswer(
                f"an answer cut at the limit of tokens: {self._excerpt((text or '').encode(errors='replace'))!r}"
            )
        return (text or "").encode("utf-8", "replace").decode()  # JSON can hold halves of characters; nothing else can

    def _excerpt(self, content: bytes) -> str:
        text = re.sub(r"\s+", " ", content[:2000].decode("utf-8", "replace"))
        return (text.replace(self.key, "***") if self.key else text)[:200]


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST becomes a GET, and would carry the key to another host. Where it leads is not even read."""

    def http_error_302(self, *args: Any, **more: Any) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _break(opened: socket.socket) -> None:
    with suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


def _beginning(error: HTTPError) -> bytes:
    """First bytes of the body of a server's error; empty where the connection breaks or it takes too long."""
    try:
        return error.read(2000)
    except (OSError, HTTPException, ValueError):
        return b""


def _opener(url: str, opened: Callable[[socket.socket], None]) -> OpenerDirector:
    """Opens connections, to this machine without a proxy, and tells each one's socket."""
    host = urlsplit(url).hostname or ""
    direct = [ProxyHandler({})] if host == "localhost" or _is_loopback(host) else []

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class Encrypted(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class OpenPlain(HTTPHandler):
        def http_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Plain, request)

    class OpenEncrypted(HTTPSHandler):
        def https_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Encrypted, request)

    return build_opener(_NoRedirects, OpenPlain, OpenEncrypted, *direct)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after_s(value: str, date: str) -> float | None:
    """Seconds from a ``Retry-After`` header, which holds seconds or a date (RFC 9110, 10.2.3).

    A date counts from the server's own ``Date``, so that it does not matter whether this machine's clock is right.
    """
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    try:
        then = parsedate_to_datetime(value).timestamp()
        now = parsedate_to_datetime(date).timestamp() if date else time.time()
        return max(0.0, then - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
