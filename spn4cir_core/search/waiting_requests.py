"""Requests of many threads answered together: what waits while a batch is computed is the next batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class _Waiting(Generic[Request, Answer]):
    """A request whose thread sleeps until it is answered, or has to compute the next batch."""

    def __init__(self, request: Request) -> None:
        self.request, self.awake, self.is_answered = request, threading.Event(), False
        self.answer: Answer
        self.error: Exception | None = None


class WaitingRequests(Generic[Request, Answer]):
    """Calls ``answer_batch`` with all requests that wait, in one thread at a time.

    An idle service waits for nothing: the first request is a batch of its own. There is no thread beside those of the
    callers: when a batch is done, the first one that waits computes the next.

    Args:
        answer_batch: the answers to several requests, in their order. Where it fails, each is asked for alone, so that
            an error reaches nobody but the request that causes it.
        most: requests in one batch.
    """

    def __init__(self, answer_batch: Callable[[Sequence[Request]], Sequence[Answer]], most: int) -> None:
        self._answer_batch, self._most = answer_batch, most
        self._lock, self._is_busy = threading.Lock(), False
        self._waiting: list[_Waiting[Request, Answer]] = []

    def __call__(self, request: Request) -> Answer:
        """The answer to one request.

        Raises:
            Exception: whatever ``answer_batch`` raises for this request alone.
        """
        own: _Waiting[Request, Answer] = _Waiting(request)
        with self._lock:
            self._waiting.append(own)
            if not self._is_busy:
                self._is_busy = True
                own.awake.set()
        own.awake.wait()
        if not own.is_answered:
            self._answer_next()
        if own.error is not None:
            raise own.error
        return own.answer

    def _answer_next(self) -> None:
        """Answer the first that wait, the caller's own among them, and wake who has to compute the next batch."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._answer(batch)
        finally:
            with self._lock:
                self._is_busy = bool(self._waiting)
                following = self._waiting[:1]
            for one in [*batch, *following]:
                one.awake.set()

    def _answer(self, batch: Sequence[_Waiting[Request, Answer]]) -> None:
        try:
            answers = self._answer_batch([one.request for one in batch])
            for one, answer in zip(batch, answers, strict=True):
                one.answer, one.is_answered = answer, True
        except Exception as error:
            if len(batch) == 1:
                batch[0].error, batch[0].is_answered = error, True
                return
            for one in batch:
                self._answer([one])
