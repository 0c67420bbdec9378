"""Many clients at once against a running search page on this machine: every answer must come, and be right.

spn4cir serve --recipe folder --images photos/ --port 8000
python benchmarks/serve_load.py --port 8000 --clients 1 32 64 --requests 600 --unseen   # nobody has asked that before
python benchmarks/serve_load.py --bare --recipe folder --images photos/   # encoding and a flat FAISS search, no server
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path

import numpy as np

TEXTS = ("make it red", "the same, but with long sleeves", "with another shape", "in blue and white stripes")
WORDINGS = ("with", "the same with", "make it one with", "without", "add", "this one, but with")
COLOURS = re.findall(r"\w+", "red blue green yellow black white grey brown pink purple orange beige teal maroon navy")
PARTS = re.findall(
    r"\w+",
    "sleeves pockets buttons stripes dots flowers laces ribbons cuffs straps seams zips fringes collars belts hoods "
    "logos letters patches squares checks hearts stars leaves birds",
)
TIMEOUT_S = 120.0
TOP = 12


class Client:
    """One kept-alive connection to the loopback interface."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)

    def json(self, method: str, path: str, form: dict[str, str] | None = None) -> dict:
        """The answer to one request; an answer other than 200 is an error."""
        body = urllib.parse.urlencode(form) if form else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}: {content[:200]!r}")
        return json.loads(content)

    def search(self, form: dict[str, str]) -> list[str]:
        """Ids of the hits."""
        answer = self.json("POST", "/api/search", form)
        return [hit["image_id"] for hit in answer["hits"]]


def questions(port: int, kinds: list[str], count: int, seed: int) -> list[dict[str, str]]:
    """Different questions of random pictures; each text is of one question alone, and no other seed has it."""
    images = [image["image_id"] for image in Client(port).json("GET", "/api/images?count=200&seed=1")["images"]]
    texts = [f"{wording} {colour} {part}" for wording, colour, part in itertools.product(WORDINGS, COLOURS, PARTS)]
    np.random.default_rng(1).shuffle(texts)
    own = texts[seed * count : (seed + 1) * count]
    if len(own) < count:
        raise SystemExit(f"there are {len(texts):,} texts: ask for less")
    triples = zip(itertools.cycle(images), own, itertools.cycle(kinds), strict=False)
    return [{"image_id": one, "text": text, "query": kind, "top": str(TOP)} for one, text, kind in triples]


def hits_alone(port: int, forms: list[dict[str, str]]) -> list[list[str]]:
    """The hits of each question, asked when nobody else asks."""
    client = Client(port)
    return [client.search(form) for form in forms]


Figures = dict[str, object]


def load(port: int, clients: int, forms: list[dict[str, str]], pid: int) -> tuple[Figures, list[list[str] | str]]:
    """Ask all questions from so many threads; also the hits of each, or what was wrong with the answer."""
    seconds, numbers = np.full(len(forms), np.nan), iter(range(len(forms)))
    answers: list[list[str] | str] = ["never asked"] * len(forms)
    turn = threading.Lock()

    def ask() -> None:
        client = Client(port)
        while True:
            with turn:
                number = next(numbers, None)
            if number is None:
                return
            began = time.perf_counter()
            try:
                answers[number] = client.search(forms[number])
            except (OSError, http.client.HTTPException) as error:
                answers[number] = f"lost: {type(error).__name__}"
                client = Client(port)
            seconds[number] = time.perf_counter() - began

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    started, processor_s = time.perf_counter(), processor_seconds(pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    figures: Figures = {
        "clients": clients,
        "requests": len(forms),
        "requests_per_second": round(len(forms) / took, 1),
        "p50_s": round(float(np.percentile(seconds, 50)), 4),
        "p99_s": round(float(np.percentile(seconds, 99)), 4),
        "server_processor_ms_per_request": round((processor_seconds(pid) - processor_s) / len(forms) * 1e3, 2),
    }
    return figures, answers


def outcomes(answers: list[list[str] | str], right: list[list[str]]) -> dict[str, int]:
    """How many answers are right, wrong or lost."""
    pairs = zip(answers, right, strict=True)
    return dict(Counter(one if isinstance(one, str) else "right" if one == hits else "wrong" for one, hits in pairs))


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor so far; not a number where its id is not given."""
    if not pid:
        return float("nan")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bare(recipe: str, store: str, images: Path | None, count: int, at_once: int) -> dict[str, object]:
    """Opening pictures, encoding queries in batches and a flat FAISS search: what no server can be faster than."""
    from spn4cir_core import load_recipe, open_searcher, open_store
    from spn4cir_core.images.files import image_files
    from spn4cir_core.index.faiss_index import Flat

    opened = open_store(store)
    settings = load_recipe(recipe, images=images)
    searcher = open_searcher(settings, opened)
    files, encoder = image_files(settings.images, opened), searcher.encoder
    rng = np.random.default_rng(1)
    vectors_ND = rng.normal(size=(len(searcher.rows), encoder.dim)).astype(np.float32)
    index = Flat().build(vectors_ND, 0)

    def answer(rows: np.ndarray) -> None:
        pictures = [files.open(searcher.rows[row]["path"]) for row in rows]
        texts = [TEXTS[number % len(TEXTS)] for number in range(len(rows))]
        index.search(encoder.encode_queries(pictures, texts), TOP)

    answer(rng.integers(0, len(vectors_ND), at_once))
    started, processor_s = time.perf_counter(), time.process_time()
    for _ in range(0, count, at_once):
        answer(rng.integers(0, len(vectors_ND), at_once))
    requests = -(-count // at_once) * at_once
    return {
        "requests": requests,
        "at_once": at_once,
        "requests_per_second": round(requests / (time.perf_counter() - started), 1),
        "processor_ms_per_request": round((time.process_time() - processor_s) / requests * 1e3, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--clients", type=int, nargs="+", default=[200])
    parser.add_argument("--requests", type=int, default=2000, help="for each number of clients")
    parser.add_argument("--questions", type=int, default=180, help="different ones, each first asked alone")
    parser.add_argument("--unseen", action="store_true", help="every question is new; it is asked alone afterwards")
    parser.add_argument("--turn", type=int, default=0, help="with --unseen: another one has other questions")
    parser.add_argument("--kinds", nargs="+", default=["composed", "image", "text"])
    parser.add_argument("--pid", type=int, default=0, help="of the server, for its processor time")
    parser.add_argument("--bare", action="store_true", help="no server: encoding and FAISS alone")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--recipe", default="folder")
    parser.add_argument("--store", default="store")
    parser.add_argument("--images", type=Path)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare(options.recipe, options.store, options.images, options.requests, options.at_once)))
        return
    results: list[Figures] = []
    seen = [] if options.unseen else questions(options.port, options.kinds, options.questions, 0)
    right = hits_alone(options.port, seen)
    for turn, clients in enumerate(options.clients, options.turn * len(options.clients)):
        of_turn = list(itertools.islice(itertools.cycle(seen), options.requests)) or questions(
            options.port, options.kinds, options.requests, turn
        )
        figures, answers = load(options.port, clients, of_turn, options.pid)
        alone = list(itertools.islice(itertools.cycle(right), options.requests)) or hits_alone(options.port, of_turn)
        results.append({**figures, "outcomes": outcomes(answers, alone)})
        print(json.dumps(results[-1]), flush=True)
    if any(set(result["outcomes"]) != {"right"} for result in results):
        raise SystemExit("some answers were lost or wrong")


if __name__ == "__main__":
    main()
