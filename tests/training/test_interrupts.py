from __future__ import annotations

import os
import signal
import threading

import pytest

from spn4cir_core.training.interrupts import Interrupts


def test_the_first_signal_waits_and_the_second_does_not() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.caught == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal must end the block")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_listened_before_gets_the_signal() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not heard
            interrupts.deliver()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_to_another_process_of_the_training_stops_this_one_too() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.deliver()


def test_outside_the_main_thread_nothing_is_held_back() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def inside() -> None:
        with Interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
