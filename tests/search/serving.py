"""The search page behind a real HTTP server, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from spn4cir_core.cli.serve import listening_socket, server
from spn4cir_core.search.api import create_app
from spn4cir_core.search.judging import Judging
from spn4cir_core.search.service import SearchService


@contextmanager
def served(service: SearchService, token: str = "", judging: Judging | None = None) -> Iterator[str]:
    """The address of a running server."""
    with listening_socket("127.0.0.1", 0, token) as listening:
        running = server(create_app(service, "toys", token, judging))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            running.should_exit = True
            thread.join(30)
