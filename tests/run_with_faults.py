"""Run the tiny pipeline through the command line in forked processes, each of which meets a fault.

Usage: run_with_faults.py FOLDER RECIPE. Tells what happened as one JSON object: scenario → list of runs, each with its
``status``, what it ``said`` on standard error, and what the fault was ``of``. Every scenario has a store of its own
below FOLDER, named like it, and ends with a run that nothing happens to.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.run_until_killed import IMPORTED_ONCE

INTERRUPTED_IN = ("captions", "image_embeddings", "stage1_checkpoint", "eval_report")
FULL_IN = ("captions", "stage1_checkpoint", "search_index")
SHARES_OF_THE_DISK = (0.3, 0.8, 3.0)
YEARS_S = 10 * 365 * 86400
Fault = Callable[[], None]


def forked(folder: Path, store: Path, recipe: Path, fault: Fault = lambda: None, **environment: str) -> int:
    """Start ``spn4cir run`` in a child; what it says on standard error goes to a file named after its process."""
    child = os.fork()
    if child:
        return child
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / f"{os.getpid()}.{name}", os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(environment)
    sys.argv = ["spn4cir", "run", "--recipe", str(recipe), "--store", str(store)]
    from spn4cir_core.cli.app import main

    fault()
    main()
    raise SystemExit(0)


def ended(folder: Path, child: int, of: str = "") -> dict[str, Any]:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, "said": (folder / f"{child}.err").read_text(), "of": of}


def of_noun(noun: str, words: tuple[Any, ...]) -> bool:
    """Whether a path that is touched is of the draft of an artefact, or of its rows."""
    paths = [str(word) for word in words[:2] if isinstance(word, str | Path)]
    return any(f"/{noun}/." in path or f"/rows/{noun}/" in path for path in paths)


def interrupt_in(noun: str) -> Fault:
    """Ctrl-C in the midst of a stage: when its first file is renamed, or in the seventh step of a training."""

    def install() -> None:
        sent = []

        def watch(event: str, words: tuple[Any, ...]) -> None:
            if event == "os.rename" and not sent and of_noun(noun, words):
                sent.append(event)
                os.kill(os.getpid(), signal.SIGINT)

        if noun != "stage1_checkpoint":
            sys.addaudithook(watch)
            return
        from spn4cir_core.training.steps import Steps

        take = Steps.take

        def take_or_interrupt(self: Steps, step: int, resume: Any) -> Any:
            if step == 7:
                os.kill(os.getpid(), signal.SIGINT)
            return take(self, step, resume)

        Steps.take = take_or_interrupt  # type: ignore[method-assign]

    return install


def full_disk_in(noun: str) -> Fault:
    """From the first file that is opened or renamed amid a stage on, nothing more can be written to the store."""

    def install() -> None:
        full = []

        def watch(event: str, words: tuple[Any, ...]) -> None:
            writes = event in ("os.mkdir", "os.rename") or (
                event == "open" and isinstance(words[2], int) and words[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            amid = event != "os.mkdir" and of_noun(noun, words)
            if writes and (full or amid) and "/store" in str(words[0]):
                full.append(event)
                raise OSError(errno.ENOSPC, "No space left on device", str(words[0]))

        sys.addaudithook(watch)

    return install


def jumping_clock(seed: int) -> Fault:
    """The time of day goes back and forth by years with every look."""

    def install() -> None:
        draw, now, now_ns = random.Random(seed), time.time, time.time_ns
        time.time = lambda: now() + draw.randint(-YEARS_S, YEARS_S)
        time.time_ns = lambda: now_ns() + draw.randint(-YEARS_S, YEARS_S) * 10**9

    return install


def with_other_times(store: Path, seed: int) -> None:
    """Files seem to be of any time, past and future."""
    draw = random.Random(seed)
    for path in sorted(store.rglob("*")):
        then = time.time() + draw.randint(-YEARS_S, YEARS_S)
        os.utime(path, (then, then))


def until_whole(folder: Path, recipe: Path, name: str, faults: dict[str, Fault]) -> list[dict[str, Any]]:
    store = folder / name / "store"
    runs = [ended(folder, forked(folder, store, recipe, fault), of) for of, fault in faults.items()]
    return [*runs, ended(folder, forked(folder, store, recipe))]


def clock_jumps(folder: Path, recipe: Path) -> list[dict[str, Any]]:
    store, runs = folder / "clock" / "store", []
    for number, noun in enumerate(INTERRUPTED_IN):

        def fault(number: int = number, noun: str = noun) -> None:
            jumping_clock(number)()
            interrupt_in(noun)()

        runs.append(ended(folder, forked(folder, store, recipe, fault), noun))
        with_other_times(store, number)
    return [*runs, ended(folder, forked(folder, store, recipe, jumping_clock(99)))]


def two_at_once(folder: Path, recipe: Path) -> list[dict[str, Any]]:
    store = folder / "two" / "store"
    both = [forked(folder, store, recipe, SPN4CIR_WHEN_LOCKED="wait") for _ in range(2)]
    return [ended(folder, child) for child in both]


def small_disk(folder: Path, recipe: Path, bytes_needed: int) -> list[dict[str, Any]]:
    """A file system that is too small, and grows; in the end it can only be read. Empty where none can be mounted."""
    disk, parent = folder / "disk", os.getpid()
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False
    ).returncode:
        return []
    try:
        runs = []
        for share in SHARES_OF_THE_DISK:
            size = int(share * bytes_needed)
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            runs.append(ended(folder, forked(folder, disk / "store", recipe), f"{share:.0%}"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        runs.append(ended(folder, forked(folder, disk / "store", recipe), "read-only"))
        other = recipe.with_name("other.toml")
        other.write_text(f'base = "{recipe}"\nseed = 1\n')
        runs.append(ended(folder, forked(folder, disk / "store", other), "read-only, another seed"))
        shutil.copytree(disk / "store", folder / "small_disk" / "store")
        return runs
    finally:
        if os.getpid() == parent:  # a child leaves through here as well
            subprocess.run(["umount", disk], check=False)


def damaged(folder: Path, recipe: Path) -> list[dict[str, Any]]:
    """Bits flip in an artefact and in a part of the rows; what the message names is deleted."""
    store = folder / "damaged" / "store"
    shutil.copytree(folder / "unbroken" / "store", store)
    runs = []
    for pattern, made_again in (
        ("image_embeddings/*/vectors_00000.npy", "pairs"),
        ("rows/captions/*/part-*.parquet", "captions"),
    ):
        victim = sorted(store.glob(pattern))[0]
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 4
        victim.write_bytes(data)
        shutil.rmtree(store / made_again)
        runs.append(ended(folder, forked(folder, store, recipe), str(victim)))
        if victim.suffix == ".npy":
            shutil.rmtree(victim.parent)
        else:
            victim.unlink()
    return [*runs, ended(folder, forked(folder, store, recipe))]


def main() -> None:
    for name in IMPORTED_ONCE:
        import_module(name)
    folder, recipe = Path(sys.argv[1]), Path(sys.argv[2])
    runs = {"unbroken": until_whole(folder, recipe, "unbroken", {})}
    needed = sum(path.stat().st_size for path in (folder / "unbroken").rglob("*") if path.is_file())
    runs["clock"] = clock_jumps(folder, recipe)
    runs["full"] = until_whole(folder, recipe, "full", {noun: full_disk_in(noun) for noun in FULL_IN})
    runs["two"] = two_at_once(folder, recipe)
    runs["small_disk"] = small_disk(folder, recipe, needed)
    runs["damaged"] = damaged(folder, recipe)
    print(json.dumps(runs))


if __name__ == "__main__":
    main()
