"""Progress of long work: one callable, independent of who displays it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn, Protocol, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)
T = TypeVar("T")
EVERY_S = 10.0


class Progress(Protocol):
    """Called as ``progress(label, done, total)``; ``total`` is 0 when it is not known."""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Say how far the labelled work has come."""


def silent(label: str, done: int, total: int) -> None:
    """Say nothing."""


class Bars:
    """Progress bars on a terminal, one at a time; use as a context manager."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._label = ""

    def __call__(self, label: str, done: int, total: int) -> None:
        """Move the bar of this label; another label closes it and opens one of its own."""
        if self._bar is None or label != self._label or done < self._bar.n:
            self._close()
            self._label = label
            self._bar = tqdm(total=total or None, desc=label, initial=done, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)
        if total and done >= total:
            self._close()

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Throttled:
    """Pass on at most one line every ``every_s`` seconds; shorter work logs nothing."""

    def __init__(self, log_line: Callable[[str], None], every_s: float = EVERY_S) -> None:
        self._log_line, self._every_s = log_line, every_s
        self._said_at = self._started_at = time.monotonic()
        self._label, self._first = "", 0

    def __call__(self, label: str, done: int, total: int) -> None:
        """Say how far the labelled work has come, if it is time to; what was done before is not in the rate."""
        now = time.monotonic()
        if label != self._label or done < self._first:  # another pass under the same label
            self._label, self._first, self._started_at = label, done, now
        if now - self._said_at >= self._every_s:
            self._said_at = now
            self._log_line(f"{label}: {done:,}{f' of {total:,}' if total else ''}{self._pace(done, total, now)}")

    def _pace(self, done: int, total: int, now: float) -> str:
        rate = (done - self._first) / max(now - self._started_at, 1e-9)
        if not rate:
            return ""
        return f" ({rate:,.1f}/s{f', about {(total - done) / rate:,.0f} s left' if done < total else ''})"


@contextmanager
def shown() -> Iterator[Progress]:
    """For commands: bars on a terminal, elsewhere a log line at intervals; nothing where level info is not logged."""
    if not log.isEnabledFor(logging.INFO):
        yield silent
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Throttled(log.info)


def track(items: Iterable[T], label: str, total: int, progress: Progress) -> Iterator[T]:
    """Yield ``items`` and report after each one."""
    for done, item in enumerate(items, start=1):
        yield item
        progress(label, done, total)


@contextmanager
def without_loading_bar() -> Iterator[None]:
    """Keep transformers' bar of weights off the terminal, as it would break our own; downloads still show theirs."""
    from huggingface_hub import utils
    from transformers.utils import logging

    hub: Any = utils
    bars: Any = logging
    weights, downloads = bars.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    bars.disable_progress_bar()
    try:
        if downloads:
            hub.enable_progress_bars()
        yield
    finally:
        if weights:
            bars.enable_progress_bar()
        if not downloads:
            hub.disable_progress_bars()
