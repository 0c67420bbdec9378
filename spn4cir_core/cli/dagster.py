"""Commands that prepare and start Dagster, as programs of their own: this package never imports it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from spn4cir_core.errors import MissingExtra

UNREAD = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(dagster_home)
    app.command(context_settings=UNREAD)(ui)


def dagster_home(
    folder: Annotated[Path | None, typer.Argument(help="Default: DAGSTER_HOME, or .dagster in this folder.")] = None,
    add: Annotated[list[Path] | None, typer.Option(help="A file of further settings, put after ours.")] = None,
) -> None:
    """Make the folder in which Dagster keeps its runs, with our settings, and print its path.

    export DAGSTER_HOME=$(spn4cir dagster-home)
    """
    _become("dagster_project.home", *([str(folder)] if folder else []), *(f"--add={path}" for path in add or ()))


def ui(context: typer.Context) -> None:
    """Open Dagster's UI and daemon (Ctrl-C ends them); options are those of `dagster dev`, for example --port 3001."""
    if importlib.util.find_spec("dagster_webserver") is None:
        raise MissingExtra("dagster-webserver", "ui")
    _become("dagster_project.ui", *context.args)


def _become(module: str, *words: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *words])
