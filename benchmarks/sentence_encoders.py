"""Our own MiniLM beside the same weights by sentence-transformers: equal vectors, and texts a second.

Usage: python -m benchmarks.sentence_encoders [--texts 2000] [--turns 3]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from spn4cir_core.models.minilm import minilm_folder
from spn4cir_core.models.sentence_encoder import SentenceEncoder

COLOURS = ("red", "blue", "green", "black", "white", "grey")
THINGS = ("dress", "shirt with a collar", "cup", "pair of running shoes", "chair made of dark wood")


def sentences(count: int) -> list[str]:
    """Distinct texts of 5 to 30 tokens, as modified texts and captions are."""
    return [
        f"make it {COLOURS[number % 6]} like the {THINGS[number % 5]}"
        + ", and add a stripe" * (number % 4)
        + f" {number}"
        for number in range(count)
    ]


def main() -> None:
    """Print one line for each way: median processor seconds, texts a second, least cosine with our float32."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    texts = sentences(given.texts)
    ways = {
        "ours, float32": SentenceEncoder(precision="float32").start(),
        "ours, bfloat16": SentenceEncoder(precision="bfloat16").start(),
        "sentence-transformers, text by text": SentenceEncoder(library="sentence_transformers").start(),
        "sentence-transformers, batches of 32": _batched(),
    }
    vectors, seconds = {}, {name: [] for name in ways}
    for _ in range(given.turns):
        for name, encode in ways.items():
            started = time.process_time()
            vectors[name] = encode(texts)
            seconds[name].append(time.process_time() - started)
    own = vectors["ours, float32"]
    for name, times in seconds.items():
        alike = float((vectors[name] * own).sum(1).min())
        print(f"{name}: {median(times):.2f} s, {len(texts) / median(times):,.0f} texts/s, least cosine {alike:.6f}")


def _batched():  # type: ignore[no-untyped-def]
    """As its own ``encode`` works: sorted by length, 32 at a time; a vector then depends on its neighbours."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder()), device="cpu", local_files_only=True)
    return lambda texts: np.asarray(model.encode(texts, batch_size=32, show_progress_bar=False))


if __name__ == "__main__":
    main()
