"""Ctrl-C and termination while a step is under way: recorded, and passed on once the state has been saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Within the block a first signal only sets :attr:`caught`; a second one ends the process as it always did.

    Outside the main thread Python takes no signals, and none are held back.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def deliver(self) -> None:
        """Pass on the signal that was caught, here or in another process of this training.

        Raises:
            KeyboardInterrupt: after Ctrl-C, or where whoever listened before lets the process go on.
        """
        self._put_back()
        if self.caught is not None:
            signal.raise_signal(self.caught)
        raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            self.deliver()
        self.caught = number

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
