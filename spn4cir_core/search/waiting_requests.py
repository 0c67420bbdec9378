"""Requests of many threads answered together: what waits while a batch is computed is the next batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class WaitingRequests(Generic[Request, Answer]):
    """Calls ``answer_batch`` with all requests that wait, in a thread of its own.

    An idle service waits for nothing: the first request is a batch of its own.

    Args:
        answer_batch: the answers to several requests, in their order. Where it fails, each is asked for alone, so that
            an error reaches nobody but the request that causes it.
        most: requests in one batch.
    """

    def __init__(self, answer_batch: Callable[[Sequence[Request]], Sequence[Answer]], most: int) -> None:
        self._answer_batch, self._most = answer_batch, most
        self._lock, self._is_busy = threading.Lock(), False
        self._waiting: list[tuple[Request, Future[Answer]]] = []
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="answers")

    def __call__(self, request: Request) -> Answer:
        """The answer to one request; the calling thread waits for it.

        Raises:
            Exception: whatever ``answer_batch`` raises for this request alone.
        """
        return self.submit(request).result()

    def submit(self, request: Request) -> Future[Answer]:
        """What will be the answer to one request, or its exception."""
        answer: Future[Answer] = Future()
        with self._lock:
            self._waiting.append((request, answer))
            is_first, self._is_busy = not self._is_busy, True
        if is_first:
            self._computing.submit(self._answer_waiting)
        return answer

    def _answer_waiting(self) -> None:
        """Answer the first that wait, and again, until none does."""
        while True:
            with self._lock:
                batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._is_busy = bool(batch)
            if not batch:
                return
            self._answer(batch)

    def _answer(self, batch: Sequence[tuple[Request, Future[Answer]]]) -> None:
        try:
            answers = self._answer_batch([request for request, _ in batch])
            given = [*zip(batch, answers, strict=True)]
        except Exception as error:
            if len(batch) == 1:
                (_, future) = batch[0]
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
                return
            for one in batch:
                self._answer([one])
            return
        for (_, future), answer in given:
            if future.set_running_or_notify_cancel():
                future.set_result(answer)
