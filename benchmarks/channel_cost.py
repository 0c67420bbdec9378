"""What each channel of the blend costs per query, at several sizes of the gallery. Prints Markdown.

    python benchmarks/channel_cost.py --rows 10000 100000 1000000 --dimensions 256 --folder DIR

Captions and vectors are drawn: captions as the titles of a catalogue ("red wide trousers with belt, lined"; a few
common words and thousands of rare ones), vectors at random. What is timed is the product's search of an opened index,
for one query after another and for as many at once as ``--at-once`` says, in processor time of one thread, without the
networks that encode a query. DIR keeps the FAISS indexes of each size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before faiss is imported

import numpy as np
from PIL import Image

from spn4cir_core.blend.calibration import Calibration
from spn4cir_core.blend.evidence import CAPTION, PICTURE, Sentences
from spn4cir_core.blend.fitted import ChannelWeight, FittedBlend, title_of
from spn4cir_core.channels.base import Gallery
from spn4cir_core.index.base import Index, VectorIndex
from spn4cir_core.index.faiss_index import Codes
from spn4cir_core.index.image_index import best_images_of_each
from spn4cir_core.index.settings import IndexSettings
from spn4cir_core.search.indexed_blend import COMPARED_IN_FULL, IndexedBlend
from spn4cir_core.store.whole_file import whole_file
from spn4cir_core.texts.word_kinds import WordKinds
from spn4cir_core.training.roles import STAGE2

COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow", "beige")
EXTRAS = ("belt", "hood", "pocket", "zip", "button", "collar", "print", "logo", "lace", "fringe", "strap", "buckle")
VECTORS = (STAGE2.name, PICTURE, CAPTION)
CHANNELS = (
    *(STAGE2.name, "picture", "edited_caption_meaning"),
    *("modified_text", "edited_caption", "reference_caption", "removed_words"),
)
WANTED = 10


def captions_of(rows: int, rng: np.random.Generator) -> list[str]:
    """Colour, one of a thousand adjectives, one of ten thousand nouns (Zipf), up to two extras, and an ending."""
    nouns, adjectives = rng.zipf(1.3, rows) % 10_000, rng.integers(1_000, size=rows)
    colours, extras, ends = rng.choice(COLOURS, rows), rng.choice(EXTRAS, (rows, 2)), rng.integers(3, size=(rows, 2))
    return [
        f"{colour} style{adjective} thing{noun}{f' with {first}' if a else ''}{f' and {second}' if a > 1 else ''}"
        f"{', lined' if b else ''}"
        for colour, adjective, noun, (first, second), (a, b) in zip(
            colours, adjectives, nouns, extras, ends.tolist(), strict=True
        )
    ]


def unit_rows(rows: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    vectors_ND = rng.standard_normal((rows, dimensions), np.float32)
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return vectors_ND


def texts_of(captions: Sequence[str], references: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Change the colour, add an extra, or take the last word away."""
    wordings: tuple[Callable[[str], str], ...] = (
        lambda caption: f"{rng.choice(COLOURS)} instead of {caption.split()[0]}",
        lambda caption: f"the same with {rng.choice(EXTRAS)}",
        lambda caption: f"without {caption.split()[-1]}",
    )
    return [wordings[number % 3](captions[row]) for number, row in enumerate(references)]


class Drawn:
    """Stands in for a trained network: query vectors that are there already."""

    def __init__(self, dimensions: int, rng: np.random.Generator) -> None:
        self._dimensions, self._rng = dimensions, rng

    def encode_queries(self, images: Sequence[Any], texts: Sequence[str]) -> np.ndarray:
        """(Q, D) float32 unit vectors."""
        return unit_rows(len(texts), self._dimensions, self._rng)


def blend_of(channels: Sequence[str]) -> FittedBlend:
    """Equal weights, scores as they are."""
    weights = tuple(ChannelWeight(name, 1, 1, 1, 0, 0, 1, 1) for name in channels)
    return FittedBlend(weights, Calibration(np.zeros(len(channels), np.float32), np.ones(len(channels), np.float32)))


