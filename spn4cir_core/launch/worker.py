r"""One of the processes that run a stage together::

    accelerate launch --multi_gpu --num_processes 2 -m spn4cir_core.launch.worker \
        --recipe demo --store store --stage captions

``spn4cir run --processes 2`` does this for each stage that can be spread; by hand it also works on its own. All the
processes need the same recipe and store.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from spn4cir_core.engine.child_processes import is_alive
from spn4cir_core.engine.log_level import set_log_level
from spn4cir_core.engine.plugins import explain
from spn4cir_core.engine.processes import Processes
from spn4cir_core.engine.progress import Progress, shown, silent
from spn4cir_core.errors import RecipeError
from spn4cir_core.flow import STAGES, unknown_stage
from spn4cir_core.launch.launcher import LAUNCHED_BY
from spn4cir_core.launch.messages import LaunchFolder
from spn4cir_core.launch.recipe_source import own_name
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.remote_store import open_store
from spn4cir_core.store.whole_file import read_json

LOOK_EVERY_S = 0.3
STOP_S = 10
"""How long a process whose launcher is gone may take to stop in order."""


@dataclass(frozen=True)
class Order:
    """What a worker is to do."""

    recipe: str
    """A packaged name, a TOML file, or a whole recipe as JSON."""
    store: str
    """A folder or a URL."""
    stage: str
    folder: LaunchFolder | None
    """Folder to which progress and errors are written; None on a terminal."""

    def run(self, progress: Progress = silent) -> tuple[Artifact, bool]:
        """Join the other processes and bring the stage up to date.

        Returns:
            The artefact, and whether it was already there.
        """
        if self.stage not in STAGES:
            raise unknown_stage(self.stage)
        with Processes.started() as processes:
            store = open_store(self.store)
            return STAGES[self.stage].run(self._load(store), store, progress, processes)

    def _load(self, store: Store) -> Recipe:
        path = Path(self.recipe)
        if path.suffix != ".json":
            return own_name(load_recipe(self.recipe), store)
        try:
            return Recipe.model_validate(read_json(path))
        except ValidationError as error:
            raise RecipeError(explain(error, f"recipe {path}", Recipe)) from error


def rank() -> int:
    """This process's number, as the launcher has it; 0 without one."""
    return int(os.environ.get("RANK", "0"))


def read_order(words: Sequence[str] | None = None) -> Order:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="spn4cir worker", description="Run one stage among other processes.")
    parser.add_argument("--recipe", required=True, help="a packaged name, a TOML file or a JSON file")
    parser.add_argument("--store", required=True)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--folder", type=Path, help="folder to which progress and errors are written")
    given = parser.parse_args(words)
    return Order(given.recipe, given.store, given.stage, given.folder and LaunchFolder(given.folder))


@contextmanager
def accountable(folder: LaunchFolder | None) -> Iterator[None]:
    """End with the launcher, stop in order on a signal, and record an error before leaving with status 1."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_follow_launcher, args=(os.getppid(),), daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if folder is not None:
            folder.record(error, rank())
        traceback.print_exc()
        sys.exit(1)


def _follow_launcher(parent: int) -> None:
    first = int(os.environ.get(LAUNCHED_BY, parent))
    while os.getppid() == parent and is_alive(first):
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_S)
    os._exit(1)


def main() -> None:
    """Entry point of ``python -m spn4cir_core.launch.worker``."""
    order = read_order()
    set_log_level()
    with accountable(order.folder):
        if order.folder is not None:
            writer = order.folder.writer()
            logging.getLogger("spn4cir_core").addHandler(writer)
            order.run(writer)
        elif rank():
            order.run()
        else:
            with shown() as progress:
                order.run(progress)


if __name__ == "__main__":
    main()
