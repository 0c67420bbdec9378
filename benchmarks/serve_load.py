"""Many clients at once against a running search page on this machine: every answer must come, and be right.

spn4cir serve --recipe demo --port 8000
python benchmarks/serve_load.py --port 8000 --clients 200 --requests 2000
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import threading
import time
import urllib.parse
from collections import Counter

import numpy as np

TEXTS = ("make it red", "make it blue", "with another shape")
QUERIES = ("composed", "image", "text")
TIMEOUT_S = 120.0


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


def load(port: int, clients: int, requests: int) -> dict[str, object]:
    first = Client(port)
    images = [image["image_id"] for image in first.json("GET", "/api/images?count=20")["images"]]
    forms = [
        {"image_id": image_id, "text": text, "query": query, "top": "12"}
        for image_id, text, query in itertools.product(images, TEXTS, QUERIES)
    ]
    right = [first.search(form) for form in forms]
    seconds, outcomes, numbers = np.full(requests, np.nan), [""] * requests, iter(range(requests))
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
                hits = client.search(forms[number % len(forms)])
                outcomes[number] = "right" if hits == right[number % len(forms)] else "wrong"
            except (OSError, http.client.HTTPException) as error:
                outcomes[number] = f"lost: {type(error).__name__}"
                client = Client(port)
            seconds[number] = time.perf_counter() - began

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    return {
        "clients": clients,
        "requests": requests,
        "outcomes": dict(Counter(outcomes)),
        "requests_per_second": round(requests / took, 1),
        "p50_s": round(float(np.percentile(seconds, 50)), 3),
        "p99_s": round(float(np.percentile(seconds, 99)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    result = load(options.port, options.clients, options.requests)
    print(json.dumps(result))
    if set(result["outcomes"]) != {"right"}:
        raise SystemExit("some answers were lost or wrong")


if __name__ == "__main__":
    main()
