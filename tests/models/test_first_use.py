from __future__ import annotations

from collections.abc import Callable

from spn4cir_core.models.first_use import FirstUse


class Counting:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, number: int) -> int:
        self.counts["calls"] = self.counts.get("calls", 0) + 1
        return 2 * number


def test_it_is_loaded_once_by_the_first_call_and_hands_on_what_it_counted() -> None:
    loads: list[int] = []

    def load() -> Callable[[int], int]:
        loads.append(1)
        return Counting()

    double = FirstUse(load)
    assert not loads and double.counts == {}
    assert [double(1), double(2)] == [2, 4]
    assert len(loads) == 1 and double.counts == {"calls": 2}


def test_a_function_without_counts_counts_nothing() -> None:
    length = FirstUse(lambda: len)
    assert length("abc") == 3 and length.counts == {}
