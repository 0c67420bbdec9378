"""Processes that work for this one, and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

from spn4cir_core.errors import ProcessLost, Spn4cirError

ReadIn = Literal["threads", "processes"]
"""Where pictures are decoded. Threads share this process: decoders run side by side, and nothing is copied. Processes
pay a start of seconds and a copy of each picture, and leave this process's Python to the computing."""


@contextmanager
def readers(read_in: ReadIn, count: int) -> Iterator[Executor]:
    """A pool of readers for the length of the block. What processes are given must be importable, no lambda.

    Raises:
        ProcessLost: a reading process died.
    """
    pool = ThreadPoolExecutor(count) if read_in == "threads" else child_processes(count)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ProcessLost(
            "a process that reads pictures died, perhaps for want of memory; lower readers or batch_rows"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def child_processes(workers: int) -> ProcessPoolExecutor:
    """A pool of so many new processes, spawned and not forked: the caller may have threads.

    They leave Ctrl-C to this process and end when it is killed.

    Raises:
        Spn4cirError: no process can be started.
    """
    context = multiprocessing.get_context("spawn")
    pool = ChildProcesses(workers, mp_context=context, initializer=_follow_parent)
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise Spn4cirError(f"worker processes cannot start: {error} Is there memory left?") from error
    return pool


class ChildProcesses(ProcessPoolExecutor):
    """A pool whose processes start one by one, as work comes in."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have one call made by a process of the pool.

        Raises:
            BrokenProcessPool: a process has died, or cannot start. The second the pool itself gives as an OSError: for
                want of memory, or while it buries a process that has died a moment ago.
        """
        try:
            with _without_main_module():
                return super().submit(fn, *args, **kwargs)
        except OSError as error:
            raise BrokenProcessPool(f"{error}.") from error


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Processes that start now do not run the caller's script again, which may lack the ``__main__`` guard.

    They need nothing of it: what they are given is importable from a package.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def is_alive(process: int) -> bool:
    """Whether there is a process of that id, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent process, and end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """Have this process end, whatever it does, once the process that has started it by ``multiprocessing`` is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
