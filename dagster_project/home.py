"""Dagster's home, made once and whole before anything opens it: ``python -m dagster_project.home [FOLDER]``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from spn4cir_core.errors import InputError, Spn4cirError
from spn4cir_core.store.locks import in_turn
from spn4cir_core.store.whole_file import whole_file

SETTINGS = Path(__file__).with_name("dagster.yaml")
DEFAULT_FOLDER = ".dagster"


def make_home(folder: Path, added: Sequence[Path] = ()) -> Path:
    """Write the settings and make the databases of a home; what is there is left alone.

    Two commands that open a new home at once can leave its databases half made for good. This is done under a lock.

    Args:
        folder: made where it is missing.
        added: files with further settings, put after the shipped ones.

    Returns:
        The absolute path of the home.

    Raises:
        InputError: it cannot be made there, or a file cannot be read.
    """
    folder = folder.absolute()
    settings = folder / "dagster.yaml"
    try:
        if settings.exists() and not os.access(folder, os.W_OK):
            return folder
        with in_turn(folder / ".made-in-turn"):
            if not settings.exists():
                text = "".join(path.read_text(encoding="utf-8") for path in (SETTINGS, *added))
                with whole_file(settings) as scratch:
                    scratch.write_text(text, encoding="utf-8")
            if not re.search(r"^storage:", settings.read_text(encoding="utf-8"), re.MULTILINE):
                _make_databases(folder)
    except OSError as error:
        raise InputError(f"cannot make Dagster's home {folder}: {error}; name a folder you may write") from error
    return folder


def _make_databases(folder: Path) -> None:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        instance.get_runs_count()
        instance.event_log_storage.get_concurrency_keys()
        assert instance.schedule_storage is not None
        instance.schedule_storage.all_instigator_state()


def home_folder() -> Path:
    """``DAGSTER_HOME``, or ``.dagster`` in this folder."""
    return Path(os.environ.get("DAGSTER_HOME") or DEFAULT_FOLDER)


def main() -> None:
    """Make the home and print its absolute path."""
    parser = argparse.ArgumentParser(prog="spn4cir dagster-home", description=main.__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=home_folder(), help="default: DAGSTER_HOME, or .dagster"
    )
    parser.add_argument("--add", type=Path, action="append", default=[], help="a file of further settings")
    arguments = parser.parse_args()
    try:
        print(make_home(arguments.folder, arguments.add))
    except Spn4cirError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
