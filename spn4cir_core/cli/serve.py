"""The command that opens the search page."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from spn4cir_core.cli.options import ImagesOption, RecipeOption, StoreOption, opened
from spn4cir_core.engine.child_processes import end_with_parent
from spn4cir_core.errors import InputError, MissingExtra, Spn4cirError
from spn4cir_core.images.files import image_files
from spn4cir_core.store.artifacts import Store

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from spn4cir_core.recipe import Recipe

log = logging.getLogger(__name__)
TOKEN = "SPN4CIR_TOKEN"
WAITING_CLIENTS = 1024
SHORTEST_TOKEN = 16
GRACE_SECONDS = 5
"""How long a server that is ended waits for requests that are under way."""
SILENT_SECONDS = 60
"""A worker that says nothing for so long is taken for dead; loading models may take long on a busy machine."""
RESTART_SECONDS = 5
"""Between two attempts of a worker that cannot start."""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(serve)


def serve(
    recipe: RecipeOption = "",
    store: StoreOption = "store",
    images: ImagesOption = None,
    host: Annotated[str, typer.Option(help=f"Another than this machine's own needs {TOKEN} set.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer; one that dies is replaced.")] = 1,
) -> None:
    """Open a search page: choose or upload a picture, say what should change, look at the hits."""
    token = os.environ.get(TOKEN, "").strip()
    with listening_socket(host, port, token) as listening:
        selected, opened_store = opened(recipe, store, images)
        if workers == 1:
            app: FastAPI | None = search_app(selected, opened_store, token)
        else:
            from spn4cir_core.search.search import current_index

            app, _ = None, current_index(selected.name, opened_store)  # each worker opens it for itself
        address, number = listening.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        typer.echo(f"search page: http://{shown}:{number}/   (Ctrl-C ends it)")
        if app is not None:
            run_app(app, listening)
        else:
            run_workers(partial(worker_app, recipe, store, images, token), listening, workers)


def listening_socket(host: str, port: int, token: str) -> socket.socket:
    """A socket on which clients can knock from now on; made before anything slow is loaded.

    Raises:
        InputError: the address cannot be bound, or it is not a loopback address and there is no token, or one that is
            easily guessed or cannot be sent.
    """
    if not (token.isascii() and token.isprintable()):
        raise InputError(f"{TOKEN} must be of printable ASCII characters: it is sent in a header")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host!r} is not an address of this machine: {error}") from error
    loopback = ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback
    if not loopback and not token:
        raise InputError(
            f"--host {host} can be reached from other machines: set the environment variable {TOKEN} to a secret that "
            "every client must send, or leave --host out"
        )
    if token and not loopback and len(token) < SHORTEST_TOKEN:
        raise InputError(f"{TOKEN} has {len(token)} characters; a server that others can reach needs {SHORTEST_TOKEN}")
    bound = socket.socket(family, kind, protocol)  # asyncio sends small answers at once where it is TCP by name
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(WAITING_CLIENTS)
    except OSError as error:
        bound.close()
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror}; try another --port") from error
    return bound


def search_app(recipe: Recipe, store: Store, token: str) -> FastAPI:
    """The application that answers for a recipe's current search index, and for a newer one once a run has made it.

    Raises:
        MissingExtra: the packages of the extra ``serve`` are not installed.
        StoreError: there is no index, or it is damaged.
    """
    try:
        import python_multipart  # noqa: F401  FastAPI reads uploads with it

        from spn4cir_core.search.api import create_app
        from spn4cir_core.search.metrics import Metrics
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "fastapi", "serve") from error
    from spn4cir_core.search.judging import Judging
    from spn4cir_core.search.latest_service import LatestService
    from spn4cir_core.search.models import Models
    from spn4cir_core.search.service import SearchService

    def open_service() -> SearchService:
        models = Models.of_recipe(recipe.name, recipe.images, store)
        return SearchService(models, image_files(recipe.images, store), metrics.count_batch)

    def newest() -> str:
        index = store.current(recipe.name, "search_index")
        return index.fingerprint if index else ""

    metrics = Metrics()
    service = LatestService(open_service, newest, metrics.count_reload)
    return create_app(service, recipe.name, token, Judging(store, recipe.name), metrics)


def run_app(app: FastAPI, listening: socket.socket) -> None:
    """Answer requests until interrupted or terminated; what is not answered ``GRACE_SECONDS`` later is dropped.

    Raises:
        MissingExtra: uvicorn is not installed.
    """
    with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends; uvicorn has said good-bye to its clients by then
        server(app).run(sockets=[listening])


def run_workers(make_app: Callable[[], FastAPI], listening: socket.socket, workers: int) -> None:
    """Answer requests with several processes until interrupted or terminated; one that dies is replaced.

    Raises:
        MissingExtra: uvicorn or prometheus_client is not installed.
    """
    config = server_config(make_app, workers)
    try:
        from spn4cir_core.search.metrics import SHARED_FOLDER
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "prometheus_client", "serve") from error
    from uvicorn.supervisors import Multiprocess

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    with TemporaryDirectory(prefix="spn4cir-metrics-") as folder, suppress(KeyboardInterrupt):
        os.environ[SHARED_FOLDER] = folder
        Multiprocess(config, [listening]).run()


def worker_app(recipe: str, store: str, images: Path | None, token: str) -> FastAPI:
    """The application of one of several processes; it ends with the process that has started it.

    Raises:
        SystemExit: the index cannot be opened; the log says why, and after a while another process tries again.
    """
    end_with_parent()
    try:
        return search_app(*opened(recipe, store, images), token)
    except Spn4cirError as error:
        log.error("search: a worker cannot start: %s", error)
        time.sleep(RESTART_SECONDS)
        raise SystemExit(1) from error


def server(app: FastAPI) -> uvicorn.Server:
    """The HTTP server with its limits.

    Raises:
        MissingExtra: uvicorn is not installed.
    """
    config = server_config(app)
    import uvicorn

    return uvicorn.Server(config)


def server_config(app: FastAPI | Callable[[], FastAPI], workers: int = 1) -> uvicorn.Config:
    """Limits of the HTTP server, and an application or, for several processes, what makes one.

    Raises:
        MissingExtra: uvicorn is not installed.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingExtra("uvicorn", "serve") from error
    from spn4cir_core.search.connection import Connection

    return uvicorn.Config(
        app,
        factory=workers > 1,
        workers=workers,
        http=Connection,
        loop="asyncio",
        log_level="warning",
        server_header=False,
        backlog=WAITING_CLIENTS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=SILENT_SECONDS,
    )
