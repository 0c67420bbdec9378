"""The collector runs seldom inside the block and as before after it, and cycles still go."""

from __future__ import annotations

import gc
import weakref

import pytest

from spn4cir_core.engine.garbage_collection import NEW_OBJECTS, seldom_collected


class Node:
    """Holds itself."""

    def __init__(self) -> None:
        self.own = self


def test_thresholds_are_those_from_before_even_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="stop"), seldom_collected():
        assert gc.get_threshold() == (NEW_OBJECTS, *before[1:])
        raise ValueError("stop")
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_cycles_made_inside_the_block_go_after_so_many_new_objects() -> None:
    with seldom_collected():
        gone = weakref.ref(Node())
        held = [[number] for number in range(2 * NEW_OBJECTS)]
        assert gone() is None and len(held) == 2 * NEW_OBJECTS


def test_a_collector_that_is_off_stays_off() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with seldom_collected():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
