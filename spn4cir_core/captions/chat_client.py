"""One POST to a server that speaks the OpenAI chat protocol, tried again where that may help."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from ipaddress import ip_address
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from spn4cir_core.errors import InputError

SETTINGS_WRONG = {401: "check api_key_env", 403: "check api_key_env", 404: "check base_url and model"}
OVERLOADED = {429, 502, 503, 504}
TRY_AGAIN = OVERLOADED | {408, 425, 500}
MOST_BYTES = 4_000_000
"""Of an answer; a caption or a text has a few hundred."""


class NoAnswer(Exception):
    """This request got no usable answer; another one may."""


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
        self._opener = _opener(self.url)
        self._stopped, self._lock = threading.Event(), threading.Lock()

    def stop(self) -> None:
        """Let the threads that wait for their next try give up."""
        self._stopped.set()

    def count(self, name: str) -> None:
        """Add one under a name."""
        with self._lock:
            self.counts[name] += 1

    def ask(self, body: Mapping[str, Any], seed: str) -> str:
        """The text that the server answers to one chat.

        Waits between tries grow twofold and are spread at random, as ``seed`` has it; a ``Retry-After`` counts.

        Raises:
            NoAnswer: the server refuses this very request, or answers nonsense each time.
            InputError: it cannot be reached, stays overloaded, or refuses whatever is asked.
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
        said = f"{problem.text} ({tries} tries)"
        if not problem.server_down:
            raise NoAnswer(said) from problem
        asked = "" if problem.retry_after_s is None else f"; it asks to wait {problem.retry_after_s:.0f} s"
        raise InputError(
            f"the chat server {self.url} is down or overloaded: {said}{asked}. Start it or check base_url, "
            "timeout_s, retries and max_wait_s, then run again: answers of finished shards are kept"
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
        return content

    def _status_problem(self, error: HTTPError) -> Exception:
        code, said = error.code, f"status {error.code}: {self._excerpt(error.read(2000))}"
        if code in TRY_AGAIN:
            name = "rate_limited" if code == 429 else "server_errors"
            return _Problem(name, said, code in OVERLOADED, _retry_after_s(error.headers.get("Retry-After", "")))
        if code in SETTINGS_WRONG or code < 400:
            self.count("refused")
            hint = SETTINGS_WRONG.get(code, "base_url must be the final address, redirects are not followed")
            return InputError(f"the chat server {self.url} refuses, {said}; {hint}")
        self.count("refused")
        return NoAnswer(said)

    def _text(self, content: bytes) -> str:
        """Of a chat completion, the first choice's text.

        https://platform.openai.com/docs/api-reference/chat/object
        """
        try:
            text = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = 0
        if text is not None and not isinstance(text, str):
            raise _Problem("malformed", f"no chat completion but {self._excerpt(content)!r}")
        return text or ""

    def _excerpt(self, content: bytes) -> str:
        text = re.sub(r"\s+", " ", content[:2000].decode("utf-8", "replace"))
        return (text.replace(self.key, "***") if self.key else text)[:200]


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST becomes a GET, and would carry the key to another host."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def _opener(url: str) -> OpenerDirector:
    host = urlsplit(url).hostname or ""
    direct = [ProxyHandler({})] if host == "localhost" or _is_loopback(host) else []
    return build_opener(_NoRedirects, *direct)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _retry_after_s(value: str) -> float | None:
    """Seconds from a ``Retry-After`` header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
