"""Where a stage runs: in this process, or in several that ``accelerate launch`` starts, on one machine or many.

How a stage is launched never changes what it makes, so it is not part of a recipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Literal

from pydantic import Field, ValidationError, model_validator

from spn4cir_core.engine.plugins import Settings, explain
from spn4cir_core.engine.progress import Progress, silent
from spn4cir_core.engine.stage import Stage
from spn4cir_core.errors import ProcessLost, RecipeError
from spn4cir_core.launch.messages import LaunchFolder
from spn4cir_core.recipe import Recipe
from spn4cir_core.store.artifacts import Artifact, Store

LAUNCHED_BY = "SPN4CIR_LAUNCHED_BY"
"""Process id of who launches; the launched processes end with it."""
WORKER = "spn4cir_core.launch.worker"
JOIN_S = 7 * 24 * 3600
"""How long a machine waits for the others to come to the same stage."""
STOP_S = 40
SHOWN_CHARACTERS = 3000


class Launch(Settings):
    """How stages are started. Each field may come from an environment variable ``SPN4CIR_`` + its name."""

    launcher: Literal["inline", "accelerate"] | None = None
    """None: accelerate where there are several processes, else inline."""
    processes: int = Field(default=1, ge=1, le=1024)
    """Processes per machine; with GPUs at most one per GPU."""
    machines: int = Field(default=1, ge=1, le=1024)
    machine_rank: int = Field(default=0, ge=0)
    """This machine's number; machine 0 runs the stages that cannot be spread, too."""
    main_address: str = ""
    """Address of machine 0, reachable from the other machines."""
    main_port: int = Field(default=29500, ge=1, le=65535)
    """Port on machine 0; not used on a single machine."""

    @model_validator(mode="after")
    def _check(self) -> Launch:
        if self.machine_rank >= self.machines:
            raise ValueError(f"machine_rank {self.machine_rank} of {self.machines} machines; it counts from 0")
        if self.machines > 1 and not self.main_address:
            raise ValueError("several machines need main_address, the address of machine 0")
        if self.launcher == "inline" and self.processes * self.machines > 1:
            raise ValueError("launcher 'inline' is one process; use 'accelerate'")
        return self

    def is_multi_process(self, stage: Stage[Any]) -> bool:
        """Whether this stage is started in processes of its own."""
        launcher = self.launcher or ("accelerate" if self.processes * self.machines > 1 else "inline")
        return launcher == "accelerate" and stage.multi_process

    def starts(self, stage: Stage[Any], recipe: Recipe, store: Store) -> bool:
        """Whether running this stage now starts processes. Several machines always do, to synchronise."""
        return self.is_multi_process(stage) and (self.machines > 1 or not stage.is_made(recipe, store))

    def run(
        self, stage: Stage[Any], recipe: Recipe, store: Store, progress: Progress = silent
    ) -> tuple[Artifact, bool]:
        """Bring a stage up to date, in processes of its own where it can be spread. As :meth:`Stage.run`.

        Raises:
            Spn4cirError: the first error of any process; nothing is published then, and all have ended.
            LaunchError: a process failed in a way that has no message for users, or was killed (a ProcessLost).
        """
        if not self.starts(stage, recipe, store):
            return stage.run(recipe, store, progress)
        with LaunchFolder.made(recipe) as folder, folder.passed_on(progress), tempfile.TemporaryFile() as output:
            code = _run(self.command(WORKER, stage, store, folder), self.environment(), output)
            if code:
                raise folder.first_error() or _unexplained(stage, code, output)
        artifact = store.current(recipe.name, stage.name)
        assert artifact is not None
        return artifact, False

    def command(self, worker: str, stage: Stage[Any], store: Store, folder: LaunchFolder) -> list[str]:
        """The command line that starts this machine's processes, each running the module ``worker``."""
        total = self.processes * self.machines
        words: dict[str, Any] = {
            "num_processes": total,
            "num_machines": self.machines,
            "machine_rank": self.machine_rank,
            "main_process_port": self.main_port if self.machines > 1 else 0,
            "mixed_precision": "no",
            "dynamo_backend": "no",
        }
        if self.machines > 1:
            words |= {"main_process_ip": self.main_address, "rdzv_conf": f"timeout={JOIN_S}"}
        options = [word for name, value in words.items() for word in (f"--{name}", str(value))]
        order = {"recipe": folder.recipe_file, "store": store, "stage": stage.name, "folder": folder.path}
        return [
            *(sys.executable, "-m", "accelerate.commands.launch", *options),
            *(["--multi_gpu"] if total > 1 else []),  # starts any number of processes, also without GPUs
            *("-m", worker),
            *(word for name, value in order.items() for word in (f"--{name}", str(value))),
        ]

    def environment(self) -> dict[str, str]:
        """What the command's environment has beside this process's own: threads that together use each core once."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // self.processes)))
        return {LAUNCHED_BY: str(os.getpid()), "OMP_NUM_THREADS": threads}


INLINE = Launch()


def launch_from(values: Mapping[str, Any]) -> Launch:
    """A launch with the given settings; those that are None come from the environment, else are the defaults.

    Raises:
        RecipeError: a value is out of range, or two do not fit together.
    """
    given = {name: os.environ.get(f"SPN4CIR_{name.upper()}") or None for name in Launch.model_fields}
    given |= {name: value for name, value in values.items() if value is not None}
    try:
        return Launch.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise RecipeError(explain(error, "launch", Launch)) from error


def _run(command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> int:
    """Run to the end; Ctrl-C reaches the processes through this one alone, so that they stop in order."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    with _stopped_on_the_way_out(process):
        return process.wait()


@contextmanager
def _stopped_on_the_way_out(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _unexplained(stage: Stage[Any], code: int, output: IO[bytes]) -> ProcessLost:
    output.seek(0)
    text = output.read().decode(errors="replace").strip()[-SHOWN_CHARACTERS:]
    return ProcessLost(
        f"{stage.name}: its processes ended with status {code}, one of them perhaps killed for want of memory. "
        f"Finished shards and checkpoints are kept; run again to go on. The end of what they wrote:\n{text}"
    )
