"""Run the tiny pipeline in forked processes, of which some kill themselves.

Usage: run_until_killed.py STORE RECIPE KILLS SEED.

A run is killed right before the n-th time that it opens, renames, makes or removes something in the store, or so many
milliseconds after that; n and the delay are drawn from the seed. The store ``STORE-unbroken`` is of a run that nobody
kills; the others, ``STORE-0`` and so on, are run again and again until they are whole, as many as take KILLS kills. The
first line told is the number of events in the unbroken run; then one line for each further run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path

TOUCHES = {"open", "os.rename", "os.mkdir", "os.remove"}
LONGEST_DELAY_S = 0.2
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


def in_child(store: Path, recipe: Path, fatal: int, delay_s: float) -> tuple[int, int]:
    """Run the flow in a forked child that dies at its ``fatal``-th event (0: never); its status and its events."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            counted = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(counted)
    os.close(reading)
    seen, me = 0, os.getpid()

    def watch(event: str, words: tuple[object, ...]) -> None:
        nonlocal seen
        if touches(event, words, f"{store}/") and os.getpid() == me:
            seen += 1
            os.write(writing, b".")
            if seen == fatal and delay_s:
                threading.Timer(delay_s, os.kill, (me, signal.SIGKILL)).start()
            elif seen == fatal:
                os.kill(me, signal.SIGKILL)

    sys.addaudithook(watch)
    status = 1
    try:
        from spn4cir_core.artifacts import Store
        from spn4cir_core.flow import run
        from spn4cir_core.recipe import load_recipe

        run(load_recipe(str(recipe)), Store(store))
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for name in IMPORTED_ONCE:
        import_module(name)
    store, recipe, kills, draw = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), random.Random(sys.argv[4])
    status, events = in_child(store.with_name(f"{store.name}-unbroken"), recipe, 0, 0)
    assert status == 0, status
    print(events, flush=True)
    number = killed = status = 0
    while killed < kills or status:
        fatal = draw.randint(1, events // REACH) if killed < kills else 0
        delay_s = draw.choice([0, draw.uniform(0, LONGEST_DELAY_S)])
        status, seen = in_child(store.with_name(f"{store.name}-{number}"), recipe, fatal, delay_s)
        assert status in (0, -signal.SIGKILL), f"another error than the kill: {status}"
        killed, number = killed + (status != 0), number + (status == 0)
        print(status, seen, fatal, round(delay_s, 3), flush=True)


if __name__ == "__main__":
    main()
