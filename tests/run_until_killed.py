"""Run the tiny pipeline in forked processes, of which some kill themselves.

Usage: run_until_killed.py STORE RECIPE KILLS SEED.

A run is killed right before the n-th time that it opens, renames, makes or removes something in the store, or so many
milliseconds after that; n and the delay are drawn from the seed. The store ``STORE-unbroken`` is of a run that nobody
kills; the others, ``STORE-0`` and so on, are run again and again until they are whole, as many as take KILLS kills.

The first line told is the number of events in the unbroken run; then one line for each further run. The last one is
JSON: kills, whole runs, rows and steps ``computed`` in all and ``redone`` (more than the whole runs need), and how many
of the rows that are kept per picture a kill has ``lost``. What a killed run had not told any more is not counted: a
batch at most, which may have been kept (then ``redone`` is below zero).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path

TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove"}
LONGEST_DELAY_S = 0.2
EVENT = "."
REACH = 3
"""A run is killed within this part of its events, so that it takes several to be whole."""
IMPORTED_ONCE = (
    "accelerate",
    "faiss",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "scipy.sparse.csgraph",
    "spn4cir_core.flow",
    "torch._dynamo",
    "transformers.models.clip.modeling_clip",
    "transformers.models.llama.modeling_llama",
    "transformers.models.llava.modeling_llava",
)
"""What the children need, so that each of them is a matter of seconds."""


def touches(event: str, words: tuple[object, ...], store: str) -> bool:
    return event in TOUCHES and any(str(word).startswith(store) for word in words[:2] if isinstance(word, str | Path))


def in_child(store: Path, recipe: Path, fatal: int, delay_s: float) -> tuple[int, int, Counter[str]]:
    """Run the flow in a forked child that dies at its ``fatal``-th event (0: never).

    Its status, its events, and how many rows and steps it computed, by what they are.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            lines = stream.read().decode().splitlines()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lines.count(EVENT), computed(lines)
    os.close(reading)
    seen, me = 0, os.getpid()

    def watch(event: str, words: tuple[object, ...]) -> None:
        nonlocal seen
        if touches(event, words, f"{store}/") and os.getpid() == me:
            seen += 1
            os.write(writing, f"{EVENT}\n".encode())
            if seen == fatal and delay_s:
                threading.Timer(delay_s, os.kill, (me, signal.SIGKILL)).start()
            elif seen == fatal:
                os.kill(me, signal.SIGKILL)

    def tell(label: str, done: int, total: int) -> None:
        os.write(writing, f"{label}\t{done}\n".encode())

    sys.addaudithook(watch)
    status = 1
    try:
        from spn4cir_core.launch.run_flow import run
        from spn4cir_core.recipe import load_recipe
        from spn4cir_core.store.artifacts import Store

        run(load_recipe(str(recipe)), Store(store), progress=tell)
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def computed(lines: list[str]) -> Counter[str]:
    """From what is told of progress: how far each went beyond where it began."""
    reached: dict[str, list[int]] = {}
    for line in lines:
        if line != EVENT:
            label, _, done = line.partition("\t")
            reached.setdefault(label, []).append(int(done))
    return Counter({label: done[-1] - done[0] for label, done in reached.items()})


def kept_rows(store: Path) -> set[tuple[str, str]]:
    """Folder and key of every row that is kept per picture."""
    import pyarrow as pa

    from spn4cir_core.store.rows import KEY, Rows

    folders = {part.parent for part in store.glob("rows/*/*/part-*.parquet")}
    tables = ((folder, table) for folder in folders for table in Rows(folder, pa.null()).scan())
    return {(str(folder), key) for folder, table in tables for key in table[KEY].to_pylist()}


def main() -> None:
    for name in IMPORTED_ONCE:
        import_module(name)
    store, recipe, kills, draw = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), random.Random(sys.argv[4])
    status, events, needed = in_child(store.with_name(f"{store.name}-unbroken"), recipe, 0, 0)
    assert status == 0, status
    print(events, flush=True)
    number = killed = status = lost = 0
    rows: set[tuple[str, str]] = set()
    done: Counter[str] = Counter()
    while killed < kills or status:
        fatal = draw.randint(1, events // REACH) if killed < kills else 0
        delay_s = draw.choice([0, draw.uniform(0, LONGEST_DELAY_S)])
        broken = store.with_name(f"{store.name}-{number}")
        status, seen, more = in_child(broken, recipe, fatal, delay_s)
        assert status in (0, -signal.SIGKILL), f"another error than the kill: {status}"
        now = kept_rows(broken)
        lost, rows, done = lost + len(rows - now), now if status else set(), done + more
        killed, number = killed + (status != 0), number + (status == 0)
        print(status, seen, fatal, round(delay_s, 3), flush=True)
    redone = {label: count - number * needed[label] for label, count in sorted(done.items())}
    print(json.dumps({"kills": killed, "whole": number, "computed": done, "redone": redone, "lost": lost}))


if __name__ == "__main__":
    main()
