"""Clients of a search server while a worker is killed and a new index is made: no wrong answer, nothing lost for good.

python -m benchmarks.serve_faults --recipe folder --images photos/ --clients 200 --seconds 600

After a quarter of the time a worker is killed, after half of it a run makes another index (of the training split).
An answer names the index it comes from, and must hold the hits that this index gives to the question when it is asked
alone. A connection that breaks may be tried again; an answer of 500 or more, or none in three attempts, is a failure.
In the end the recipe's own index is current again.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serve_load import TEXTS, Client
from spn4cir_core import load_recipe, open_store
from spn4cir_core.recipe import Recipe
from spn4cir_core.search.stage import SEARCH_INDEX
from spn4cir_core.store.artifacts import Store

ATTEMPTS = 3
QUESTIONS = 60
SLOWEST_RELOAD_S = 300
Form = dict[str, str]


@dataclass
class Answers:
    """What clients have got so far; filled by many threads."""

    hits: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    """Question, index and image ids of each answer."""
    seconds: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, question: int, index: str, ids: Sequence[str], seconds: float, outcome: str) -> None:
        """Note one answer."""
        with self.lock:
            self.hits.append((question, index, tuple(ids)))
            self.seconds.append(seconds)
            self.outcomes[outcome] += 1

    def of_index(self, fingerprint: str) -> int:
        """How many answers come from that index."""
        with self.lock:
            return sum(index == fingerprint for _, index, _ in self.hits)


@contextmanager
def server(options: Sequence[str], workers: int) -> Iterator[tuple[int, int]]:
    """Process id and port of ``spn4cir serve`` with several workers, one of which is ready."""
    command = [
        sys.executable,
        "-m",
        "spn4cir_core.cli.app",
        "serve",
        "--port",
        "0",
        "--workers",
        str(workers),
        *options,
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "SPN4CIR_TOKEN": ""})
    try:
        assert running.stdout is not None
        port = int(running.stdout.readline().split()[2].rstrip("/").rpartition(":")[2])
        while not _is_ready(port):
            assert running.poll() is None, "the server has ended"
            time.sleep(0.2)
        yield running.pid, port
    finally:
        running.terminate()
        running.wait(60)


def _is_ready(port: int) -> bool:
    try:
        return bool(Client(port).json("GET", "/ready")["ready"])
    except (OSError, http.client.HTTPException):
        return False


def workers_of(process: int) -> list[int]:
    """Process ids of a server's workers."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def ask(port: int, forms: Sequence[Form], numbers: Iterator[int], answers: Answers, stop: threading.Event) -> None:
    """One client: a question after the other until it is stopped."""
    client = Client(port)
    while not stop.is_set():
        question = next(numbers) % len(forms)
        started, attempt = time.perf_counter(), 0
        while True:
            try:
                answer = client.json("POST", "/api/search", forms[question])
                outcome = "at once" if not attempt else "tried again"
                ids = [hit["image_id"] for hit in answer["hits"]]
                answers.add(question, answer["index"], ids, time.perf_counter() - started, outcome)
                break
            except (OSError, http.client.HTTPException) as error:
                attempt, client = attempt + 1, Client(port)
                if attempt == ATTEMPTS or str(error).startswith("status 5"):
                    answers.add(question, "", [], time.perf_counter() - started, f"failed: {error}")
                    break


def right_answers(port: int, forms: Sequence[Form], fingerprint: str) -> dict[tuple[int, str], tuple[str, ...]]:
    """Question and index → image ids, each asked alone; waits until that index answers."""
    client, right = Client(port), dict[tuple[int, str], tuple[str, ...]]()
    for question, form in enumerate(forms):
        while (answer := client.json("POST", "/api/search", form))["index"] != fingerprint:
            time.sleep(0.5)
        right[question, fingerprint] = tuple(hit["image_id"] for hit in answer["hits"])
    return right


def endure(recipe: Recipe, store: Store, options: Sequence[str], clients: int, seconds: float, workers: int) -> dict:
    """Serve a recipe's index, disturb the server as the module says, and judge every answer."""
    first = SEARCH_INDEX.run(recipe, store)[0].fingerprint
    smaller = recipe.search_index.model_copy(update={"images": "train"})
    another, answers, stop = recipe.model_copy(update={"search_index": smaller}), Answers(), threading.Event()
    try:
        with server(options, workers) as (process, port):
            images = Client(port).json("GET", "/api/images?count=200&seed=1")["images"]
            forms = [
                {"text": TEXTS[number % len(TEXTS)], "query": "text", "top": "12"}
                if number % 3 == 0
                else {"image_id": image["image_id"], "text": TEXTS[number % len(TEXTS)], "top": "12"}
                for number, image in enumerate(itertools.islice(itertools.cycle(images), QUESTIONS))
            ]
            forms = [form for form in forms if _is_in_both(form, store, recipe)]
            right = right_answers(port, forms, first)
            numbers = itertools.count()
            threads = [threading.Thread(target=ask, args=(port, forms, numbers, answers, stop)) for _ in range(clients)]
            for thread in threads:
                thread.start()
            time.sleep(seconds / 4)
            os.kill(workers_of(process)[0], signal.SIGKILL)
            time.sleep(seconds / 4)
            second = SEARCH_INDEX.run(another, store)[0].fingerprint
            time.sleep(seconds / 2)
            last = time.monotonic() + SLOWEST_RELOAD_S
            while answers.of_index(second) < clients and time.monotonic() < last:
                time.sleep(0.2)
            stop.set()
            for thread in threads:
                thread.join()
            right |= right_answers(port, forms, second)
    finally:
        stop.set()
        SEARCH_INDEX.run(recipe, store)
    given = [(question, index, ids) for question, index, ids in answers.hits if index]
    return {
        "clients": clients,
        "workers": workers,
        "answers": len(answers.hits),
        "answers_of_the_new_index": answers.of_index(second),
        "wrong": sum(right.get((question, index)) != ids for question, index, ids in given),
        "outcomes": dict(answers.outcomes),
        "p50_s": round(float(np.percentile(answers.seconds, 50)), 3),
        "p99_s": round(float(np.percentile(answers.seconds, 99)), 3),
    }


def _is_in_both(form: Form, store: Store, recipe: Recipe) -> bool:
    """Whether the reference image, if there is one, is in the index of the training split too."""
    splits = store.current(recipe.name, "splits")
    assert splits is not None
    table = splits.table(columns=["image_id", "split"]).to_pydict()
    split_of = dict(zip(table["image_id"], table["split"], strict=True))
    return "image_id" not in form or split_of[form["image_id"]] == "train"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="")
    parser.add_argument("--store", default="store")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    words = ["--store", options.store]
    words += ["--recipe", options.recipe] if options.recipe else []
    words += ["--images", str(options.images)] if options.images else []
    recipe = load_recipe(options.recipe, images=options.images)
    result = endure(recipe, open_store(options.store), words, options.clients, options.seconds, options.workers)
    print(json.dumps(result))
    if result["wrong"] or any(outcome.startswith("failed") for outcome in result["outcomes"]):
        raise SystemExit("some answers were wrong or lost")


if __name__ == "__main__":
    main()