def opened(kind: Index, folder: Path, vectors_ND: np.ndarray) -> VectorIndex:
    """An index of that kind, built at the first use."""
    path = folder / f"{kind.plugin_kind}_{'x'.join(map(str, vectors_ND.shape))}.faiss"
    if not path.is_file():
        with whole_file(path) as scratch:
            kind.write(kind.build(vectors_ND, 0), scratch)
    return kind.open(path)


def milliseconds(search: Callable[[slice], object], queries: int, at_once: int) -> float:
    """A query, the median over batches after a first one that does not count."""
    seconds = []
    for start in range(0, max(queries, 5 * at_once), at_once):
        started = time.thread_time()
        search(slice(start, start + at_once))
        seconds.append((time.thread_time() - started) / at_once)
    return 1000 * statistics.median(seconds[1:])


def measure(rows: int, dimensions: int, queries: int, at_once: Sequence[int], folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    captions, vectors_ND = captions_of(rows, rng), unit_rows(rows, dimensions, rng)
    count = max(queries, 5 * max(at_once))
    references = rng.integers(rows, size=count).tolist()
    texts, picture = texts_of(captions, references, rng), Image.new("RGB", (8, 8))
    index = opened(IndexSettings().index_for(rows), folder, vectors_ND)
    indexes = dict.fromkeys(VECTORS, opened(Codes(), folder, vectors_ND)) if rows > COMPARED_IN_FULL else {}
    gallery = Gallery(captions, dict.fromkeys(VECTORS, vectors_ND))
    networks: dict[str, Any] = {STAGE2.name: Drawn(dimensions, rng)}
    kinds = WordKinds.learn(captions)
    sentences = Sentences(lambda new: unit_rows(len(new), dimensions, rng))
    query_QD = unit_rows(count, dimensions, rng)

    def searching(channels: Sequence[str]) -> Callable[[slice], object]:
        indexed = IndexedBlend(
            blend_of(channels),
            gallery,
            {},
            kinds,
            sentences,
            networks,
            lambda pictures: query_QD,
            None,
            None,
            indexes,
        )

        def search(part: slice) -> object:
            own = [(picture, text) for text in texts[part]]
            each = [(slice(number, number + 1), np.ones(1)) for number in range(len(own))]
            return indexed.best(indexed.compose(own, references[part]), each, WANTED)

        return search

    lines = []
    alone = {
        batch: milliseconds(lambda part: best_images_of_each(index, query_QD[part], WANTED, 1), queries, batch)
        for batch in at_once
    }
    lines.append(cells(rows, f"vector search alone ({type(index).__name__})", alone, alone))
    for title, channels in [*((title_of(name), (name,)) for name in CHANNELS), ("**blend of all seven**", CHANNELS)]:
        own = {batch: milliseconds(searching(channels), queries, batch) for batch in at_once}
        lines.append(cells(rows, title, own, alone))
    memory = gallery.words.nbytes / 2**20
    lines.append(f"| {rows:,} | memory of the sparse channels | {memory:.0f} MiB |{' |' * (len(at_once) - 1)}")
    return lines


def cells(rows: int, title: str, own: Mapping[int, float], alone: Mapping[int, float]) -> str:
    """A row of the table: milliseconds, and how many times those of the search alone."""
    ratios = " | ".join(f"{own[batch]:.2f} ({own[batch] / alone[batch]:.2f})" for batch in own)
    return f"| {rows:,} | {title} | {ratios} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimensions", type=int, default=256)
    parser.add_argument("--queries", type=int, default=33)
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 32, 64])
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"| pictures | what | {' | '.join(f'ms a query, {batch} at once (ratio)' for batch in options.at_once)} |")
    print("|---" * (2 + len(options.at_once)) + "|")
    for rows in options.rows:
        lines = measure(rows, options.dimensions, options.queries, options.at_once, options.folder)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
