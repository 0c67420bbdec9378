from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from spn4cir_core.models.fixed_batches import in_parts, side_by_side, single_thread_workers


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_threads_are_as_before_when_callers_overlap() -> None:
    """The second comes while the first is inside, and leaves after it; it began in a thread that read the first's 1."""
    torch.set_num_threads(3)
    second_is_inside, first_has_left = threading.Event(), threading.Event()
    seen: list[int] = []

    def first(_: int) -> None:
        assert second_is_inside.wait(20)

    def second(_: int) -> None:
        second_is_inside.set()
        assert first_has_left.wait(20)
        seen.append(torch.get_num_threads())

    def call_first() -> None:
        side_by_side(first, [0])
        first_has_left.set()

    def call_second() -> None:
        side_by_side(lambda number: torch.get_num_threads(), [0])
        side_by_side(second, [0])

    callers = [threading.Thread(target=call) for call in (call_first, call_second)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert seen == [1]
    assert threads_of_a_new_thread() == 3


def test_parts_have_the_callers_autocast_and_no_gradients() -> None:
    weights = torch.ones(4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        made = in_parts(lambda rows: torch.ones(rows.stop - rows.start, 4) @ weights, 5, "cpu", 2)
    assert [len(part) for part in made] == [2, 2, 1]
    assert {part.dtype for part in made} == {torch.bfloat16} and not any(part.requires_grad for part in made)
    assert in_parts(len, 0, "cpu") == []


def test_an_error_in_a_part_is_raised_and_threads_are_as_before() -> None:
    torch.set_num_threads(3)
    with pytest.raises(ZeroDivisionError):
        in_parts(lambda rows: 1 // (rows.start - 2), 5, "cpu", 1)
    assert torch.get_num_threads() == threads_of_a_new_thread() == 3


def test_a_worker_with_one_thread_computes_its_batches_itself() -> None:
    torch.set_num_threads(3)

    def numbers(_: int) -> set[tuple[int, int]]:
        """Threads that computed, and how many each may use."""
        return set(side_by_side(lambda _: (threading.get_ident(), torch.get_num_threads()), range(4)))

    with single_thread_workers(2) as pool:
        first, *others = pool.map(numbers, range(6))
    assert all(len(seen) == 1 for seen in (first, *others))
    assert {threads for seen in (first, *others) for _, threads in seen} == {1}
    assert threads_of_a_new_thread() == 3
    all_are_here = threading.Barrier(5)
    with single_thread_workers(5) as pool:
        assert sorted(pool.map(all_are_here.wait, [20] * 5)) == [0, 1, 2, 3, 4]


def test_of_many_workers_no_more_compute_at_a_time_than_torch_may_use() -> None:
    torch.set_num_threads(2)
    lock, computing, most = threading.Lock(), 0, 0
    all_are_here, two_compute = threading.Barrier(6), threading.Barrier(2)

    def compute(_: int) -> None:
        nonlocal computing, most
        with lock:
            computing += 1
            most = max(most, computing)
        two_compute.wait(20)
        with lock:
            computing -= 1

    def work(number: int) -> None:
        all_are_here.wait(20)
        side_by_side(compute, [number])

    with single_thread_workers(6) as pool:
        list(pool.map(work, range(6)))
    assert most == 2 and threads_of_a_new_thread() == 2
