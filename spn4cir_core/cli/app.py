"""The command line: run the flow, search, look at recipes; the same stages Dagster runs."""

from __future__ import annotations

import atexit
import gc
import logging
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Literal

import typer
import typer.core
import typer.main
from typing_extensions import override

from spn4cir_core.cli.command_table import COMMANDS
from spn4cir_core.cli.hints import CompleteHints, with_options
from spn4cir_core.engine.garbage_collection import seldom_collected
from spn4cir_core.engine.log_level import LOG_LEVEL, set_log_level
from spn4cir_core.errors import Spn4cirError

EXAMPLES = """
Examples:

spn4cir run  (what ran last in the store; at first the built-in demo)

spn4cir run --images photos/  (your own pictures)

spn4cir run --recipe shoes.toml --store shoes/  (a recipe of your own)

spn4cir run --recipe shoes.toml --processes 4  (on four GPUs)

spn4cir search --image a.jpg --text "but red"

spn4cir serve --recipe shoes.toml  (the same in your browser)

spn4cir judgements list --recipe shoes.toml  (what people judged on that page)

spn4cir status --recipe shoes.toml  (what would run, and why)

spn4cir summary --recipe shoes.toml  (a page on what each stage made and cost)

spn4cir export-model shoes_model/  (a network to take away, with a loader)

spn4cir triplets --out browse.html  (look at triplets, mark bad ones)

spn4cir ablate grid.toml  (compare recipes over seeds)

spn4cir estimate --for 1000000  (time, memory and disk for more pictures)

spn4cir doctor  (look whether everything needed is there)

spn4cir ui  (the same flow in Dagster's UI)
"""

LOG_OPTION = "--log-level"

INTERRUPTED = "interrupted. What is finished is kept: run the same again, and it goes on from there."
INTERRUPTED_STATUS = 130


class Commands(typer.core.TyperGroup):
    """The commands. The module of one is imported when it is called; help comes from the table.

    Each may be interrupted: one line, and the status that shells know for it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: typer.core.TyperCommand(name, help=about) for name, (_, about) in COMMANDS.items()}
        self._shows_help = False

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._shows_help or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        return _commands_of(COMMANDS[cmd_name][0])[cmd_name]

    @override
    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._shows_help = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._shows_help = False

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.secho(INTERRUPTED, err=True)
            raise SystemExit(INTERRUPTED_STATUS) from None


@cache
def _commands_of(module: str) -> dict[str, Any]:
    """The commands that a module of this room adds to the command line."""
    own = typer.Typer()
    own.callback()(lambda: None)  # a group, also of one command
    with seldom_collected():
        import_module(f"spn4cir_core.cli.{module}").register(own)
    return dict(typer.main.get_group(own).commands)


app = typer.Typer(no_args_is_help=True, cls=Commands, pretty_exceptions_enable=False)


@app.callback(help="Composed image retrieval from a folder of pictures.", epilog=EXAMPLES)
def options(
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(LOG_OPTION, envvar=LOG_LEVEL, help="Log level of standard error; default: info."),
    ] = None,
) -> None:
    """What all commands have; read before the command's own options."""
    set_log_level(log_level)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, CompleteHints) for one in handler.filters):
            handler.addFilter(CompleteHints())


def options_first(words: Sequence[str]) -> list[str]:
    """Words of a command line with ``--log-level`` before the command, wherever it was given."""
    for index, word in enumerate(words):
        if word == LOG_OPTION or word.startswith(f"{LOG_OPTION}="):
            end = index + (2 if word == LOG_OPTION else 1)
            return [*words[index:end], *words[:index], *words[end:]]
    return list(words)


def main() -> None:
    """Entry point: a known error is one line on standard error and exit status 1.

    Any other error has its traceback, and the same line last. The modules are not looked through for cycles before the
    process ends, which of torch takes a fifth as long as its import.
    """
    atexit.register(gc.freeze)
    try:
        app(options_first(sys.argv[1:]))
    except Spn4cirError as error:
        typer.secho(f"error: {with_options(str(error))}", fg="red", err=True)
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        from spn4cir_core.engine.plugins import in_one_line

        typer.secho(f"error: {in_one_line(error)}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
