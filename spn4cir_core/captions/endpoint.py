"""Captions by a server: vLLM, SGLang and llama.cpp serve LLaVA behind the OpenAI chat protocol."""

from __future__ import annotations

import base64
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from io import BytesIO
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from PIL import Image
from pydantic import AfterValidator, Field

from spn4cir_core.captions.base import Captioner, ToCaption
from spn4cir_core.captions.chat_client import ChatClient, NoAnswer
from spn4cir_core.captions.prompts import PUBLISHED, check_request, request, tidy
from spn4cir_core.errors import InputError
from spn4cir_core.fingerprints import NotFingerprinted, fingerprint, plain
from spn4cir_core.images.files import ImageFiles

log = logging.getLogger(__name__)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in url:
        raise ValueError("give http(s)://host[:port]/path without user, key or query, e.g. http://localhost:8000/v1")
    return url


def _check_extra(extra: dict[str, Any]) -> dict[str, Any]:
    if taken := {"model", "messages", "stream"} & extra.keys():
        raise ValueError(f"{', '.join(sorted(taken))} cannot be set here")
    return extra


class Endpoint(Captioner):
    """Asks a chat server for a brief description of each picture, several pictures at a time.

    ``batch_rows`` of the stage should be a few times ``concurrency``. A picture without a usable answer is
    counted as a drop, and asked again when the stage runs next.
    """

    plugin_kind: ClassVar[str] = "endpoint"
    base_url: Annotated[str, NotFingerprinted(), AfterValidator(_check_url)]
    """Without ``/chat/completions``, e.g. ``http://localhost:8000/v1``."""
    model: str = Field(min_length=1)
    """As the server names it."""
    revision: str = ""
    """Not sent. Change it when the server has other weights under the same name, and captions come anew."""
    request: Annotated[str, AfterValidator(check_request)] = PUBLISHED
    words: int = Field(default=10, ge=1, le=200)
    max_tokens: int = Field(default=60, ge=1, le=4000)
    max_words: int = Field(default=80, ge=1)
    """A longer answer is no caption."""
    max_side_px: int = Field(default=672, ge=16, le=8192)
    """Larger pictures are sent smaller."""
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    extra_body: Annotated[dict[str, Any], AfterValidator(_check_extra)] = Field(default_factory=dict)
    """More keys of the request, e.g. ``{seed = 1}``. No secrets: they would be kept with the artefact."""
    api_key_env: Annotated[str, NotFingerprinted()] = ""
    """Name of the environment variable that holds the API key; empty where the server wants none."""
    concurrency: Annotated[int, NotFingerprinted()] = Field(default=8, ge=1, le=256)
    timeout_s: Annotated[float, NotFingerprinted()] = Field(default=120, gt=0)
    retries: Annotated[int, NotFingerprinted()] = Field(default=5, ge=0, le=100)
    first_wait_s: Annotated[float, NotFingerprinted()] = Field(default=1, ge=0)
    """Before the first retry; doubles with each further one, up to ``max_wait_s``."""
    max_wait_s: Annotated[float, NotFingerprinted()] = Field(default=60, ge=0)
    max_failures_in_a_row: Annotated[int, NotFingerprinted()] = Field(default=16, ge=1)
    """So many pictures in a row without a usable answer are an error."""

    def fingerprint(self, files: ImageFiles) -> str:
        """Hash of the model's name and what is sent; neither URL nor key."""
        return fingerprint({key: value for key, value in plain(self).items() if key not in ("request", "words")})

    def prompt(self, image: ToCaption) -> str:
        """The request with the picture's category."""
        return request(self.request, image.category, self.words)

    def start(self, files: ImageFiles) -> Callable[[Sequence[ToCaption], Sequence[Image.Image]], list[str | None]]:
        """Read the key; no request is made yet.

        Raises:
            InputError: the key's variable is not set.
        """
        client = ChatClient(
            self.base_url, self._key(), self.timeout_s, self.retries, self.first_wait_s, self.max_wait_s
        )
        return _Asking(self, client)

    def _key(self) -> str:
        if not self.api_key_env:
            return ""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):  # it may be the key: do not repeat it
            raise InputError("api_key_env must be the name of an environment variable, and not the key itself")
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise InputError(f"the environment variable {self.api_key_env}, named by api_key_env, is not set")
        return key


class _Asking:
    """Captions batches; None for a picture without a usable answer."""

    def __init__(self, settings: Endpoint, client: ChatClient) -> None:
        self._settings, self._client = settings, client
        self._failures: list[str] = []
        self._seconds = 0.0

    @property
    def counts(self) -> Mapping[str, float]:
        """What happened so far, for the artefact's details."""
        counts = Counter(self._client.counts)
        return {**counts, "pictures_per_s": round(counts["pictures"] / max(self._seconds, 1e-9), 2)}

    def __call__(self, images: Sequence[ToCaption], pictures: Sequence[Image.Image]) -> list[str | None]:
        started, retries = time.perf_counter(), self._client.counts["retries"]
        pool = ThreadPoolExecutor(self._settings.concurrency)
        try:
            futures = [pool.submit(self._one, *pair) for pair in zip(images, pictures, strict=True)]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            self._client.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            self._seconds += time.perf_counter() - started
        answers = [future.result() for future in futures]
        if self._client.counts["retries"] > retries:
            log.warning("captioning server %s: %s", self._client.url, dict(self.counts))
        return [self._caption(image, *answer) for image, answer in zip(images, answers, strict=True)]

    def _one(self, image: ToCaption, picture: Image.Image) -> tuple[str, str]:
        """The caption, or why there is none."""
        self._client.count("pictures")
        try:
            text = tidy(self._client.ask(self._body(self._settings.prompt(image), picture), image.image_id))
        except NoAnswer as error:
            return "", str(error)
        if not text:
            self._client.count("empty")
            return "", "an empty answer"
        if len(text.split()) > self._settings.max_words:
            self._client.count("overlong")
            return "", f"an answer of {len(text.split())} words, more than max_words"
        return text, ""

    def _caption(self, image: ToCaption, text: str, problem: str) -> str | None:
        if not problem:
            self._failures.clear()
            return text
        self._failures.append(problem)
        log.warning("no caption for %s: %s", image.image_id, problem)
        if len(self._failures) >= self._settings.max_failures_in_a_row:
            raise InputError(
                f"{len(self._failures)} pictures in a row got no caption from {self._client.url}; the last: {problem}. "
                "Check what the server serves; captions of finished shards are kept"
            )
        return None

    def _body(self, prompt: str, picture: Image.Image) -> dict[str, Any]:
        settings = self._settings
        content = [
            {"type": "image_url", "image_url": {"url": data_uri(picture, settings.max_side_px, settings.jpeg_quality)}},
            {"type": "text", "text": prompt},
        ]
        return {
            "model": settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": settings.max_tokens,
            "temperature": 0,
            "stream": False,
            **settings.extra_body,
        }


def data_uri(picture: Image.Image, max_side_px: int, quality: int) -> str:
    """The picture as a JPEG inside a URI, made smaller where a side is longer than ``max_side_px``."""
    small = picture.convert("RGB")
    small.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
    stream = BytesIO()
    small.save(stream, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
