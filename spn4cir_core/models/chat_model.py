"""A model behind the OpenAI chat protocol, and many requests to it at a time."""

from __future__ import annotations

import base64
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any
from urllib.parse import urlsplit

from PIL import Image
from pydantic import AfterValidator, Field

from spn4cir_core.engine.plugins import Plugin
from spn4cir_core.errors import InputError
from spn4cir_core.models.chat_client import ChatClient, CutAnswer, NoAnswer
from spn4cir_core.store.fingerprints import OmitFromFingerprint

log = logging.getLogger(__name__)
MORE_ROOM = 8
"""Times ``max_tokens`` for an answer that was cut there."""
SECRET = re.compile(r"api_?-?key|secret|passw|authorization|bearer|(access|auth)_?-?token", re.IGNORECASE)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in url:
        raise ValueError("give http(s)://host[:port]/path without user, key or query, e.g. http://localhost:8000/v1")
    return url


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    if taken := {"model", "messages", "stream"} & extra.keys():
        raise ValueError(f"{', '.join(sorted(taken))} cannot be set here")
    if secret := [key for key in extra if SECRET.search(key)]:
        raise ValueError(f"{secret[0]} looks like a secret, which would be stored with the artefact; use api_key_env")
    return extra


class ChatModel(Plugin):
    """Settings of the model and of the way to it."""

    base_url: Annotated[str, OmitFromFingerprint(), AfterValidator(_check_url)]
    """Address of the API without ``/chat/completions``, e.g. ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """The model's name on the server."""
    revision: str = ""
    """Not sent. Change it when the server has other weights under the same name, and answers come anew."""
    max_tokens: int = Field(default=60, ge=1, le=4000)
    """An answer that is cut here is asked for once more with eight times the room, and then is a drop."""
    max_side_px: int = Field(default=672, ge=16, le=8192)
    """Larger pictures are sent smaller."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    extra_body: Annotated[dict[str, Any], AfterValidator(_check_extra)] = Field(default_factory=dict)
    """More keys of the request, e.g. ``{seed = 1}``. No secrets: they would be stored with the artefact."""
    api_key_env: Annotated[str, OmitFromFingerprint()] = ""
    """Name of the environment variable that holds the API key; empty where the server wants none."""
    concurrency: Annotated[int, OmitFromFingerprint()] = Field(default=8, ge=1, le=256)
    timeout_s: Annotated[float, OmitFromFingerprint()] = Field(default=120, gt=0)
    retries: Annotated[int, OmitFromFingerprint()] = Field(default=5, ge=0, le=100)
    first_wait_s: Annotated[float, OmitFromFingerprint()] = Field(default=1, ge=0)
    """Before the first retry; doubles with each further one, up to ``max_wait_s``."""
    max_wait_s: Annotated[float, OmitFromFingerprint()] = Field(default=60, ge=0)
    max_failures_in_a_row: Annotated[int, OmitFromFingerprint()] = Field(default=16, ge=1)
    """So many questions in a row without a usable answer are an error."""

    def client(self) -> ChatClient:
        """Read the key; no request is made yet.

        Raises:
            InputError: the key's variable is not set.
        """
        return ChatClient(self.base_url, self._key(), self.timeout_s, self.retries, self.first_wait_s, self.max_wait_s)

    def body(self, prompt: str, pictures: Sequence[Image.Image]) -> dict[str, Any]:
        """The request: pictures first, then the words; greedy."""
        images: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_uri(picture, self.max_side_px, self.jpeg_quality)}}
            for picture in pictures
        ]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": [*images, {"type": "text", "text": prompt}]}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "stream": False,
            **self.extra_body,
        }

    def _key(self) -> str:
        if not self.api_key_env:
            return ""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):  # it may be the key: do not repeat it
            raise InputError("api_key_env must be the name of an environment variable, and not the key itself")
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise InputError(f"the environment variable {self.api_key_env}, named by api_key_env, is not set")
        return key


@dataclass(frozen=True)
class Question:
    """One request. ``name`` says in the log what it is about."""

    name: str
    prompt: str
    pictures: tuple[Image.Image, ...] = ()


@dataclass(eq=False)
class Unusable(Exception):
    """An answer that is none; it is counted under ``name``."""

    name: str
    problem: str


class Chat:
    """Answers batches of questions, several at a time; None where there is no usable answer."""

    def __init__(self, settings: ChatModel, about: str, wanted: str, usable: Callable[[str], str]) -> None:
        """Read the key; no request is made yet.

        Args:
            about: what a question is about, for messages and counts: ``picture``.
            wanted: what an answer is, for messages: ``caption``.
            usable: makes an answer of what the server says, or raises :class:`Unusable`.
        """
        self._settings, self._about, self._wanted, self._usable = settings, about, wanted, usable
        self._client = settings.client()
        self._failures: list[str] = []
        self._seconds = 0.0

    @property
    def counts(self) -> Mapping[str, float]:
        """What happened so far, for the artefact's details."""
        counts, noun = Counter(self._client.counts), f"{self._about}s"
        return {**counts, f"{noun}_per_s": round(counts[noun] / max(self._seconds, 1e-9), 2)}

    def __call__(self, questions: Sequence[Question]) -> list[str | None]:
        """Ask all of them.

        Raises:
            InputError: the server is down, refuses everything, or many answers in a row cannot be used.
        """
        started, retries = time.perf_counter(), self._client.counts["retries"]
        pool = ThreadPoolExecutor(self._settings.concurrency)
        try:
            futures = [pool.submit(self._one, question) for question in questions]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            self._client.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self._seconds += time.perf_counter() - started
        if self._client.counts["retries"] > retries:
            log.warning("chat server %s: %s", self._client.url, dict(self.counts))
        return [self._answer(question, *future.result()) for question, future in zip(questions, futures, strict=True)]

    def _one(self, question: Question) -> tuple[str, str]:
        """The answer, or why there is none."""
        self._client.count(f"{self._about}s")
        body = self._settings.body(question.prompt, question.pictures)
        try:
            return self._usable(self._whole_answer(body, question.name)), ""
        except NoAnswer as error:
            return "", str(error)
        except Unusable as error:
            self._client.count(error.name)
            return "", error.problem

    def _whole_answer(self, body: dict[str, Any], name: str) -> str:
        """An answer that was cut is asked for once more with room for thoughts and openings."""
        try:
            return self._client.ask(body, name)
        except CutAnswer:
            return self._client.ask({**body, "max_tokens": body["max_tokens"] * MORE_ROOM}, name)

    def _answer(self, question: Question, answer: str, problem: str) -> str | None:
        if not problem:
            self._failures.clear()
            return answer
        self._failures.append(problem)
        log.warning("no %s for %s: %s", self._wanted, question.name, problem)
        if len(self._failures) >= self._settings.max_failures_in_a_row:
            raise InputError(
                f"{len(self._failures)} {self._about}s in a row got no {self._wanted} from {self._client.url}; the "
                f"last: {problem}. Check what the server serves; {self._wanted}s of finished shards are stored"
            )
        return None


def data_uri(picture: Image.Image, max_side_px: int, quality: int) -> str:
    """The picture as a JPEG inside a URI, made smaller where a side is longer than ``max_side_px``."""
    small = picture.convert("RGB")
    small.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
    stream = BytesIO()
    small.save(stream, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
