from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.search.waiting_requests import WaitingRequests

LIMIT_S = 60


class Doubling:
    """Doubles numbers, but not before it is allowed to; it refuses negative ones."""

    def __init__(self) -> None:
        self.batches, self.started, self.may_go_on = list[list[int]](), threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.started.set()
        assert self.may_go_on.wait(LIMIT_S)
        if min(numbers) < 0:
            raise InputError("negative")
        return [2 * number for number in numbers]


def _until_waiting(waiting: WaitingRequests[int, int], count: int) -> None:
    while len(waiting._waiting) < count:
        threading.Event().wait(0.005)


def test_a_single_request_is_answered_at_once() -> None:
    doubling = Doubling()
    doubling.may_go_on.set()
    waiting = WaitingRequests(doubling, 8)
    assert [waiting(number) for number in range(3)] == [0, 2, 4]
    assert doubling.batches == [[0], [1], [2]]


@pytest.mark.parametrize("most", [2, 8])
def test_requests_that_wait_are_one_batch(most: int) -> None:
    doubling = Doubling()
    waiting = WaitingRequests(doubling, most)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(waiting, 0)
        assert doubling.started.wait(LIMIT_S)
        others = [pool.submit(waiting, number) for number in range(1, 8)]
        _until_waiting(waiting, 7)
        doubling.may_go_on.set()
        assert first.result(LIMIT_S) == 0
        assert [other.result(LIMIT_S) for other in others] == [2 * number for number in range(1, 8)]
    assert doubling.batches[0] == [0]
    assert [len(batch) for batch in doubling.batches[1:]] == ([7] if most == 8 else [2, 2, 2, 1])


def test_an_error_reaches_the_request_that_causes_it_alone() -> None:
    doubling = Doubling()
    waiting = WaitingRequests(doubling, 8)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(waiting, 1)
        assert doubling.started.wait(LIMIT_S)
        wrong, right = pool.submit(waiting, -1), pool.submit(waiting, 2)
        _until_waiting(waiting, 2)
        doubling.may_go_on.set()
        with pytest.raises(InputError, match="negative"):
            wrong.result(LIMIT_S)
        assert (first.result(LIMIT_S), right.result(LIMIT_S)) == (2, 4)
    assert waiting(5) == 10


def test_nothing_is_lost_when_many_ask_again_and_again() -> None:
    doubling = Doubling()
    doubling.may_go_on.set()
    waiting = WaitingRequests(doubling, 3)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(waiting, range(1000))) == [2 * number for number in range(1000)]
    assert sorted(number for batch in doubling.batches for number in batch) == list(range(1000))
    assert max(map(len, doubling.batches)) <= 3
